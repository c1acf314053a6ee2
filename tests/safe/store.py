"""One table of shared tasks, with a lease and a fencing token, over the drivers themselves (sqlite3, psycopg)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

TASK = "the task"
LEASE = 0.6

_SCHEMA = (
    "CREATE TABLE leases (id TEXT PRIMARY KEY, owner TEXT, token INTEGER, until DOUBLE PRECISION, decision TEXT)",
    "CREATE TABLE attempts (owner TEXT)",
    "CREATE TABLE items (id INTEGER PRIMARY KEY, done INTEGER NOT NULL DEFAULT 0)",
)
_NOW = {"sqlite": "(julianday('now') - 2440587.5) * 86400.0", "postgresql": "extract(epoch FROM clock_timestamp())"}


class Store:
    """One connection in autocommit, so that each statement is a transaction of its own unless one is begun."""

    def __init__(self, connection: Any, dialect: str) -> None:
        self._connection = connection
        self._dialect = dialect
        self._now = _NOW[dialect]

    def run(self, statement: str, *values: Any) -> Any:
        """Execute one statement; its parameters are question marks."""
        return self._connection.execute(self._own(statement), values)

    def first(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, or ``None``."""
        row = self.run(statement, *values).fetchone()
        return None if row is None else row[0]

    def _own(self, statement: str) -> str:
        return statement if self._dialect == "sqlite" else statement.replace("?", "%s")

    # -- a lease ----------------------------------------------------------------------------------------------------

    def claim(self, owner: str, lease: float = LEASE) -> int | None:
        """Make the row, or take it over from a lease that has run out: one statement, on the database's clock."""
        row = self.run(
            f"INSERT INTO leases (id, owner, token, until) VALUES (?, ?, 1, {self._now} + ?) "
            f"ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, token = leases.token + 1, until = excluded.until "
            f"WHERE leases.decision IS NULL AND leases.until < {self._now} RETURNING token",
            TASK,
            owner,
            lease,
        ).fetchall()
        return row[0][0] if row else None

    def decide(self, token: int, decision: str) -> bool:
        """Compare and set: accepted only from whoever holds the latest token, and only once."""
        statement = "UPDATE leases SET decision = ? WHERE id = ? AND token = ? AND decision IS NULL"
        return bool(self.run(statement, decision, TASK, token).rowcount == 1)

    def decision(self) -> str | None:
        """What was decided."""
        found: str | None = self.first("SELECT decision FROM leases WHERE id = ? AND decision IS NOT NULL", TASK)
        return found

    def owner(self) -> str | None:
        """Who claimed it."""
        found: str | None = self.first("SELECT owner FROM leases WHERE id = ?", TASK)
        return found


@contextmanager
def connect(url: str) -> Iterator[Store]:
    """Open a connection of one's own."""
    parts = sa.make_url(url)
    connection: Any
    if parts.get_backend_name() == "sqlite":
        connection = sqlite3.connect(parts.database or "", timeout=30, isolation_level=None)
    else:
        import psycopg

        plain = parts.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg.connect(plain, autocommit=True)
    try:
        yield Store(connection, parts.get_backend_name())
    finally:
        connection.close()


def prepare(url: str, items: Sequence[int] = ()) -> None:
    """Make the tables and fill the queue."""
    with connect(url) as store:
        for statement in _SCHEMA:
            store.run(statement)
        for item in items:
            store.run("INSERT INTO items (id) VALUES (?)", item)
