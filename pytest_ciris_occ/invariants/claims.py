"""Who holds the right to decide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from pytest_ciris_occ.history import History
from pytest_ciris_occ.invariants.holds import Hold, could_take_turns, holds_on
from pytest_ciris_occ.invariants.moments import Moments
from pytest_ciris_occ.invariants.verdict import Status, Verdict


def one_claimant(history: History) -> Verdict:
    """At most one occurrence at a time holds the right to decide a shared task (INV 1).

    Claims that were all granted on one task are legitimate only if they can have followed one another: each was
    granted when the hold before it had ended, because its lease had run out, its process had died, or it had deferred.
    A decision that stands does not free the right again, and neither does an occurrence that returns: it had finished.
    The lives of one occurrence do not compete. An occurrence that decided without having told of a claim counts as
    holding from its decision on.

    A grant may have been made at any moment of its interval (see ``moments``), so correct code is not accused for the
    width of a call. A claimant that fell by itself may have given its hold back long before its process had ended;
    where the verdict depends on that, it is ``unknown``. Source: mutual exclusion as in Gray and Cheriton, *Leases*
    (SOSP 1989).
    """
    moments = Moments(history)
    granted = {task: holds_on(history, moments, task) for task in history.tasks}
    for task, holds in granted.items():
        if clash := _clash(holds):
            return _verdict("violated", clash, f"{_names(clash)} hold {task} at a time: {_grants(clash)}")
    for task in history.tasks:
        if clash := _clash(holds_on(history, moments, task, late=True)):
            reason = f"whether {clash[0].occurrence} still held {task} cannot be told, since it fell: {_grants(clash)}"
            return _verdict("unknown", clash, reason)
    count = sum(len(holds) for holds in granted.values())
    return Verdict("one_claimant", "holds", f"{count} granted claims on {len(granted)} tasks, never two at a time")


def _clash(holds: Sequence[Hold]) -> Sequence[Hold]:
    """The holds that cannot have taken turns: two of them if two show it, else all."""
    if could_take_turns(holds):
        return ()
    return next((pair for pair in combinations(holds, 2) if not could_take_turns(pair)), holds)


def _names(holds: Sequence[Hold]) -> str:
    both = "both " if len(holds) == 2 else ""
    return both + " and ".join(dict.fromkeys(hold.occurrence for hold in holds))


def _grants(holds: Sequence[Hold]) -> str:
    return ", ".join(f"granted to {hold.occurrence} by {hold.latest * 1000:.1f} ms" for hold in holds)


def _verdict(status: Status, holds: Sequence[Hold], reason: str) -> Verdict:
    return Verdict("one_claimant", status, reason, tuple(hold.origin for hold in holds))
