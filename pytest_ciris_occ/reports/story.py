"""The story of a failed run, in at most 25 lines: who claimed when, who decided what, who waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pytest_ciris_occ.history import History, Life, Operation, ProcessEvent
from pytest_ciris_occ.invariants import Evidence, Judgement, Verdict
from pytest_ciris_occ.reports.text import printable

LINES = 25
_WIDTH = 150
_WIDEST = 600  # for the first line, which must be whole in itself
_TRACEBACK_LINES = 4


def tell_story(
    history: History,
    judgement: Judgement,
    notes: tuple[str, ...] = (),
    tracebacks: Mapping[Life, str] | None = None,
) -> str:
    """Return the story: the verdicts, the setting, and the events that matter, in order of time.

    The first line is whole in itself, since many tools show no other.
    """
    head = [_headline(judgement), *_other_verdicts(judgement), _setting(history), *(f"note: {note}" for note in notes)]
    tail = list(_last_words(tracebacks or {}))
    room = LINES - len(head) - len(tail)
    first, *others = [*head, *_events(history, judgement, room), *tail][:LINES]
    return "\n".join([_cut(first, _WIDEST), *(_cut(line, _WIDTH) for line in others)])


def _headline(judgement: Judgement) -> str:
    worst = judgement.with_status(judgement.status)
    return _line(worst[0]) if worst else "unknown: no invariant was asked"


def _line(verdict: Verdict) -> str:
    return f"{verdict.invariant} {verdict.status}: {verdict.reason}"


def _other_verdicts(judgement: Judgement) -> Iterator[str]:
    for status in ("violated", "unknown"):
        for verdict in judgement.with_status(status):
            if _line(verdict) != _headline(judgement):
                yield _line(verdict)
    held = [verdict.invariant for verdict in judgement.with_status("holds")]
    if held:
        yield f"holds: {', '.join(held)}"


def _setting(history: History) -> str:
    setting = history.setting
    words = [f"{setting.n} occurrences", f"on {setting.database}" if setting.database else "without a database"]
    words += [f"target {setting.target}"] if setting.target else []
    return f"run: {', '.join(words)}, seed {setting.seed}"


def _events(history: History, judgement: Judgement, room: int) -> list[str]:
    """The events in order; when there are too many, those that the verdicts rest on and the first of the others."""
    evidence = [item for verdict in judgement.verdicts for item in verdict.evidence if verdict.status != "holds"]
    told = sorted(_worth_telling(history), key=_when)
    if len(told) > room:
        ranked = sorted(told, key=lambda item: (item not in evidence, _rank(item), _when(item)))
        kept = ranked[: max(0, room - 1)]
        rest = f"  … and {len(told) - len(kept)} more events (all of them with --occ-history DIR)"
        return [_tell(item) for item in sorted(kept, key=_when)] + [rest]
    return [_tell(item) for item in told]


def _rank(item: Evidence) -> int:
    """What is left out last: claims and decisions, then what went wrong, then what others learnt, then the rest."""
    if isinstance(item, ProcessEvent):
        return 1
    if item.function in ("claim", "decide"):
        return 0 if item.value is not False else 3
    return 2 if item.function == "observe" else 4


def _worth_telling(history: History) -> Iterator[Evidence]:
    yield from (op for op in history.operations if op.function != "complete")
    for event in history.processes:
        if event.step not in ("started", "released", "ended") or (event.step == "ended" and event.reason != "returned"):
            yield event


def _when(item: Evidence) -> float:
    if isinstance(item, ProcessEvent):
        return item.at
    return item.invoked if item.returned is None else item.returned


def _tell(item: Evidence) -> str:
    words = _process(item) if isinstance(item, ProcessEvent) else _operation(item)
    life = f"{item.occurrence}{'′' * item.incarnation}"
    return f"  {_when(item) * 1000:9.1f} ms  {life:<7} {words}"


def _process(event: ProcessEvent) -> str:
    return event.detail if event.step == "ended" else f"the harness did {event.step}"


def _operation(op: Operation) -> str:
    words = _ACTS.get(op.function, _other)(op)
    if op.outcome == "fail":
        return f"{words} – refused ({op.error})"
    if op.outcome == "info":
        return f"{words} – may or may not have happened ({op.error or 'it never returned'})"
    return words


def _claim(op: Operation) -> str:
    if op.outcome != "ok":
        return f"claims {op.task or 'a task'}"
    token = f", token {op.token}" if op.token is not None else ""
    return f"claims {op.task}: {'mine' if op.value else 'held by another'}{token}"


def _observe(op: Operation) -> str:
    if op.returned is None:
        return f"waits for {op.task}"
    status = f" (status {op.status!r})" if op.status else ""
    learnt = "ends without a decision" if op.value is None else f"learns {op.value!r}"
    return f"{learnt} on {op.task}{status}"


def _other(op: Operation) -> str:
    return f"does {op.function} {op.key or ''} {op.task or ''}".rstrip()


_ACTS: dict[str, Callable[[Operation], str]] = {
    "claim": _claim,
    "observe": _observe,
    "decide": lambda op: f"decides {op.value!r} on {op.task}",
    "effect": lambda op: f"does {op.key!r}" + (f" of {op.task}" if op.task else ""),
    "read": lambda op: f"reads {op.task or 'nothing yet'}: {op.status or 'no row'}, decision {op.value!r}",
}


def _last_words(tracebacks: Mapping[Life, str]) -> Iterator[str]:
    for (occurrence, _), text in tracebacks.items():
        if text.strip():
            yield f"{occurrence} ended with:"
            yield from (f"  {line}" for line in text.strip().splitlines()[-_TRACEBACK_LINES:])
            return


def _cut(line: str, width: int) -> str:
    line = printable(" ".join(line.splitlines()))
    return line if len(line) <= width else f"{line[: width - 1]}…"
