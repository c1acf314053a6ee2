"""Looking from outside: by prefix and age, and how many occurrences there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import reference_impl as ref

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from .conftest import Alter


@pytest.fixture
def held(engine: Engine) -> ref.Task:
    return ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")[0]


def test_nothing_is_there_at_first(engine: Engine) -> None:
    """An empty database has no status and is not completed."""
    assert ref.get_shared_task_status(engine, "WAKEUP_SHARED") is None
    assert not ref.is_shared_task_completed(engine, "WAKEUP_SHARED")


@pytest.mark.parametrize(
    ("decision", "completed"), [("accepted", True), ("failed", False), ("rejected", False), ("deferred", False)]
)
def test_k64_only_completed_is_completed(engine: Engine, held: ref.Task, decision: str, completed: bool) -> None:
    """Failed, rejected and deferred are final, and not completed."""
    assert not ref.is_shared_task_completed(engine, "WAKEUP_SHARED")
    task = ref.decide_shared_task(engine, held, decision)
    assert ref.get_shared_task_status(engine, "WAKEUP_SHARED") == task.status
    assert ref.is_shared_task_completed(engine, "WAKEUP_SHARED") is completed


@pytest.mark.parametrize("prefix", ["wakeup_shared", "WAKEUP%", "WAKEUPXSHARED", "_AKEUP"])
def test_a_prefix_is_taken_literally(engine: Engine, held: ref.Task, prefix: str) -> None:
    """Neither case nor the wildcards of LIKE make another task match (K11)."""
    assert ref.get_latest_shared_task(engine, prefix) is None
    assert ref.get_latest_shared_task(engine, held.task_id) is not None


def test_local_tasks_are_not_shared(engine: Engine) -> None:
    """The shared namespace alone is asked."""
    ref.claim_local_task(engine, "wakeup", occurrence_id="a")
    assert ref.get_latest_shared_task(engine, "WAKEUP") is None


def test_the_latest_within_the_window_is_given(engine: Engine, alter: Alter) -> None:
    """The newest wins, and what is older than the window does not count."""
    old, new = (
        ref.try_claim_shared_task(engine, "shutdown", occurrence_id="a", request=request)[0] for request in ("z", "a")
    )
    alter(old, created_at=old.created_at - 3600)
    found = ref.get_latest_shared_task(engine, "SHUTDOWN_SHARED")
    assert found is not None
    assert found.task_id == new.task_id
    alter(new, created_at=new.created_at - 25 * 3600)
    found = ref.get_latest_shared_task(engine, "SHUTDOWN_SHARED")
    assert found is not None
    assert found.task_id == old.task_id
    assert ref.get_latest_shared_task(engine, "SHUTDOWN_SHARED", within_hours=0.5) is None


def test_k66_lately_is_thirty_minutes_and_not_the_whole_day(engine: Engine, alter: Alter) -> None:
    """An occurrence that was last seen 31 minutes ago does not count, one of 29 minutes ago does."""
    for who, minutes in (("a", 0), ("b", 29), ("c", 31), ("d", 300)):
        task = ref.claim_local_task(engine, "wakeup", occurrence_id=who)
        alter(task, updated_at=task.updated_at - minutes * 60)
    assert ref.discover_occurrence_count(engine) == 2


def test_the_shared_namespace_is_no_occurrence(engine: Engine, held: ref.Task) -> None:
    """A shared row counts for its claimant."""
    assert held.agent_occurrence_id == ref.SHARED
    assert ref.discover_occurrence_count(engine) == 1
    ref.claim_local_task(engine, "wakeup", occurrence_id="b")
    assert ref.discover_occurrence_count(engine) == 2


def test_the_configured_count_holds(engine: Engine) -> None:
    """And an empty database means one: this occurrence."""
    assert ref.discover_occurrence_count(engine, configured=9) == 9
    assert ref.discover_occurrence_count(engine) == 1
