"""Correct ways to decide who decides. Each returns whether the caller, and nobody else, holds the one task."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from pytest_ciris_occ import Occurrence

TASK = "the task"
Protocol = Callable[[Occurrence], bool]

SCHEMA = """
CREATE TABLE tasks (id TEXT PRIMARY KEY, owner TEXT, token INTEGER NOT NULL DEFAULT 0, decision TEXT);
CREATE TABLE questions (id TEXT PRIMARY KEY, owner TEXT);
CREATE TABLE work (id INTEGER PRIMARY KEY, owner TEXT)
"""


def prepare(url: str, *, work: int = 0) -> None:
    """Make the tables, one open question, and ``work`` items."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in SCHEMA.split(";"):
            connection.execute(sa.text(statement))
        connection.execute(sa.text("INSERT INTO questions (id) VALUES (:id)"), {"id": TASK})
        for number in range(work):
            connection.execute(sa.text("INSERT INTO work (id) VALUES (:id)"), {"id": number})
    engine.dispose()


def _insert(connection: sa.Connection, occ: Occurrence, how: str = "") -> int:
    statement = sa.text(f"INSERT INTO tasks (id, owner) VALUES (:id, :owner) {how}")
    return connection.execute(statement, {"id": TASK, "owner": occ.occurrence_id}).rowcount


def _is_free(connection: sa.Connection) -> bool:
    return connection.execute(sa.text("SELECT 1 FROM tasks WHERE id = :id"), {"id": TASK}).first() is None


def on_conflict(occ: Occurrence) -> bool:
    """One statement decides."""
    with occ.engine.begin() as connection:
        return _insert(connection, occ, "ON CONFLICT DO NOTHING") == 1


def unique_error(occ: Occurrence) -> bool:
    """The unique key decides, and its error is the answer."""
    try:
        with occ.engine.begin() as connection:
            _insert(connection, occ)
    except sa.exc.IntegrityError:
        return False
    return True


def compare_and_set(occ: Occurrence) -> bool:
    """A conditional update of a row that is there already."""
    update = sa.text("UPDATE questions SET owner = :owner WHERE id = :id AND owner IS NULL")
    with occ.engine.begin() as connection:
        return connection.execute(update, {"id": TASK, "owner": occ.occurrence_id}).rowcount == 1 and bool(
            _insert(connection, occ)
        )


@contextmanager
def _sqlite(occ: Occurrence, seconds: float = 30) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(sa.make_url(occ.database_url).database or "", timeout=seconds, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def begin_immediate(occ: Occurrence) -> bool:
    """Check, then insert, under the write lock (raw sqlite3)."""
    with _sqlite(occ) as connection:
        connection.execute("BEGIN IMMEDIATE")
        free = connection.execute("SELECT 1 FROM tasks WHERE id = ?", (TASK,)).fetchone() is None
        if free:
            connection.execute("INSERT INTO tasks (id, owner) VALUES (?, ?)", (TASK, occ.occurrence_id))
        connection.execute("COMMIT")
        return free


def impatient(occ: Occurrence) -> bool:
    """The same without any patience: it may die of lock contention, and does no harm."""
    with _sqlite(occ, seconds=0) as connection:
        connection.execute("BEGIN IMMEDIATE")
        made = connection.execute("INSERT OR IGNORE INTO tasks (id, owner) VALUES (?, ?)", (TASK, occ.occurrence_id))
        occ.rendezvous("one holds the lock, the others have died of it")
        connection.execute("COMMIT")
        return made.rowcount == 1


def _locked(occ: Occurrence, lock: str) -> bool:
    with occ.engine.begin() as connection:
        if connection.execute(sa.text(lock), {"id": TASK}).first() is None or not _is_free(connection):
            return False
        return _insert(connection, occ) == 1


def for_update(occ: Occurrence) -> bool:
    """Check, then insert, under a row lock."""
    return _locked(occ, "SELECT 1 FROM questions WHERE id = :id FOR UPDATE")


def skip_locked(occ: Occurrence) -> bool:
    """The same; whoever finds the row locked leaves it to the other."""
    return _locked(occ, "SELECT 1 FROM questions WHERE id = :id FOR UPDATE SKIP LOCKED")


def advisory_lock(occ: Occurrence) -> bool:
    """Check, then insert, under an advisory lock of the transaction."""
    return _locked(occ, "SELECT pg_advisory_xact_lock(hashtext(:id))")


def serializable(occ: Occurrence) -> bool:
    """Check, then insert, with the server as referee: whoever it refuses tries again."""
    engine = occ.engine.execution_options(isolation_level="SERIALIZABLE")
    while True:
        try:
            with engine.begin() as connection:
                return _is_free(connection) and _insert(connection, occ) == 1
        except (sa.exc.OperationalError, sa.exc.IntegrityError):
            continue


SQLITE: tuple[Protocol, ...] = (on_conflict, unique_error, compare_and_set, begin_immediate)
POSTGRES: tuple[Protocol, ...] = (
    on_conflict,
    unique_error,
    compare_and_set,
    for_update,
    skip_locked,
    advisory_lock,
    serializable,
)


def take_part(occ: Occurrence, protocol: Protocol) -> None:
    """Ask the one question by ``protocol``; decide it, or learn what was decided."""
    if protocol(occ):
        occ.claimed(TASK)
        decide(occ)
    else:
        occ.observe(TASK, wait(occ))


def decide(occ: Occurrence) -> None:
    """Do the work of the claimant, tell, and store."""
    with occ.effect("work", task=TASK):
        pass
    value = f"decided by {occ.occurrence_id}"
    occ.decide(TASK, value)
    with occ.engine.begin() as connection:
        connection.execute(sa.text("UPDATE tasks SET decision = :value WHERE id = :id"), {"id": TASK, "value": value})
    occ.complete(TASK)


def wait(occ: Occurrence) -> str:
    """Poll until there is a decision."""
    query = sa.text("SELECT decision FROM tasks WHERE id = :id AND decision IS NOT NULL")
    while True:
        with occ.engine.connect() as connection:
            found = connection.execute(query, {"id": TASK}).scalar_one_or_none()
        if found is not None:
            return str(found)
        time.sleep(0.002)


def take_work(occ: Occurrence) -> None:
    """Take items one by one from a queue until it is empty, each by one conditional update."""
    free = sa.text("SELECT id FROM work WHERE owner IS NULL ORDER BY id LIMIT 1")
    take = sa.text("UPDATE work SET owner = :me WHERE id = :id AND owner IS NULL")
    while True:
        with occ.engine.begin() as connection:
            number = connection.execute(free).scalar_one_or_none()
        if number is None:
            return
        with occ.engine.begin() as connection:
            mine = connection.execute(take, {"me": occ.occurrence_id, "id": number}).rowcount == 1
        if mine:
            with occ.effect(f"item-{number}"):
                pass
