"""Engines and the schema: patience, transaction kinds, and any number of first users at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, event, text

import reference_impl as ref
from reference_impl.engine import LOCK_SECONDS, reading

if TYPE_CHECKING:
    from sqlalchemy import Engine

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "cannot be parsed"),
        ("sqlite://", "in-memory"),
        ("sqlite:///:memory:", "in-memory"),
        ("mysql://host/name", "'mysql'"),
    ],
)
def test_a_url_that_cannot_be_used_gets_a_sentence(url: str, says: str) -> None:
    """An in-memory database would make every occurrence the only one."""
    with pytest.raises(ref.ConfigurationError, match=says):
        ref.make_engine(url)


def test_a_password_is_not_shown() -> None:
    """Error sentences end up in logs."""
    with pytest.raises(ref.ConfigurationError) as caught:
        ref.make_engine("mysql://me:secret@host/name")
    assert "secret" not in str(caught.value)


def test_making_an_engine_opens_nothing(tmp_path: Path) -> None:
    """Engines may be built before a fork, and for a server that is not up yet."""
    ref.make_engine(f"sqlite:///{tmp_path / 'never.db'}")
    ref.make_engine("postgresql://nobody@127.0.0.1:1/none")
    assert not (tmp_path / "never.db").exists()


def test_postgresql_means_psycopg_with_bounded_locks_and_read_committed() -> None:
    """Unless the URL brings its own options."""
    seen: list[dict[str, object]] = []
    for url in ("postgresql://nobody@127.0.0.1:1/none", "postgresql://nobody@127.0.0.1:1/none?options=-cx%3Dy"):
        engine = ref.make_engine(url)
        assert engine.driver == "psycopg"
        assert getattr(engine.dialect, "_on_connect_isolation_level") == "READ COMMITTED"  # noqa: B009 - not typed
        event.listen(engine, "do_connect", lambda *arguments: seen.append(dict(arguments[3])))
        with pytest.raises(Exception, match=r"connection|refused"):
            engine.connect()
    assert seen[0]["options"] == "-c lock_timeout=30000"
    assert seen[1]["options"] == "-cx=y"


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_the_journal_mode_is_left_as_it_is(tmp_path: Path, mode: str) -> None:
    """It is the deployment's choice."""
    path = tmp_path / "agents.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
    connection.close()
    engine = ref.make_engine(f"sqlite:///{path}")
    ref.create_schema(engine)
    with reading(engine) as seen:
        assert seen.execute(text("PRAGMA journal_mode")).scalar() == mode
        assert seen.execute(text("PRAGMA busy_timeout")).scalar() == LOCK_SECONDS * 1000
    engine.dispose()


def test_a_write_transaction_holds_the_lock_from_its_start(engine: Engine) -> None:
    """What it goes on to read cannot be overtaken, so it never fails with a stale snapshot."""
    statements: list[str] = []
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(statements.append)
    ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")
    ref.read_shared_task(engine, "wakeup")
    words = [statement.split()[0:2] for statement in statements]
    assert words[0] == ["BEGIN", "IMMEDIATE"]
    assert [first for first, *_ in words] == ["BEGIN", "INSERT", "COMMIT", "SELECT"]


def test_reads_are_not_held_up_by_a_writer(engine: Engine, tmp_path: Path) -> None:
    """A poller looks while somebody holds the write lock."""
    ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")
    with sqlite3.connect(tmp_path / "agents.db", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert ref.read_shared_task(engine, "wakeup") is not None
    writer.close()


def test_a_database_that_stays_locked_is_an_error_and_not_an_answer(engine: Engine, tmp_path: Path) -> None:
    """A claim that could not be written is never reported as somebody else's (K30, K31)."""
    impatient = create_engine(engine.url, connect_args={"timeout": 0})
    with sqlite3.connect(tmp_path / "agents.db", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(Exception, match="locked"):
            ref.try_claim_shared_task(impatient, "wakeup", occurrence_id="a")
    writer.close()
    impatient.dispose()
    assert ref.read_shared_task(engine, "wakeup") is None


def test_the_schema_refuses_a_status_that_nobody_knows(engine: Engine) -> None:
    """A row that no reader understands cannot be written."""
    task, _ = ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")
    with pytest.raises(Exception, match="tasks_status_known"), engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET status = 'DONE' WHERE task_id = :id"), {"id": task.task_id})


def test_creating_the_schema_again_keeps_what_is_there(engine: Engine) -> None:
    """Every start may create it."""
    ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")
    ref.create_schema(engine)
    assert ref.read_shared_task(engine, "wakeup") is not None


FIRST_USER = """
import sys
import reference_impl as ref
engine = ref.make_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
ref.create_schema(engine)
print(ref.try_claim_shared_task(engine, "wakeup", occurrence_id=sys.argv[2])[1])
engine.dispose()
"""


def test_processes_that_come_at_once_find_a_schema_and_one_claimant(url: str) -> None:
    """Six first users, let go together, create and claim: no error, one claim."""
    users = [_first_user(url, f"occ-{number}") for number in range(6)]
    for user in users:
        assert user.stdout is not None
        assert user.stdout.readline() == "ready\n"
    for user in users:
        assert user.stdin is not None
        user.stdin.write("\n")
        user.stdin.flush()
    answers = [user.communicate(timeout=60) for user in users]
    assert sorted(answers) == [("False\n", "")] * 5 + [("True\n", "")]


def _first_user(url: str, occurrence_id: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", FIRST_USER, url, occurrence_id],
        cwd=ROOT,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
