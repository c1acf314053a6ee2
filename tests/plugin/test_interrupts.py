"""Ctrl-C, and SIGKILL of pytest, at any moment: the run ends in bounded time and leaves nothing behind."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from pytest_ciris_occ.history import read
from tests.plugin.inner import Inner

BOUND = 30.0
GONE = 1.0
CONFIG = """
    [pytest]
    occ_n = 3
"""
# Each says through the pipe READY that it has come to the moment at which the run is to be interrupted.
SAY = """
    import os, subprocess, threading

    def say():
        with open(os.environ["READY"], "w") as pipe: pipe.write("now")
"""
RUNNING = (
    SAY
    + """
    def test_it(occ_fleet):
        def run(occ):
            with occ.effect("work"):
                occ.rendezvous("all are at work")
                subprocess.Popen(["sleep", "1000"], start_new_session=True)  # a daemon, which no group holds
                if occ.index == 0: say()
                threading.Event().wait()
        occ_fleet.run(run)
"""
)
IMPORTING = (
    SAY
    + """
    if os.environ.setdefault("FIRST_PID", str(os.getpid())) != str(os.getpid()):
        say()
        threading.Event().wait()

    def run(occ): pass

    def test_it(occ_fleet):
        occ_fleet.run(run)
"""
)
TEARDOWN = (
    SAY
    + """
    import pytest

    @pytest.fixture
    def slow_to_go(occ_fleet):
        yield
        say()
        threading.Event().wait()

    def test_it(occ_fleet, slow_to_go):
        fleet = occ_fleet.start(lambda occ: threading.Event().wait())
        assert fleet.ids
"""
)
STARTED = (
    SAY
    + """
    def test_it(occ_fleet):
        with occ_fleet.start(lambda occ: threading.Event().wait()):
            say()
            threading.Event().wait()
"""
)
MOMENTS = {"running": RUNNING, "importing": IMPORTING, "tearing down": TEARDOWN, "in the test": STARTED}


def _start_and_wait(inner: Inner, test: str, *arguments: str) -> int:
    """Start the run, return its pid when it has come to its moment."""
    pipe = inner.home / "ready"
    os.mkfifo(pipe, 0o600)
    inner.write({"pytest.ini": CONFIG, "test_it": test})
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        process = inner.start(*arguments, env={"READY": str(pipe)})
        assert select.select([reader], [], [], BOUND)[0], "the run never came to its moment"
    finally:
        os.close(reader)
    return process.pid


@pytest.mark.parametrize("database", ["sqlite", "postgres-embedded"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_everything(inner: Inner, moment: str, database: str) -> None:
    """Exit code 2, as pytest has it for an interrupted run, and nothing is left when pytest has ended."""
    pid = _start_and_wait(inner, MOMENTS[moment], f"--occ-database={database}")
    os.kill(pid, signal.SIGINT)
    ended = inner.wait(inner.last, BOUND).expect(2)
    assert "KeyboardInterrupt" in ended.out
    assert "INTERNALERROR" not in ended.out
    inner.assert_clean()


def test_a_second_ctrl_c_leaves_nothing_either(inner: Inner) -> None:
    """A user who cannot wait presses it again; the watchdogs end what pytest no longer does."""
    pid = _start_and_wait(inner, RUNNING, "--occ-database=postgres-embedded")
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGINT)
    ended = inner.wait(inner.last, BOUND)
    assert ended.code != 0
    inner.assert_clean(within=GONE)


WAITING_FOR_THE_END = (
    SAY
    + """
    import pytest

    @pytest.fixture(autouse=True)
    def the_end_takes_long():
        from pytest_ciris_occ.fleet.client import ZygoteClient
        def slow(client):
            say()
            threading.Event().wait()
        ZygoteClient.close = slow

    def test_it(occ_fleet):
        occ_fleet.run(lambda occ: occ.observe("task", None))
"""
)


def test_ctrl_c_while_everything_is_being_ended_is_no_traceback(inner: Inner) -> None:
    """The tests have passed and been reported; what is being waited for ends by its watchdogs."""
    pid = _start_and_wait(inner, WAITING_FOR_THE_END, "--occ-database=sqlite")
    os.kill(pid, signal.SIGINT)
    ended = inner.wait(inner.last, BOUND).expect(0)
    assert "1 passed" in ended.out
    assert "Traceback" not in ended.out
    inner.assert_clean(within=GONE)


def test_a_killed_run_leaves_what_it_saw_and_nothing_else(inner: Inner) -> None:
    """SIGKILL in the middle: the history on disk can be read, and has everything up to that moment."""
    pid = _start_and_wait(inner, RUNNING, "--occ-database=postgres-embedded", "--occ-history=seen", "--occ-seed=7")
    os.kill(pid, signal.SIGKILL)
    assert inner.wait(inner.last, BOUND).code == -signal.SIGKILL
    inner.assert_clean(within=GONE)
    (file,) = Path(inner.root, "seen").iterdir()
    history = read(file)
    assert (history.setting.n, history.setting.seed, history.setting.database) == (3, 7, "postgres-embedded")
    assert {(op.occurrence, op.key, op.outcome) for op in history.of("effect")} == {
        (f"occ-{index}", "work", "info") for index in range(3)
    }
    assert [event.step for event in history.processes] == ["started"] * 3 + ["released"] * 3
