"""Nothing stays behind, whatever kills the test run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from .leftovers import everything_ends, files, tree

TWENTY = """
import signal
import sys

import pytest
import sqlalchemy


def hold(occ):
    with occ.engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
        with occ.effect("connected"):
            pass
        signal.pause()


@pytest.mark.occ(n=20)
def test_twenty(occ_fleet):
    with occ_fleet.start(hold, timeout=120) as running:
        running.wait_until(lambda history: sum(op.returned is not None for op in history.operations) == 20, "all", 60)
        print("READY", flush=True)
        running.finish()
"""

DAEMON = """
import os
import signal
import subprocess
import sys


def leave_a_daemon(occ):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        os._exit(0)
    with occ.effect("daemon"):
        pass
    signal.pause()


def test_daemon(occ_fleet):
    with occ_fleet.start(leave_a_daemon, timeout=120) as running:
        running.wait_until(lambda history: sum(op.returned is not None for op in history.operations) == 3, "all", 60)
        print("READY", flush=True)
        running.finish()
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary directory of the inner run's own, outside pytest's, which a server of another uid cannot enter."""
    with tempfile.TemporaryDirectory(prefix="occ-test-") as place:
        Path(place).chmod(0o711)
        yield Path(place)


def start(code: str, database: str, tmp_path: Path, temporary: Path, *more: str) -> subprocess.Popen[str]:
    """Start pytest over ``code``, and wait until it says that it is in the middle of its run."""
    (tmp_path / "test_inner.py").write_text(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ["-s", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/base", f"--occ-database={database}", *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, str(tmp_path / "test_inner.py")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "READY" in line:
            return process
    raise AssertionError("".join(lines))


@pytest.fixture(params=range(20))
def attempt(request: pytest.FixtureRequest) -> Iterator[int]:
    """Twenty tries."""
    return request.param  # type: ignore[no-any-return]


def test_sigkill_of_pytest_leaves_nothing(attempt: int, tmp_path: Path, temporary: Path) -> None:
    """One second after SIGKILL in a run of 20 on PostgreSQL: no process, socket, shared memory or file."""
    process = start(TWENTY, "postgres-embedded", tmp_path, temporary)
    running = [member for member in tree(process.pid) if "postgres" in member.name()]
    assert len(running) > 20, "the server and a backend for each occurrence should be running"
    with everything_ends(process.pid, temporary, seconds=1):
        process.kill()
    process.communicate()


def test_sigkill_reaches_daemons_that_hide(tmp_path: Path, temporary: Path) -> None:
    """A double-forked grand-child in a session of its own ends with the rest."""
    process = start(DAEMON, "sqlite", tmp_path, temporary)
    assert len(tree(process.pid)) >= 2 + 1 + 3 + 3
    with everything_ends(process.pid, temporary, seconds=1):
        process.kill()
    process.communicate()


def test_sigkill_of_the_watchdog_leaves_no_occurrence(tmp_path: Path, temporary: Path) -> None:
    """Even without its watchdog nothing runs on: the kernel ends the zygote with it, and the occurrences with that."""
    process = start(TWENTY, "sqlite", tmp_path, temporary)
    doomed = [member for member in tree(process.pid) if member.pid != process.pid]
    (watchdog,) = psutil.Process(process.pid).children()
    watchdog.kill()
    _gone, alive = psutil.wait_procs(doomed, timeout=5)
    assert not alive
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_the_next_run_sweeps_what_a_power_cut_left(tmp_path: Path, temporary: Path) -> None:
    """A run directory that nobody holds is removed by the next run; one that is held is not."""
    process = start(TWENTY, "sqlite", tmp_path, temporary)
    for member in reversed(tree(process.pid)):
        member.kill()
    process.communicate()
    left = files(temporary)
    assert any(name.startswith("occ-run-") for name in left)
    (tmp_path / "again").mkdir()
    other = start(DAEMON, "sqlite", tmp_path / "again", temporary)
    assert not left & files(temporary)
    with everything_ends(other.pid, temporary, seconds=1):
        other.kill()
    other.communicate()


@pytest.mark.parametrize("database", ["sqlite", "postgres-embedded"])
def test_ctrl_c_leaves_nothing(database: str, tmp_path: Path, temporary: Path) -> None:
    """SIGINT in the middle of a run: pytest says so, and everything is gone before it ends."""
    process = start(TWENTY, database, tmp_path, temporary)
    members = tree(process.pid)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "KeyboardInterrupt" in output
    assert not [member for member in members if member.is_running()]
    assert not files(temporary)
