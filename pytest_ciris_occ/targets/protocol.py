"""The protocol that an implementation of shared tasks fulfils to be tested by the scenario suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Identity(Protocol):
    """Who an occurrence is, as far as a target needs to know."""

    @property
    def occurrence_id(self) -> str:
        """The id of this occurrence, also in the environment as ``AGENT_OCCURRENCE_ID``."""

    @property
    def database_url(self) -> str:
        """The database under test as an SQLAlchemy URL, password included."""

    @property
    def count(self) -> int:
        """How many occurrences the fleet has, also in ``AGENT_OCCURRENCE_COUNT``."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim returned.

    Attributes:
        task_id: the shared task, the same for everybody who claims the same thing.
        mine: whether the caller, and nobody else, now holds the right to decide.
        token: the fencing token of the hold, where the implementation has one.
        lease: seconds the hold lasts without a heartbeat, where the implementation has leases.
    """

    task_id: str
    mine: bool
    token: int | None = None
    lease: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a read or a wait returned.

    Attributes:
        task_id: the shared task that was looked at.
        status: the implementation's own word for its state (shown, never interpreted).
        decision: the final decision, or ``None`` while there is none.
    """

    task_id: str
    status: str
    decision: str | None


class Refused(Exception):
    """Raised by a target whose write was refused (not the claimant, fenced, already final)."""


@runtime_checkable
class Session(Protocol):
    """One occurrence's own connection and identity."""

    def claim(self, task_type: str, request: str | None = None) -> Claim:
        """Create or find the shared task, atomically; never waits for a decision.

        Args:
            task_type: what is to be decided (``wakeup``, ``shutdown``, …).
            request: tells one question of this type from the next; ``None`` means once per period.
        """

    def decide(self, task_id: str, decision: str, reason: str = "") -> None:
        """Make the decision final: ``accepted``, ``rejected``, ``failed``, ``deferred``, or any other value.

        Raises:
            Refused: the caller does not hold the task, or it has been decided already.
        """

    def read(self, task_type: str, request: str | None = None) -> Seen | None:
        """Look without waiting and without claiming; ``None`` when nobody has claimed yet."""

    def wait(self, task_id: str, timeout: float) -> Seen:
        """Wait until the task is final, at most ``timeout`` seconds; ``decision`` is ``None`` when that ran out."""

    def close(self) -> None:
        """Give back what ``open`` took."""


@runtime_checkable
class SharedTaskTarget(Protocol):
    """An implementation of shared tasks: where the scenario suite meets the code under test.

    A target may carry ``capabilities``, a set of names of optional abilities; scenarios that need one that is
    missing are reported as not applicable. Known today: ``switch`` (``ENABLE_MULTI_OCCURRENCE_COORDINATION=false``
    makes every occurrence decide alone).

    A target may have a method ``warm(url)``. It is called once before the occurrences are forked, to build what is dear
    and harmless to inherit, such as an engine whose dialect is initialised and whose connections are all closed again.
    """

    def create(self, url: str) -> None:
        """Make the schema; called once per database, before any occurrence opens it."""

    def open(self, occ: Identity) -> Session:
        """Open one occurrence's session. Called in the occurrence's own process."""
