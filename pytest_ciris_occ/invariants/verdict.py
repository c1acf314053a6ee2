"""Verdicts: what a checker may answer, and how answers combine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from pytest_ciris_occ.history import History, Operation, ProcessEvent

Status = Literal["holds", "violated", "unknown"]
Evidence = Operation | ProcessEvent

_RANK: dict[Status, int] = {"holds": 0, "unknown": 1, "violated": 2}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one invariant says of one history.

    Attributes:
        invariant: its name.
        status: ``holds``, ``violated`` or ``unknown``; a checker that cannot tell never says ``holds``.
        reason: one sentence; for ``holds``, what was covered.
        evidence: the operations and events that the sentence rests on.
    """

    invariant: str
    status: Status
    reason: str
    evidence: tuple[Evidence, ...] = ()


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The first of the worst: a violation outranks what cannot be told, and that outranks a pass."""
    return max(verdicts, key=lambda verdict: _RANK[verdict.status], default=None)


class Invariant(Protocol):
    """A pure function from a history to a verdict. Write your own in ten lines and pass it to ``check``."""

    def __call__(self, history: History, /) -> Verdict:
        """Judge the history."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """All verdicts on one history."""

    verdicts: tuple[Verdict, ...]

    @property
    def status(self) -> Status:
        """The worst of them: one violation outweighs everything, one unknown outweighs every pass."""
        return max((verdict.status for verdict in self.verdicts), key=_RANK.__getitem__, default="unknown")

    def with_status(self, status: Status) -> tuple[Verdict, ...]:
        """Those of one status."""
        return tuple(verdict for verdict in self.verdicts if verdict.status == status)


def judge(history: History, invariants: Iterable[Callable[[History], Verdict]]) -> Judgement:
    """Ask every invariant; one that crashes, or answers with something else, says ``unknown`` with the reason.

    A history in which nothing was journalled is ``unknown``, however content the invariants are.
    """
    verdicts = tuple(_ask(invariant, history) for invariant in invariants)
    if not history.operations:
        verdicts = (_EMPTY, *verdicts)
    return Judgement(verdicts)


_EMPTY = Verdict(
    "something_happened",
    "unknown",
    "no claim, decision, observation or effect was journalled, so there is nothing to judge; "
    "tell the harness what the code does (occ.decide, occ.observe, occ.effect, or occ.open() for a target)",
)


def _ask(invariant: Callable[[History], Verdict], history: History) -> Verdict:
    try:
        answer: object = invariant(history)
    except Exception as error:
        return Verdict(_name(invariant), "unknown", f"the invariant itself raised {type(error).__name__}: {error}")
    if isinstance(answer, Verdict):
        return answer
    reason = f"the invariant returned {answer!r:.80}, which is no Verdict; return pytest_ciris_occ.Verdict(…)"
    return Verdict(_name(invariant), "unknown", reason)


def _name(invariant: object) -> str:
    function = getattr(invariant, "func", invariant)  # what functools.partial wraps
    return str(getattr(function, "__name__", type(function).__name__))
