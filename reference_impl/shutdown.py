"""The shutdown: one occurrence decides a request for all; accepted all go, rejected none does and all know why."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reference_impl.coordination import Ask
from reference_impl.descriptions import shutdown_description
from reference_impl.errors import CoordinationError
from reference_impl.models import Decision, TaskStatus
from reference_impl.queries import discover_occurrence_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_impl.coordination import Coordinator, Settled
    from reference_impl.models import Task

logger = logging.getLogger(__name__)

_STATUS = {
    TaskStatus.COMPLETED: "completed",
    TaskStatus.REJECTED: "rejected",
    TaskStatus.DEFERRED: "deferred",
    TaskStatus.FAILED: "error",
}

_ANSWERS = ("accepted", "rejected", "deferred", "failed")


@dataclass(frozen=True, slots=True)
class ShutdownResult:
    """How a shutdown request ended for one occurrence.

    Attributes:
        status: ``completed`` (accepted), ``rejected``, ``deferred`` or ``error``.
        action: ``shutdown_`` and the decision.
        reason: what the one who decided gave as its reason.
        shutdown_ready: whether this occurrence must go now.
        task_id: the task that was settled.
        decided_here: whether this occurrence decided.

    """

    status: str
    message: str
    action: str = ""
    reason: str = ""
    shutdown_ready: bool = False
    errors: int = 0
    duration_seconds: float = 0.0
    task_id: str = ""
    decided_here: bool = False


class ShutdownProcessor:
    """Answers one shutdown request, together with its peers when coordination is enabled."""

    def __init__(
        self,
        coordinator: Coordinator,
        deliberate: Callable[[Task], Decision],
        *,
        request: str,
        reason: str = "Graceful shutdown requested",
        occurrence_count: int | None = None,
    ) -> None:
        """Prepare an answer.

        Args:
            coordinator: the occurrence that is to take part.
            deliberate: called with the claimed task, by the claimant alone: accepted, rejected, deferred or failed.
            request: the id of this request, the same for all occurrences. There is no default: without one, the
                morning's answer would answer the evening's request.
            reason: why the shutdown is asked for.
            occurrence_count: as configured; ``None`` counts in the database.

        """
        self._coordinator = coordinator
        self._deliberate = deliberate
        self._request = request
        self._reason = reason
        self._count = occurrence_count

    async def process(self, round_number: int = 1) -> ShutdownResult:
        """Do what ``run`` does, beside the event loop."""
        logger.info("Occurrence %s: shutdown, round %d", self._coordinator.occurrence_id, round_number)
        return await asyncio.to_thread(self.run)

    def run(self) -> ShutdownResult:
        """Decide, or wait for who does; bounded by the configured time-out.

        Raises:
            CoordinationError: no decision could be made or learned.

        """
        started = time.monotonic()
        count = discover_occurrence_count(self._coordinator.engine, configured=self._count)
        description = shutdown_description(count, self._reason)
        settled = self._coordinator.settle(Ask("shutdown", description, self._answer, request=self._request))
        return self._result(settled, time.monotonic() - started)

    def _answer(self, task: Task) -> Decision:
        decision = self._deliberate(task)
        if decision.value not in _ANSWERS:
            raise CoordinationError(
                f"the deliberation answered {decision.value!r}, which is no answer to a shutdown request; "
                f"give one of {', '.join(_ANSWERS)}"
            )
        return decision

    def _result(self, settled: Settled, duration: float) -> ShutdownResult:
        task = settled.task
        return ShutdownResult(
            status=_STATUS[task.status],
            message=self._message(settled),
            action=f"shutdown_{task.decision}",
            reason=task.reason,
            shutdown_ready=task.status is TaskStatus.COMPLETED,
            errors=1 if task.status is TaskStatus.FAILED else 0,
            duration_seconds=duration,
            task_id=task.task_id,
            decided_here=settled.mine,
        )

    def _message(self, settled: Settled) -> str:
        task, me = settled.task, self._coordinator.occurrence_id
        by = "this occurrence" if settled.mine else f"occurrence {task.claimant}"
        return f"Shutdown {task.decision} by {by} (occurrence {me}): {task.reason or 'no reason given'}"
