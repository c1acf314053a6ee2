"""Claiming a shared task: one atomic insert, and what to do when somebody was first.

A *question* is a task type with a request id (or none, for one question per day). The id of its task is
deterministic: ``WAKEUP_SHARED_20261123``, ``SHUTDOWN_SHARED_20261123_<request>``.

The fresh claim is a single INSERT … ON CONFLICT DO NOTHING whose id, times and lease the database computes. Only the
one who comes second reads, and the only way from there to the right to decide is one compare-and-set UPDATE on the
token that was read. It raises the token, so the hold before it, whoever had it, can write no more.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, Text, and_, bindparam, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from reference_impl.clock import DatabaseDay, DatabaseNow
from reference_impl.config import checked_occurrence_id
from reference_impl.engine import reading
from reference_impl.errors import ConfigurationError, CoordinationError
from reference_impl.models import ABANDONED, SHARED, Task, TaskStatus
from reference_impl.schema import TASK_COLUMNS, tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import BindParameter, Engine
    from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate
    from sqlalchemy.sql.selectable import Select

logger = logging.getLogger(__name__)

DEFAULT_LEASE_SECONDS = 30.0
"""Below the shortest time-out that may be configured: a dead claimant is taken over before anybody gives up."""

# Each further attempt needs the row to change between two statements (midnight, a peer's take-over, a deletion).
_ATTEMPTS = 20

_TASK_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be decided once: a task type, and the request that tells one such question from the next."""

    task_type: str
    request_id: str = ""

    @classmethod
    def of(cls, task_type: str, request: str | None = None) -> Question:
        """Check and normalise; the type is case-insensitive, the request is not.

        Raises:
            ConfigurationError: the type is no plain name, or the request is empty or not printable.

        """
        if not _TASK_TYPE.fullmatch(task_type):
            raise ConfigurationError(f"the task type {task_type!r} is no plain name; give one such as 'wakeup'")
        if request is not None and not (0 < len(request) <= 200 and request.isprintable()):
            raise ConfigurationError(
                f"the request id {request!r} is empty, longer than 200 characters or not printable; give a short name"
            )
        return cls(task_type.upper(), request or "")

    @property
    def prefix(self) -> str:
        """What the ids of its shared tasks start with."""
        return f"{self.task_type}_SHARED_"

    @property
    def suffix(self) -> str:
        """What they end with, after the date."""
        return f"_{self.request_id}" if self.request_id else ""


def try_claim_shared_task(
    engine: Engine,
    task_type: str,
    *,
    occurrence_id: str,
    request: str | None = None,
    channel_id: str = "system",
    description: str = "",
    priority: int = 10,
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
) -> tuple[Task, bool]:
    """Create or find the shared task of a question, atomically; never waits for a decision.

    Returns:
        the task, and whether the caller now holds the right to decide it: because it was the first, because it is
        the claimant come back, or because the claimant's lease had run out.

    Raises:
        ConfigurationError: the type, the request or the occurrence id cannot be one.
        CoordinationError: the row changed each time it was looked at.

    """
    question = Question.of(task_type, request)
    values = {
        "p_namespace": SHARED,
        "p_prefix": question.prefix,
        "p_suffix": question.suffix,
        "p_type": question.task_type,
        "p_request": question.request_id,
        "p_channel": channel_id,
        "p_description": description,
        "p_priority": priority,
        "p_claimant": checked_occurrence_id(occurrence_id),
        "p_lease": lease_seconds,
    }
    for _ in range(_ATTEMPTS):
        task = _insert(engine, values)
        if task is not None:
            logger.info("Occurrence %s: claimed %s", occurrence_id, task.task_id)
            return task, True
        task, mine = _second(engine, question, occurrence_id, lease_seconds)
        if task is not None:
            return task, mine
    raise CoordinationError(
        f"occurrence {occurrence_id} could neither claim nor find the {question.task_type} task in {_ATTEMPTS} "
        "attempts because its row kept changing; look for a process that deletes shared rows"
    )


def claim_local_task(
    engine: Engine,
    task_type: str,
    *,
    occurrence_id: str,
    request: str | None = None,
    channel_id: str = "system",
    description: str = "",
    priority: int = 10,
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
) -> Task:
    """Open a task of this occurrence alone, as without coordination: always new, always its own."""
    question = Question.of(task_type, request)
    values = {
        "p_namespace": checked_occurrence_id(occurrence_id),
        "p_prefix": f"{question.task_type}_{occurrence_id}_",
        "p_suffix": f"{question.suffix}_{uuid.uuid4().hex[:12]}",
        "p_type": question.task_type,
        "p_request": question.request_id,
        "p_channel": channel_id,
        "p_description": description,
        "p_priority": priority,
        "p_claimant": occurrence_id,
        "p_lease": lease_seconds,
    }
    task = _insert(engine, values)
    if task is None:
        raise CoordinationError(f"occurrence {occurrence_id}: a random task id was taken already; try again")
    return task


def read_shared_task(engine: Engine, task_type: str, request: str | None = None) -> Task | None:
    """Look without waiting or claiming: the question's open task, else the decided one of its period or request."""
    found = _find(engine, Question.of(task_type, request))
    return found[0] if found else None


def _second(engine: Engine, question: Question, occurrence_id: str, lease: float) -> tuple[Task | None, bool]:
    """Do what is right for one who was not the first; no task means that the row changed: ask again."""
    found = _find(engine, question)
    if found is None:
        return None, False
    task, today = found
    if task.final or not (task.lapsed or task.claimant == occurrence_id):
        logger.info("Occurrence %s: %s is %s under %s", occurrence_id, task.task_id, task.status.value, task.claimant)
        return task, False
    if task.lapsed and not (today or question.request_id):
        _abandon(engine, task)
        return None, False
    return _take_over(engine, task, occurrence_id, lease), True


def _insert(engine: Engine, values: dict[str, Any]) -> Task | None:
    with engine.begin() as connection:
        row = connection.execute(_insert_statement(engine.dialect.name), values).first()
    return _inserted(row, values) if row else None


def _inserted(row: Sequence[Any], values: dict[str, Any]) -> Task:
    # Only what the database computed comes back from it: this is the path whose speed counts.
    task_id, created_at, lease_until = row
    return Task(
        agent_occurrence_id=values["p_namespace"],
        task_id=task_id,
        task_type=values["p_type"],
        request_id=values["p_request"],
        channel_id=values["p_channel"],
        description=values["p_description"],
        priority=values["p_priority"],
        status=TaskStatus.ACTIVE,
        claimant=values["p_claimant"],
        token=1,
        lease_until=lease_until,
        decision=None,
        reason="",
        created_at=created_at,
        updated_at=created_at,
        read_at=created_at,
    )


def _take_over(engine: Engine, seen: Task, occurrence_id: str, lease_seconds: float) -> Task | None:
    values = {
        "p_task": seen.task_id,
        "p_token": seen.token,
        "p_claimant": occurrence_id,
        "p_lease": lease_seconds,
    }
    with engine.begin() as connection:
        row = connection.execute(_TAKE_OVER, values).mappings().first()
    if row is None:
        return None
    logger.warning("Occurrence %s: took %s over from %s", occurrence_id, seen.task_id, seen.claimant)
    return Task.from_row(row)


def _abandon(engine: Engine, seen: Task) -> None:
    """Close the open question of an earlier day whose claimant is dead, so that today's can be asked."""
    with engine.begin() as connection:
        connection.execute(_ABANDON, {"p_task": seen.task_id, "p_token": seen.token})
    logger.warning("%s was left open by %s and is closed as abandoned", seen.task_id, seen.claimant)


def _find(engine: Engine, question: Question) -> tuple[Task, bool] | None:
    """Find the row that stands for the question, and whether it is of today."""
    values = {
        "p_prefix": question.prefix,
        "p_suffix": question.suffix,
        "p_type": question.task_type,
        "p_request": question.request_id,
    }
    with reading(engine) as connection:
        row = connection.execute(_FIND, values).mappings().first()
    if row is None:
        return None
    columns = dict(row)
    today = bool(columns.pop("today"))
    return Task.from_row(columns), today


def _text(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text())


_ID = _text("p_prefix") + DatabaseDay() + _text("p_suffix")
_LEASE = DatabaseNow() + bindparam("p_lease", type_=Double())
_SHARED_ROW = and_(tasks.c.agent_occurrence_id == SHARED, tasks.c.task_id == bindparam("p_task", type_=Text()))
_AS_SEEN = and_(tasks.c.status == TaskStatus.ACTIVE.value, tasks.c.token == bindparam("p_token"))
_LAPSED = tasks.c.lease_until <= DatabaseNow()


@cache
def _insert_statement(dialect: str) -> ReturningInsert[Any]:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return (
        insert(tasks)
        .values(
            agent_occurrence_id=_text("p_namespace"),
            task_id=_ID,
            task_type=_text("p_type"),
            request_id=_text("p_request"),
            channel_id=_text("p_channel"),
            description=_text("p_description"),
            priority=bindparam("p_priority"),
            status=TaskStatus.ACTIVE.value,
            claimant=_text("p_claimant"),
            token=1,
            lease_until=_LEASE,
            reason="",
            created_at=DatabaseNow(),
            updated_at=DatabaseNow(),
        )
        .on_conflict_do_nothing()
        .returning(tasks.c.task_id, tasks.c.created_at, tasks.c.lease_until)
    )


def _find_statement() -> Select[Any]:
    today = tasks.c.task_id == _ID
    return (
        select(*TASK_COLUMNS, today.label("today"))
        .where(
            tasks.c.agent_occurrence_id == SHARED,
            tasks.c.task_type == _text("p_type"),
            tasks.c.request_id == _text("p_request"),
            or_(tasks.c.status == TaskStatus.ACTIVE.value, tasks.c.request_id != "", today),
        )
        .order_by(tasks.c.created_at.desc())
        .limit(1)
    )


def _take_over_statement() -> ReturningUpdate[Any]:
    return (
        update(tasks)
        .where(_SHARED_ROW, _AS_SEEN, or_(_LAPSED, tasks.c.claimant == _text("p_claimant")))
        .values(claimant=_text("p_claimant"), token=tasks.c.token + 1, lease_until=_LEASE, updated_at=DatabaseNow())
        .returning(*TASK_COLUMNS)
    )


_FIND = _find_statement()
_TAKE_OVER = _take_over_statement()
_ABANDON = (
    update(tasks)
    .where(_SHARED_ROW, _AS_SEEN, _LAPSED)
    .values(
        status=TaskStatus.FAILED.value,
        decision=ABANDONED,
        reason="its claimant died in an earlier period",
        updated_at=DatabaseNow(),
    )
)
