"""Which decisions were certainly made."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from pytest_ciris_occ.history import JSON, History, Operation
from pytest_ciris_occ.invariants.moments import Moments


def leaves_open(value: JSON) -> bool:
    """Whether a decision leaves the question open: whoever resumes it claims it anew."""
    return value == "deferred"


def tried_decisions(history: History, task: str) -> list[Operation]:
    """The final decisions on ``task`` that were told and not refused."""
    return [op for op in history.of("decide", task=task) if op.outcome != "fail" and not leaves_open(op.value)]


def observed_decisions(history: History, task: str) -> Iterator[Operation]:
    """The observations of a final decision on ``task``."""
    for op in history.of("observe", task=task):
        if op.outcome == "ok" and op.value is not None and not leaves_open(op.value):
            yield op


def may_be_source(moments: Moments, made: Operation, report: Operation) -> bool:
    """Whether ``report`` may tell of the decision ``made``."""
    return made.value == report.value and moments.earliest(made) <= moments.latest(report)


def stored_by(history: History, moments: Moments, made: Operation) -> float:
    """The moment by which a decision stood in the database for certain; infinity if that was never shown.

    Shown it is by its maker, who told that it is complete, and by anybody else who reports it and cannot have it from
    another decision that says the same.
    """
    task = str(made.task)
    proofs = [op for op in history.of("complete", task=task) if op.life == made.life and op.outcome == "ok"]
    tried = tried_decisions(history, task)
    for report in observed_decisions(history, task):
        sources = {op.life for op in tried if may_be_source(moments, op, report)}
        if sources == {made.life} and report.occurrence != made.occurrence and made.value == report.value:
            proofs.append(report)
    return min((moments.latest(proof) for proof in proofs), default=inf)
