"""What the holder of a claim may write, and the one thing that everybody else may.

Every write is a compare-and-set on claimant, token and ``ACTIVE``. One that changes no row raises ``Refused`` with the
row as it stands: a claimant that was paused past its lease learns there whose decision holds.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, Text, and_, bindparam, select, update
from sqlalchemy.exc import DBAPIError

from reference_impl.claims import DEFAULT_LEASE_SECONDS
from reference_impl.clock import DatabaseNow
from reference_impl.engine import reading
from reference_impl.errors import Refused, TaskVanished
from reference_impl.models import SHARED, Decision, Task, TaskStatus
from reference_impl.schema import TASK_COLUMNS, tasks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Engine

logger = logging.getLogger(__name__)


def read_task(engine: Engine, task_id: str, *, namespace: str = SHARED) -> Task | None:
    """Read one task by its id; ``None`` means that there is no such row, never that it could not be read."""
    with reading(engine) as connection:
        row = connection.execute(_READ, {"p_namespace": namespace, "p_task": task_id}).mappings().first()
    return Task.from_row(row) if row else None


def decide_shared_task(engine: Engine, task: Task, decision: str, reason: str = "") -> Task:
    """Make the decision of a claimed task final.

    The right to do so is the claimant and the token of ``task``, as the claim returned it. ``accepted`` and any value
    of the user's own complete the task; ``rejected``, ``failed`` and ``deferred`` end it as what they say.

    Raises:
        Refused: the task is no longer the caller's, or has been decided.

    """
    made = Decision(decision, reason)
    values = {"p_status": made.status.value, "p_decision": made.value, "p_reason": made.reason}
    with engine.begin() as connection:
        row = connection.execute(_DECIDE, {**_right(task), **values}).mappings().first()
    return _written(engine, task, row, f"decide it as {decision!r}")


def complete_shared_task(engine: Engine, task: Task, reason: str = "") -> Task:
    """Decide a claimed task as ``accepted``.

    Raises:
        Refused: the task is no longer the caller's, or has been decided.

    """
    return decide_shared_task(engine, task, "accepted", reason)


def heartbeat(engine: Engine, task: Task, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> Task:
    """Renew the lease of a claimed task, from now on the database's clock.

    Raises:
        Refused: the task is no longer the caller's, or has been decided.

    """
    with engine.begin() as connection:
        row = _renew(connection, task, lease_seconds)
    return _written(engine, task, row, "renew its lease")


@contextmanager
def holding(engine: Engine, task: Task, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> Iterator[Connection]:
    """Open a transaction that commits only if the caller still holds the task, and renews its lease.

    The renewal comes first and locks the row, so what is written inside cannot overlap a take-over.

    Raises:
        Refused: the task is no longer the caller's, or has been decided.

    """
    with engine.begin() as connection:
        row = _renew(connection, task, lease_seconds)
        if row is not None:
            yield connection
            return
    _written(engine, task, None, "write under it")


@contextmanager
def lease_kept(engine: Engine, task: Task, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> Iterator[None]:
    """Renew the lease in the background while the caller thinks, however long that takes."""
    done = threading.Event()
    arguments = (engine, task, lease_seconds, done)
    keeper = threading.Thread(target=_keep, args=arguments, name=f"lease-{task.task_id}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def give_up_shared_task(engine: Engine, task_id: str, *, occurrence_id: str, reason: str) -> Task:
    """End a wait whose deadline has passed: close the task as failed, or learn the decision that was made after all.

    Without this, one who stops waiting would be out while the others act on a decision made a second later.

    Raises:
        TaskVanished: there is no such row.

    """
    with engine.begin() as connection:
        row = connection.execute(_GIVE_UP, {"p_task": task_id, "p_reason": reason}).mappings().first()
    if row is not None:
        logger.error("Occurrence %s: closed %s as failed: %s", occurrence_id, task_id, reason)
        return Task.from_row(row)
    task = read_task(engine, task_id)
    if task is None:
        raise TaskVanished(f"occurrence {occurrence_id}: the shared task {task_id} is not there any more")
    return task


def _right(task: Task) -> dict[str, Any]:
    return {
        "p_namespace": task.agent_occurrence_id,
        "p_task": task.task_id,
        "p_claimant": task.claimant,
        "p_token": task.token,
    }


def _renew(connection: Connection, task: Task, lease_seconds: float) -> Mapping[Any, Any] | None:
    row = connection.execute(_HEARTBEAT, {**_right(task), "p_lease": lease_seconds}).mappings().first()
    return dict(row) if row else None


def _written(engine: Engine, task: Task, row: Mapping[Any, Any] | None, what: str) -> Task:
    if row is not None:
        return Task.from_row(row)
    now = read_task(engine, task.task_id, namespace=task.agent_occurrence_id)
    state = f"{now.status.value} under {now.claimant} with token {now.token}" if now else "gone"
    raise Refused(
        f"occurrence {task.claimant} with token {task.token} could not {what}: {task.task_id} is {state}", now
    )


def _keep(engine: Engine, task: Task, lease_seconds: float, done: threading.Event) -> None:
    # A third of the lease leaves room for one renewal that fails and one that is late.
    while not done.wait(lease_seconds / 3):
        try:
            heartbeat(engine, task, lease_seconds)
        except Refused as refused:
            logger.warning("Occurrence %s: %s", task.claimant, refused)
            return
        except DBAPIError as error:
            logger.warning("Occurrence %s: could not renew %s: %s", task.claimant, task.task_id, error)


_NAMESPACE = tasks.c.agent_occurrence_id == bindparam("p_namespace", type_=Text())
_TASK = tasks.c.task_id == bindparam("p_task", type_=Text())
_ACTIVE = tasks.c.status == TaskStatus.ACTIVE.value
_HELD = and_(
    _NAMESPACE,
    _TASK,
    _ACTIVE,
    tasks.c.claimant == bindparam("p_claimant", type_=Text()),
    tasks.c.token == bindparam("p_token"),
)

_READ = select(*TASK_COLUMNS).where(_NAMESPACE, _TASK)
_DECIDE = (
    update(tasks)
    .where(_HELD)
    .values(
        status=bindparam("p_status", type_=Text()),
        decision=bindparam("p_decision", type_=Text()),
        reason=bindparam("p_reason", type_=Text()),
        updated_at=DatabaseNow(),
    )
    .returning(*TASK_COLUMNS)
)
_HEARTBEAT = (
    update(tasks)
    .where(_HELD)
    .values(lease_until=DatabaseNow() + bindparam("p_lease", type_=Double()), updated_at=DatabaseNow())
    .returning(*TASK_COLUMNS)
)
_GIVE_UP = (
    update(tasks)
    .where(tasks.c.agent_occurrence_id == SHARED, _TASK, _ACTIVE)
    .values(
        status=TaskStatus.FAILED.value,
        decision="failed",
        reason=bindparam("p_reason", type_=Text()),
        updated_at=DatabaseNow(),
    )
    .returning(*TASK_COLUMNS)
)
