"""Waiting: it ends in time, reads the row anew each time, and tells no row from no answer."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

import reference_impl as ref
from reference_impl import waiting
from reference_impl.waiting import poll_delays

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from .conftest import Alter


@pytest.fixture
def held(engine: Engine) -> ref.Task:
    return ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")[0]


def test_a_final_task_is_given_back_at_once(engine: Engine, held: ref.Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before the first look."""
    ref.complete_shared_task(engine, held)
    monkeypatch.setattr("time.sleep", lambda _seconds: pytest.fail("paused"))
    assert ref.wait_for_shared_task(engine, held.task_id, timeout_seconds=60).decision == "accepted"


def test_k65_the_decision_comes_from_the_row_as_it_is_now(
    engine: Engine, held: ref.Task, during_the_wait: Callable[[Callable[[], object]], None]
) -> None:
    """A decision made during the wait is the one that is returned, not the state at claim time."""
    during_the_wait(lambda: ref.decide_shared_task(engine, held, "rejected", "busy"))
    seen = ref.wait_for_shared_task(engine, held.task_id, timeout_seconds=60)
    assert (seen.decision, seen.reason) == ("rejected", "busy")


def test_k67_the_deadline_is_on_the_monotonic_clock(
    engine: Engine, held: ref.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of the wall clock neither end nor stretch a wait of 10 s."""
    now = itertools.count(start=0.0, step=1.0)
    wall = itertools.cycle([1e12, 0.0])
    pauses: list[float] = []
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    monkeypatch.setattr("time.time", lambda: next(wall))

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert len(pauses) < 100, "the wait does not end"

    monkeypatch.setattr("time.sleep", pause)
    seen = ref.wait_for_shared_task(engine, held.task_id, timeout_seconds=10)
    assert not seen.final
    assert len(pauses) == 9


def test_k68_the_first_looks_are_fast_and_none_is_in_step() -> None:
    """Pauses grow from milliseconds to the interval, never beyond, and differ between waiters."""
    one, other = (list(itertools.islice(poll_delays(5.0), 20)) for _ in range(2))
    assert one[0] <= 0.002
    assert sum(one[:5]) < 0.1
    assert all(2.5 <= delay <= 5.0 for delay in one[12:])
    assert one != other


def test_a_tiny_interval_is_kept_from_the_start() -> None:
    """The ramp never starts above the interval."""
    assert max(itertools.islice(poll_delays(0.0001), 10)) <= 0.0001


def test_k68_cannot_read_is_not_no_row(engine: Engine, held: ref.Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer for a moment costs a look, not the wait."""
    ref.complete_shared_task(engine, held)
    answers = [OperationalError("SELECT", {}, Exception("database is locked"))]
    real = ref.read_task

    def read(engine: Engine, task_id: str, *, namespace: str) -> ref.Task | None:
        if answers:
            raise answers.pop()
        return real(engine, task_id, namespace=namespace)

    monkeypatch.setattr(waiting, "read_task", read)
    assert ref.wait_for_shared_task(engine, held.task_id, timeout_seconds=60).decision == "accepted"


def test_k68_no_answer_until_the_end_says_so(engine: Engine, held: ref.Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time is up without an answer nothing is known, and the cause is kept."""

    def read(*_arguments: object, **_more: object) -> None:
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(waiting, "read_task", read)
    with pytest.raises(ref.CannotRead, match="its decision is unknown") as caught:
        ref.wait_for_shared_task(engine, held.task_id, timeout_seconds=0)
    assert isinstance(caught.value.__cause__, OperationalError)


def test_a_row_that_vanishes_ends_the_wait(
    engine: Engine, held: ref.Task, alter: Alter, during_the_wait: Callable[[Callable[[], object]], None]
) -> None:
    """Nobody will ever decide a row that is gone (K14, K45)."""
    during_the_wait(lambda: alter(held, agent_occurrence_id="elsewhere"))
    with pytest.raises(ref.TaskVanished):
        ref.wait_for_shared_task(engine, held.task_id, timeout_seconds=3600)


def test_a_wait_of_no_time_looks_once(engine: Engine, held: ref.Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero and negative durations are looks."""
    monkeypatch.setattr("time.sleep", lambda _seconds: pytest.fail("paused"))
    for seconds in (0, -1):
        assert not ref.wait_for_shared_task(engine, held.task_id, timeout_seconds=seconds).final


def test_a_lapsed_lease_ends_the_wait_of_one_who_would_take_over(engine: Engine) -> None:
    """So that a dead claimant costs its lease and not the whole time-out (K63)."""
    task, _ = ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a", lease_seconds=0.0)
    seen = ref.wait_for_shared_task(engine, task.task_id, timeout_seconds=3600, stop_when_lapsed=True)
    assert seen.lapsed
