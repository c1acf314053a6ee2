"""What happened, as small frozen records.

The vocabulary is Jepsen's: an operation is *invoked*, and returns ``ok`` (it happened), ``fail`` (it did not) or
``info`` (it may or may not have: the process died inside it, or the connection broke). All times are seconds on one
monotonic clock, zero at the start of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "fail", "info"]

Function = Literal["claim", "decide", "complete", "observe", "effect", "read"]
FUNCTIONS: frozenset[str] = frozenset({"claim", "decide", "complete", "observe", "effect", "read"})

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

ProcessStep = Literal["started", "released", "kill", "terminate", "pause", "resume", "ended"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that an occurrence did to a shared task, or to the world.

    Attributes:
        number: position by invocation within the history, from 0.
        occurrence: who did it.
        incarnation: which life of that occurrence, from 0; a restart adds one.
        actor: the thread of the occurrence.
        function: what was done.
        task: the shared task, where there is one.
        request: what tells this question from the next of its type.
        key: the unit of work, for an effect.
        value: a decision (``decide``, ``observe``, ``read``), or whether the claim is mine (``claim``).
        status: the implementation's own word for what was seen.
        token: the fencing token it was done under.
        lease: seconds that a claim holds without a heartbeat.
        invoked: when it began.
        returned: when it ended; ``None`` when it never did (its outcome is then ``info``).
        outcome: whether it happened.
        error: what was raised, as ``Type: message``.
    """

    number: int
    occurrence: str
    incarnation: int
    actor: str
    function: str
    invoked: float
    returned: float | None
    outcome: Outcome
    task: str | None = None
    request: str | None = None
    key: str | None = None
    value: JSON = None
    status: str | None = None
    token: int | None = None
    lease: float | None = None
    error: str | None = None

    @property
    def life(self) -> tuple[str, int]:
        """The process that did it: occurrence and incarnation."""
        return self.occurrence, self.incarnation


@dataclass(frozen=True, slots=True)
class ProcessEvent:
    """One event in the life of a process.

    Attributes:
        at: when.
        occurrence: whose process.
        incarnation: which life of it.
        step: what happened; ``kill``, ``terminate``, ``pause`` and ``resume`` are acts of the harness.
        reason: for ``ended``: ``returned``, ``raised``, ``exit``, ``signal`` or ``bound`` (ended by the harness because
            the run's time was over).
        detail: for people: the exception, the exit code, the signal's name.
        kinds: for ``raised``: the names of the exception's classes, most derived first.
    """

    at: float
    occurrence: str
    incarnation: int
    step: ProcessStep
    reason: str = ""
    detail: str = ""
    kinds: tuple[str, ...] = ()

    @property
    def life(self) -> tuple[str, int]:
        """The process it happened to: occurrence and incarnation."""
        return self.occurrence, self.incarnation


@dataclass(frozen=True, slots=True)
class Setting:
    """Under what a history came to be.

    Attributes:
        test: the test's id, where there is one.
        database: the label of the database, as in ``--occ-database``.
        target: the implementation under test, where the run used one.
        n: how many occurrences the run began with.
        seed: the seed of everything that was drawn.
        bound: seconds after which the harness ended whoever was still running.
    """

    test: str = ""
    database: str = ""
    target: str = ""
    n: int = 0
    seed: int = 0
    bound: float = 0.0
