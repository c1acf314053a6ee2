"""That things end, and that somebody decides."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_ciris_occ.history import History, Life, Operation, ProcessEvent
from pytest_ciris_occ.invariants.decisions import standing_decisions
from pytest_ciris_occ.invariants.made import leaves_open, tried_decisions
from pytest_ciris_occ.invariants.moments import Moments
from pytest_ciris_occ.invariants.verdict import Verdict, worst

# Class names, not classes: the checkers read histories, and know no driver. Several drivers' names for one thing;
# SQLAlchemy wraps, so that the message of SQLite's one class for everything has to be looked at as well.
_CONTENTION_KINDS = frozenset(
    {
        "LockNotAvailable",
        "SerializationFailure",
        "DeadlockDetected",
        "TransactionRollback",
        "LockNotAvailableError",
        "SerializationError",
        "DeadlockDetectedError",
        "TransactionRollbackError",
    }
)
_CONTENTION_WORDS = (
    "database is locked",
    "database table is locked",
    "database schema is locked",
    "could not serialize access",
    "deadlock detected",
    "canceling statement due to lock timeout",
)


def died_of_contention(end: ProcessEvent) -> bool:
    """Whether an occurrence ended because the database refused it a lock: unlucky, and harmless to the others."""
    return end.reason == "raised" and (
        bool(_CONTENTION_KINDS & set(end.kinds)) or any(words in end.detail for words in _CONTENTION_WORDS)
    )


def still_running(history: History) -> list[Life]:
    """The lives that had not ended by themselves, or by a fault, when the history did."""
    return [life for life in history.lives if life not in history.ends or history.ends[life].reason == "bound"]


def able_survivors(history: History) -> set[Life]:
    """Those who survived, and had not the bad luck of being refused a lock."""
    ends = history.ends
    return {life for life in history.survivors() if life not in ends or not died_of_contention(ends[life])}


def everyone_ends(history: History) -> Verdict:
    """Everybody who survives ends by itself, in bounded time, with the decision (INV 4).

    An occurrence that raises, or exits otherwise than by 0, has not ended well; one that the database refused a lock is
    reported as that and is no violation. One that the harness had to end at the run's bound makes the verdict
    ``unknown``: longer than the harness waited is not for ever. An occurrence that looked for a decision and ended
    with none, though one was made, is left out, and that is a violation whatever it says of a time-out.
    """
    unlucky, late = [], []
    survivors = history.survivors()
    for life in survivors:
        end = history.ends.get(life)
        if end is None or end.reason == "bound":
            late.append(life)
        elif died_of_contention(end):
            unlucky.append(life[0])
        elif end.reason != "returned":
            return Verdict("everyone_ends", "violated", f"{life[0]} did not end well: {end.detail}", (end,))
    returned = {life for life in survivors if life in history.ends and history.ends[life].reason == "returned"}
    for verdict in _left_out(history, returned):
        return verdict
    if late:
        return _unfinished(history, late[0])
    died = f", {', '.join(unlucky)} without harm of lock contention" if unlucky else ""
    return Verdict("everyone_ends", "holds", f"{len(survivors)} survivors ended{died}")


def _unfinished(history: History, life: Life) -> Verdict:
    reason = f"{life[0]} was still running after {history.setting.bound:g} s, when the harness ended the run"
    return Verdict("everyone_ends", "unknown", reason, tuple(filter(None, [history.ends.get(life)])))


def _left_out(history: History, returned: set[Life]) -> Iterator[Verdict]:
    moments = Moments(history)
    for task in history.tasks:
        decided = [op for op in standing_decisions(history, moments, task) if op.value is not None]
        learnt = [op for op in history.of("decide", "observe", "read", task=task) if op.outcome == "ok"]
        knows = {op.life for op in learnt if op.value is not None}
        for looked in history.of("observe", task=task):
            if decided and looked.life in returned - knows:
                yield Verdict("everyone_ends", "violated", _without(decided[0], looked), (decided[0], looked))


def _without(decision: Operation, observation: Operation) -> str:
    saw = f" (it saw {observation.status!r})" if observation.status else ""
    return (
        f"{observation.occurrence} ended without the decision {decision.value!r} that {decision.occurrence} made on "
        f"{decision.task}{saw}"
    )


def someone_decides(history: History) -> Verdict:
    """Every shared task that somebody took up is decided, as long as somebody who took it up survives (INV 4).

    Source: *termination* of consensus, as for ``one_decision``. Measured at the end of the run: every occurrence had
    ended by itself by then; where one had not, or nobody survived, nothing can be said. Somebody who was cut short, or
    whose decision is in doubt, may have decided all the same: then it is a violation only if a survivor had stopped
    waiting without a decision, since there was none or it was left out.
    """
    moments = Moments(history)
    open_tasks = [task for task in history.tasks if not _is_decided(history, moments, task)]
    taken_up = {task: list(history.of("claim", "decide", "observe", task=task)) for task in open_tasks}
    undecided = worst(_undecided(history, moments, task, touched) for task, touched in taken_up.items() if touched)
    return undecided or Verdict("someone_decides", "holds", f"{len(history.tasks)} tasks, each decided")


def _is_decided(history: History, moments: Moments, task: str) -> bool:
    if any(leaves_open(op.value) for op in history.of("decide", "observe", task=task)):
        return True  # deferred on purpose: the answer is still to come
    seen = [op for op in history.of("observe", "read", task=task) if op.outcome == "ok" and op.value is not None]
    return bool(seen or standing_decisions(history, moments, task))


def _undecided(history: History, moments: Moments, task: str, touched: list[Operation]) -> Verdict:
    able = able_survivors(history)
    if still_running(history):
        return Verdict("someone_decides", "unknown", f"{task} was undecided when the harness ended the run")
    if not {op.life for op in touched} & able:
        return Verdict("someone_decides", "unknown", f"nobody who took up {task} survived to decide it")
    makers = {op.life for op in tried_decisions(history, task)} | {
        op.life for op in touched if moments.cut_short(op.life)
    }
    in_vain = {op.life for op in touched if op.function == "observe"} & able - makers
    if makers and not in_vain:
        reason = f"whether {min(makers)[0]} decided {task} before it ended cannot be told"
        return Verdict("someone_decides", "unknown", reason, tuple(op for op in touched if op.life in makers))
    claims = [op for op in touched if op.function == "claim" and op.value is True]
    who = f"; {claims[-1].occurrence} had claimed it" if claims else ""
    return Verdict("someone_decides", "violated", f"nobody ever decided {task}{who}", tuple(claims[-1:]))
