"""The wakeup and shutdown processors: one decides, all end with that decision."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

import reference_impl as ref
from reference_impl.affirmations import affirm_all
from reference_impl.schema import tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from .conftest import Alter, MakeCoordinator

    Arrange = Callable[[Callable[[], object]], None]

ACCEPT = ref.Decision("accepted", "planned")
REJECT = ref.Decision("rejected", "work in progress")


def never(_argument: object) -> ref.Decision:
    """Stand where nothing may be decided."""
    raise AssertionError("an observer decided")


def wakeup(coordinator: ref.Coordinator, affirm: Callable[[int], None] | None = None) -> ref.WakeupResult:
    return ref.WakeupProcessor(coordinator, affirm=affirm).run()


def shutdown(
    coordinator: ref.Coordinator, answer: Callable[[ref.Task], ref.Decision], request: str = "r"
) -> ref.ShutdownResult:
    return ref.ShutdownProcessor(coordinator, answer, request=request, reason="upgrade").run()


def claim_shutdown(engine: Engine, who: str = "a", lease: float = 30.0) -> ref.Task:
    return ref.try_claim_shared_task(engine, "shutdown", occurrence_id=who, request="r", lease_seconds=lease)[0]


def shared_rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(
            select(func.count()).select_from(tasks).where(tasks.c.agent_occurrence_id == ref.SHARED)
        ).scalar_one()


def test_one_occurrence_wakes_up_for_all(engine: Engine, make_coordinator: MakeCoordinator) -> None:
    """Three wake up: one does five affirmations, which are its own rows, the others join."""
    steps: list[int] = []
    results = [wakeup(make_coordinator(who), steps.append) for who in ("a", "b", "c")]
    assert steps == [0, 1, 2, 3, 4]
    assert all(result.wakeup_complete and result.errors == 0 for result in results)
    assert [result.decided_here for result in results] == [True, False, False]
    thoughts = ref.get_thoughts_by_task_id(engine, results[0].task_id)
    assert [(thought.step, thought.agent_occurrence_id) for thought in thoughts] == [(n, "a") for n in range(5)]
    assert shared_rows(engine) == 1


def test_process_runs_beside_the_event_loop(make_coordinator: MakeCoordinator) -> None:
    """The asynchronous form of three occurrences at once in one program ends in one wakeup."""

    async def fleet() -> list[ref.WakeupResult]:
        return await asyncio.gather(*(ref.WakeupProcessor(make_coordinator(who)).process(1) for who in "abc"))

    results = asyncio.run(fleet())
    assert [result.wakeup_complete for result in results] == [True] * 3
    assert sum(result.decided_here for result in results) == 1


def test_a_second_claimant_does_only_what_is_left(engine: Engine, make_coordinator: MakeCoordinator) -> None:
    """Affirmations that a dead claimant had finished are not done again."""

    def dies(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wakeup(make_coordinator("a"), dies)
    steps: list[int] = []
    result = wakeup(make_coordinator("a"), steps.append)
    assert result.wakeup_complete
    assert steps == [3, 4]


def test_an_affirmation_that_raises_fails_the_wakeup_for_all(make_coordinator: MakeCoordinator) -> None:
    """The claimant does not die of it; everybody learns why."""

    def raises(_step: int) -> None:
        raise RuntimeError("no identity")

    mine = wakeup(make_coordinator("a"), raises)
    theirs = wakeup(make_coordinator("b"))
    for result in (mine, theirs):
        assert (result.wakeup_complete, result.errors) == (False, 1)
        assert "RuntimeError: no identity" in result.message


def test_k64_nobody_joins_after_a_failed_wakeup(engine: Engine, make_coordinator: MakeCoordinator) -> None:
    """FAILED is not completed, and the way to try again is a new request."""
    task, _ = ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")
    ref.decide_shared_task(engine, task, "failed", "broken")
    assert not wakeup(make_coordinator("b")).wakeup_complete
    assert not ref.is_shared_task_completed(engine, "WAKEUP_SHARED")
    assert ref.WakeupProcessor(make_coordinator("b"), request="again").run().wakeup_complete


def test_k65_an_accepted_shutdown_is_executed_by_the_waiter(
    engine: Engine, make_coordinator: MakeCoordinator, during_the_wait: Arrange
) -> None:
    """A waiter that saw the row ACTIVE goes when it is accepted."""
    task = claim_shutdown(engine)
    during_the_wait(lambda: ref.decide_shared_task(engine, task, ACCEPT.value, ACCEPT.reason))
    result = shutdown(make_coordinator("b"), never)
    assert result.shutdown_ready
    assert (result.status, result.action, result.reason) == ("completed", "shutdown_accepted", "planned")


def test_k71_a_rejection_is_never_reported_as_a_time_out(
    engine: Engine, make_coordinator: MakeCoordinator, during_the_wait: Arrange
) -> None:
    """The waiter stays, and knows the reason."""
    task = claim_shutdown(engine)
    during_the_wait(lambda: ref.decide_shared_task(engine, task, REJECT.value, REJECT.reason))
    result = shutdown(make_coordinator("b"), never)
    assert not result.shutdown_ready
    assert (result.status, result.action, result.errors) == ("rejected", "shutdown_rejected", 0)
    assert result.reason == "work in progress"
    assert "occurrence a" in result.message


@pytest.mark.parametrize(
    ("decision", "status", "ready"),
    [("accepted", "completed", True), ("rejected", "rejected", False), ("deferred", "deferred", False)],
)
def test_all_end_with_the_one_answer(
    make_coordinator: MakeCoordinator, decision: str, status: str, ready: bool
) -> None:
    """The claimant and a late joiner get the same result."""
    results = [
        shutdown(make_coordinator("a"), lambda _task: ref.Decision(decision, "because")),
        shutdown(make_coordinator("b"), never),
    ]
    assert {(result.status, result.shutdown_ready, result.reason) for result in results} == {(status, ready, "because")}


def test_k62_the_next_request_is_decided_anew(make_coordinator: MakeCoordinator) -> None:
    """The morning's acceptance does not answer the evening's request (K49)."""
    assert shutdown(make_coordinator("a"), lambda _task: ACCEPT, "morning").shutdown_ready
    assert shutdown(make_coordinator("b"), lambda _task: REJECT, "evening").status == "rejected"


def test_an_answer_that_is_none_fails_the_request(make_coordinator: MakeCoordinator) -> None:
    """A shutdown is not accepted by a value that nobody understands."""
    result = shutdown(make_coordinator("a"), lambda _task: ref.Decision("maybe"))
    assert (result.status, result.shutdown_ready, result.errors) == ("error", False, 1)
    assert "'maybe'" in result.reason


def test_k63_a_waiter_takes_over_from_a_claimant_that_dies(
    engine: Engine, make_coordinator: MakeCoordinator, alter: Alter, during_the_wait: Arrange
) -> None:
    """The lease runs out during the wait, and the waiter decides instead of failing after 300 s."""
    task = claim_shutdown(engine)
    during_the_wait(lambda: alter(task, lease_until=0.0))
    result = shutdown(make_coordinator("b"), lambda _task: REJECT)
    assert result.decided_here
    with pytest.raises(ref.Refused):
        ref.complete_shared_task(engine, task)


def test_a_long_deliberation_keeps_its_lease(
    make_coordinator: MakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is renewed while the claimant thinks, so that nobody takes it for dead (K43)."""
    beats = threading.Semaphore(0)
    monkeypatch.setattr("reference_impl.decisions.heartbeat", lambda *_arguments: beats.release())

    def thinks_until_the_second_beat(_task: ref.Task) -> ref.Decision:
        return ACCEPT if all(beats.acquire(timeout=10) for _ in range(2)) else REJECT

    coordinator = replace(make_coordinator("a"), lease_seconds=0.003)
    assert shutdown(coordinator, thinks_until_the_second_beat).shutdown_ready


def test_who_lost_the_task_affirms_nothing(engine: Engine, alter: Alter) -> None:
    """The right is renewed before each step, and not only recorded after it."""
    task, _ = ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")
    alter(task, token=2)
    with pytest.raises(ref.Refused):
        affirm_all(engine, task, never_affirm, 30.0)


def test_k69_a_waiter_whose_time_is_up_ends_the_question_for_all(
    engine: Engine, make_coordinator: MakeCoordinator
) -> None:
    """Waiter and late claimant agree that it failed."""
    task = claim_shutdown(engine)
    result = shutdown(make_coordinator("b", timeout=0.0), never)
    assert (result.status, result.shutdown_ready) == ("error", False)
    assert "no decision of a" in result.reason
    with pytest.raises(ref.Refused):
        ref.decide_shared_task(engine, task, "accepted")
    assert shutdown(make_coordinator("a"), never).reason == result.reason


def test_k69_a_claimant_that_is_refused_adopts_what_holds(engine: Engine, make_coordinator: MakeCoordinator) -> None:
    """A decision that comes too late is dropped for the one that the others know."""

    def too_late(task: ref.Task) -> ref.Decision:
        ref.give_up_shared_task(engine, task.task_id, occurrence_id="b", reason="300 s are over")
        return ACCEPT

    result = shutdown(make_coordinator("a"), too_late)
    assert not result.shutdown_ready
    assert (result.decided_here, result.reason) == (False, "300 s are over")


def test_k70_after_midnight_the_waiter_follows_to_the_new_row(
    engine: Engine, make_coordinator: MakeCoordinator, alter: Alter, during_the_wait: Arrange
) -> None:
    """The row it waits for is abandoned, somebody answers under the new date, and the waiter hears that answer."""
    old, _ = ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")
    yesterday = replace(old, task_id="WAKEUP_SHARED_20200101")
    alter(old, task_id=yesterday.task_id)

    def claimant_dies_and_another_starts() -> None:
        alter(yesterday, lease_until=0.0)
        assert wakeup(make_coordinator("c")).decided_here

    during_the_wait(claimant_dies_and_another_starts)
    result = wakeup(make_coordinator("b"), never_affirm)
    assert result.wakeup_complete
    assert result.task_id == old.task_id
    assert "c completed" in result.message


def never_affirm(_step: int) -> None:
    """Stand where nothing may be affirmed."""
    raise AssertionError("an observer affirmed")


def test_k70_a_row_that_vanishes_is_asked_for_again(
    engine: Engine, make_coordinator: MakeCoordinator, alter: Alter, during_the_wait: Arrange
) -> None:
    """A waiter whose row was deleted claims the question itself instead of waiting for ever."""
    task = claim_shutdown(engine)
    during_the_wait(lambda: alter(task, agent_occurrence_id="elsewhere"))
    assert shutdown(make_coordinator("b"), lambda _task: ACCEPT).decided_here


def test_without_coordination_each_decides_alone(engine: Engine, make_coordinator: MakeCoordinator) -> None:
    """As before: no shared row, no waiting, everybody its own answer."""
    affirmed: list[int] = []
    for who in ("a", "b"):
        assert wakeup(make_coordinator(who, enabled=False), affirmed.append).decided_here
    assert affirmed == [0, 1, 2, 3, 4] * 2
    answers = [
        shutdown(make_coordinator(who, enabled=False), lambda _task, d=decision: d).status  # type: ignore[misc]
        for who, decision in (("a", ACCEPT), ("b", REJECT))
    ]
    assert answers == ["completed", "rejected"]
    assert shared_rows(engine) == 0


def test_hooks_hear_each_step(make_coordinator: MakeCoordinator) -> None:
    """The claimant claims and decides, the observer claims and observes, in this order."""
    heard: list[tuple[str, object]] = []

    class Listener(ref.Hooks):
        def claimed(self, task: ref.Task, mine: bool) -> None:
            heard.append(("claimed", mine))

        def deciding(self, task: ref.Task, decision: ref.Decision) -> None:
            heard.append(("deciding", decision.value))

        def observed(self, task: ref.Task) -> None:
            heard.append(("observed", task.decision))

    for who in ("a", "b"):
        base = make_coordinator(who)
        wakeup(ref.Coordinator(engine=base.engine, occurrence_id=who, config=base.config, hooks=Listener()))
    assert heard == [("claimed", True), ("deciding", "accepted"), ("claimed", False), ("observed", "accepted")]


def test_the_claimant_is_told_for_how_many_it_decides(engine: Engine, make_coordinator: MakeCoordinator) -> None:
    """Descriptions carry the multi-occurrence context and the reason."""
    told: list[str] = []

    def answer(task: ref.Task) -> ref.Decision:
        told.append(task.description)
        return ACCEPT

    for request, count in (("one", 1), ("nine", 9)):
        ref.ShutdownProcessor(
            make_coordinator("a"), answer, request=request, reason="upgrade", occurrence_count=count
        ).run()
    assert told[0] == "Shutdown requested: upgrade"
    assert "9 occurrences" in told[1]
    assert "upgrade" in told[1]
    result = ref.WakeupProcessor(make_coordinator("a"), occurrence_count=9).run()
    task = ref.read_task(engine, result.task_id)
    assert task is not None
    assert "9 occurrences" in task.description


def test_log_lines_name_the_occurrence(make_coordinator: MakeCoordinator, caplog: pytest.LogCaptureFixture) -> None:
    """Logs of a fleet are read side by side."""
    caplog.set_level("INFO")
    wakeup(make_coordinator("occ-7"))
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("reference_impl")]
    assert lines
    assert all("ccurrence occ-7" in line for line in lines)
