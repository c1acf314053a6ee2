"""Work done in the world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from pytest_ciris_occ.history import History, Operation
from pytest_ciris_occ.invariants.verdict import Verdict

Unit = tuple[str | None, str | None, int | None]


def exactly_once(history: History, *, expected: Collection[str] = (), once: bool = False) -> Verdict:
    """Every unit of work takes effect exactly once: none lost, none doubled (INV 6).

    At most one ``ok`` per task, key and fencing token. Work of a claimant that died counts as ``info``, so that
    doing it again after a crash is right.

    Args:
        history: what happened.
        expected: keys that must have been done; one that nobody certainly did is lost (``unknown`` if a process that
            died may have done it).
        once: count what a dead process may have done as done, for work that must never be repeated.
    """
    done = _by_unit(history, once=once)
    for (task, key, _), operations in done.items():
        if len(operations) > 1:
            who = " and ".join(operation.occurrence for operation in operations)
            of = f" of {task}" if task else ""
            return Verdict(
                "exactly_once",
                "violated",
                f"{key!r}{of} took effect {len(operations)} times: by {who}",
                tuple(operations),
            )
    return _lost(history, expected) or Verdict("exactly_once", "holds", f"{len(done)} units of work, each done once")


def _by_unit(history: History, *, once: bool) -> dict[Unit, list[Operation]]:
    done: dict[Unit, list[Operation]] = defaultdict(list)
    for op in history.of("effect"):
        certain = op.outcome == "ok" and history.died(op.life) is None
        if certain or (once and op.outcome != "fail"):
            done[op.task, op.key, op.token].append(op)
    return done


def _lost(history: History, expected: Collection[str]) -> Verdict | None:
    for key in expected:
        tries = [op for op in history.of("effect") if op.key == key and op.outcome != "fail"]
        if not tries:
            return Verdict("exactly_once", "violated", f"{key!r} was never done: the work is lost")
        if not any(op.outcome == "ok" for op in tries):
            return Verdict("exactly_once", "unknown", f"{key!r} may or may not have been done", tuple(tries))
    return None
