"""Settling one question: claim it and decide, or wait for who does, until there is a decision or the time is up."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reference_impl.claims import DEFAULT_LEASE_SECONDS, claim_local_task, try_claim_shared_task
from reference_impl.config import MultiOccurrenceConfig
from reference_impl.decisions import decide_shared_task, give_up_shared_task, lease_kept
from reference_impl.errors import CoordinationError, Refused, TaskVanished
from reference_impl.models import Decision, Task
from reference_impl.waiting import wait_for_shared_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

logger = logging.getLogger(__name__)


class Hooks:
    """Told what an occurrence does, as it does it; override what is of interest."""

    def claimed(self, task: Task, mine: bool) -> None:
        """A claim came back."""

    def deciding(self, task: Task, decision: Decision) -> None:
        """The decision is made here, and about to be written."""

    def observed(self, task: Task) -> None:
        """A final decision that was not made here was learned."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question, and how to decide it if it falls to this occurrence.

    Attributes:
        decide: called with the claimed task by the claimant alone; an exception fails the task for everybody.

    """

    task_type: str
    description: str
    decide: Callable[[Task], Decision]
    request: str | None = None
    channel_id: str = "system"


@dataclass(frozen=True, slots=True)
class Settled:
    """The final task of a question, and whether this occurrence decided it."""

    task: Task
    mine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """One occurrence's way to a decision.

    Attributes:
        timeout_seconds: how long to wait for others, ``None`` for the configuration's.
        poll_interval_seconds: the longest pause between two looks, ``None`` for the configuration's.

    """

    engine: Engine
    occurrence_id: str
    config: MultiOccurrenceConfig = field(default_factory=MultiOccurrenceConfig)
    hooks: Hooks = field(default_factory=Hooks)
    lease_seconds: float = DEFAULT_LEASE_SECONDS
    timeout_seconds: float | None = None
    poll_interval_seconds: float | None = None

    def settle(self, ask: Ask) -> Settled:
        """Come to the decision of a question, alone or with the others, as configured.

        Raises:
            CoordinationError: the time was up while the row kept vanishing, or the database did not answer.

        """
        return self._settle_shared(ask) if self.config.enabled else self._settle_alone(ask)

    def _settle_shared(self, ask: Ask) -> Settled:
        deadline = time.monotonic() + self._timeout
        while True:
            task, mine = self._claim(ask)
            settled = self._decide(ask, task) if mine else self._await(task, deadline)
            if settled is not None:
                return settled
            # The row lapsed, was abandoned, or vanished: the question is open again, perhaps under another id.
            if time.monotonic() > deadline + self.lease_seconds:
                raise CoordinationError(
                    f"occurrence {self.occurrence_id}: {task.task_id} came to no decision within {self._timeout:g} s; "
                    "look for a process that deletes shared rows"
                )

    def _settle_alone(self, ask: Ask) -> Settled:
        task = claim_local_task(
            self.engine,
            ask.task_type,
            occurrence_id=self.occurrence_id,
            request=ask.request,
            channel_id=ask.channel_id,
            description=ask.description,
        )
        self.hooks.claimed(task, True)
        return Settled(self._write(task, self._deliberate(ask, task)), True)

    def _claim(self, ask: Ask) -> tuple[Task, bool]:
        task, mine = try_claim_shared_task(
            self.engine,
            ask.task_type,
            occurrence_id=self.occurrence_id,
            request=ask.request,
            channel_id=ask.channel_id,
            description=ask.description,
            lease_seconds=self.lease_seconds,
        )
        self.hooks.claimed(task, mine)
        return task, mine

    def _decide(self, ask: Ask, task: Task) -> Settled | None:
        """Decide as the claimant; nothing when the claim was lost meanwhile."""
        try:
            with lease_kept(self.engine, task, self.lease_seconds):
                decision = self._deliberate(ask, task)
            return Settled(self._write(task, decision), True)
        except Refused as refused:
            logger.warning("Occurrence %s: %s", self.occurrence_id, refused)
            return None

    def _deliberate(self, ask: Ask, task: Task) -> Decision:
        try:
            return ask.decide(task)
        except Refused:
            raise
        except Exception as error:
            logger.exception("Occurrence %s: could not decide %s", self.occurrence_id, task.task_id)
            return Decision("failed", f"{type(error).__name__}: {error}")

    def _write(self, task: Task, decision: Decision) -> Task:
        self.hooks.deciding(task, decision)
        final = decide_shared_task(self.engine, task, decision.value, decision.reason)
        logger.info("Occurrence %s: decided %s: %s", self.occurrence_id, task.task_id, decision.value)
        return final

    def _await(self, task: Task, deadline: float) -> Settled | None:
        """Wait as an observer; nothing when the question must be asked again."""
        try:
            seen = task if task.final else self._wait(task, deadline)
        except TaskVanished as vanished:
            logger.warning("Occurrence %s: %s", self.occurrence_id, vanished)
            return None
        if seen.abandoned or not seen.final:
            return None
        logger.info("Occurrence %s: %s is %s: %s", self.occurrence_id, seen.task_id, seen.status.value, seen.decision)
        self.hooks.observed(seen)
        return Settled(seen, False)

    def _wait(self, task: Task, deadline: float) -> Task:
        """Give back a final task, or one whose claimant is dead while there is time to take it over."""
        seen = wait_for_shared_task(
            self.engine,
            task.task_id,
            timeout_seconds=deadline - time.monotonic(),
            poll_interval_seconds=self._interval,
            stop_when_lapsed=True,
        )
        if seen.final or (seen.lapsed and time.monotonic() < deadline):
            return seen
        return give_up_shared_task(
            self.engine,
            task.task_id,
            occurrence_id=self.occurrence_id,
            reason=f"no decision of {seen.claimant} within the {self._timeout:g} s of {self.occurrence_id}",
        )

    @property
    def _timeout(self) -> float:
        return self.config.shared_task_timeout_seconds if self.timeout_seconds is None else self.timeout_seconds

    @property
    def _interval(self) -> float:
        return self.config.poll_interval_seconds if self.poll_interval_seconds is None else self.poll_interval_seconds
