"""The steps of a wakeup, each taken once and recorded as a thought of the occurrence that took it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

from reference_impl.clock import DatabaseNow
from reference_impl.decisions import heartbeat, holding
from reference_impl.queries import get_thoughts_by_task_id
from reference_impl.schema import thoughts

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from reference_impl.models import Task

AFFIRMATIONS = (
    "VERIFY_IDENTITY",
    "VALIDATE_INTEGRITY",
    "EVALUATE_RESILIENCE",
    "ACCEPT_INCOMPLETENESS",
    "EXPRESS_GRATITUDE",
)
"""The five affirmations of the wakeup sequence, in their order."""


def affirm_all(engine: Engine, task: Task, affirm: Callable[[int], None], lease_seconds: float) -> None:
    """Take the steps that no earlier claimant has finished, as long as the task is held.

    Raises:
        Refused: the task was taken over or ended; the step at hand is not recorded, and no further one is taken.

    """
    finished = {thought.step for thought in get_thoughts_by_task_id(engine, task.task_id)}
    for step, content in enumerate(AFFIRMATIONS):
        if step in finished:
            continue
        # Before the step, so that one who lost the task does nothing for it; and with the record, so that the
        # record and the right to make it are one transaction.
        heartbeat(engine, task, lease_seconds)
        affirm(step)
        _record(engine, task, step, content, lease_seconds)


def _record(engine: Engine, task: Task, step: int, content: str, lease_seconds: float) -> None:
    insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    statement = insert(thoughts).values(
        thought_id=f"{task.task_id}:affirm-{step}",
        task_id=task.task_id,
        # Never __shared__: a step belongs to the occurrence that takes it.
        agent_occurrence_id=task.claimant,
        step=step,
        content=content,
        created_at=DatabaseNow(),
    )
    with holding(engine, task, lease_seconds) as connection:
        connection.execute(statement.on_conflict_do_nothing())
