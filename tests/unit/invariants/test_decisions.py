"""``one_decision``, ``agreement``, ``validity``: what was decided, and what everybody knows of it."""

from __future__ import annotations

import pytest

from pytest_ciris_occ.history import JSON
from pytest_ciris_occ.invariants import Status, agreement, one_decision, validity

from .telling import Telling

# -- one decision -------------------------------------------------------------------------------------------------


def decided(telling: Telling) -> Status:
    return one_decision(telling.history()).status


def test_one_decision_holds_and_says_how_many_were_made() -> None:
    answer = one_decision(Telling("a").claims("a", 1).decides("a", "x", 2).history())
    assert (answer.status, answer.reason) == ("holds", "1 of 1 tasks decided, each once")


@pytest.mark.parametrize("second", ["x", "y"])
def test_two_decide_whatever_they_say(second: str) -> None:
    history = Telling("a", "b").decides("a", "x", 1).decides("b", second, 2).history()
    answer = one_decision(history)
    assert answer.status == "violated"
    assert answer.reason == f"wakeup was decided twice: 'x' by a, {second!r} by b"
    assert answer.evidence == history.operations


def test_a_process_may_repeat_itself_and_may_not_change_its_mind() -> None:
    assert decided(Telling("a").decides("a", "x", 1).decides("a", "x", 2)) == "holds"
    assert decided(Telling("a").decides("a", "x", 1).decides("a", "y", 2)) == "violated"


def test_a_restart_decides_again_what_was_decided() -> None:
    telling = Telling("a").decides("a", "x", 1).returns("a", 2).restarts("a", 3)
    assert decided(telling.decides("a", "x", 4)) == "violated"


def test_deciding_again_after_a_crash_is_right_unless_the_decision_was_stored() -> None:
    killed = Telling("a").claims("a", 1).decides("a", "x", 2).is_killed("a", 3).restarts("a", 4)
    assert decided(killed.claims("a", 5).decides("a", "x", 6)) == "holds"
    stored = Telling("a").claims("a", 1).decides("a", "x", 2).completes("a", 2.5).is_killed("a", 3).restarts("a", 4)
    assert decided(stored.claims("a", 5).decides("a", "x", 6)) == "violated"


def test_a_decision_that_a_third_has_seen_was_stored() -> None:
    telling = Telling("a", "b", "c").claims("a", 1).decides("a", "x", 2).learns("c", "x", 2, 3).is_killed("a", 4)
    assert decided(telling.finds_it_held("b", 4).decides("b", "x", 5)) == "violated"


def test_a_third_that_may_have_it_from_the_successor_proves_nothing() -> None:
    telling = Telling("a", "b", "c").claims("a", 1).decides("a", "x", 2).is_killed("a", 4)
    assert decided(telling.claims("b", 5).decides("b", "x", 6).learns("c", "x", 2, 9)) == "holds"


def test_its_maker_is_no_witness() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "x", 2).learns("a", "x", 2.5).is_killed("a", 4)
    assert decided(telling.claims("b", 5).decides("b", "y", 6)) == "holds"


def test_neither_is_a_completion_that_may_not_have_happened() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "x", 2).does("a", "complete", 3, outcome="info")
    assert decided(telling.is_killed("a", 4).claims("b", 5).decides("b", "y", 6)) == "holds"


@pytest.mark.parametrize("proof", ["seen", "completed"])
def test_what_is_shown_is_the_last_of_several_decisions(proof: str) -> None:
    """The first of a is refused, as is that of b; each had lost its lease to the other."""
    telling = Telling("a", "b", "c").claims("a", 1, lease=1.0).decides("a", "x", 1.5)
    telling.does("b", "read", 2.9).claims("b", 3, lease=1.0).decides("b", "y", 4)
    telling.does("a", "read", 5).claims("a", 6, lease=1.0).decides("a", "x", 7)
    telling.learns("c", "x", 7, 8) if proof == "seen" else telling.completes("a", 7.5)
    assert decided(telling) == "holds"


def test_what_came_before_the_kill_is_no_excuse() -> None:
    """A fleet of long-running agents is told to go at its end; that undoes nothing."""
    telling = Telling("a", "b").decides("a", "x", 1).decides("b", "y", 2)
    assert decided(telling.is_told_to_go("a", 9).is_killed("b", 9)) == "violated"


def test_a_decision_told_before_it_was_stored_and_lost_in_a_conflict() -> None:
    telling = Telling("a", "b").decides("a", "x", 1).decides("b", "y", 2)
    assert decided(telling.raises("a", 3, "OperationalError: database is locked")) == "holds"


def test_one_that_obeyed_sigterm_may_not_have_stored_it() -> None:
    telling = Telling("a", "b").decides("a", "x", 1).is_told_to_go("a", 2, reason="returned")
    assert decided(telling.decides("b", "y", 4)) == "holds"


def test_one_that_hangs_has_decided_all_the_same() -> None:
    assert decided(Telling("a", "b").decides("a", "x", 1).decides("b", "y", 2).is_still_running("a")) == "violated"


def test_a_zombie_whose_write_was_refused_has_not_decided() -> None:
    """It told its decision, stood still, lost its lease, and then could not store it."""
    telling = Telling("a", "b").claims("a", 1, lease=1.0).decides("a", "x", 1.5)
    telling.claims("b", 3, lease=9.0).decides("b", "y", 4).completes("b", 4.5)
    assert decided(telling.learns("a", "y", 5)) == "holds"


def test_a_zombie_whose_write_was_accepted_has() -> None:
    telling = Telling("a", "b").claims("a", 1, lease=1.0).decides("a", "x", 1.5)
    telling.claims("b", 3, lease=9.0).decides("b", "y", 4).completes("b", 4.5)
    assert decided(telling.completes("a", 5)) == "violated"


def test_a_zombie_that_is_killed_at_last_has_not() -> None:
    telling = Telling("a", "b").decides("a", "x", 1).is_paused("a", 2)
    assert decided(telling.decides("b", "y", 4).is_killed("a", 9)) == "holds"


def test_without_a_lease_nobody_takes_over() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "x", 1.5)
    assert decided(telling.claims("b", 3).decides("b", "y", 4)) == "violated"


@pytest.mark.parametrize("outcome", ["fail", "info"])
def test_what_was_refused_or_cut_short_is_no_decision(outcome: str) -> None:
    telling = Telling("a", "b").decides("a", "x", 1)
    assert decided(telling.decides("b", "y", 2, outcome=outcome)) == "holds"  # type: ignore[arg-type]


def test_deferred_is_no_final_decision() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "deferred", 2)
    assert decided(telling.claims("b", 3).decides("b", "accepted", 4)) == "holds"


def test_k33_and_k02_are_told_by_two_decisions() -> None:
    telling = Telling("a", "b").claims("a", 1).finds_it_held("b", 1)
    assert decided(telling.decides("b", "completed", 2).decides("a", "failed", 3)) == "violated"


# -- agreement ----------------------------------------------------------------------------------------------------


def agreed(telling: Telling) -> Status:
    return agreement(telling.history()).status


def test_everybody_reports_what_was_made() -> None:
    telling = Telling("a", "b", "c").decides("a", "x", 1).learns("b", "x", 2).learns("c", "x", 2)
    answer = agreement(telling.history())
    assert (answer.status, answer.reason) == ("holds", "3 reports of a decision, all alike within their task")


@pytest.mark.parametrize("status", [None, "FAILED"])
def test_k64_a_failed_wakeup_is_taken_for_a_wakeup(status: str | None) -> None:
    history = Telling("a", "b").decides("a", "failed", 1).learns("b", "awake", 2, status=status).history()
    answer = agreement(history)
    assert answer.status == "violated"
    assert answer.reason == "on wakeup, a has 'failed' and b has 'awake'"
    assert answer.evidence == history.operations


def test_two_observers_disagree() -> None:
    assert agreed(Telling("a", "b").learns("a", "x", 1).learns("b", "y", 1)) == "violated"


def test_one_observer_changes_its_mind() -> None:
    assert agreed(Telling("a").learns("a", "x", 1).learns("a", "y", 2)) == "violated"


def test_a_decision_lost_with_its_maker_is_no_report() -> None:
    telling = Telling("a", "b", "c").claims("a", 1).decides("a", "x", 2).is_killed("a", 3)
    assert agreed(telling.claims("b", 4).decides("b", "y", 5).learns("c", "y", 6)) == "holds"


def test_unless_somebody_had_seen_it() -> None:
    telling = Telling("a", "b", "c").claims("a", 1).decides("a", "x", 2).learns("c", "x", 2, 2.5).is_killed("a", 3)
    assert agreed(telling.claims("b", 4).decides("b", "y", 5)) == "violated"


def test_a_zombie_that_learns_its_successors_decision() -> None:
    telling = Telling("a", "b").claims("a", 1, lease=1.0).decides("a", "x", 1.5)
    assert agreed(telling.claims("b", 3, lease=9.0).decides("b", "y", 4).learns("a", "y", 5)) == "holds"


def test_a_deferral_and_a_time_out_are_no_reports_of_a_decision() -> None:
    telling = Telling("a", "b").decides("a", "deferred", 1).learns("b", "deferred", 2).learns("b", None, 3)
    assert agreed(telling.decides("a", "x", 4)) == "holds"


def test_what_a_database_makes_of_a_value_is_the_same_value() -> None:
    assert agreed(Telling("a", "b").decides("a", True, 1).learns("b", 1, 2)) == "holds"


# -- validity -----------------------------------------------------------------------------------------------------


def valid(telling: Telling) -> Status:
    return validity(telling.history()).status


def test_a_report_of_what_was_made_before() -> None:
    answer = validity(Telling("a", "b").decides("a", "x", 1).learns("b", "x", 2).history())
    assert (answer.status, answer.reason) == ("holds", "1 observations, each of a decision that was made before")


def test_a_report_of_what_nobody_made() -> None:
    history = Telling("a", "b").decides("a", "x", 1).learns("b", "y", 2).history()
    answer = validity(history)
    assert answer.status == "violated"
    assert answer.reason == "b reports 'y' for wakeup, which nobody had decided"
    assert answer.evidence == history.operations[1:]


def test_k02_all_steps_done_over_an_empty_list() -> None:
    """The observer reports the decision while the claimant is still at its steps."""
    telling = Telling("a", "b").claims("a", 1).finds_it_held("b", 1).learns("b", "awake", 1.5, 2)
    assert valid(telling.works("a", "affirm-0", 3).decides("a", "awake", 4)) == "violated"


def test_an_observer_may_return_before_the_decider_does() -> None:
    assert valid(Telling("a", "b").claims("a", 1).decides("a", "x", 2, 9).learns("b", "x", 1, 3)) == "holds"


def test_an_observer_may_return_before_the_decider_has_told_what_it_had_stored() -> None:
    telling = Telling("a", "b").claims("a", 1).learns("b", "x", 1, 3).decides("a", "x", 3.5)
    assert valid(telling) == "holds"


def test_lines_of_a_command_are_read_in_any_order() -> None:
    telling = Telling("a", "b").learns("b", "x", 3, 3).claims("a", 3.1, 3.1).decides("a", "x", 3.2, 3.2)
    assert valid(telling) == "holds"


def test_a_claim_and_a_decision_may_be_told_in_one_go_when_all_is_done() -> None:
    assert valid(Telling("a", "b").learns("b", "x", 1, 3).claims("a", 4).decides("a", "x", 4.1)) == "holds"


def test_so_are_those_of_the_work_before() -> None:
    telling = Telling("a", "b").learns("b", "x", 3, 3).works("a", "affirm-0", 3.1, 3.1)
    assert valid(telling.decides("a", "x", 3.2, 3.2)) == "holds"


def test_a_decision_that_may_have_happened_is_a_source_and_a_refused_one_is_not() -> None:
    telling = Telling("a", "b").does("a", "decide", 1, value="x", outcome="info", never_returns=True)
    assert valid(telling.is_killed("a", 2).learns("b", "x", 3)) == "holds"
    assert valid(Telling("a", "b").decides("a", "x", 1, outcome="fail").learns("b", "x", 3)) == "violated"


def test_a_decision_from_before_the_run_cannot_be_told_from_an_invention() -> None:
    answer = validity(Telling("a", "b").finds_it_held("a", 1).learns("a", "x", 2).history())
    assert answer.status == "unknown"
    assert answer.reason.endswith("nobody in this run claimed or decided it: it may have been decided before the run")


def test_a_decider_that_was_cut_short_may_have_stored_what_it_could_not_tell() -> None:
    telling = Telling("a", "b").claims("a", 1).learns("b", "x", 2, 3).is_killed("a", 2.5)
    answer = validity(telling.history())
    assert answer.status == "unknown"
    assert answer.reason == "b reports 'x' for wakeup: a may have decided that, and was cut short before it could tell"


def test_but_not_what_differs_from_what_it_told_nor_before_it_was_heard_of_last() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "failed", 2).is_killed("a", 3)
    assert valid(telling.learns("b", "awake", 4)) == "violated"
    telling = Telling("a", "b").claims("a", 1).learns("b", "awake", 2, 3)
    assert valid(telling.works("a", "affirm-0", 4).works("a", "affirm-1", 5).is_killed("a", 6)) == "violated"


def test_an_invention_outranks_what_cannot_be_told() -> None:
    telling = Telling("a", "b").learns("b", "old", 1, task="other").decides("a", "x", 1).learns("b", "y", 2)
    assert valid(telling) == "violated"


@pytest.mark.parametrize("value", [None, "deferred"])
def test_ending_without_a_decision_is_no_report(value: JSON) -> None:
    assert valid(Telling("a").claims("a", 1).learns("a", value, 2)) == "holds"
