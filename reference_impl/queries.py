"""Questions about shared tasks by prefix and age, for dashboards and health checks.

Nothing decides by these: an age window answers today's question with yesterday's row. The processors go by period
and request (``read_shared_task``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, union

from reference_impl.clock import DatabaseNow
from reference_impl.engine import reading
from reference_impl.models import SHARED, Task, TaskStatus, Thought
from reference_impl.schema import TASK_COLUMNS, tasks, thoughts

if TYPE_CHECKING:
    from sqlalchemy import Engine

RECENT_SECONDS = 1800.0


def get_latest_shared_task(engine: Engine, task_prefix: str, within_hours: float = 24) -> Task | None:
    """Give the newest shared task whose id starts with ``task_prefix`` (exactly so, case included).

    Tasks created more than ``within_hours`` ago, by the database's clock, are left out.
    """
    # Not LIKE: its _ is a wildcard, and SQLite's ignores case.
    statement = (
        select(*TASK_COLUMNS)
        .where(
            tasks.c.agent_occurrence_id == SHARED,
            func.substr(tasks.c.task_id, 1, len(task_prefix)) == task_prefix,
            tasks.c.created_at > DatabaseNow() - within_hours * 3600.0,
        )
        .order_by(tasks.c.created_at.desc(), tasks.c.task_id.desc())
        .limit(1)
    )
    with reading(engine) as connection:
        row = connection.execute(statement).mappings().first()
    return Task.from_row(row) if row else None


def get_shared_task_status(engine: Engine, task_prefix: str, within_hours: float = 24) -> str | None:
    """Give the status of that task, ``None`` when there is none."""
    task = get_latest_shared_task(engine, task_prefix, within_hours)
    return task.status.value if task else None


def is_shared_task_completed(engine: Engine, task_prefix: str, within_hours: float = 24) -> bool:
    """Whether that task is completed; failed, rejected and deferred are not."""
    return get_shared_task_status(engine, task_prefix, within_hours) == TaskStatus.COMPLETED.value


def get_thoughts_by_task_id(engine: Engine, task_id: str) -> list[Thought]:
    """Give the finished steps of a task, in their order."""
    columns = [thoughts.c[name] for name in Thought.__dataclass_fields__]
    statement = select(*columns).where(thoughts.c.task_id == task_id).order_by(thoughts.c.step)
    with reading(engine) as connection:
        return [Thought(*row) for row in connection.execute(statement)]


def discover_occurrence_count(
    engine: Engine, *, configured: int | None = None, window_seconds: float = RECENT_SECONDS
) -> int:
    """Give the number of occurrences: as configured, else those that left a trace in the database lately, at least 1.

    ``configured`` is ``Environment.occurrence_count``; lately means within ``window_seconds`` by the database's clock.
    """
    if configured is not None:
        return configured
    recent = tasks.c.updated_at > DatabaseNow() - window_seconds
    seen = union(
        select(tasks.c.agent_occurrence_id.label("occurrence")).where(recent, tasks.c.agent_occurrence_id != SHARED),
        select(tasks.c.claimant).where(recent),
    ).subquery()
    with reading(engine) as connection:
        return max(1, connection.execute(select(func.count()).select_from(seen)).scalar_one())
