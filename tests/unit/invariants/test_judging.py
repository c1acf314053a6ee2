"""How answers combine, and what becomes of checkers that do not answer."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import pytest

from pytest_ciris_occ.history import History
from pytest_ciris_occ.invariants import BUILT_IN, Status, Verdict, exactly_once, judge

from .telling import Telling

SOMETHING = Telling("a").decides("a", "x", 1).history()


def says(status: Status, name: str = "mine") -> Any:
    return lambda _history: Verdict(name, status, f"because of {name}")


@pytest.mark.parametrize("statuses", list(product(["holds", "violated", "unknown"], repeat=2)))
def test_a_violation_outweighs_the_unknown_and_that_a_pass(statuses: tuple[Status, ...]) -> None:
    worst = "violated" if "violated" in statuses else "unknown" if "unknown" in statuses else "holds"
    assert judge(SOMETHING, map(says, statuses)).status == worst


def test_verdicts_are_told_apart_by_status() -> None:
    judgement = judge(SOMETHING, [says("holds", "one"), says("violated", "two"), says("holds", "three")])
    assert [verdict.invariant for verdict in judgement.with_status("holds")] == ["one", "three"]
    assert judgement.with_status("unknown") == ()


def test_no_question_no_pass() -> None:
    assert judge(SOMETHING, []).status == "unknown"


@pytest.mark.parametrize("processes", [True, False])
def test_an_empty_history_proves_nothing(processes: bool) -> None:
    history = Telling("a").history() if processes else History()
    judgement = judge(history, BUILT_IN)
    assert judgement.status == "unknown"
    assert judgement.verdicts[0].invariant == "something_happened"
    assert "so there is nothing to judge" in judgement.verdicts[0].reason


def test_in_an_empty_history_somebody_may_still_have_ended_badly() -> None:
    assert judge(Telling("a").raises("a", 1).history(), BUILT_IN).status == "violated"


def test_a_checker_that_crashes_cannot_tell() -> None:
    def broken(history: History) -> Verdict:
        raise KeyError("task")

    (verdict,) = judge(SOMETHING, [broken]).verdicts
    assert verdict == Verdict("broken", "unknown", "the invariant itself raised KeyError: 'task'")


@pytest.mark.parametrize("answer", [None, True, "holds"])
def test_neither_can_one_that_answers_with_something_else(answer: object) -> None:
    def mine(history: History) -> Any:
        return answer

    (verdict,) = judge(SOMETHING, [mine]).verdicts
    assert verdict.status == "unknown"
    assert verdict.reason.startswith(f"the invariant returned {answer!r}, which is no Verdict")


def test_a_partial_keeps_the_name_of_its_checker() -> None:
    def broken(history: History, *, hard: bool) -> Verdict:
        raise ValueError(hard)

    class Checker:
        def __call__(self, history: History) -> Verdict:
            raise ValueError

    names = [verdict.invariant for verdict in judge(SOMETHING, [partial(broken, hard=True), Checker()]).verdicts]
    assert names == ["broken", "Checker"]


def test_every_built_in_answers_with_its_own_name() -> None:
    verdicts = judge(SOMETHING, BUILT_IN).verdicts
    assert [verdict.invariant for verdict in verdicts] == [invariant.__name__ for invariant in BUILT_IN]  # type: ignore[attr-defined]
    assert {verdict.status for verdict in verdicts} == {"holds"}


def test_a_checker_is_pure() -> None:
    history = Telling("a", "b").claims("a", 1).claims("b", 2).works("a", "k", 3).works("b", "k", 3).history()
    once = judge(history, [*BUILT_IN, partial(exactly_once, once=True)])
    assert once == judge(history, [*BUILT_IN, partial(exactly_once, once=True)])
