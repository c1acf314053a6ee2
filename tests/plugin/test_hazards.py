"""Modules whose import leaves what must not cross a fork: fresh interpreters for their occurrences, and a note."""

from __future__ import annotations

import pytest

from tests.plugin.inner import Ended, Inner

CONFIG = """
    [pytest]
    occ_database = sqlite
    occ_n = 2
"""
# Whether an occurrence was forked is read from its parent's and its own command line: a fork has the zygote's.
BODY = """
    import os
    from pathlib import Path

    def run(occ):
        mine = Path("/proc/self/cmdline").read_bytes()
        zygote = Path(f"/proc/{{os.getppid()}}/cmdline").read_bytes()
        occ.observe("how", "forked" if mine == zygote else "fresh")
        {inside}

    def test_{name}(occ_fleet):
        history = occ_fleet.run(run)
        assert [op.value for op in history.of("observe")] == ["{how}"] * 2
        assert len(history.notes) == {notes}
        {check}

    def test_{name}_fails(occ_fleet):
        def fail(occ):
            occ.decide("task-" + occ.occurrence_id, "yes")
            raise RuntimeError("to see the notes")
        occ_fleet.run(fail).check()
"""
THREAD = """
    import threading
    stop = threading.Event()
    threading.Thread(target=stop.wait, name="poller of the agent", daemon=True).start()
"""
SQLITE = """
    import sqlite3
    store = sqlite3.connect(__file__ + ".db")
    store.execute("CREATE TABLE IF NOT EXISTS seen (who TEXT)")
    store.commit()
"""
EMPTY_SQLITE = """
    import sqlite3
    store = sqlite3.connect(__file__ + ".empty.db")
"""
SOCKET = """
    import socket
    ours, theirs = socket.socketpair()
"""


def _module(name: str, how: str, head: str = "", inside: str = "", check: str = "") -> str:
    notes = 0 if how == "forked" else 1
    return head + BODY.format(name=name, how=how, notes=notes, inside=inside or "pass", check=check or "pass")


@pytest.fixture(scope="module")
def run(shared: Inner) -> Ended:
    """Return a run of modules with and without hazards, in turns."""
    shared.write(
        {
            "pytest.ini": CONFIG,
            "test_1_before": _module("before", "forked"),
            "test_2_thread": _module("thread", "fresh", THREAD, "assert threading.active_count() == 2"),
            "test_3_between": _module("between", "forked"),
            "test_4_sqlite": _module(
                "sqlite",
                "fresh",
                SQLITE,
                'store.execute("INSERT INTO seen VALUES (?)", (occ.occurrence_id,)); store.commit()',
                'assert store.execute("SELECT count(*) FROM seen").fetchone() == (2,)',
            ),
            "test_5_socket": _module("socket", "fresh", SOCKET),
            "test_6_empty": _module("empty", "fresh", EMPTY_SQLITE),
            "test_7_after": _module("after", "forked"),
        }
    )
    return shared.run().expect(1)


@pytest.mark.parametrize("name", ["thread", "sqlite", "socket", "empty"])
def test_a_module_with_a_hazard_works_in_fresh_interpreters(run: Ended, name: str) -> None:
    """Each occurrence imports the module anew, with a thread or a connection of its own."""
    assert run.outcome(f"test_{name}[sqlite-n2]") == "passed", run.block(f"test_{name}[sqlite-n2]")


@pytest.mark.parametrize("name", ["before", "between", "after"])
def test_modules_without_hazards_fork(run: Ended, name: str) -> None:
    """Before, between and after the others: what one module leaves is not put on another's account."""
    assert run.outcome(f"test_{name}[sqlite-n2]") == "passed", run.block(f"test_{name}[sqlite-n2]")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("thread", "importing test_2_thread leaves the thread 'poller of the agent', which must not cross a fork"),
        ("sqlite", "importing test_4_sqlite leaves an open SQLite database ("),
        ("socket", "importing test_5_socket leaves an open socket"),
        ("empty", "importing test_6_empty leaves an open SQLite database ("),
    ],
)
def test_the_fallback_is_said(run: Ended, name: str, what: str) -> None:
    """In the story of a test that failed, and in full in a section of its own."""
    full = f"test_{name}_fails[sqlite-n2]"
    assert run.outcome(full) == "failure"
    assert any(line.startswith(f"note: {what}"[:140]) for line in run.errors(full))
    said = run.section(full, "occ notes")
    assert what in said
    assert "every occurrence gets a fresh interpreter instead, which is slower" in said


@pytest.mark.parametrize("name", ["before", "between", "after"])
def test_where_there_was_no_fallback_nothing_is_said(run: Ended, name: str) -> None:
    """No note, no section."""
    full = f"test_{name}_fails[sqlite-n2]"
    assert run.section(full, "occ notes") == ""
    assert not any(line.startswith("note:") for line in run.errors(full))
