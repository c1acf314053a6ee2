"""Engines that fit the coordination, and the two ways in which it talks to them.

Every write of this package is one transaction whose *first* statement writes, so that SQLite never has to upgrade a
read snapshot (SQLITE_BUSY_SNAPSHOT, which no busy time-out helps against). The claims, decisions and reads are right
on any engine for SQLite or PostgreSQL; ``make_engine`` adds the time-outs and the transaction kinds that fit best.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ArgumentError

from reference_impl.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

LOCK_SECONDS = 30.0
"""How long a statement waits for somebody else's lock before it says so, on both databases."""


def make_engine(url: str | URL) -> Engine:
    """Build an engine; nothing is opened before its first use.

    Raises:
        ConfigurationError: the URL is not one of an SQLite file or of a PostgreSQL server.

    """
    parsed = _parse(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite_engine(parsed)
    if backend == "postgresql":
        return _postgresql_engine(parsed)
    raise ConfigurationError(
        f"the database URL {_shown(parsed)!r} names {backend!r}, which the coordination does not know; "
        "give sqlite:///FILE or postgresql://…"
    )


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection for one SELECT that takes no lock a writer could wait for."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # One SELECT needs no transaction, and without one a poll is one round trip instead of three.
            connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


def _parse(url: str | URL) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            f"the database URL {url!r} cannot be parsed; give sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _sqlite_engine(url: URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise ConfigurationError(
            f"the database URL {_shown(url)!r} is an in-memory database, which no other occurrence can see; "
            "give sqlite:///FILE"
        )
    if sqlite3.sqlite_version_info < (3, 35):
        raise ConfigurationError(f"SQLite {sqlite3.sqlite_version} has no RETURNING; use 3.35 or later")
    # With this isolation level the sqlite3 module itself puts BEGIN IMMEDIATE before the first write and nothing before
    # a SELECT: what a transaction read before it wrote cannot have been overtaken, and a poll costs one statement.
    return create_engine(url, connect_args={"timeout": LOCK_SECONDS, "isolation_level": "IMMEDIATE"})


def _postgresql_engine(url: URL) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {}
    if "options" not in url.query:
        options["options"] = f"-c lock_timeout={round(LOCK_SECONDS * 1000)}"
    # Whatever the server's default is: under REPEATABLE READ a refused insert could not be read back.
    return create_engine(url, connect_args=options, isolation_level="READ COMMITTED")
