"""The story of a run, and what a test's report takes from the event stream."""

from __future__ import annotations

import json

import pytest

from pytest_ciris_occ.fleet.outcome import RunHistory
from pytest_ciris_occ.history import Operation, ProcessEvent, Setting
from pytest_ciris_occ.invariants import Judgement, Verdict
from pytest_ciris_occ.reports.events import Checked, Noted, RunEnded
from pytest_ciris_occ.reports.record import TestRecord
from pytest_ciris_occ.reports.story import tell_story
from pytest_ciris_occ.reports.terminal import summary


def operation(number: int, function: str, who: str, at: float = 0.0, **more: object) -> Operation:
    base = {"number": number, "occurrence": who, "incarnation": 0, "actor": "MainThread", "function": function}
    times = {"invoked": at, "returned": at, "outcome": "ok", "task": "wakeup"}
    return Operation(**(base | times | more))  # type: ignore[arg-type]


def busy(count: int) -> tuple[RunHistory, Judgement]:
    """Return a run in which two of ``count`` occurrences claim, both decide, and everybody works and observes."""
    who = [f"occ-{index}" for index in range(count)]
    operations = [operation(0, "claim", who[0], 0.1, value=True), operation(1, "claim", who[-1], 0.2, value=True)]
    operations += [operation(2, "decide", who[0], 0.3, value="yes"), operation(3, "decide", who[-1], 0.4, value="no")]
    for index, name in enumerate(who):
        operations += [operation(4, "effect", name, 1 + index, key=f"step-{step}") for step in range(5)]
        operations += [operation(5, "observe", name, 2 + index, value="yes")]
    processes = [ProcessEvent(0.0, name, 0, step) for name in who for step in ("started", "released")]
    processes += [ProcessEvent(9.0, name, 0, "ended", "returned", "returned") for name in who]
    processes[-1] = ProcessEvent(9.0, who[-1], 0, "ended", "signal", "ended by SIGKILL")
    history = RunHistory(Setting("t.py::test", "sqlite", "a:b", count, 7), tuple(operations), tuple(processes))
    reason = f"both {who[0]} and {who[-1]} hold wakeup"
    violated = Verdict("one_claimant", "violated", reason, (operations[0], operations[1]))
    return history, Judgement(
        (violated, Verdict("validity", "holds", "fine"), Verdict("agreement", "unknown", "why not"))
    )


@pytest.mark.parametrize("count", [2, 9, 20, 200])
def test_the_story_fits_a_screen_and_names_both_claimants(count: int) -> None:
    """At most 25 lines, however much happened; the first is a whole sentence; claims and decisions are never cut."""
    history, judgement = busy(count)
    story = tell_story(history, judgement, notes=("a note",), tracebacks={("occ-0", 0): "line\n" * 50})
    lines = story.splitlines()
    assert len(lines) <= 25
    assert lines[0] == f"one_claimant violated: both occ-0 and occ-{count - 1} hold wakeup"
    assert "agreement unknown: why not" in lines
    assert "holds: validity" in lines
    assert f"run: {count} occurrences, on sqlite, target a:b, seed 7" in lines
    assert "note: a note" in lines
    for words in ("occ-0   claims wakeup: mine", "occ-0   decides 'yes' on wakeup", "decides 'no' on wakeup"):
        assert words in story
    assert f"occ-{count - 1}".ljust(7) + " claims wakeup: mine" in story
    assert "ended by SIGKILL" in story
    assert lines[-5:] == ["occ-0 ended with:", *["  line"] * 4]


def test_what_is_left_out_is_counted() -> None:
    """And where all of it can be had."""
    story = tell_story(*busy(20))
    assert "more events (all of them with --occ-history DIR)" in story
    assert "more events" not in tell_story(*busy(2))


def test_the_first_line_is_whole_and_the_others_are_cut() -> None:
    """Many tools show the first line alone; a long value must not make the others unreadable."""
    history = RunHistory(operations=(operation(0, "decide", "occ-0", value="v" * 500),))
    story = tell_story(history, Judgement((Verdict("validity", "violated", "w" * 300),)))
    first, *others = story.splitlines()
    assert first == f"validity violated: {'w' * 300}"
    assert all(len(line) <= 150 for line in others)
    assert any(line.endswith("…") for line in others)


def test_line_ends_and_control_characters_do_not_break_the_story() -> None:
    """A value with line ends stays on its line."""
    reason = "first\nsecond \x1b[31m\x00"
    story = tell_story(RunHistory(), Judgement((Verdict("validity", "violated", reason),)))
    assert story.splitlines()[0] == r"validity violated: first second \x1b[31m\x00"


def test_without_a_verdict_the_story_is_unknown() -> None:
    """Nothing asked is nothing proven."""
    assert tell_story(RunHistory(), Judgement(())).splitlines()[0].startswith("unknown: ")


def test_a_record_keeps_the_worst_verdict_and_plain_values() -> None:
    """Of several checks in one test the worst counts; everything can be written as JSON for workers and JUnit."""
    history, judgement = busy(2)
    record = TestRecord()
    record.know(database="sqlite", n=2)
    assert dict(record.properties()) == {}
    record.take(RunEnded(history, 0.5))
    assert dict(record.properties())["occ_verdict"] == "not checked"
    record.take(Checked(history, judgement))
    record.take(Checked(history, Judgement((Verdict("validity", "holds", "fine"),))))
    record.take(RunEnded(history, 0.25))
    properties = dict(record.properties())
    assert json.loads(json.dumps(properties)) == properties
    assert properties == {
        "occ_database": "sqlite",
        "occ_n": 2,
        "occ_verdict": "violated",
        "occ_decided": "yes, no",
        "occ_by": "occ-0, occ-1",
        "occ_seconds": 0.75,
    }


def test_many_decisions_are_counted() -> None:
    """A property is a cell of a table, not a list."""
    decisions = [operation(n, "decide", f"occ-{n}", value=f"value {n}") for n in range(5)]
    record = TestRecord()
    record.take(RunEnded(RunHistory(operations=tuple(decisions)), 0.1))
    properties = dict(record.properties())
    assert (properties["occ_decided"], properties["occ_by"]) == ("5 decisions", "5 occurrences")


def test_sections_are_the_notes_the_story_and_the_tail_of_the_output() -> None:
    """Notes once each; no story where the message is the story; the last lines of who printed something."""
    history, _ = busy(2)
    printed = "\n".join(f"line {number}" for number in range(100))
    history = RunHistory(
        history.setting, history.operations, history.processes, outputs={"occ-0": printed, "occ-1": ""}
    )
    record = TestRecord()
    record.take(Noted("slow"))
    record.take(Noted("slow"))
    record.take(RunEnded(history, 0.1))
    sections = dict(record.sections(told=False))
    assert list(sections) == ["occ notes", "occ story", "occ output"]
    assert sections["occ notes"] == "slow"
    assert sections["occ output"].splitlines() == ["occ-0:", *(f"  line {number}" for number in range(88, 100))]
    assert "occ story" not in dict(record.sections(told=True))


def test_of_stacks_the_top_is_shown() -> None:
    """Where an occurrence stood when the harness ended it is at the top of its stack, not at the end of the output."""
    frames = "\n".join(f'  File "agent.py", line {number} in frame_{number}' for number in range(40))
    who = [*["Thread"] * 20, "Current thread"]
    stacks = [f"{thread} 0x00007f00 (most recent call first):\n{frames}" for thread in who]
    stack = "\n".join(["working", *stacks])
    record = TestRecord()
    record.take(RunEnded(RunHistory(outputs={"occ-0": stack}), 0.1))
    lines = dict(record.sections(told=True))["occ output"].splitlines()
    assert lines[1] == "  working"
    assert lines[2].startswith("  Current thread")
    assert lines[3].endswith("in frame_0")
    assert len(lines) <= 45


def test_the_summary_shows_what_matters_first() -> None:
    """At most 60 lines, those that did not hold among them; all of them when asked for."""
    rows = [
        {"test": f"t.py::test_{n:03}[sqlite-n3]", "occ_database": "sqlite", "occ_n": 3, "occ_verdict": "holds"}
        | {"occ_decided": "yes", "occ_by": "occ-1", "occ_seconds": 0.0123}
        for n in range(100)
    ]
    rows[99] |= {"occ_verdict": "violated", "occ_decided": "", "occ_by": ""}
    lines = list(summary(rows, everything=False))
    assert len(lines) == 61
    assert lines[-1] == "… and 40 more (-v shows all)"
    assert lines[0].split() == ["test_000", "sqlite", "n=3", "holds", "yes", "by", "occ-1", "12", "ms"]
    assert any(
        line.split()[:4] == ["test_099", "sqlite", "n=3", "violated"] and "no decision" in line for line in lines
    )
    assert len(list(summary(rows, everything=True))) == 100
