"""Histories written by hand: who did what, from when to when."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ciris_occ.history import JSON, History, Operation, Outcome, ProcessEvent, Setting

if TYPE_CHECKING:
    from pytest_ciris_occ.history import ProcessStep

TASK = "wakeup"


class Telling:
    """A history in the making; times are seconds, and everybody starts at 0 and returns at the end by itself."""

    def __init__(self, *occurrences: str) -> None:
        self._operations: list[Operation] = []
        self._events: list[ProcessEvent] = []
        self._life: dict[str, int] = {}
        self._ended: set[str] = set()
        for occurrence in occurrences:
            self._begin(occurrence, 0.0)

    # -- operations -------------------------------------------------------------------------------------------------

    def does(
        self,
        who: str,
        function: str,
        start: float,
        end: float | None = None,
        *,
        outcome: Outcome = "ok",
        value: JSON = None,
        task: str | None = TASK,
        key: str | None = None,
        status: str | None = None,
        token: int | None = None,
        lease: float | None = None,
        actor: str = "MainThread",
        never_returns: bool = False,
    ) -> Telling:
        returned = None if never_returns else start + 0.001 if end is None else end
        known = Operation(0, who, self._life[who], actor, function, start, returned, outcome, task)
        given = replace(known, key=key, value=value, status=status, token=token, lease=lease)
        self._operations.append(given)
        return self

    def claims(
        self, who: str, start: float, end: float | None = None, *, lease: float | None = None, task: str = TASK
    ) -> Telling:
        return self.does(who, "claim", start, end, value=True, lease=lease, task=task)

    def finds_it_held(self, who: str, start: float, end: float | None = None) -> Telling:
        return self.does(who, "claim", start, end, value=False)

    def decides(
        self,
        who: str,
        value: JSON,
        start: float,
        end: float | None = None,
        *,
        outcome: Outcome = "ok",
        task: str = TASK,
    ) -> Telling:
        return self.does(who, "decide", start, end, value=value, outcome=outcome, task=task)

    def completes(self, who: str, start: float, end: float | None = None) -> Telling:
        return self.does(who, "complete", start, end)

    def learns(
        self,
        who: str,
        value: JSON,
        start: float,
        end: float | None = None,
        *,
        status: str | None = None,
        task: str = TASK,
    ) -> Telling:
        return self.does(who, "observe", start, end, value=value, status=status, task=task)

    def works(
        self,
        who: str,
        key: str,
        start: float,
        end: float | None = None,
        *,
        outcome: Outcome = "ok",
        token: int | None = None,
        task: str | None = TASK,
    ) -> Telling:
        return self.does(who, "effect", start, end, key=key, outcome=outcome, token=token, task=task)

    # -- processes --------------------------------------------------------------------------------------------------

    def _event(self, who: str, step: ProcessStep, at: float, reason: str = "", detail: str = "") -> Telling:
        self._events.append(ProcessEvent(at, who, self._life[who], step, reason, detail))
        return self

    def _begin(self, who: str, at: float) -> Telling:
        self._life[who] = self._life.get(who, -1) + 1
        self._ended.discard(who)
        return self._event(who, "started", at)._event(who, "released", at)

    def _end(self, who: str, at: float, reason: str, detail: str) -> Telling:
        self._ended.add(who)
        return self._event(who, "ended", at, reason=reason, detail=detail)

    def joins(self, who: str, at: float) -> Telling:
        return self._begin(who, at)

    restarts = joins

    def is_killed(self, who: str, at: float, gone: float | None = None) -> Telling:
        return self._event(who, "kill", at)._end(who, at if gone is None else gone, "signal", "ended by SIGKILL")

    def is_told_to_go(self, who: str, at: float, *, reason: str = "signal") -> Telling:
        return self._event(who, "terminate", at)._end(who, at + 0.01, reason, "ended by SIGTERM")

    def is_paused(self, who: str, at: float) -> Telling:
        return self._event(who, "pause", at)

    def is_resumed(self, who: str, at: float) -> Telling:
        return self._event(who, "resume", at)

    def raises(self, who: str, at: float, error: str = "ValueError: no", kinds: tuple[str, ...] = ()) -> Telling:
        self._end(who, at, "raised", f"raised {error}")
        self._events[-1] = replace(self._events[-1], kinds=kinds)
        return self

    def exits(self, who: str, at: float, reason: str = "exit") -> Telling:
        return self._end(who, at, reason, "exited with code 3")

    def returns(self, who: str, at: float) -> Telling:
        return self._end(who, at, "returned", "returned")

    def is_still_running(self, who: str, at: float = 60.0) -> Telling:
        return self._end(who, at, "bound", "still running")

    # -- the history ------------------------------------------------------------------------------------------------

    def history(self, *, at: float = 50.0) -> History:
        """Everybody who has not ended yet returns at ``at``."""
        for who in self._life.keys() - self._ended:
            self.returns(who, at)
        return self.so_far()

    def so_far(self) -> History:
        """Whoever has not ended still runs."""
        in_order = sorted(self._operations, key=lambda op: op.invoked)
        numbered = tuple(replace(op, number=number) for number, op in enumerate(in_order))
        events = tuple(sorted(self._events, key=lambda event: event.at))
        return History(Setting(n=len(self._life), bound=60.0), numbered, events)
