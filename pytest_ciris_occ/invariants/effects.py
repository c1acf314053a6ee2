"""Work done in the world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from itertools import combinations

from pytest_ciris_occ.history import History, Life, Operation
from pytest_ciris_occ.invariants.holds import Hold, can_take_over, holds_on, last_before
from pytest_ciris_occ.invariants.liveness import able_survivors, still_running
from pytest_ciris_occ.invariants.moments import Moments, is_line
from pytest_ciris_occ.invariants.verdict import Verdict, worst

Unit = tuple[str | None, str | None, int | None]


def exactly_once(history: History, *, expected: Collection[str] = (), once: bool = False) -> Verdict:
    """Every unit of work takes effect exactly once: none lost, none doubled (INV 6).

    At most one ``ok`` per task, key and fencing token. Work of a claimant that had died, or whose hold had ended so
    that another could take over, counts as ``info`` beside the work of the next: doing it again is right then. What a
    process has done before the harness ended it, and beside another that did the same before, is doubled.

    Args:
        history: what happened.
        expected: keys that must have been done; one that nobody ever finished is lost (``unknown`` if somebody may
            have done it, or was still at it when the harness ended the run).
        once: count what a dead process may have done as done, for work that must never be repeated.
    """
    moments = Moments(history)
    done = _by_unit(history, once=once)
    for operations in done.values():
        for first, other in combinations(operations, 2):
            if once or not _is_redone(history, moments, first, other):
                return Verdict("exactly_once", "violated", _doubled(first, operations), tuple(operations))
    lost = worst(verdict for key in expected if (verdict := _lost(history, key)))
    return lost or Verdict("exactly_once", "holds", f"{len(done)} units of work, each done once")


def _by_unit(history: History, *, once: bool) -> dict[Unit, list[Operation]]:
    done: dict[Unit, list[Operation]] = defaultdict(list)
    for op in history.of("effect"):
        if op.outcome == "ok" or (once and op.outcome == "info"):
            done[op.task, op.key, op.token].append(op)
    return done


def _is_redone(history: History, moments: Moments, first: Operation, other: Operation) -> bool:
    """Whether one of two may be the rightful repetition of the other."""
    return any(
        (one.life != another.life and moments.gone(one.life, moments.latest(another)))
        or _handed_over(_hold_of(history, moments, one), _hold_of(history, moments, another))
        for one, another in ((first, other), (other, first))
    )


def _hold_of(history: History, moments: Moments, effect: Operation) -> Hold | None:
    tasks = history.tasks if effect.task is None else (effect.task,)
    holds = [last_before(holds_on(history, moments, task), effect) for task in tasks]
    return max((hold for hold in holds if hold is not None), key=lambda hold: hold.origin.number, default=None)


def _handed_over(first: Hold | None, second: Hold | None) -> bool:
    if first is None or second is None or first.origin.task != second.origin.task:
        return False
    return can_take_over(first, second)


def _doubled(first: Operation, operations: Collection[Operation]) -> str:
    who = " and ".join(operation.occurrence for operation in operations)
    of = f" of {first.task}" if first.task else ""
    return f"{first.key!r}{of} took effect {len(operations)} times: by {who}"


def _lost(history: History, key: str) -> Verdict | None:
    tries = [op for op in history.of("effect") if op.key == key and op.outcome != "fail"]
    if not tries:
        return _never_done(history, key)
    if not any(op.outcome == "ok" for op in tries):
        return Verdict("exactly_once", "unknown", f"{key!r} may or may not have been done", tuple(tries))
    return None


def _never_done(history: History, key: str) -> Verdict:
    if late := still_running(history):
        return Verdict("exactly_once", "unknown", f"{key!r} had not been done when the harness ended {late[0][0]}")
    if history.lives and not able_survivors(history):
        return Verdict("exactly_once", "unknown", f"nobody survived to do {key!r}")
    if silent := _silent(history):
        reason = f"{silent[0][0]} may have done {key!r}, and was cut short before it could print that"
        return Verdict("exactly_once", "unknown", reason)
    return Verdict("exactly_once", "violated", f"{key!r} was never done: the work is lost")


def _silent(history: History) -> list[Life]:
    """The commands that may have worked without a word; a function tells of its work before it begins."""
    if not any(map(is_line, history.operations)):
        return []
    moments = Moments(history)
    return [life for life in history.lives if moments.cut_short(life)]
