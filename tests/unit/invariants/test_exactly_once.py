"""``exactly_once``: none lost, none doubled."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ciris_occ.invariants import Status, exactly_once

from .telling import Telling


def verdict(telling: Telling, **given: Any) -> Status:
    return exactly_once(telling.history(), **given).status


def test_each_once() -> None:
    answer = exactly_once(Telling("a", "b").works("a", "one", 1).works("b", "two", 1).history())
    assert (answer.status, answer.reason) == ("holds", "2 units of work, each done once")


def test_k26_two_replies_to_one_comment() -> None:
    history = Telling("a", "b").works("a", "reply", 1).works("b", "reply", 1).history()
    answer = exactly_once(history)
    assert answer.status == "violated"
    assert answer.reason == "'reply' of wakeup took effect 2 times: by a and b"
    assert answer.evidence == history.operations


@pytest.mark.parametrize("by", ["told to go", "killed"])
def test_agents_that_are_stopped_at_the_end_have_replied_twice_all_the_same(by: str) -> None:
    telling = Telling("a", "b").works("a", "reply", 1, task=None).works("b", "reply", 2, task=None)
    for who in "ab":
        telling.is_killed(who, 9) if by == "killed" else telling.is_told_to_go(who, 9)
    assert verdict(telling) == "violated"


def test_a_hung_one_has_worked_all_the_same() -> None:
    assert verdict(Telling("a", "b").works("a", "one", 1).works("b", "one", 2).is_still_running("a")) == "violated"


def test_nobody_works_after_its_end_however_late_its_lines_are_read() -> None:
    telling = Telling("a", "b").works("a", "one", 1).works("b", "one", 9, 9)
    assert verdict(telling.returns("b", 3).is_killed("a", 5)) == "violated"


def test_tasks_keys_and_tokens_are_apart() -> None:
    telling = Telling("a", "b").works("a", "one", 1).works("b", "one", 1, task="shutdown")
    assert verdict(telling.works("a", "two", 2, token=1).works("b", "two", 3, token=2)) == "holds"


def test_redoing_what_the_dead_have_done_is_right() -> None:
    assert verdict(Telling("a", "b").works("a", "one", 1).is_killed("a", 2).works("b", "one", 3)) == "holds"
    assert verdict(Telling("a").works("a", "one", 1).is_killed("a", 2).restarts("a", 3).works("a", "one", 4)) == "holds"


def test_unless_the_scenario_says_once() -> None:
    telling = Telling("a", "b").works("a", "one", 1).is_killed("a", 2).works("b", "one", 3)
    assert verdict(telling, once=True) == "violated"
    cut = Telling("a", "b").works("a", "one", 1, outcome="info").is_killed("a", 2).works("b", "one", 3)
    assert verdict(cut, once=True) == "violated"
    refused = Telling("a", "b").works("a", "one", 1, outcome="fail").works("b", "one", 3)
    assert verdict(refused, once=True) == "holds"


def test_work_of_one_that_raised_may_have_been_rolled_back_at_any_moment() -> None:
    telling = Telling("a", "b").works("a", "one", 1).works("b", "one", 2)
    assert verdict(telling.raises("a", 3, "OperationalError: database is locked")) == "holds"


def test_a_life_that_repeats_itself_or_its_predecessor() -> None:
    assert verdict(Telling("a").works("a", "one", 1).works("a", "one", 2)) == "violated"
    assert verdict(Telling("a").works("a", "one", 1).works("a", "one", 2).raises("a", 3)) == "violated"
    telling = Telling("a").works("a", "one", 1).returns("a", 2).restarts("a", 3)
    assert verdict(telling.works("a", "one", 4)) == "violated"


def test_work_under_a_lease_that_had_run_out_is_redone_by_the_successor() -> None:
    telling = Telling("a", "b").claims("a", 1, lease=1.0).works("a", "one", 1.5, task=None)
    assert verdict(telling.claims("b", 3, lease=9.0).works("b", "one", 4, task=None)) == "holds"


def test_work_under_a_claim_that_nobody_could_take_over_is_doubled() -> None:
    telling = Telling("a", "b").claims("a", 1, lease=300.0).works("a", "one", 1.5)
    assert verdict(telling.claims("b", 3, lease=9.0).works("b", "one", 4)) == "violated"
    telling = Telling("a", "b").claims("a", 1, lease=1.0).works("a", "one", 1.5)
    assert verdict(telling.works("b", "one", 4)) == "violated"


def test_the_holds_of_another_task_excuse_nothing() -> None:
    telling = Telling("a", "b").claims("a", 1, lease=1.0, task="other").works("a", "one", 1.5)
    assert verdict(telling.claims("b", 3, task="other").works("b", "one", 4)) == "violated"


# -- lost ---------------------------------------------------------------------------------------------------------


def test_expected_work_was_done() -> None:
    assert verdict(Telling("a").works("a", "one", 1), expected=["one"]) == "holds"
    assert verdict(Telling("a", "b").works("a", "one", 1).is_killed("a", 2), expected=["one"]) == "holds"


def test_expected_work_was_never_done() -> None:
    answer = exactly_once(Telling("a").works("a", "one", 1).history(), expected=["one", "two"])
    assert (answer.status, answer.reason) == ("violated", "'two' was never done: the work is lost")
    refused = Telling("a").works("a", "one", 1, outcome="fail")
    assert verdict(refused, expected=["one"]) == "violated"


def test_expected_work_may_have_been_done() -> None:
    telling = Telling("a", "b").works("a", "one", 1, outcome="info").is_killed("a", 2)
    assert verdict(telling, expected=["one"]) == "unknown"


def test_a_run_that_was_cut_short_has_lost_nothing() -> None:
    running = Telling("a", "b").claims("a", 1).is_still_running("a")
    assert verdict(running, expected=["one"]) == "unknown"
    nobody = Telling("a").claims("a", 1).is_killed("a", 2)
    assert verdict(nobody, expected=["one"]) == "unknown"
    unlucky = Telling("a").claims("a", 1).raises("a", 2, "OperationalError: database is locked")
    assert verdict(unlucky, expected=["one"]) == "unknown"


def test_a_command_may_have_worked_and_died_before_it_could_print() -> None:
    telling = Telling("a", "b").works("a", "one", 1, 1).is_killed("a", 2).works("b", "two", 3, 3)
    assert verdict(telling, expected=["three"]) == "unknown"
    functions = Telling("a", "b").works("a", "one", 1).is_killed("a", 2).works("b", "two", 3)
    assert verdict(functions, expected=["three"]) == "violated"


def test_what_is_lost_outranks_what_may_have_been_done() -> None:
    telling = Telling("a", "b").works("a", "one", 1, outcome="info").is_killed("a", 2)
    assert verdict(telling, expected=["one", "two"]) == "violated"
