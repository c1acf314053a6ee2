"""Correct executions are never accused, whatever order, faults and manner of telling they have.

A single-decision register is run by a few occurrences on a virtual clock. Every act on the register is atomic and takes
place somewhere between an occurrence's lines of telling, in one of the manners in which real code tells: around the act
(a recorded target), after it, before it, or as a printed line that is read some time later. The order of all steps, the
passing of time and every fault (kill, SIGTERM, pause, restart, a refused lock) is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ciris_occ.history import History, from_records
from pytest_ciris_occ.invariants import BUILT_IN, exactly_once

EXAMPLES = int(os.environ.get("OCC_TEST_EXAMPLES", "300"))
"""More of them: ``OCC_TEST_EXAMPLES=20000 pytest …``."""

TASK = "wakeup"
KEYS = ("one", "two")
Steps = Generator[None, None, None]


class Refused(Exception):
    """The register did not accept a write."""


@dataclass
class Register:
    """What the database is: who holds the task until when, and what was decided. Every method is one atomic step."""

    now: float = 0.0
    lease: float | None = None
    holder: tuple[str, int, int] | None = None
    until: float = 0.0
    decision: str | None = None
    grants: int = 0

    def claim(self, life: tuple[str, int]) -> int | None:
        """The fencing token of the caller's new or own hold, ``None`` if another holds it or it is decided."""
        if self.decision is not None:
            return None
        held = self.holder is not None and (self.lease is None or self.now < self.until)
        if held and self.holder is not None and self.holder[0] != life[0]:
            return None
        self.grants += 1
        self.holder, self.until = (*life, self.grants), self.now + (self.lease or 0.0)
        return self.grants

    def decide(self, life: tuple[str, int], token: int, decision: str) -> None:
        if self.decision is not None or self.holder != (*life, token):
            raise Refused
        self.holder = None
        self.decision = None if decision == "deferred" else decision

    def release(self, life: tuple[str, int]) -> None:
        """A connection has gone, and with it a hold that has no lease."""
        if self.lease is None and self.holder is not None and self.holder[:2] == life:
            self.holder = None


@dataclass
class Manner:
    """How an occurrence tells what it does."""

    name: str
    tokens: bool
    completes: bool
    value: str


@dataclass
class Running:
    """One life on the virtual clock."""

    life: tuple[str, int]
    manner: Manner
    steps: Steps | None = None
    printed: list[dict[str, Any]] = field(default_factory=list)
    paused: bool = False


class Execution:
    """A run in the making."""

    def __init__(self, draw: st.DrawFn, lease: float | None) -> None:
        self.draw = draw
        self.register = Register(lease=lease)
        self.records: list[dict[str, Any]] = [{"record": "history", "schema": 1, "setting": {"n": 3, "bound": 60.0}}]
        self.numbers = 0

    # -- telling ----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        self.register.now = round(self.register.now + self.draw(st.sampled_from([0.0, 0.1, 0.1, 0.5, 2.0])), 6)

    def invoke(self, who: Running, function: str, **known: Any) -> str:
        self.numbers += 1
        number = str(self.numbers)
        base = {"record": "invoke", "op": number, "at": self.register.now, "function": function, "actor": "main"}
        self.records.append(base | {"occurrence": who.life[0], "incarnation": who.life[1], "task": TASK} | known)
        return number

    def back(self, number: str, outcome: str = "ok", **known: Any) -> None:
        told = {"record": "return", "op": number, "at": self.register.now, "outcome": outcome}
        self.records.append(told | {name: value for name, value in known.items() if value is not None})

    def point(self, who: Running, function: str, **known: Any) -> Steps:
        if who.manner.name == "prints":
            who.printed.append({"function": function, **known})
        else:
            number = self.invoke(who, function, **known)
            yield
            self.back(number)
        yield

    def read_a_line(self, who: Running) -> None:
        known = who.printed.pop(0)
        self.back(self.invoke(who, **known))

    def process(self, who: Running, step: str, **more: str) -> None:
        known = {"record": "process", "step": step, "at": self.register.now} | more
        self.records.append(known | {"occurrence": who.life[0], "incarnation": who.life[1]})

    # -- what an occurrence does ------------------------------------------------------------------------------------

    def live(self, who: Running) -> Steps:
        """Claim, work and decide; or wait until somebody has, and take over from whoever has lost its hold."""
        while True:
            yield
            token = yield from self.claim(who)
            if token is not None and (yield from self.lead(who, token)):
                return
            if token is None or self.register.decision is not None:
                learnt = yield from self.wait(who)
                if learnt is not None:
                    return

    def claim(self, who: Running) -> Generator[None, None, int | None]:
        around = who.manner.name == "around"
        number = self.invoke(who, "claim", task=None) if around else ""
        yield
        token = self.register.claim(who.life)
        yield
        known: dict[str, Any] = {"value": token is not None, "lease": self.register.lease if token else None}
        known |= {"token": token if who.manner.tokens else None}
        if around:
            self.back(number, task=TASK, **known)
        elif token is not None:
            yield from self.point(who, "claim", **known)
        return token

    def lead(self, who: Running, token: int) -> Generator[None, None, bool]:
        for key in KEYS:
            yield from self.work(who, key, token if who.manner.tokens else None)
        value = self.draw(st.sampled_from([who.manner.value] * 3 + ["deferred"]))
        tell = {"around": self.decide_around, "before": self.decide_before}.get(who.manner.name, self.decide_after)
        try:
            yield from tell(who, token, value)
        except Refused:
            return False
        return True

    def work(self, who: Running, key: str, token: int | None) -> Steps:
        if who.manner.name == "prints":
            yield from self.point(who, "effect", key=key, token=token)
            return
        number = self.invoke(who, "effect", key=key, token=token)
        yield
        self.back(number)
        yield

    def decide_around(self, who: Running, token: int, value: str) -> Steps:
        number = self.invoke(who, "decide", value=value)
        yield
        try:
            self.register.decide(who.life, token, value)
        except Refused:
            yield
            self.back(number, "fail")
            raise
        yield
        self.back(number)
        if value != "deferred":
            yield from self.point(who, "complete")

    def decide_before(self, who: Running, token: int, value: str) -> Steps:
        yield from self.point(who, "decide", value=value)
        self.register.decide(who.life, token, value)
        yield
        if who.manner.completes and value != "deferred":
            yield from self.point(who, "complete")

    def decide_after(self, who: Running, token: int, value: str) -> Steps:
        self.register.decide(who.life, token, value)
        yield
        yield from self.point(who, "decide", value=value)
        if who.manner.completes and value != "deferred":
            yield from self.point(who, "complete")

    def wait(self, who: Running) -> Generator[None, None, str | None]:
        around = who.manner.name == "around"
        number = self.invoke(who, "observe") if around else ""
        for _ in range(3):
            yield
            if self.register.decision is not None:
                break
        learnt = self.register.decision
        yield
        if around:
            self.back(number, value=learnt)
        elif learnt is not None or (self.draw(st.booleans())):
            yield from self.point(who, "observe", value=learnt)
        return learnt

    # -- running and striking ---------------------------------------------------------------------------------------

    def start(self, life: tuple[str, int]) -> Running:
        manner = Manner(
            self.draw(st.sampled_from(["around", "after", "before", "prints"])),
            self.draw(st.booleans()),
            self.draw(st.booleans()),
            self.draw(st.sampled_from(["awake", "awake", f"awake, says {life[0]}.{life[1]}"])),
        )
        who = Running(life, manner)
        who.steps = self.live(who)
        self.process(who, "started")
        self.process(who, "released")
        return who

    def step(self, who: Running) -> None:
        """Let it go one step further; note its end when it comes."""
        assert who.steps is not None
        reads = bool(self.draw(st.booleans())) if who.printed else False
        if reads:
            self.read_a_line(who)
        try:
            next(who.steps)
        except StopIteration:
            self.end(who, "returned", "returned")

    def end(self, who: Running, reason: str, detail: str) -> None:
        """Its connections go first, and are missed at once; its process goes, and is reaped, a moment later."""
        who.steps = None
        self.register.release(who.life)
        if self.draw(st.booleans()):
            self.tick()
        ended = self.register.now
        self.process(who, "ended", reason=reason, detail=detail)
        self.records[-1]["at"] = ended

    def strike(self, who: Running, fault: str) -> None:
        if fault in ("kill", "terminate"):
            self.process(who, fault)
            polite = fault == "terminate" and self.draw(st.booleans())
            self.end(who, *(("returned", "returned") if polite else ("signal", "ended by a signal")))
        elif fault == "locked":
            self.end(who, "raised", "raised OperationalError: database is locked")
        else:
            who.paused = not who.paused
            self.process(who, "pause" if who.paused else "resume")


FAULTS = ["kill", "terminate", "locked", "pause", "restart"]


@st.composite
def executions(draw: st.DrawFn) -> tuple[History, Register]:
    lease = draw(st.sampled_from([None, 1.0, 5.0]))
    run = Execution(draw, lease)
    if draw(st.sampled_from([False] * 9 + [True])):
        run.register.decision = "from before the run"
    lives = [run.start((f"occ-{index}", 0)) for index in range(draw(st.integers(1, 3)))]
    budget = draw(st.integers(0, 3))
    for _ in range(draw(st.integers(0, 60))):
        run.tick()
        able = [who for who in lives if who.steps is not None and not who.paused]
        if budget and draw(st.integers(0, 9)) == 0:
            budget -= 1
            _strike(run, lives)
        elif able:
            run.step(draw(st.sampled_from(able)))
    _finish(run, lives)
    return from_records(run.records), run.register


def _strike(run: Execution, lives: list[Running]) -> None:
    fault = run.draw(st.sampled_from(FAULTS))
    living = [who for who in lives if who.steps is not None]
    if fault == "restart":
        latest = {who.life[0]: who for who in lives}
        ended = [who for who in latest.values() if who.steps is None]
        if ended:
            name, incarnation = run.draw(st.sampled_from(ended)).life
            lives.append(run.start((name, incarnation + 1)))
    elif living:
        run.strike(run.draw(st.sampled_from(living)), fault)


def _finish(run: Execution, lives: list[Running]) -> None:
    """No more faults: everybody goes on, in turn, until all have ended; then the last lines are read."""
    for who in lives:
        if who.paused and who.steps is not None:
            run.strike(who, "pause")
    run.register.now += 10.0  # whatever lease still runs has run out, and no other will before it is used
    for _ in range(300):
        for who in lives:
            if who.steps is not None:
                run.register.now = round(run.register.now + 0.01, 6)
                run.step(who)
    assert all(who.steps is None for who in lives), "the execution is to end"
    for who in lives:
        while who.printed:
            run.register.now = round(run.register.now + 0.1, 6)
            run.read_a_line(who)


def accusations(history: History) -> Iterator[str]:
    decided = any(op.value not in (None, "deferred") for op in history.of("decide"))
    deferred = any(op.value == "deferred" for op in history.of("decide"))
    everything = [*BUILT_IN, partial(exactly_once, expected=KEYS)] if decided and not deferred else list(BUILT_IN)
    for invariant in everything:
        verdict = invariant(history)
        if verdict.status == "violated":
            yield f"{verdict.invariant}: {verdict.reason}"


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(executions())
def test_nobody_is_accused(execution: tuple[History, Register]) -> None:
    history, register = execution
    accused = list(accusations(history))
    assert not accused, "\n".join([*accused, f"{register}", *sketch(history)])


def sketch(history: History) -> Iterator[str]:
    """A line for each event, for whoever has to find out which is wrong, the invariant or the execution."""
    events: list[tuple[float, str, int, str, str]]
    events = [(event.at, event.occurrence, event.incarnation, event.step, event.reason) for event in history.processes]
    for op in history.operations:
        what = f"{op.function} {op.key or ''} {op.value!r} {op.outcome}, lease {op.lease}, token {op.token}"
        events.append((op.invoked, op.occurrence, op.incarnation, what, f"until {op.returned}"))
    return (" ".join(map(str, event)) for event in sorted(events, key=lambda event: event[0]))


def test_the_executions_are_not_all_alike() -> None:
    """A property over runs in which nothing happens proves nothing."""
    seen: set[str] = set()

    @settings(max_examples=300, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(executions())
    def look(execution: tuple[History, Register]) -> None:
        history, register = execution
        seen.update(event.step for event in history.processes)
        seen.update(f"{op.function} {op.outcome}" for op in history.operations)
        seen.update(["taken over"] if register.grants > 1 else [])
        seen.update(invariant(history).status for invariant in BUILT_IN)

    look()
    steps = {"started", "released", "ended", "kill", "terminate", "pause", "resume"}
    operations = {"claim ok", "claim info", "decide ok", "decide fail", "observe ok", "effect ok"}
    assert seen >= steps | operations | {"taken over", "holds", "unknown"}
