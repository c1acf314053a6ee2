"""Claiming: who gets the right to decide, under which id, and when it passes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, update

import reference_impl as ref
from reference_impl.schema import tasks

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from .conftest import Alter

YESTERDAY = "WAKEUP_SHARED_20200101"


def claim(
    engine: Engine, who: str, *, request: str | None = None, task_type: str = "wakeup", lease: float = 30.0
) -> tuple[ref.Task, bool]:
    return ref.try_claim_shared_task(
        engine, task_type, occurrence_id=who, request=request, lease_seconds=lease, description="why"
    )


def test_the_first_claims_and_the_second_finds_it(engine: Engine) -> None:
    """Exactly one of two claims is mine, and both speak of the same shared row."""
    first, mine = claim(engine, "a")
    second, also_mine = claim(engine, "b")
    assert (mine, also_mine) == (True, False)
    assert first.task_id == second.task_id
    assert second.agent_occurrence_id == ref.SHARED
    assert second.claimant == "a"


def test_what_the_claim_returns_is_what_the_row_says(engine: Engine) -> None:
    """The fresh claim builds its record itself; it must equal the row that it wrote."""
    task, _ = claim(engine, "a", request="r")
    row = ref.read_task(engine, task.task_id)
    assert row is not None
    assert {**_columns(row), "read_at": 0} == {**_columns(task), "read_at": 0}


def _columns(task: ref.Task) -> dict[str, object]:
    return {name: getattr(task, name) for name in ref.Task.__dataclass_fields__}


def test_a_fresh_claim_is_one_statement(engine: Engine) -> None:
    """No look before the insert: between the two there would be room for a peer."""
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    claim(engine, "a")
    assert [statement.split()[0] for statement in statements] == ["INSERT"]


def test_a_decided_task_is_found_and_not_claimed_again(engine: Engine) -> None:
    """Late joiners find the decision, the former claimant included (K41)."""
    task, _ = claim(engine, "a")
    ref.complete_shared_task(engine, task)
    for who in ("a", "b"):
        found, mine = claim(engine, who)
        assert not mine
        assert found.decision == "accepted"


def test_types_are_separate_questions(engine: Engine) -> None:
    """Wakeup and shutdown do not answer each other."""
    assert claim(engine, "a", task_type="wakeup")[1]
    assert claim(engine, "b", task_type="shutdown")[1]


def test_k60_a_restarted_claimant_finds_its_claim_again(engine: Engine) -> None:
    """The same occurrence id resumes its live claim, and the hold before the restart is fenced."""
    before, _ = claim(engine, "a")
    after, mine = claim(engine, "a")
    assert mine
    assert after.task_id == before.task_id
    assert after.token == before.token + 1
    with pytest.raises(ref.Refused):
        ref.complete_shared_task(engine, before)
    assert ref.complete_shared_task(engine, after).decision == "accepted"


def test_k61_one_clock_for_the_id_the_times_and_the_lease(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The date in the id is that of created_at, whatever the occurrence's own clock says."""
    monkeypatch.setattr("time.time", lambda: 0.0)
    task, _ = claim(engine, "a", lease=30.0)
    assert task.task_id == f"WAKEUP_SHARED_{task.created:%Y%m%d}"
    assert task.created.year > 2020
    assert task.created_at == task.updated_at
    assert task.updated == task.created
    assert task.lease_until - task.created_at == pytest.approx(30.0, abs=0.001)


def test_k62_a_second_request_of_the_day_is_a_new_question(engine: Engine) -> None:
    """An accepted request does not answer the next one."""
    first, _ = claim(engine, "a", task_type="shutdown", request="r1")
    ref.complete_shared_task(engine, first)
    second, mine = claim(engine, "b", task_type="shutdown", request="r2")
    assert mine
    assert second.task_id == first.task_id.removesuffix("r1") + "r2"
    assert not claim(engine, "c", task_type="shutdown", request="r1")[1]


def test_k63_a_dead_claimant_is_taken_over_once(engine: Engine) -> None:
    """After the lease has run out the first to ask gets the task with a higher token, the next does not."""
    dead, _ = claim(engine, "a", lease=0.0)
    heir, mine = claim(engine, "b")
    assert mine
    assert (heir.claimant, heir.token) == ("b", dead.token + 1)
    assert not claim(engine, "c")[1]
    with pytest.raises(ref.Refused, match="token 2"):
        ref.complete_shared_task(engine, dead)


def test_a_live_claim_is_not_taken_over(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader whose own clock is hours ahead does not take a lease for dead (K47)."""
    claim(engine, "a")
    future = time.time() + 7200
    monkeypatch.setattr("time.time", lambda: future)
    assert not claim(engine, "b")[1]


def test_an_open_question_outlives_midnight(engine: Engine, alter: Alter) -> None:
    """Who asks after midnight joins the live claim of before; there are no two claimants (K46)."""
    before, _ = claim(engine, "a")
    alter(before, task_id=YESTERDAY)
    found, mine = claim(engine, "b")
    assert not mine
    assert found.task_id == YESTERDAY
    seen = ref.read_shared_task(engine, "wakeup")
    assert seen is not None
    assert seen.task_id == YESTERDAY


def test_a_restart_over_midnight_resumes_the_live_claim(engine: Engine, alter: Alter) -> None:
    """The claimant's lease counts, not the date in the id."""
    before, _ = claim(engine, "a")
    alter(before, task_id=YESTERDAY)
    found, mine = claim(engine, "a")
    assert (found.task_id, mine) == (YESTERDAY, True)


def test_a_dead_claim_of_an_earlier_day_is_closed_and_asked_anew(engine: Engine, alter: Alter) -> None:
    """Today's question gets today's row; yesterday's ends as abandoned and answers nobody (K10)."""
    dead, _ = claim(engine, "a", lease=0.0)
    alter(dead, task_id=YESTERDAY)
    fresh, mine = claim(engine, "b")
    assert mine
    assert fresh.task_id != YESTERDAY
    old = ref.read_task(engine, YESTERDAY)
    assert old is not None
    assert old.abandoned
    assert not claim(engine, "c")[1]


def test_a_decision_of_an_earlier_day_does_not_answer_today(engine: Engine, alter: Alter) -> None:
    """A new period is a new question (K09)."""
    old, _ = claim(engine, "a")
    ref.complete_shared_task(engine, old)
    alter(old, task_id=YESTERDAY)
    assert ref.read_shared_task(engine, "wakeup") is None
    assert claim(engine, "b")[1]


def test_a_request_is_the_same_question_on_the_next_day(engine: Engine, alter: Alter) -> None:
    """A request that is decided just before midnight is not decided again just after it."""
    old, _ = claim(engine, "a", request="r")
    alter(old, task_id=f"{YESTERDAY}_r")
    assert claim(engine, "b", request="r")[0].claimant == "a"
    ref.complete_shared_task(engine, old_as_stored := _stored(engine, f"{YESTERDAY}_r"))
    found, mine = claim(engine, "b", request="r")
    assert (found.task_id, mine) == (old_as_stored.task_id, False)


def test_a_dead_claim_of_a_request_is_taken_over_on_any_day(engine: Engine, alter: Alter) -> None:
    """A request has one row for ever, so its heir takes that one."""
    old, _ = claim(engine, "a", request="r", lease=0.0)
    alter(old, task_id=f"{YESTERDAY}_r")
    found, mine = claim(engine, "b", request="r")
    assert (found.task_id, mine, found.token) == (f"{YESTERDAY}_r", True, 2)


def _stored(engine: Engine, task_id: str) -> ref.Task:
    task = ref.read_task(engine, task_id)
    assert task is not None
    return task


def test_a_take_over_that_lost_the_race_finds_the_winner(engine: Engine) -> None:
    """The compare-and-set is on the token that was read: of two who saw the lapsed row one gets it."""
    claim(engine, "a", lease=0.0)
    raced: list[bool] = []

    def somebody_is_faster(*arguments: object) -> None:
        if str(arguments[2]).startswith("UPDATE") and not raced:
            raced.append(True)
            raced.append(claim(engine, "b")[1])

    event.listen(engine, "before_cursor_execute", somebody_is_faster)
    found, mine = claim(engine, "c")
    assert raced == [True, True]
    assert (found.claimant, mine) == ("b", False)


def test_rows_that_vanish_each_time_end_in_an_error(engine: Engine) -> None:
    """A peer that deletes the row whenever it was found taken, and puts it back, makes no endless loop (K14)."""
    task, _ = claim(engine, "a")

    def vanish(*arguments: object) -> None:
        statement = str(arguments[2])
        if statement.startswith("SELECT"):
            _change(engine, agent_occurrence_id="elsewhere")
        elif statement.startswith("INSERT"):
            _change(engine, agent_occurrence_id=ref.SHARED)

    event.listen(engine, "before_cursor_execute", vanish)
    with pytest.raises(ref.CoordinationError, match="kept changing"):
        claim(engine, "b")
    assert task.claimant == "a"


def _change(engine: Engine, **columns: object) -> None:
    with engine.begin() as connection:
        connection.execute(update(tasks).values(**columns))


def test_local_tasks_are_always_new_and_always_mine(engine: Engine) -> None:
    """Without coordination two occurrences, and two questions of one, have nothing to do with each other."""
    made = [ref.claim_local_task(engine, "wakeup", occurrence_id=who) for who in ("a", "b", "a")]
    assert len({task.task_id for task in made}) == 3
    assert [task.agent_occurrence_id for task in made] == ["a", "b", "a"]
    assert ref.read_shared_task(engine, "wakeup") is None


@pytest.mark.parametrize("task_type", ["", "wake up", "wake%", "9lives", "x" * 65])
def test_a_task_type_that_is_no_name_is_refused(engine: Engine, task_type: str) -> None:
    """The type becomes part of an id that people search for."""
    with pytest.raises(ref.ConfigurationError, match="task type"):
        ref.try_claim_shared_task(engine, task_type, occurrence_id="a")


@pytest.mark.parametrize("request_id", ["", "a\nb", "x" * 201])
def test_a_request_that_is_no_name_is_refused(engine: Engine, request_id: str) -> None:
    """An empty request would silently mean: once per day."""
    with pytest.raises(ref.ConfigurationError, match="request id"):
        ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a", request=request_id)


@pytest.mark.parametrize("occurrence_id", ["", "  ", "__shared__", "a\x00"])
def test_an_occurrence_id_that_cannot_be_one_is_refused(engine: Engine, occurrence_id: str) -> None:
    """The shared namespace is nobody's id."""
    with pytest.raises(ref.ConfigurationError, match="occurrence id"):
        ref.try_claim_shared_task(engine, "wakeup", occurrence_id=occurrence_id)


def test_claims_are_right_on_an_engine_of_somebody_elses_making(foreign_engine: Engine) -> None:
    """Nothing but speed and patience depends on make_engine."""
    task, mine = claim(foreign_engine, "a")
    assert mine
    assert not claim(foreign_engine, "b")[1]
    assert ref.complete_shared_task(foreign_engine, task).decision == "accepted"
