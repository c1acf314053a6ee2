"""Who holds the right to decide."""

from __future__ import annotations

from itertools import pairwise

from pytest_ciris_occ.history import JSON, History, Operation
from pytest_ciris_occ.invariants.verdict import Verdict


def leaves_open(value: JSON) -> bool:
    """Whether a decision leaves the question open: whoever resumes it claims it anew."""
    return value == "deferred"


def one_claimant(history: History) -> Verdict:
    """At most one occurrence at a time holds the right to decide a shared task (INV 1).

    Two claims that were both granted on one task are legitimate only if the first hold had ended when the second
    was granted: its lease had run out, its process had died, or it had deferred. A final decision does not free the
    right again: a task that is decided cannot be claimed once more. An occurrence that decided without having
    journalled a claim counts as holding from its decision on.

    Holds are compared by what is certain only: a claim is held from the moment it *returned*, so correct code is
    never accused for the width of a call. Source: mutual exclusion as in Gray and Cheriton, *Leases* (SOSP 1989).
    """
    holds = {task: _holds(history, task) for task in history.tasks}
    for task, granted in holds.items():
        for first, second in pairwise(granted):
            if first.life != second.life and not _released(history, first, second):
                return Verdict("one_claimant", "violated", _two_claimants(task, first, second), (first, second))
    count = sum(len(granted) for granted in holds.values())
    return Verdict("one_claimant", "holds", f"{count} granted claims on {len(holds)} tasks, never two at a time")


def _holds(history: History, task: str) -> list[Operation]:
    claims = [op for op in history.of("claim", task=task) if op.outcome == "ok" and op.value is True]
    claimed_by = {claim.life for claim in claims}
    bare = {op.life: op for op in reversed([*history.of("decide", task=task)]) if op.life not in claimed_by}
    holds = [*claims, *(op for op in bare.values() if op.outcome == "ok")]
    return sorted(holds, key=_granted)


def _granted(hold: Operation) -> float:
    return hold.invoked if hold.returned is None else hold.returned


def _released(history: History, first: Operation, second: Operation) -> bool:
    """Whether the first hold had, or may have, ended before the second was granted."""
    until = _granted(second)
    died = history.died(first.life)
    if died is not None and died <= until:
        return True
    if first.lease is not None and first.invoked + first.lease <= until:
        return True
    return any(
        op.life == first.life and leaves_open(op.value) and op.invoked <= until
        for op in history.of("decide", task=first.task)
    )


def _two_claimants(task: str, first: Operation, second: Operation) -> str:
    return (
        f"both {first.occurrence} and {second.occurrence} hold {task}: granted to {first.occurrence} at "
        f"{_granted(first) * 1000:.1f} ms, and to {second.occurrence} at {_granted(second) * 1000:.1f} ms"
    )
