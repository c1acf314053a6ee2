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
    another process. Of several decisions of one process, what is shown is the last.
    """
    tried = tried_decisions(history, str(made.task))
    proofs = [op for op in history.of("complete", task=made.task) if _completes(tried, op, made)]
    for report in observed_decisions(history, str(made.task)):
        sources = [op for op in tried if may_be_source(moments, op, report)]
        alone = {op.life for op in sources} == {made.life} and report.occurrence != made.occurrence
        proofs += [report] if alone and sources[-1] == made else []
    return min((moments.latest(proof) for proof in proofs), default=inf)


def _completes(tried: list[Operation], complete: Operation, made: Operation) -> bool:
    mine = [op for op in tried if op.life == complete.life]
    before = [op for op in mine if op.number < complete.number]
    return complete.outcome == "ok" and made in (before[-1:] or mine[:1])
