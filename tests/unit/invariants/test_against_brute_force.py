"""The invariants beside a judge that shares no code with them: it tries every moment at which things may have happened.

A small history is drawn as a *sketch*: who claimed, decided, stored and ended when, everything on whole seconds, with
the interval of each act given outright. The judge tries every placement of every act in its interval and looks at the
world at every half second. An invariant must say ``violated`` exactly where no placement is innocent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from math import inf
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ciris_occ.history import History, Outcome
from pytest_ciris_occ.invariants import agreement, one_claimant, one_decision

from .telling import Telling

END = 9
EXAMPLES = int(os.environ.get("OCC_TEST_EXAMPLES", "200"))
"""More of them: ``OCC_TEST_EXAMPLES=20000 pytest …``."""


class Span(NamedTuple):
    """An act took place at some moment of this interval."""

    low: int
    high: int


@dataclass(frozen=True)
class Sketch:
    """What one occurrence did; everything but its name may be missing."""

    name: str
    claim: Span | None
    lease: int | None
    decide: Span | None
    value: str
    outcome: Outcome
    stored: int | None
    end: str
    ended: int

    @property
    def spans(self) -> list[Span]:
        return [span for span in (self.claim, self.decide) if span is not None]

    @property
    def right(self) -> Span | None:
        """When it got the right to decide: by its claim, or with a decision for which it told of none."""
        if self.claim is not None or self.decide is None:
            return self.claim
        return self.decide if self.outcome == "ok" and self.end != "fell" else None

    @property
    def lasts(self) -> float:
        return inf if self.claim is None or self.lease is None else self.lease

    @property
    def until(self) -> float:
        """When it lost the right with its life; one that fell may have lost it after the last thing it told of."""
        if self.end == "fell":
            return max(self.last_sign, 0)
        return self.ended if self.end == "killed" else inf

    @property
    def last_sign(self) -> int:
        signs = [span.low for span in self.spans] + ([self.stored - 1] if self.stored is not None else [])
        return max(signs, default=0)


class Report(NamedTuple):
    name: str
    value: str
    span: Span


class World(NamedTuple):
    sketches: tuple[Sketch, ...]
    reports: tuple[Report, ...]


@st.composite
def spans(draw: st.DrawFn, low: int = 0) -> Span:
    first = draw(st.integers(low, max(low, END - 4)))
    return Span(first, first + draw(st.integers(1, 3)))


@st.composite
def sketches(draw: st.DrawFn, name: str) -> Sketch:
    claim = draw(st.none() | spans())
    decide = draw(st.none() | spans(claim.high if claim else 0))
    outcomes: list[Outcome] = ["ok", "ok", "ok", "fail", "info"]
    outcome = draw(st.sampled_from(outcomes if decide else outcomes[:1]))
    last = max([span.high for span in (claim, decide) if span], default=0)
    stored = last + 1 if decide and outcome == "ok" and draw(st.booleans()) else None
    return Sketch(
        name,
        claim,
        draw(st.none() | st.integers(1, 4)) if claim else None,
        decide,
        draw(st.sampled_from("xy")),
        outcome,
        stored,
        draw(st.sampled_from(["returned", "returned", "killed", "fell"])),
        draw(st.integers(max(last, stored or 0), max(last, stored or 0) + 3)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = "abc"[: draw(st.integers(2, 3))]
    reports = [Report(name, draw(st.sampled_from("xy")), draw(spans())) for name in "pq"[: draw(st.integers(0, 2))]]
    return World(tuple(draw(sketches(name)) for name in names), tuple(reports))


def tell(world: World) -> History:
    """Write the sketch down as a history, each act by a thread that has last been heard of when its interval begins."""
    telling = Telling(*(sketch.name for sketch in world.sketches), *(report.name for report in world.reports))
    for sketch in world.sketches:
        if sketch.claim:
            _act(telling, sketch.name, "claim", sketch.claim, value=True, lease=sketch.lease)
        if sketch.decide:
            _act(telling, sketch.name, "decide", sketch.decide, value=sketch.value, outcome=sketch.outcome)
        if sketch.stored is not None:
            _act(telling, sketch.name, "complete", Span(sketch.stored - 1, sketch.stored))
        if sketch.end == "killed":
            telling.is_killed(sketch.name, sketch.ended)
        elif sketch.end == "fell":
            telling.raises(sketch.name, sketch.ended)
        else:
            telling.returns(sketch.name, sketch.ended)
    for report in world.reports:
        _act(telling, report.name, "observe", report.span, value=report.value)
    return telling.history(at=50)


def _act(telling: Telling, who: str, function: str, span: Span, **more: object) -> None:
    actor = f"{function} of {who}"
    if span.low > 0:
        telling.does(who, "read", span.low - 0.5, span.low, task=None, actor=actor)
    telling.does(who, function, span.low + 0.25, span.high, actor=actor, **more)  # type: ignore[arg-type]


# -- the judge ----------------------------------------------------------------------------------------------------


def known(world: World, sketch: Sketch) -> float:
    """By when its decision stood in the database for all to see."""
    proofs: list[float] = [] if sketch.stored is None else [sketch.stored]
    for report in world.reports:
        able = [
            other.name
            for other in world.sketches
            if other.decide and other.outcome != "fail" and other.value == report.value
            if other.decide.low <= report.span.high
        ]
        if able == [sketch.name]:
            proofs.append(report.span.high)
    return min(proofs, default=inf)


def placements(spans: list[Span]) -> Iterator[tuple[int, ...]]:
    return product(*(range(span.low, span.high + 1) for span in spans))


def some_placement_has_one_holder_at_a_time(world: World) -> bool:
    holders = [(sketch, sketch.right) for sketch in world.sketches if sketch.right]
    for moments in placements([span for _, span in holders]):
        held = [(sketch, at) for (sketch, _), at in zip(holders, moments, strict=True)]
        if _nobody_beside_another(held) and _nobody_after_the_end(world, held):
            return True
    return not holders


def _nobody_beside_another(held: list[tuple[Sketch, int]]) -> bool:
    ends = [max(at, min(at + sketch.lasts, sketch.until)) for sketch, at in held]
    for now in (quarter / 4 for quarter in range(4 * (END + 10))):
        holding = [at <= now < end or at == now == end for (_, at), end in zip(held, ends, strict=True)]
        began = [at == now for _, at in held]
        if sum(holding) > 1 and not all(itself for itself, is_held in zip(began, holding, strict=True) if is_held):
            return False
        if sum(at <= now < end for (_, at), end in zip(held, ends, strict=True)) > 1:
            return False
    return True


def _nobody_after_the_end(world: World, held: list[tuple[Sketch, int]]) -> bool:
    last = min((known(world, sketch) for sketch, _ in held), default=inf)
    return all(at <= last for _, at in held)


def excused(world: World, sketch: Sketch, beside: int, granted: dict[str, int]) -> bool:
    """Whether what it decided may never have been stored, in the eyes of somebody at the moment ``beside``."""
    if known(world, sketch) < inf:
        return False
    cut_short = sketch.outcome != "ok" or sketch.end == "fell" or (sketch.end == "killed" and sketch.ended <= beside)
    if cut_short or sketch.claim is None:
        return cut_short
    end = max(granted[sketch.name], min(granted[sketch.name] + sketch.lasts, sketch.until))
    return any(end <= at <= beside for name, at in granted.items() if name != sketch.name)


def some_placement_is_innocent(world: World, *, agreeing: bool) -> bool:
    """Whether all that must have been made is one decision (or, if ``agreeing``, whether all that is known agrees)."""
    deciders = [sketch for sketch in world.sketches if sketch.decide and sketch.outcome != "fail"]
    told = [
        *((s, s.value, s.decide) for s in deciders),
        *(((None, r.value, r.span) for r in world.reports) if agreeing else ()),
    ]
    for (one, a, first), (other, b, second) in combinations(told, 2):
        if (agreeing and a == b) or _may_both_be(world, one, first, other, second):
            continue
        return False
    return True


def _may_both_be(
    world: World, one: Sketch | None, first: Span | None, other: Sketch | None, second: Span | None
) -> bool:
    assert first is not None
    assert second is not None
    rights = [(sketch.name, Span(span.low, _last(world, sketch, span))) for sketch, span in _rights(world)]
    for moments in placements([span for _, span in rights]):
        granted = {name: at for (name, _), at in zip(rights, moments, strict=True)}
        if one is not None and excused(world, one, second.high, granted):
            return True
        if other is not None and excused(world, other, first.high, granted):
            return True
    return False


def _rights(world: World) -> list[tuple[Sketch, Span]]:
    return [(sketch, sketch.right) for sketch in world.sketches if sketch.right]


def _last(world: World, sketch: Sketch, span: Span) -> int:
    """Nobody gets a right after everybody has seen what was made of it."""
    return max(span.low, int(min(span.high, known(world, sketch))))


# -- side by side -------------------------------------------------------------------------------------------------

many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(worlds())
def test_one_claimant(world: World) -> None:
    violated = one_claimant(tell(world)).status == "violated"
    assert violated != some_placement_has_one_holder_at_a_time(world)


@many
@given(worlds())
def test_one_decision(world: World) -> None:
    violated = one_decision(tell(world)).status == "violated"
    assert violated != some_placement_is_innocent(world, agreeing=False)


@many
@given(worlds())
def test_agreement(world: World) -> None:
    violated = agreement(tell(world)).status == "violated"
    assert violated != some_placement_is_innocent(world, agreeing=True)


@pytest.mark.parametrize("judge", [one_claimant, one_decision, agreement])
def test_the_drawn_histories_are_of_both_kinds(judge: object) -> None:
    """A judge that agrees because it is never asked proves nothing."""
    seen: set[str] = set()

    @settings(max_examples=300, deadline=None, database=None)
    @given(worlds())
    def look(world: World) -> None:
        seen.add(judge(tell(world)).status)  # type: ignore[operator]

    look()
    assert {"holds", "violated"} <= seen
