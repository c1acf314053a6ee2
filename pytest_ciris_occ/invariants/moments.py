"""When the things that a history tells of can have taken place.

A history knows when something was *told*. It took place at one moment of an interval: no later than its operation
returned, or its process ended; and, since code may tell what it has just done, no earlier than the last thing that the
same actor was heard of before, by a sign other than a claim, a decision or a completion: those may be told in one go
when all is done. Everybody who looks for an innocent explanation looks for it within these intervals, so that correct
code is accused neither for the width of a call nor for a pause between an act and its report.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from math import inf

from pytest_ciris_occ.history import History, Life, Operation

_FATAL = frozenset({"kill", "terminate"})
_STRIKES = _FATAL | {"pause"}


class Moments:
    """The intervals of one history."""

    def __init__(self, history: History) -> None:
        """Look at ``history`` once, so that every question is answered fast."""
        self._history = history
        self._released = {event.life: event.at for event in history.processes if event.step == "released"}
        told: dict[tuple[Life, str], list[float]] = defaultdict(list)
        for op in filter(_is_sign, history.operations):
            told[op.life, op.actor] += [op.invoked] if op.returned is None else [op.invoked, op.returned]
        self._told = {actor: sorted(moments) for actor, moments in told.items()}

    def earliest(self, op: Operation) -> float:
        """Before this moment ``op`` did not take place.

        A line that a command has printed may have stood in the pipe since the command began, and so may the lines
        before it.
        """
        begin = self._released.get(op.life, 0.0)
        moments = self._told.get((op.life, op.actor), [])
        before = bisect_left(moments, op.invoked)
        return moments[before - 1] if before and not is_line(op) else begin

    def latest(self, op: Operation) -> float:
        """After this moment ``op`` did not take place."""
        end = self._history.ends.get(op.life)
        return min(inf if op.returned is None else op.returned, inf if end is None else end.at)

    def struck(self, life: Life, *, fatally: bool = False) -> float:
        """When the harness first stopped a life (or ended it, if ``fatally``); never is infinity."""
        steps = _FATAL if fatally else _STRIKES
        return min((e.at for e in self._history.processes if e.life == life and e.step in steps), default=inf)

    def fell(self, life: Life) -> bool:
        """Whether a life ended before its own end by no act of the harness: it raised, exited badly, was killed."""
        end = self._history.ends.get(life)
        return end is not None and end.reason not in ("returned", "bound") and self.struck(life, fatally=True) == inf

    def cut_short(self, life: Life) -> bool:
        """Whether a life did not come to its own end, as far as the history goes."""
        end = self._history.ends.get(life)
        return end is None or end.reason != "returned" or self.struck(life, fatally=True) < inf

    def gone(self, life: Life, by: float) -> bool:
        """Whether a life was, or may have been, cut short before it had finished what it told.

        One that fell by itself may have undone at any moment what it told of. One that the harness ended had gone by
        the moment ``by`` only if the harness had struck by then: what it did before, it did undisturbed.
        """
        return self.fell(life) or (life in self._history.ends and self.cut_short(life) and self.struck(life) <= by)

    def last_sign(self, life: Life) -> float:
        """From this moment on a life that fell may have given back what it held, however long its process lasted."""
        return max((self.earliest(op) for op in self._history.operations if op.life == life), default=0.0)


def is_line(op: Operation) -> bool:
    """Whether ``op`` was printed by a command: its moment is that of the reading, and it has no width."""
    return op.invoked == op.returned


def _is_sign(op: Operation) -> bool:
    """Whether its process was at this place of its code when it told of ``op``."""
    return op.function not in ("claim", "decide", "complete") or (op.function == "claim" and op.value is False)
