"""What a row says, as small frozen records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SHARED = "__shared__"
"""The ``agent_occurrence_id`` of rows that belong to all occurrences."""

ABANDONED = "abandoned"
"""The decision of a row whose claimant died in an earlier period: nobody decided, the question has moved on."""


class TaskStatus(StrEnum):
    """The states of a task; all but ``ACTIVE`` are final."""

    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    DEFERRED = "DEFERRED"


_STATUS_OF_DECISION = {
    "rejected": TaskStatus.REJECTED,
    "failed": TaskStatus.FAILED,
    "deferred": TaskStatus.DEFERRED,
    ABANDONED: TaskStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a claimant decided: ``accepted``, ``rejected``, ``failed``, ``deferred``, or a value of the user's own."""

    value: str
    reason: str = ""

    @property
    def status(self) -> TaskStatus:
        """The final state that this decision gives to its task."""
        return _STATUS_OF_DECISION.get(self.value, TaskStatus.COMPLETED)


@dataclass(frozen=True, slots=True)
class Task:
    """One row of ``tasks`` as it was at ``read_at``; times are seconds since the epoch on the database's clock.

    Attributes:
        agent_occurrence_id: the namespace, ``__shared__`` or the occurrence that the task belongs to.
        request_id: tells one question of a type from the next; empty for one question per day.
        claimant: the occurrence that holds the right to decide, or held it last.
        token: the fencing token of that hold; every take-over raises it.
        lease_until: when the hold lapses without a heartbeat.
        decision: what was decided, ``None`` while there is no decision.

    """

    agent_occurrence_id: str
    task_id: str
    task_type: str
    request_id: str
    channel_id: str
    description: str
    priority: int
    status: TaskStatus
    claimant: str
    token: int
    lease_until: float
    decision: str | None
    reason: str
    created_at: float
    updated_at: float
    read_at: float

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Task:
        """Build a task from a row of ``TASK_COLUMNS``."""
        return cls(**{**row, "status": TaskStatus(row["status"])})

    @property
    def final(self) -> bool:
        """Whether the decision is made; it never changes again."""
        return self.status is not TaskStatus.ACTIVE

    @property
    def lapsed(self) -> bool:
        """Whether the claimant's lease had run out when the row was read, by the database's clock alone."""
        return not self.final and self.lease_until <= self.read_at

    @property
    def abandoned(self) -> bool:
        """Whether the row was closed because its claimant died in an earlier period."""
        return self.status is TaskStatus.FAILED and self.decision == ABANDONED

    @property
    def created(self) -> datetime:
        """``created_at`` for people."""
        return datetime.fromtimestamp(self.created_at, UTC)

    @property
    def updated(self) -> datetime:
        """``updated_at`` for people."""
        return datetime.fromtimestamp(self.updated_at, UTC)


@dataclass(frozen=True, slots=True)
class Thought:
    """One row of ``thoughts``: a finished step of a task, and the occurrence that took it."""

    thought_id: str
    task_id: str
    agent_occurrence_id: str
    step: int
    content: str
    created_at: float
