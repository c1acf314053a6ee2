"""What can be asked of a history: lives, ends, survivors, deaths."""

from __future__ import annotations

import pytest

from pytest_ciris_occ.history import History, Operation, ProcessEvent, ProcessStep


def lived(
    who: str, start: float, *steps: tuple[ProcessStep, float], life: int = 0, end: str = ""
) -> list[ProcessEvent]:
    events = [ProcessEvent(start, who, life, "started"), ProcessEvent(start, who, life, "released")]
    events += [ProcessEvent(at, who, life, step) for step, at in steps]
    return events + ([ProcessEvent(start + 5, who, life, "ended", end)] if end else [])


def history(*lives: list[ProcessEvent], operations: tuple[Operation, ...] = ()) -> History:
    events = sorted((event for life in lives for event in life), key=lambda event: event.at)
    return History(operations=operations, processes=tuple(events))


def operation(number: int, function: str, task: str | None) -> Operation:
    return Operation(number, "a", 0, "main", function, float(number), None, "info", task)


def test_lives_in_order_of_start_and_ends_of_those_that_ended() -> None:
    told = history(lived("b", 1), lived("a", 0, end="returned"), lived("a", 6, life=1, end="raised"))
    assert told.lives == (("a", 0), ("b", 0), ("a", 1))
    assert {life: end.reason for life, end in told.ends.items()} == {("a", 0): "returned", ("a", 1): "raised"}


def test_the_survivor_of_an_occurrence_is_its_last_life() -> None:
    told = history(lived("a", 0, ("kill", 1), end="signal"), lived("a", 6, life=1, end="returned"), lived("b", 1))
    assert told.survivors() == (("a", 1), ("b", 0))


@pytest.mark.parametrize(("step", "survives"), [("kill", False), ("terminate", False), ("pause", True)])
def test_whom_the_harness_has_ended_does_not_survive(step: ProcessStep, survives: bool) -> None:
    assert bool(history(lived("a", 0, (step, 1), end="returned")).survivors()) is survives


def test_an_earlier_life_is_not_resurrected_by_the_death_of_the_last() -> None:
    told = history(lived("a", 0, end="returned"), lived("a", 6, ("kill", 7), life=1, end="signal"))
    assert told.survivors() == ()


def test_the_acts_of_the_harness_are_told_from_the_life_itself() -> None:
    told = history(lived("a", 0, ("pause", 1), ("resume", 2), end="returned"), lived("b", 0, ("kill", 1)))
    assert told.acts_of_harness(("a", 0)) == {"pause", "resume"}
    assert told.acts_of_harness(("b", 0)) == {"kill"}
    assert told.acts_of_harness(("a", 1)) == set()


@pytest.mark.parametrize(
    ("end", "when"),
    [("", None), ("returned", None), ("bound", None), ("raised", 5.0), ("exit", 5.0), ("signal", 5.0)],
)
def test_dying_is_ending_before_ones_own_end(end: str, when: float | None) -> None:
    assert history(lived("a", 0, end=end)).died(("a", 0)) == when


def test_tasks_in_order_of_first_mention_and_operations_by_function_and_task() -> None:
    names = [("claim", "two"), ("effect", None), ("claim", "one"), ("decide", "two")]
    operations = tuple(operation(number, *name) for number, name in enumerate(names))
    told = history(operations=operations)
    assert told.tasks == ("two", "one")
    assert [op.number for op in told.of("claim", "decide")] == [0, 2, 3]
    assert [op.number for op in told.of("claim", "decide", task="two")] == [0, 3]
    assert [op.number for op in told.of("effect")] == [1]
    assert list(told.of("observe")) == []


def test_nothing_happened() -> None:
    nothing = History()
    assert (nothing.lives, nothing.ends, nothing.tasks, nothing.survivors()) == ((), {}, (), ())
