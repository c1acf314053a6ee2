"""The wakeup: one occurrence affirms the identity for all, the others join when it is done."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reference_impl.affirmations import affirm_all
from reference_impl.coordination import Ask
from reference_impl.descriptions import wakeup_description
from reference_impl.models import Decision, TaskStatus
from reference_impl.queries import discover_occurrence_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_impl.coordination import Coordinator, Settled
    from reference_impl.models import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WakeupResult:
    """How a wakeup ended for one occurrence.

    Attributes:
        wakeup_complete: whether the occurrence may join the active pool.
        task_id: the task that was settled.
        decided_here: whether this occurrence did the affirmations.

    """

    wakeup_complete: bool
    message: str
    errors: int = 0
    duration_seconds: float = 0.0
    task_id: str = ""
    decided_here: bool = False


class WakeupProcessor:
    """Wakes one occurrence up, together with its peers when coordination is enabled."""

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        affirm: Callable[[int], None] | None = None,
        occurrence_count: int | None = None,
        request: str | None = None,
    ) -> None:
        """Prepare a wakeup.

        Args:
            coordinator: the occurrence that is to take part.
            affirm: called with 0 to 4, by the claimant alone, to do one affirmation.
            occurrence_count: as configured; ``None`` counts in the database.
            request: tells this wakeup from others of the day; how a fleet is started again after a failed one.

        """
        self._coordinator = coordinator
        self._affirm = affirm or (lambda _step: None)
        self._count = occurrence_count
        self._request = request

    async def process(self, round_number: int = 1) -> WakeupResult:
        """Do what ``run`` does, beside the event loop."""
        logger.info("Occurrence %s: wakeup, round %d", self._coordinator.occurrence_id, round_number)
        return await asyncio.to_thread(self.run)

    def run(self) -> WakeupResult:
        """Wake up, or wait until it is done; bounded by the configured time-out.

        Raises:
            CoordinationError: no decision could be made or learned.

        """
        started = time.monotonic()
        count = discover_occurrence_count(self._coordinator.engine, configured=self._count)
        ask = Ask("wakeup", wakeup_description(count), self._affirm_all, request=self._request)
        settled = self._coordinator.settle(ask)
        return self._result(settled, time.monotonic() - started)

    def _affirm_all(self, task: Task) -> Decision:
        affirm_all(self._coordinator.engine, task, self._affirm, self._coordinator.lease_seconds)
        return Decision("accepted")

    def _result(self, settled: Settled, duration: float) -> WakeupResult:
        # Completed and nothing else: whoever joined after a failed wakeup would be awake in a fleet that is not.
        complete = settled.task.status is TaskStatus.COMPLETED
        return WakeupResult(
            wakeup_complete=complete,
            message=self._message(settled, complete),
            errors=0 if complete else 1,
            duration_seconds=duration,
            task_id=settled.task.task_id,
            decided_here=settled.mine,
        )

    def _message(self, settled: Settled, complete: bool) -> str:
        who = f"occurrence {self._coordinator.occurrence_id}"
        if not complete:
            return f"Wakeup {settled.task.decision} ({who}): {settled.task.reason or 'no reason given'}"
        if settled.mine:
            return f"Wakeup ritual complete ({who})"
        return f"Joined the active pool ({who}): {settled.task.claimant} completed the wakeup"
