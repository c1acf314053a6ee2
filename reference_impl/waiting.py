"""Waiting for somebody else's decision.

The first looks come fast, because most decisions are there within milliseconds, and get slower up to the configured
interval: a wait notices a decision after at most about as long again as it had waited for it. Jitter keeps N waiters
out of step. The deadline is on the monotonic clock, which no clock step moves.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import InterfaceError, OperationalError

from reference_impl.decisions import read_task
from reference_impl.errors import CannotRead, TaskVanished
from reference_impl.models import SHARED, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.002

_UNREADABLE = (OperationalError, InterfaceError)


def poll_delays(interval_seconds: float) -> Iterator[float]:
    """Give the pauses between looks: doubling from two milliseconds up to the interval, each shortened at random."""
    delay = min(FIRST_DELAY_SECONDS, interval_seconds)
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the waiters, guards nothing
        delay = min(delay * 2, interval_seconds)


def wait_for_shared_task(
    engine: Engine,
    task_id: str,
    *,
    timeout_seconds: float,
    poll_interval_seconds: float = 5.0,
    stop_when_lapsed: bool = False,
    namespace: str = SHARED,
) -> Task:
    """Wait until the task is final or the time is up, and give it back as it was read last.

    With a time-out of 0 or less the row is read once. ``stop_when_lapsed`` returns also when the claimant's lease has
    run out, so that the caller can claim.

    Raises:
        TaskVanished: the row is not there; nobody will ever decide it.
        CannotRead: the database gave no answer until the time was up.

    """
    deadline = time.monotonic() + timeout_seconds
    delays = poll_delays(poll_interval_seconds)
    while True:
        task, error = _look(engine, task_id, namespace)
        if task is not None and (task.final or (stop_when_lapsed and task.lapsed)):
            return task
        remaining = deadline - time.monotonic()
        if remaining > 0:
            time.sleep(min(next(delays), remaining))
        elif task is not None:
            return task
        else:
            raise CannotRead(
                f"the shared task {task_id} could not be read for {timeout_seconds:g} s; its decision is unknown"
            ) from error


def _look(engine: Engine, task_id: str, namespace: str) -> tuple[Task | None, Exception | None]:
    try:
        task = read_task(engine, task_id, namespace=namespace)
    except _UNREADABLE as error:
        logger.warning("cannot read the shared task %s, looking again: %s", task_id, error)
        return None, error
    if task is None:
        raise TaskVanished(f"the shared task {task_id} is not there; it was deleted or never claimed")
    return task, None
