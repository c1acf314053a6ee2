"""Fixtures of the reference's tests: a real SQLite file each, and helpers to put a row into a given state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from sqlalchemy import create_engine, update

import reference_impl as ref
from reference_impl.schema import tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine


class Alter(Protocol):
    """Overwrites columns of one task behind the implementation's back."""

    def __call__(self, task: ref.Task, **columns: object) -> None: ...


class MakeCoordinator(Protocol):
    """Builds an occurrence that coordinates, with durations fit for a test."""

    def __call__(self, occurrence_id: str, *, enabled: bool = True, timeout: float = 10.0) -> ref.Coordinator: ...


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'agents.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = ref.make_engine(url)
    ref.create_schema(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def foreign_engine(url: str, engine: Engine) -> Iterator[Engine]:
    """An engine that SQLAlchemy built by itself, over the same file."""
    foreign = create_engine(url)
    yield foreign
    foreign.dispose()
    engine.dispose()


@pytest.fixture
def alter(engine: Engine) -> Alter:
    def change(task: ref.Task, **columns: object) -> None:
        statement = update(tasks).where(tasks.c.task_id == task.task_id).values(**columns)
        with engine.begin() as connection:
            assert connection.execute(statement).rowcount == 1

    return change


@pytest.fixture
def make_coordinator(engine: Engine) -> MakeCoordinator:
    def make(occurrence_id: str, *, enabled: bool = True, timeout: float = 10.0) -> ref.Coordinator:
        return ref.Coordinator(
            engine=engine,
            occurrence_id=occurrence_id,
            config=ref.MultiOccurrenceConfig(enabled=enabled),
            timeout_seconds=timeout,
            poll_interval_seconds=0.001,
        )

    return make


@pytest.fixture
def during_the_wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen exactly when a waiter pauses for the first time, instead of racing with it."""

    def arrange(happens: Callable[[], object]) -> None:
        pending = [happens]
        monkeypatch.setattr("time.sleep", lambda _seconds: pending.pop()() if pending else None)

    return arrange
