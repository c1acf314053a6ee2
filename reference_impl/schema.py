"""The tables, and their creation by any number of first users at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    and_,
    or_,
    text,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from reference_impl.clock import DatabaseNow
from reference_impl.errors import SchemaBusy
from reference_impl.models import SHARED, TaskStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    Column("agent_occurrence_id", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("task_type", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("claimant", Text, nullable=False),
    Column("token", Integer, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("decision", Text),
    Column("reason", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("agent_occurrence_id", "task_id"),
    CheckConstraint(f"status IN ({', '.join(repr(s.value) for s in TaskStatus)})", name="tasks_status_known"),
)

# The primary key alone would let a question that is still open at midnight be asked again under the new date, and a
# request be asked once per day. This index closes both: one open row per question, one row per request for ever.
Index(
    "tasks_one_question",
    tasks.c.task_type,
    tasks.c.request_id,
    unique=True,
    sqlite_where=(
        _one_question := and_(
            tasks.c.agent_occurrence_id == SHARED,
            or_(tasks.c.status == TaskStatus.ACTIVE.value, tasks.c.request_id != ""),
        )
    ),
    postgresql_where=_one_question,
)

thoughts = Table(
    "thoughts",
    metadata,
    Column("thought_id", Text, primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("agent_occurrence_id", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("task_id", "step"),
)

TASK_COLUMNS = (*tasks.c, DatabaseNow().label("read_at"))
"""What every statement that gives back a task selects or returns."""

SCHEMA_LOCK_SECONDS = 30.0

# Any constant will do, as long as all versions of this package use the same.
_ADVISORY_KEY = 0x0CC_14_8


def create_schema(engine: Engine, *, lock_seconds: float = SCHEMA_LOCK_SECONDS) -> None:
    """Make what is missing; safe for N processes at once and for a schema that is there.

    Raises:
        SchemaBusy: on PostgreSQL, another session held the schema lock for longer than ``lock_seconds``.

    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            _take_schema_lock(connection, lock_seconds)
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def _take_schema_lock(connection: Connection, seconds: float) -> None:
    # Two CREATE TABLE IF NOT EXISTS at once can both find nothing and collide in the catalogue. The lock is the
    # transaction's, so that a creator that dies lets go; the wait is bounded, so that a hung one is noticed.
    milliseconds = max(1, round(seconds * 1000))
    connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
    try:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != "55P03":  # lock_not_available
            raise
        raise SchemaBusy(
            f"the schema could not be made because another session held its lock for more than {seconds:g} s; "
            "end that session or start again when it is done"
        ) from error
