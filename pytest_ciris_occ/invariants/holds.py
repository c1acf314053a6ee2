"""Who held the right to decide, from when to when, as far as it is certain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from pytest_ciris_occ.history import History, Life, Operation
from pytest_ciris_occ.invariants.made import leaves_open, stored_by, tried_decisions
from pytest_ciris_occ.invariants.moments import Moments

CLOCKS = 0.002
"""Seconds by which the clock that a lease is measured on may differ from the history's, with stamps in milliseconds."""

_SEARCHED = 7


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold of the right to decide a shared task.

    Attributes:
        origin: the claim, or the decision of an occurrence that told of no claim.
        earliest: it was not granted before.
        latest: it was not granted after.
        lease: seconds that it lasts unless it ends otherwise.
        until: when it ends otherwise: with its process, or because the task was deferred.
        settled: the task was decided for good by then, and nobody may be granted it any more.
    """

    origin: Operation
    earliest: float
    latest: float
    lease: float
    until: float
    settled: float

    @property
    def occurrence(self) -> str:
        """Who held."""
        return self.origin.occurrence

    def end(self, granted: float) -> float:
        """When it ended, had it been granted at that moment."""
        return max(granted, min(granted + self.lease - CLOCKS, self.until))


def granted_claims(history: History, task: str | None = None) -> list[Operation]:
    """The claims that were certainly granted (on ``task``, or on any)."""
    return [op for op in history.of("claim", task=task) if op.outcome == "ok" and op.value is True]


def holds_on(history: History, moments: Moments, task: str, *, late: bool = False) -> tuple[Hold, ...]:
    """All holds of ``task``, in the order in which they were told.

    Args:
        history: what happened.
        moments: when it can have happened.
        task: of which task.
        late: take it that whoever fell by itself held until its process had ended, and not only until its last sign.
    """
    claims = granted_claims(history, task)
    claimed = {claim.life for claim in claims}
    bare = {op.life: op for op in reversed(tried_decisions(history, task)) if op.outcome == "ok"}
    origins = [*claims, *(op for life, op in bare.items() if life not in claimed and not moments.fell(life))]
    return tuple(_hold(history, moments, op, late=late) for op in sorted(origins, key=lambda op: op.number))


def _hold(history: History, moments: Moments, origin: Operation, *, late: bool) -> Hold:
    earliest, settled = moments.earliest(origin), _settled(history, moments, origin)
    return Hold(
        origin,
        earliest,
        max(earliest, min(moments.latest(origin), settled)),
        inf if origin.lease is None else origin.lease,
        min(_end_of(history, moments, origin.life, late=late), _deferral(history, moments, origin)),
        settled,
    )


def _settled(history: History, moments: Moments, origin: Operation) -> float:
    """When the task was decided for good by the life that held it."""
    task = str(origin.task)
    shown = [stored_by(history, moments, op) for op in tried_decisions(history, task) if op.life == origin.life]
    completed = [op for op in history.of("complete", task=task) if op.life == origin.life and op.outcome == "ok"]
    return min([*shown, *map(moments.latest, completed)], default=inf)


def _end_of(history: History, moments: Moments, life: Life, *, late: bool) -> float:
    """When a life gave back what it held by ending; one that returned had finished, and gives nothing back."""
    if moments.fell(life) and not late:
        return moments.last_sign(life)
    end = history.ends.get(life)
    ended = inf if end is None or end.reason == "returned" else end.at
    return min(moments.struck(life, fatally=True), ended)


def _deferral(history: History, moments: Moments, origin: Operation) -> float:
    later = [op for op in history.of("decide", task=origin.task) if op.number > origin.number]
    mine = [op for op in later if op.life == origin.life and leaves_open(op.value)]
    return min((moments.earliest(op) for op in mine), default=inf)


def can_take_over(first: Hold, second: Hold, by: float = inf) -> bool:
    """Whether ``second`` may have been granted, by that moment, when ``first`` had ended without a decision."""
    begins = max(first.end(first.earliest), second.earliest)
    return first.origin != second.origin and begins <= min(second.latest, first.settled, by)


def could_take_turns(holds: Sequence[Hold]) -> bool:
    """Whether each may have been granted at a moment at which no other occurrence held."""
    pairs = ((a, b) for number, a in enumerate(holds) for b in holds[number + 1 :])
    if any(not _fit((a, b), ()) for a, b in pairs):
        return False
    return len(holds) > _SEARCHED or _fit(tuple(holds), ())


def _fit(waiting: tuple[Hold, ...], placed: tuple[tuple[Hold, float], ...]) -> bool:
    """Try every order, and in each the earliest moments: an earlier grant never ends later."""
    if not waiting:
        return True
    horizon = min(hold.latest for hold in waiting)
    for number, hold in enumerate(waiting):
        others = [(other, at) for other, at in placed if other.occurrence != hold.occurrence]
        at = max([hold.earliest, *(at for _, at in placed), *(other.end(at) for other, at in others)])
        limit = min([horizon, *(other.settled for other, _ in others)])
        if at <= limit and _fit(waiting[:number] + waiting[number + 1 :], (*placed, (hold, at))):
            return True
    return False


def last_before(holds: Iterable[Hold], op: Operation) -> Hold | None:
    """The hold under which a life did ``op``: the last that it had told of by then."""
    mine = [hold for hold in holds if hold.origin.life == op.life and hold.origin.number < op.number]
    return mine[-1] if mine else None
