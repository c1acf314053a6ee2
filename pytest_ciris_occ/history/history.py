"""The history of a run: everything that a checker may know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, cast

from pytest_ciris_occ.history.records import Operation, Outcome, ProcessEvent, Setting

SCHEMA = 1
Life = tuple[str, int]


@dataclass(frozen=True)
class History:
    """What happened in one run, in order of time.

    Attributes:
        setting: under what it happened.
        operations: all operations, in order of invocation.
        processes: all process events, in order of time.
    """

    setting: Setting = field(default_factory=Setting)
    operations: tuple[Operation, ...] = ()
    processes: tuple[ProcessEvent, ...] = ()

    @cached_property
    def ends(self) -> dict[Life, ProcessEvent]:
        """How each life ended; a life that is missing had not ended when the history did."""
        return {event.life: event for event in self.processes if event.step == "ended"}

    @cached_property
    def lives(self) -> tuple[Life, ...]:
        """Every life there was, in order of start."""
        return tuple(event.life for event in self.processes if event.step == "started")

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Every shared task that an operation names, in order of first mention."""
        return tuple(dict.fromkeys(operation.task for operation in self.operations if operation.task is not None))

    def of(self, *functions: str, task: str | None = None) -> Iterator[Operation]:
        """The operations of these functions (and, where given, on this task)."""
        for operation in self.operations:
            if operation.function in functions and task in (None, operation.task):
                yield operation

    def acts_of_harness(self, life: Life) -> set[str]:
        """What the harness did to a life (``kill``, ``terminate``, ``pause``, ``resume``)."""
        return {str(e.step) for e in self.processes if e.life == life} - {"started", "released", "ended"}

    def survivors(self) -> tuple[Life, ...]:
        """The last life of each occurrence, without those that the harness ended by a fault."""
        last = dict(self.lives)
        lives = [(occurrence, last[occurrence]) for occurrence in last]
        return tuple(life for life in lives if not self.acts_of_harness(life) & {"kill", "terminate"})

    def died(self, life: Life) -> float | None:
        """When a life ended before its own end (a signal, an exception, a bad exit); ``None`` if it did not."""
        end = self.ends.get(life)
        return None if end is None or end.reason in ("returned", "bound") else end.at


_OPERATION_FIELDS = {part.name for part in fields(Operation)} - {"number", "invoked", "returned", "outcome"}
_RETURN_FIELDS = _OPERATION_FIELDS - {"occurrence", "incarnation", "actor", "function"}


def from_records(records: Iterable[dict[str, Any]]) -> History:
    """Build a history from the records of a journal.

    An operation that never returned is ``info``, whatever cut it short.

    Raises:
        ValueError: a record of another schema, or of a kind that this version does not know.
    """
    setting = Setting()
    invoked: dict[str, dict[str, Any]] = {}
    processes: list[ProcessEvent] = []
    for record in records:
        match record["record"]:
            case "history":
                setting = _setting(record)
            case "invoke":
                invoked[record["op"]] = record | {"returned": None, "outcome": "info"}
            case "return":
                _complete(invoked[record["op"]], record)
            case "process":
                processes.append(_process(record))
            case unknown:
                raise ValueError(f"a record of kind {unknown!r} is not part of schema {SCHEMA}")
    in_order = sorted(invoked.values(), key=lambda record: cast("float", record["at"]))
    operations = tuple(_operation(number, record) for number, record in enumerate(in_order))
    return History(setting, operations, tuple(sorted(processes, key=lambda event: event.at)))


def _setting(record: dict[str, Any]) -> Setting:
    if record["schema"] != SCHEMA:
        raise ValueError(f"the history has schema {record['schema']}, this version reads {SCHEMA}")
    return Setting(**record["setting"])


def _complete(invocation: dict[str, Any], record: dict[str, Any]) -> None:
    invocation["returned"] = record["at"]
    invocation["outcome"] = record["outcome"]
    invocation.update((name, record[name]) for name in _RETURN_FIELDS if record.get(name) is not None)


def _process(record: dict[str, Any]) -> ProcessEvent:
    values = {part.name: record[part.name] for part in fields(ProcessEvent) if part.name in record}
    return ProcessEvent(**values | {"kinds": tuple(record.get("kinds", ()))})


def _operation(number: int, record: dict[str, Any]) -> Operation:
    values = {name: record[name] for name in _OPERATION_FIELDS if name in record}
    return Operation(
        number=number,
        invoked=record["at"],
        returned=record["returned"],
        outcome=cast("Outcome", record["outcome"]),
        **values,
    )
