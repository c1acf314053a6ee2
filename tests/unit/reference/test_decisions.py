"""Deciding, renewing and giving up: what the row accepts, and from whom."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

import reference_impl as ref
from reference_impl.decisions import holding
from reference_impl.schema import thoughts

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from .conftest import Alter


@pytest.fixture
def held(engine: Engine) -> ref.Task:
    return ref.try_claim_shared_task(engine, "shutdown", occurrence_id="a", request="r")[0]


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        ("accepted", ref.TaskStatus.COMPLETED),
        ("rejected", ref.TaskStatus.REJECTED),
        ("failed", ref.TaskStatus.FAILED),
        ("deferred", ref.TaskStatus.DEFERRED),
        ("version 7", ref.TaskStatus.COMPLETED),
    ],
)
def test_a_decision_is_stored_exactly(engine: Engine, held: ref.Task, decision: str, status: ref.TaskStatus) -> None:
    """Status, value and reason can be read by everybody."""
    ref.decide_shared_task(engine, held, decision, "because")
    seen = ref.read_task(engine, held.task_id)
    assert seen is not None
    assert (seen.status, seen.decision, seen.reason, seen.final) == (status, decision, "because", True)


@pytest.mark.parametrize("first", ["accepted", "rejected", "failed", "deferred"])
def test_a_final_state_never_changes(engine: Engine, held: ref.Task, first: str) -> None:
    """Neither a second decision, nor a heartbeat, nor a waiter that gives up, moves a decided row."""
    decided = ref.decide_shared_task(engine, held, first)
    with pytest.raises(ref.Refused) as refused:
        ref.decide_shared_task(engine, held, "other")
    assert refused.value.task is not None
    assert refused.value.task.decision == first
    with pytest.raises(ref.Refused):
        ref.heartbeat(engine, held)
    assert ref.give_up_shared_task(engine, held.task_id, occurrence_id="b", reason="late").decision == first
    assert ref.read_task(engine, held.task_id, namespace=ref.SHARED).updated_at == decided.updated_at  # type: ignore[union-attr]


@pytest.mark.parametrize("column", ["claimant", "token"])
def test_only_the_current_hold_may_write(engine: Engine, held: ref.Task, alter: Alter, column: str) -> None:
    """A hold with another claimant or another token is refused, and the refusal names both."""
    alter(held, **{column: "b" if column == "claimant" else 9})
    for write in (ref.complete_shared_task, ref.heartbeat):
        with pytest.raises(ref.Refused, match=r"occurrence a with token 1 could not .* ACTIVE under"):
            write(engine, held)


def test_a_write_on_a_deleted_row_is_refused(engine: Engine, held: ref.Task, alter: Alter) -> None:
    """A decision that nobody can read is not reported as made (K16)."""
    alter(held, agent_occurrence_id="elsewhere")
    with pytest.raises(ref.Refused, match="gone") as refused:
        ref.complete_shared_task(engine, held)
    assert refused.value.task is None


def test_a_heartbeat_keeps_the_claim(engine: Engine) -> None:
    """A lapsed lease that is renewed before anybody noticed is alive again, with the same token."""
    task, _ = ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a", lease_seconds=0.0)
    renewed = ref.heartbeat(engine, task, 30.0)
    assert (renewed.token, renewed.lapsed) == (1, False)
    assert not ref.try_claim_shared_task(engine, "wakeup", occurrence_id="b")[1]


def test_the_lease_is_kept_in_the_background(engine: Engine, held: ref.Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the caller thinks, heartbeats go on, and they end with it (K43)."""
    beats = threading.Semaphore(0)
    monkeypatch.setattr("reference_impl.decisions.heartbeat", lambda *_arguments: beats.release())
    with ref.lease_kept(engine, held, lease_seconds=0.003):
        assert all(beats.acquire(timeout=10) for _ in range(3))
    assert f"lease-{held.task_id}" not in {thread.name for thread in threading.enumerate()}


def test_the_background_stops_when_the_claim_is_lost(
    engine: Engine, held: ref.Task, alter: Alter, caplog: pytest.LogCaptureFixture
) -> None:
    """A fenced claimant does not beat on, and what it was doing is not interrupted."""
    alter(held, token=2)
    with ref.lease_kept(engine, held, lease_seconds=0.003):
        for thread in threading.enumerate():
            if thread.name == f"lease-{held.task_id}":
                thread.join(timeout=10)
                assert not thread.is_alive()
    assert "could not renew its lease" in caplog.text


def test_what_is_written_under_a_lost_claim_is_not_written(engine: Engine, held: ref.Task, alter: Alter) -> None:
    """The record of a step and the right to make it are one transaction."""
    alter(held, token=2)
    with pytest.raises(ref.Refused), holding(engine, held) as connection:
        connection.execute(insert(thoughts))
    assert ref.get_thoughts_by_task_id(engine, held.task_id) == []


def test_k69_a_waiter_that_gives_up_closes_the_task(engine: Engine, held: ref.Task) -> None:
    """The claimant that is ready a second later is refused, so nobody is in while another is out."""
    closed = ref.give_up_shared_task(engine, held.task_id, occurrence_id="b", reason="300 s are over")
    assert (closed.status, closed.reason) == (ref.TaskStatus.FAILED, "300 s are over")
    with pytest.raises(ref.Refused) as refused:
        ref.complete_shared_task(engine, held)
    assert refused.value.task is not None
    assert refused.value.task.reason == closed.reason


def test_k69_a_waiter_that_is_late_learns_the_decision(engine: Engine, held: ref.Task) -> None:
    """Giving up in the instant after the decision gives the decision back."""
    ref.decide_shared_task(engine, held, "rejected", "busy")
    seen = ref.give_up_shared_task(engine, held.task_id, occurrence_id="b", reason="300 s are over")
    assert (seen.decision, seen.reason) == ("rejected", "busy")


def test_giving_up_on_nothing_says_so(engine: Engine) -> None:
    """A row that is gone is neither a decision nor a time-out."""
    with pytest.raises(ref.TaskVanished, match="occurrence b"):
        ref.give_up_shared_task(engine, "NOTHING", occurrence_id="b", reason="late")
