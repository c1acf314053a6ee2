"""What the runs of one test have shown, for its report: a consumer of the event stream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_ciris_occ.history import History, Operation
from pytest_ciris_occ.invariants import Judgement, Status
from pytest_ciris_occ.reports.events import Checked, Event, Noted, RunEnded
from pytest_ciris_occ.reports.story import tell_story
from pytest_ciris_occ.reports.text import printable

_OUTPUT_LINES = 12
_FRAMES = 6
_STACK_LINES = 40
_WIDTH = 300
_STACK = re.compile(r"(Current thread|Thread) 0x[0-9a-f]+ .*\(most recent call first\):")  # as faulthandler writes it
_FEW = 3
_RANK: Mapping[str, int] = {"not checked": 0, "holds": 1, "unknown": 2, "violated": 3}


@dataclass
class TestRecord:
    """Collects the events of one test.

    Attributes:
        database: the label of its database.
        n: how many occurrences it starts.
    """

    __test__ = False  # pytest takes the name for that of a test class

    database: str = ""
    n: int = 0
    _verdict: Status | str = "not checked"
    _runs: list[RunEnded] = field(default_factory=list)
    _judgement: Judgement | None = None
    _notes: list[str] = field(default_factory=list)

    def know(self, *, database: str | None = None, n: int | None = None) -> None:
        """Take in what is known before any run."""
        self.database = database or self.database
        self.n = n or self.n

    def take(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case RunEnded():
                self._runs.append(event)
            case Checked(judgement=judgement):
                self._judgement = judgement
                self._verdict = max(self._verdict, judgement.status, key=lambda word: _RANK[word])
            case Noted(sentence=sentence):
                self._notes.append(sentence)

    def properties(self) -> Iterator[tuple[str, object]]:
        """What goes into JUnit and across xdist: plain types only."""
        if not self._runs:
            return
        yield "occ_database", self.database
        yield "occ_n", self.n
        yield "occ_verdict", str(self._verdict)
        decisions = self._decisions()
        yield "occ_decided", _few([printable(f"{op.value}") for op in decisions], "decisions")
        yield "occ_by", _few([op.occurrence for op in decisions], "occurrences")
        yield "occ_seconds", round(sum(run.seconds for run in self._runs), 6)

    def _decisions(self) -> list[Operation]:
        return [op for run in self._runs for op in run.history.of("decide") if op.outcome == "ok"]

    def sections(self, *, told: bool) -> Iterator[tuple[str, str]]:
        """What a failing test's report gets besides its message; ``told`` when the message is the story already."""
        if self._notes:
            yield "occ notes", "\n".join(dict.fromkeys(self._notes))
        if not self._runs:
            return
        last = self._runs[-1].history
        if not told:
            yield "occ story", tell_story(last, self._judgement or Judgement(()))
        outputs = "\n".join(_outputs(last))
        if outputs:
            yield "occ output", outputs


def _few(words: list[str], many: str) -> str:
    """Up to three different words as they are, more as their number."""
    different = list(dict.fromkeys(words))
    return ", ".join(different) if len(different) <= _FEW else f"{len(different)} {many}"


def _outputs(history: History) -> Iterator[str]:
    for occurrence, text in getattr(history, "outputs", {}).items():
        lines = text.strip().splitlines()
        if lines:
            yield f"{occurrence}:"
            yield from (f"  {printable(line[:_WIDTH])}" for line in _telling(lines))


def _telling(lines: Sequence[str]) -> Iterator[str]:
    """The last lines, and of the stacks of an occurrence that was still running the top of each."""
    stacks = [number for number, line in enumerate(lines) if _STACK.match(line)]
    if not stacks:
        yield from lines[-_OUTPUT_LINES:]
        return
    yield from lines[: stacks[0]][-_OUTPUT_LINES:]
    tops = [lines[begin:end][: _FRAMES + 1] for begin, end in zip(stacks, [*stacks[1:], len(lines)], strict=True)]
    tops.sort(key=lambda top: not top[0].startswith("Current"))  # mostly the main thread, and printed last
    yield from [line for top in tops for line in top][:_STACK_LINES]
