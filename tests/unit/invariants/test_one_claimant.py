"""``one_claimant``: never two holders at a time, and nobody accused for the width of a call."""

from __future__ import annotations

import pytest

from pytest_ciris_occ.invariants import Status, one_claimant

from .telling import Telling


def verdict(telling: Telling) -> Status:
    return one_claimant(telling.history()).status


def test_one_claim_and_one_refusal_hold() -> None:
    answer = one_claimant(Telling("a", "b").claims("a", 1, 2).finds_it_held("b", 1, 2).history())
    assert (answer.status, answer.invariant) == ("holds", "one_claimant")
    assert answer.reason == "1 granted claims on 1 tasks, never two at a time"


def test_two_grants_are_named_with_their_times() -> None:
    history = Telling("a", "b").claims("a", 1, 2).claims("b", 3, 4).history()
    answer = one_claimant(history)
    assert answer.status == "violated"
    assert answer.reason == ("both a and b hold wakeup at a time: granted to a by 2000.0 ms, granted to b by 4000.0 ms")
    assert answer.evidence == history.operations


@pytest.mark.parametrize("task", ["wakeup", "shutdown"])
def test_tasks_are_apart(task: str) -> None:
    """K46's midnight gives two ids, and two ids are two questions: only a scenario knows that it asked one."""
    status = verdict(Telling("a", "b").claims("a", 1).claims("b", 2, task=task))
    assert status == ("violated" if task == "wakeup" else "holds")


def test_k40_both_delete_the_stale_row_and_insert_their_own() -> None:
    telling = Telling("old", "a", "b").claims("old", 1).is_killed("old", 2)
    telling.claims("a", 3, 3.1).claims("b", 3, 3.2).decides("a", "x", 4).decides("b", "y", 4)
    assert verdict(telling) == "violated"


@pytest.mark.parametrize("end", ["returned", "died", "ran out"])
def test_k41_a_decided_task_cannot_be_claimed_again(end: str) -> None:
    telling = Telling("a", "b").claims("a", 1, lease=1.0 if end == "ran out" else None)
    telling.decides("a", "x", 1.5).completes("a", 1.6)
    if end == "died":
        telling.is_killed("a", 2)
    if end == "returned":
        telling.returns("a", 2)
    telling.does("b", "read", 4.9, 5).claims("b", 6)
    assert verdict(telling) == "violated"


def test_its_decider_may_claim_what_it_has_decided() -> None:
    telling = Telling("a").claims("a", 1).decides("a", "x", 2).completes("a", 2.1).does("a", "read", 3)
    assert verdict(telling.claims("a", 4)) == "holds"


def test_nobody_gets_the_right_after_its_decision_was_seen() -> None:
    telling = Telling("a", "b", "c", "d").claims("a", 0.1, 1).is_killed("a", 2).claims("c", 0.1, 2, lease=2.0)
    telling.does("b", "read", 0.9, 1.0).decides("b", "x", 1.1, 4).learns("d", "x", 0.9, 1.2)
    assert verdict(telling) == "violated"


def test_a_decision_that_somebody_else_has_seen_is_as_good_as_complete() -> None:
    telling = Telling("a", "b", "c").claims("a", 1).decides("a", "x", 2).is_killed("a", 3)
    telling.learns("c", "x", 2, 2.5)
    assert verdict(telling.does("b", "read", 3.5, 4).claims("b", 5)) == "violated"


def test_k42_everybody_believes_to_be_alone() -> None:
    telling = Telling("a", "b", "c")
    for who in "abc":
        telling.claims(who, 1, 2).decides(who, "awake", 3, 4)
    assert verdict(telling) == "violated"


def test_k43_a_live_claim_without_lease_is_deleted_and_claimed_by_a_third() -> None:
    telling = Telling("a", "b").claims("a", 1).is_paused("a", 2).is_resumed("a", 9).claims("b", 5)
    assert verdict(telling) == "violated"


def test_a_claim_that_was_not_granted_or_never_returned_counts_for_nothing() -> None:
    telling = Telling("a", "b", "c").claims("a", 1)
    telling.does("b", "claim", 1, 2, outcome="fail", value=True)
    telling.does("c", "claim", 1, never_returns=True, outcome="info", value=True).is_killed("c", 3)
    assert verdict(telling) == "holds"


# -- take-over ----------------------------------------------------------------------------------------------------


def test_taking_over_from_the_dead_is_right() -> None:
    assert verdict(Telling("a", "b").claims("a", 1).is_killed("a", 3).claims("b", 4)) == "holds"


def test_taking_over_from_somebody_who_is_killed_later_is_not() -> None:
    assert verdict(Telling("a", "b").claims("a", 1).claims("b", 4).is_killed("a", 5)) == "violated"


def test_a_lock_that_the_database_frees_at_once_may_be_taken_before_the_process_is_reaped() -> None:
    assert verdict(Telling("a", "b").claims("a", 1).is_killed("a", 3, gone=3.5).claims("b", 3.1, 3.2)) == "holds"


def test_so_may_that_of_somebody_who_obeyed_sigterm() -> None:
    telling = Telling("a", "b").claims("a", 1).is_told_to_go("a", 3, reason="returned").claims("b", 4)
    assert verdict(telling) == "holds"


def test_a_claimant_that_raised_may_have_given_back_its_claim_before_its_process_ended() -> None:
    """It cannot be told, so it is neither accused nor passed."""
    telling = Telling("a", "b").claims("a", 1).raises("a", 3)
    answer = one_claimant(telling.claims("b", 2.9, 2.95).history())
    assert answer.status == "unknown"
    assert "whether a still held wakeup cannot be told, since it fell" in answer.reason
    assert verdict(Telling("a", "b").claims("a", 1).raises("a", 3).claims("b", 4)) == "holds"


def test_a_claimant_that_raised_after_a_later_sign_of_life_held_until_then() -> None:
    telling = Telling("a", "b").claims("a", 1).works("a", "step", 4, 5).works("a", "next", 6, 7).raises("a", 8)
    assert verdict(telling.claims("b", 2)) == "violated"


def test_somebody_who_returned_has_not_given_back_its_claim() -> None:
    """K16: a claim that vanished is granted at each boot, and no work is done."""
    assert verdict(Telling("a", "b").claims("a", 1).returns("a", 2).claims("b", 3)) == "violated"


def test_the_lives_of_one_occurrence_do_not_compete() -> None:
    telling = Telling("a").claims("a", 1).returns("a", 2).restarts("a", 3).claims("a", 4)
    assert verdict(telling) == "holds"
    assert verdict(Telling("a").claims("a", 1).claims("a", 4)) == "holds"


def test_a_deferral_frees_the_right() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "deferred", 2)
    assert verdict(telling.claims("b", 3)) == "holds"
    held = Telling("a", "b").claims("a", 1).works("a", "deliberate", 3.5).decides("a", "deferred", 4)
    assert verdict(held.claims("b", 3)) == "violated"


def test_a_deferral_frees_what_was_claimed_before_it_and_by_nobody_else() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "deferred", 2).does("a", "read", 4).claims("a", 5)
    assert verdict(telling.claims("b", 7)) == "violated"
    telling = Telling("a", "b", "c").claims("a", 1).decides("c", "deferred", 2)
    assert verdict(telling.claims("b", 3)) == "violated"


# -- leases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "expected"), [(1.2, "violated"), (1.98, "violated"), (2.0, "holds"), (2.5, "holds")])
def test_a_lease_runs_from_the_claim(at: float, expected: str) -> None:
    telling = Telling("a", "b").does("a", "read", 0.9, 0.99).claims("a", 1.0, 1.1, lease=1.0)
    assert verdict(telling.claims("b", at - 0.1, at)) == expected


def test_a_clock_that_ticks_exactly_at_the_end_of_the_lease_accuses_nobody() -> None:
    """0.1 + 0.2 is more than 0.3 to a computer."""
    telling = Telling("a", "b").does("a", "read", 0.05, 0.1).claims("a", 0.11, 0.12, lease=0.2)
    assert 0.1 + 0.2 > 0.3
    assert verdict(telling.claims("b", 0.29, 0.3)) == "holds"


def test_a_lease_that_began_before_its_claim_was_told() -> None:
    """The claimant stood still between the claim and the telling."""
    telling = Telling("a", "b").does("a", "read", 0.1, 0.2).claims("a", 1.0, 1.001, lease=1.0)
    assert verdict(telling.claims("b", 1.3)) == "holds"


def test_k47_a_claim_that_is_seconds_old_is_stolen() -> None:
    assert verdict(Telling("a", "b").claims("a", 1, lease=300.0).claims("b", 5, lease=300.0)) == "violated"


def test_a_zombie_that_still_believes_is_no_violation() -> None:
    telling = Telling("a", "b").does("a", "read", 0.9, 1).claims("a", 1, lease=1.0).is_paused("a", 1.5)
    telling.claims("b", 3, lease=1.0).decides("b", "x", 3.2).completes("b", 3.3).is_resumed("a", 4)
    assert verdict(telling.decides("a", "y", 5, outcome="fail").learns("a", "x", 6)) == "holds"


# -- the width of a call ------------------------------------------------------------------------------------------


def test_overlapping_calls_are_tried_in_either_order() -> None:
    """The grant that returned last may have been the first: its lease had run out when the other was granted."""
    telling = Telling("a", "b").claims("b", 0.1, 5.0, lease=1.0).claims("a", 2.0, 4.0, lease=60.0)
    assert verdict(telling) == "holds"


def test_overlapping_calls_of_two_that_live_have_no_excuse() -> None:
    assert verdict(Telling("a", "b").claims("a", 1, 5).claims("b", 2, 4)) == "violated"


def test_a_claim_that_returned_after_its_maker_had_lost_it() -> None:
    telling = Telling("a", "b").claims("a", 1, 9, lease=2.0).claims("b", 4, 5, lease=60.0)
    assert verdict(telling) == "holds"


def test_three_that_take_turns_two_by_two_and_not_all_together() -> None:
    """Each pair has an order; for all three there is not time enough."""
    telling = Telling("a", "b", "c")
    for who in "abc":
        telling.does(who, "read", 0, 1).claims(who, 1.5, 2.0, lease=0.8)
    answer = one_claimant(telling.history())
    assert answer.status == "violated"
    assert len(answer.evidence) == 3
    assert answer.reason.startswith("a and b and c hold wakeup at a time")


def test_a_report_that_was_read_late_may_have_been_printed_long_before() -> None:
    """Lines of a command carry the moment of their reading, also after the process had ended."""
    telling = Telling("a", "b").claims("a", 5.2, 5.2).is_killed("a", 5.0)
    assert verdict(telling.claims("b", 5.1, 5.1)) == "holds"


# -- decisions without a claim ------------------------------------------------------------------------------------


def test_whoever_decides_without_a_claim_holds_from_then_on() -> None:
    assert verdict(Telling("a", "b").decides("a", "x", 1).decides("b", "x", 2)) == "violated"
    assert verdict(Telling("a", "b").claims("a", 1).decides("b", "x", 2)) == "violated"
    assert verdict(Telling("a", "b").decides("a", "x", 1).decides("a", "x", 2)) == "holds"


def test_a_bare_decision_that_was_lost_in_a_conflict_is_no_hold() -> None:
    telling = Telling("a", "b").decides("a", "x", 1).raises("a", 3, "OperationalError: database is locked")
    assert verdict(telling.decides("b", "y", 2)) == "holds"


def test_a_bare_decision_that_the_harness_did_not_disturb_is() -> None:
    telling = Telling("a", "b").decides("a", "x", 1).decides("b", "y", 2)
    assert verdict(telling.is_told_to_go("a", 9).is_told_to_go("b", 9)) == "violated"
