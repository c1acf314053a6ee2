"""The one clock of the coordination: the database's.

Dates in ids, ``created_at`` and leases are all taken from it, inside the statement that uses them. Occurrences with
clocks that differ by minutes therefore agree on the day and on who is alive.

On PostgreSQL it is the start of the statement, not ``clock_timestamp()``: a statement that uses it twice must see
one time, and one that waited for a lock errs on the safe side (a shorter lease of its own, no early take-over).
SQLite's ``'now'`` is constant within a statement by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Double, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class DatabaseNow(FunctionElement[float]):
    """Seconds since the epoch, as a number, so that times are never compared as text."""

    name = "database_now"
    type = Double()
    inherit_cache = True


class DatabaseDay(FunctionElement[str]):
    """The day in UTC as ``YYYYMMDD``."""

    name = "database_day"
    type = String()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _now_sqlite(_element: DatabaseNow, _compiler: SQLCompiler, **_kw: object) -> str:
    # unixepoch('subsec') needs SQLite 3.42; julianday carries the same milliseconds everywhere.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseNow, "postgresql")
def _now_postgresql(_element: DatabaseNow, _compiler: SQLCompiler, **_kw: object) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)"


@compiles(DatabaseDay, "sqlite")
def _day_sqlite(_element: DatabaseDay, _compiler: SQLCompiler, **_kw: object) -> str:
    # Not strftime: its % would meet the drivers' own formatting.
    return "replace(date('now'), '-', '')"


@compiles(DatabaseDay, "postgresql")
def _day_postgresql(_element: DatabaseDay, _compiler: SQLCompiler, **_kw: object) -> str:
    return "to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD')"
