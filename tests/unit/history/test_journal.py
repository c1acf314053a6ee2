"""The journal and its form on disk: what was written is what is read."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.history import (
    FUNCTIONS,
    SCHEMA,
    History,
    Journal,
    Operation,
    Outcome,
    ProcessEvent,
    ProcessStep,
    Setting,
    from_records,
    read,
)

Record = dict[str, Any]
SETTING = Setting(test="t.py::test_it[sqlite]", database="sqlite", target="m:t", n=2, seed=7, bound=60.0)


def invoke(op: str, at: float, **known: Any) -> Record:
    base = {"record": "invoke", "op": op, "at": at, "function": "claim", "actor": "MainThread"}
    return base | {"occurrence": "occ-0", "incarnation": 0} | known


def returns(op: str, at: float, outcome: str = "ok", **known: Any) -> Record:
    return {"record": "return", "op": op, "at": at, "outcome": outcome} | known


def process(step: str, at: float, who: str = "occ-0", life: int = 0, **more: Any) -> Record:
    return {"record": "process", "step": step, "at": at, "occurrence": who, "incarnation": life} | more


def written(path: Path, *records: Record) -> History:
    journal = Journal(SETTING, path)
    for record in records:
        journal.write(record)
    journal.close()
    return journal.history()


# -- round trip ---------------------------------------------------------------------------------------------------

times = st.floats(0, 1e6, allow_nan=False)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
known = st.fixed_dictionaries(
    {},
    optional={
        "task": texts,
        "request": texts,
        "key": texts,
        "value": values,
        "status": texts,
        "token": st.integers(0, 2**62),
        "lease": times,
    },
)


@st.composite
def journals(draw: st.DrawFn) -> list[Record]:
    """Records as a running fleet writes them: every return after its invocation, in any order otherwise."""
    records: list[Record] = []
    for number in range(draw(st.integers(0, 6))):
        who = {"occurrence": draw(st.sampled_from(["occ-0", "occ-1"])), "incarnation": draw(st.integers(0, 2))}
        function = {"function": draw(st.sampled_from(sorted(FUNCTIONS))), "actor": draw(texts)}
        records.insert(
            draw(st.integers(0, len(records))), invoke(str(number), draw(times)) | draw(known) | who | function
        )
        if draw(st.booleans()):
            told = returns(str(number), draw(times), draw(st.sampled_from(get_args(Outcome)))) | draw(known)
            error = draw(st.none() | texts)
            after = next(place for place, record in enumerate(records) if record["op"] == str(number)) + 1
            records.insert(draw(st.integers(after, len(records))), told | ({} if error is None else {"error": error}))
    for step in draw(st.lists(st.sampled_from(get_args(ProcessStep)), max_size=4)):
        more = {"reason": draw(texts), "detail": draw(texts), "kinds": draw(st.lists(texts, max_size=2))}
        records.append(process(step, draw(times)) | (more if step == "ended" else {}))
    return records


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(journals())
def test_what_was_written_is_what_is_read(tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "history.jsonl"
    history = written(path, *records)
    assert read(path) == history
    assert history.setting == SETTING
    assert len(history.operations) == sum(record["record"] == "invoke" for record in records)
    assert len(history.processes) == sum(record["record"] == "process" for record in records)


def test_everything_told_of_an_operation_arrives(tmp_path: Path) -> None:
    first = invoke("a", 1.5, key="k", request="r", task="early", lease=1.0, function="effect", actor="Thread-1")
    last = returns("a", 2.5, task="late", value=[1, {"deep": None}], status="ACTIVE", token=3, lease=9.5)
    (operation,) = written(tmp_path / "h.jsonl", first, last).operations
    assert asdict(operation) == {
        "number": 0,
        "occurrence": "occ-0",
        "incarnation": 0,
        "actor": "Thread-1",
        "function": "effect",
        "invoked": 1.5,
        "returned": 2.5,
        "outcome": "ok",
        "task": "late",
        "request": "r",
        "key": "k",
        "value": [1, {"deep": None}],
        "status": "ACTIVE",
        "token": 3,
        "lease": 9.5,
        "error": None,
    }
    assert read(tmp_path / "h.jsonl").operations == (operation,)


def test_the_file_begins_with_a_header_and_has_a_record_a_line(tmp_path: Path) -> None:
    path = tmp_path / "below" / "h.jsonl"
    written(path, invoke("a", 1), process("started", 0))
    header, *records = map(json.loads, path.read_text().splitlines())
    assert header == {"record": "history", "schema": SCHEMA, "setting": asdict(SETTING)}
    assert [record["record"] for record in records] == ["invoke", "process"]


def test_a_journal_counts_its_records_and_needs_no_file() -> None:
    journal = Journal(SETTING)
    journal.write(invoke("a", 1))
    journal.close()
    assert len(journal) == 2
    assert len(journal.history().operations) == 1


# -- a run that was killed ----------------------------------------------------------------------------------------


def test_every_record_is_on_disk_as_soon_as_it_is_written(tmp_path: Path) -> None:
    """Read by another, while the journal is open and before it is ever closed."""
    path = tmp_path / "h.jsonl"
    journal = Journal(SETTING, path)
    assert read(path).setting == SETTING
    journal.write(invoke("a", 1))
    assert read(path) == journal.history()
    journal.close()


def test_a_torn_last_line_is_left_out_wherever_it_was_torn(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    whole = written(path, invoke("a", 1, value="ÿ 猫"), returns("a", 2, value="ÿ 猫"))
    data = path.read_bytes()
    cut_line = data[:-1].rindex(b"\n") + 1
    for length in range(cut_line, len(data)):
        path.write_bytes(data[:length])
        (operation,) = read(path).operations
        assert (operation.outcome, operation.returned) == ("info", None)
    path.write_bytes(data)
    assert read(path) == whole


def test_a_torn_line_in_the_middle_is_no_accident(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    written(path, invoke("a", 1))
    path.write_text(path.read_text().replace('"op":"a"', '"op":'))
    with pytest.raises(ValueError, match=r"h\.jsonl, line 2: not a record of a history"):
        read(path)


@pytest.mark.parametrize("schema", [0, SCHEMA + 1])
def test_another_schema_is_refused(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "h.jsonl"
    written(path)
    path.write_text(path.read_text().replace(f'"schema":{SCHEMA}', f'"schema":{schema}'))
    with pytest.raises(ValueError, match=f"the history has schema {schema}, this version reads {SCHEMA}"):
        read(path)


def test_an_unknown_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    written(path)
    with path.open("a") as file:
        file.write('{"record": "schedule"}\n')
    with pytest.raises(ValueError, match=f"a record of kind 'schedule' is not part of schema {SCHEMA}"):
        read(path)


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageMistake, match="give --occ-history a directory that can be made and written"):
        Journal(SETTING, tmp_path / "file" / "h.jsonl")


# -- from records to a history ------------------------------------------------------------------------------------


def test_an_operation_without_return_may_or_may_not_have_happened() -> None:
    (operation,) = from_records([invoke("a", 1, task="wakeup")]).operations
    assert (operation.outcome, operation.returned, operation.error) == ("info", None, None)


def test_operations_stand_in_order_of_invocation_and_events_in_order_of_time() -> None:
    history = from_records(
        [invoke("late", 3), process("released", 2), invoke("early", 1), returns("late", 4), process("started", 0)]
    )
    assert [(op.number, op.invoked, op.outcome) for op in history.operations] == [(0, 1, "info"), (1, 3, "ok")]
    assert [event.step for event in history.processes] == ["started", "released"]


def test_a_return_adds_what_is_known_and_takes_nothing_away() -> None:
    records = [invoke("a", 1, task="early", value="x"), returns("a", 2, task="late", value=None)]
    (operation,) = from_records(records).operations
    assert (operation.task, operation.value) == ("late", "x")


def test_false_is_an_answer() -> None:
    (operation,) = from_records([invoke("a", 1), returns("a", 2, value=False)]).operations
    assert operation.value is False


def test_a_refusal_and_its_reason() -> None:
    records = [invoke("a", 1, function="decide"), returns("a", 2, "fail", error="Refused: not yours")]
    (operation,) = from_records(records).operations
    assert (operation.outcome, operation.error) == ("fail", "Refused: not yours")


def test_kinds_come_back_as_a_tuple() -> None:
    (event,) = from_records([process("ended", 1, reason="raised", kinds=["KeyError", "LookupError"])]).processes
    assert event == ProcessEvent(1, "occ-0", 0, "ended", "raised", "", ("KeyError", "LookupError"))


@pytest.mark.parametrize(
    ("frozen", "name"),
    [
        (Setting(), "n"),
        (ProcessEvent(0, "occ-0", 0, "started"), "at"),
        (Operation(0, "occ-0", 0, "main", "claim", 0, None, "info"), "outcome"),
        (History(), "operations"),
    ],
)
def test_what_happened_cannot_be_changed(frozen: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(frozen, name, None)


def test_a_history_is_no_window_onto_the_journal() -> None:
    journal = Journal(SETTING)
    journal.write(invoke("a", 1))
    before = journal.history()
    journal.write(returns("a", 2))
    assert before.operations[0].outcome == "info"
    assert journal.history().operations[0].outcome == "ok"
