"""What was decided, and what everybody knows of it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_ciris_occ.history import History, Operation
from pytest_ciris_occ.invariants.claims import leaves_open
from pytest_ciris_occ.invariants.verdict import Verdict


def firm_decisions(history: History, task: str) -> list[Operation]:
    """The decisions on ``task`` that were certainly made.

    What a claimant decided that then died without completing it counts as ``info``: nobody may ever have seen it,
    and whoever takes over is right to decide again.
    """
    completed = {op.life for op in history.of("complete", task=task) if op.outcome == "ok"}
    return [
        op
        for op in history.of("decide", task=task)
        if op.outcome == "ok" and not leaves_open(op.value) and (history.died(op.life) is None or op.life in completed)
    ]


def one_decision(history: History) -> Verdict:
    """For one shared task at most one decision is ever made (INV 2, the single-decision invariant).

    Two decisions by different processes are two, even if they say the same; one process may repeat its own. Source:
    *integrity* of consensus, Cachin, Guerraoui, Rodrigues, *Reliable and Secure Distributed Programming*, §5.1.
    """
    made = {task: firm_decisions(history, task) for task in history.tasks}
    for decisions in made.values():
        for other in decisions[1:]:
            first = decisions[0]
            if other.life != first.life or other.value != first.value:
                return Verdict("one_decision", "violated", _decided_twice(first, other), (first, other))
    count = sum(bool(decisions) for decisions in made.values())
    return Verdict("one_decision", "holds", f"{count} of {len(made)} tasks decided, each once")


def _decided_twice(first: Operation, other: Operation) -> str:
    return (
        f"{first.task} was decided twice: {first.value!r} by {first.occurrence}, {other.value!r} by {other.occurrence}"
    )


def observed_decisions(history: History, task: str) -> Iterator[Operation]:
    """The observations of a final decision on ``task``."""
    for op in history.of("observe", task=task):
        if op.outcome == "ok" and op.value is not None and not leaves_open(op.value):
            yield op


def agreement(history: History) -> Verdict:
    """Everybody who reports a decision reports the same one, and it is the one that was made (INV 2).

    Occurrences that end without any decision are the business of ``everyone_ends``. Source: *agreement* of consensus,
    as for ``one_decision``.
    """
    counted = 0
    for task in history.tasks:
        reports = [*firm_decisions(history, task), *observed_decisions(history, task)]
        counted += len(reports)
        for other in reports[1:]:
            first = reports[0]
            if other.value != first.value:
                reason = f"on {task}, {first.occurrence} has {first.value!r} and {other.occurrence} has {other.value!r}"
                return Verdict("agreement", "violated", reason, (first, other))
    return Verdict("agreement", "holds", f"{counted} reports of a decision, all alike within their task")


def validity(history: History) -> Verdict:
    """A decision that somebody reports was made by somebody before (INV 2).

    Source: *validity* of consensus, as for ``one_decision``.
    """
    counted = 0
    for task in history.tasks:
        for report in observed_decisions(history, task):
            counted += 1
            if not any(_may_be_source(made, report) for made in history.of("decide", task=task)):
                reason = f"{report.occurrence} reports {report.value!r} for {task}, which nobody had decided"
                return Verdict("validity", "violated", reason, (report,))
    return Verdict("validity", "holds", f"{counted} observations, each of a decision that was made before")


def _may_be_source(made: Operation, report: Operation) -> bool:
    end = report.invoked if report.returned is None else report.returned
    return made.value == report.value and made.outcome != "fail" and made.invoked <= end
