"""``everyone_ends`` and ``someone_decides``."""

from __future__ import annotations

import pytest

from pytest_ciris_occ.history import History
from pytest_ciris_occ.invariants import Status, everyone_ends, someone_decides

from .telling import Telling

# -- everyone ends ------------------------------------------------------------------------------------------------


def ended(telling: Telling) -> Status:
    return everyone_ends(telling.history()).status


def test_everybody_returns() -> None:
    answer = everyone_ends(Telling("a", "b").decides("a", "x", 1).learns("b", "x", 2).history())
    assert (answer.status, answer.reason) == ("holds", "2 survivors ended")


def test_k54_the_loser_raises_out_of_the_claim() -> None:
    answer = everyone_ends(Telling("a", "b").claims("a", 1).raises("b", 2, "IntegrityError: UNIQUE").history())
    assert answer.status == "violated"
    assert answer.reason == "b did not end well: raised IntegrityError: UNIQUE"
    assert [getattr(item, "step", "") for item in answer.evidence] == ["ended"]


@pytest.mark.parametrize("reason", ["exit", "signal"])
def test_a_bad_exit_is_no_good_end(reason: str) -> None:
    assert ended(Telling("a").exits("a", 2, reason)) == "violated"


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        ("OperationalError: database is locked", ()),
        ("OperationalError: (sqlite3.OperationalError) database table is locked", ()),
        ("SerializationFailure: could not serialize access due to concurrent update", ("SerializationFailure",)),
        ("OperationalError: (psycopg.errors.DeadlockDetected) deadlock detected", ("DBAPIError", "DeadlockDetected")),
        ("LockNotAvailable: abbruch", ("LockNotAvailable", "OperationalError")),
        ("SerializationError: x", ("SerializationError", "TransactionRollbackError")),
    ],
)
def test_death_of_lock_contention_is_reported_as_that(error: str, kinds: tuple[str, ...]) -> None:
    answer = everyone_ends(Telling("a", "b").raises("a", 2, error, kinds).history())
    assert answer.status == "holds"
    assert answer.reason == "2 survivors ended, a without harm of lock contention"


def test_other_operational_errors_are_no_contention() -> None:
    assert ended(Telling("a").raises("a", 2, "OperationalError: no such table: tasks", ("OperationalError",))) == (
        "violated"
    )


def test_the_harness_own_victims_are_not_judged() -> None:
    assert ended(Telling("a", "b").is_killed("a", 2).is_told_to_go("b", 3)) == "holds"


def test_a_restart_mends_an_earlier_life() -> None:
    assert ended(Telling("a").raises("a", 2).restarts("a", 3)) == "holds"
    assert ended(Telling("a").is_killed("a", 2).restarts("a", 3).raises("a", 4)) == "violated"


def test_longer_than_the_harness_waited_is_not_for_ever() -> None:
    answer = everyone_ends(Telling("a", "b").claims("a", 1).is_still_running("b").history())
    assert answer.status == "unknown"
    assert answer.reason == "b was still running after 60 s, when the harness ended the run"
    assert everyone_ends(Telling("a").claims("a", 1).so_far()).status == "unknown"


def test_a_bad_end_outranks_one_that_did_not_come() -> None:
    assert ended(Telling("a", "b").is_still_running("a").raises("b", 2)) == "violated"


def test_k65_the_waiter_acts_on_the_row_that_it_read_at_claim_time() -> None:
    telling = Telling("a", "b").claims("a", 1).finds_it_held("b", 1).decides("a", "accepted", 2)
    history = telling.learns("b", None, 2, 3, status="ACTIVE").history()
    answer = everyone_ends(history)
    assert answer.status == "violated"
    assert answer.reason == "b ended without the decision 'accepted' that a made on wakeup (it saw 'ACTIVE')"
    assert [getattr(item, "function", "") for item in answer.evidence] == ["decide", "observe"]


def test_k71_a_rejection_is_reported_as_a_time_out() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "rejected", 2)
    assert ended(telling.learns("b", None, 1, 3, status="timed out")) == "violated"


def test_k69_the_waiter_gives_up_just_before_the_decision() -> None:
    assert ended(Telling("a", "b").claims("a", 1).learns("b", None, 1, 3).decides("a", "x", 4)) == "violated"


def test_a_waiter_that_was_refused_is_left_out_too() -> None:
    telling = Telling("a", "b").decides("a", "x", 1).decides("b", "y", 2, outcome="fail")
    assert ended(telling.learns("b", None, 3)) == "violated"


@pytest.mark.parametrize("how", ["waits again", "reads", "decides", "is deferred", "waited in another thread"])
def test_a_time_out_is_no_harm_to_whoever_knows_in_the_end(how: str) -> None:
    telling = Telling("a", "b").learns("b", None, 1, 2)
    if how == "waits again":
        telling.decides("a", "x", 3).learns("b", "x", 4)
    elif how == "reads":
        telling.decides("a", "x", 3).does("b", "read", 4, value="x")
    elif how == "decides":
        telling.decides("b", "x", 3)
    elif how == "is deferred":
        telling.decides("a", "deferred", 3).learns("b", "deferred", 4)
    else:
        telling.decides("a", "x", 3).does("b", "observe", 0.5, 5, value="x", actor="Thread-1")
    assert ended(telling) == "holds"


def test_nobody_is_left_out_of_what_was_not_decided() -> None:
    assert ended(Telling("a", "b").claims("a", 1).learns("b", None, 1, 3)) == "holds"
    in_doubt = Telling("a", "b").claims("a", 1).decides("a", "x", 2).is_killed("a", 3)
    assert ended(in_doubt.learns("b", None, 1, 4)) == "holds"
    assert ended(Telling("a", "b").decides("a", None, 1).learns("b", None, 2)) == "holds"


def test_a_decision_that_somebody_saw_is_one_also_without_its_maker() -> None:
    telling = Telling("a", "b", "c").claims("a", 1).decides("a", "x", 2).is_killed("a", 3).learns("c", "x", 2, 2.5)
    assert ended(telling.learns("b", None, 1, 4)) == "violated"


def test_whoever_died_of_contention_while_it_waited_is_not_left_out() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "x", 2)
    telling.does("b", "observe", 1, 3, outcome="info").raises("b", 3, "OperationalError: database is locked")
    assert ended(telling) == "holds"


def test_a_victim_or_an_earlier_life_may_end_without() -> None:
    telling = Telling("a", "b").decides("a", "x", 1).learns("b", None, 2).is_killed("b", 3)
    assert ended(telling) == "holds"
    assert ended(telling.restarts("b", 4).learns("b", "x", 5)) == "holds"


# -- someone decides ----------------------------------------------------------------------------------------------


def settled(telling: Telling) -> Status:
    return someone_decides(telling.history()).status


def test_decided_or_seen_decided() -> None:
    answer = someone_decides(Telling("a").claims("a", 1).decides("a", "x", 2).history())
    assert (answer.status, answer.reason) == ("holds", "1 tasks, each decided")
    assert settled(Telling("a", "b").finds_it_held("a", 1).learns("a", "x", 2)) == "holds"


def test_k63_the_claimant_crashes_and_every_waiter_gives_up() -> None:
    history = Telling("a", "b").claims("a", 1).is_killed("a", 2).learns("b", None, 1, 9).history()
    answer = someone_decides(history)
    assert answer.status == "violated"
    assert answer.reason == "nobody ever decided wakeup; a had claimed it"
    assert answer.evidence == history.operations[:1]


def test_k60_a_restarted_claimant_becomes_the_observer_of_its_own_claim() -> None:
    telling = Telling("a").claims("a", 1).is_killed("a", 2).restarts("a", 3)
    assert settled(telling.finds_it_held("a", 4).learns("a", None, 5)) == "violated"


def test_k16_claimed_and_never_done() -> None:
    assert settled(Telling("a").claims("a", 1)) == "violated"


def test_a_deferral_is_an_answer() -> None:
    assert settled(Telling("a").claims("a", 1).decides("a", "deferred", 2)) == "holds"
    assert settled(Telling("a").learns("a", "deferred", 2)) == "holds"


def test_a_refused_decision_is_none() -> None:
    assert settled(Telling("a").decides("a", "x", 1, outcome="fail")) == "violated"


def test_a_look_takes_nothing_up() -> None:
    assert settled(Telling("a").does("a", "read", 1)) == "holds"


@pytest.mark.parametrize("who", ["is_killed", "is_still_running", "unlucky"])
def test_where_nobody_could_nothing_can_be_said(who: str) -> None:
    telling = Telling("a").claims("a", 1)
    if who == "unlucky":
        telling.raises("a", 2, "OperationalError: database is locked")
    else:
        getattr(telling, who)("a", 30)
    assert settled(telling) == "unknown"


def test_somebody_still_runs() -> None:
    history: History = Telling("a", "b").claims("a", 1).returns("a", 2).so_far()
    assert someone_decides(history).status == "unknown"


def test_a_decision_that_died_with_its_maker() -> None:
    telling = Telling("a", "b").claims("a", 1).decides("a", "x", 2).is_killed("a", 3).finds_it_held("b", 1)
    assert settled(telling) == "unknown"
    assert settled(telling.restarts("b", 51).learns("b", None, 52, 53)) == "violated"


def test_a_decider_that_was_cut_short_may_have_decided_untold() -> None:
    telling = Telling("a", "b").claims("a", 1).is_killed("a", 2).finds_it_held("b", 1)
    answer = someone_decides(telling.history())
    assert (answer.status, answer.reason) == ("unknown", "whether a decided wakeup before it ended cannot be told")


def test_so_may_one_that_obeyed_sigterm() -> None:
    telling = Telling("a", "b").claims("a", 1).is_told_to_go("a", 2, reason="returned")
    assert settled(telling.finds_it_held("b", 1)) == "unknown"


def test_a_zombie_whose_own_look_was_in_vain_may_have_decided_later() -> None:
    """Lines that are read late: a claim that may have taken over puts the decision in doubt."""
    telling = Telling("a", "b").does("b", "claim", 9, 9, value=True).is_killed("b", 3).learns("a", None, 1)
    telling.does("a", "claim", 9.1, 9.1, value=True, lease=1.0).decides("a", "x", 9.2, 9.2)
    assert settled(telling) == "unknown"


def test_who_reads_a_decision_shows_that_there_is_one() -> None:
    assert settled(Telling("a").finds_it_held("a", 1).does("a", "read", 2, value="x")) == "holds"


def test_an_open_task_outranks_one_of_which_nothing_can_be_said() -> None:
    telling = Telling("a", "b").claims("a", 1, task="one").is_killed("a", 2)
    assert settled(telling.claims("b", 3, task="two")) == "violated"
