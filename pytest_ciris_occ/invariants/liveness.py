"""That things end, and that somebody decides."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_ciris_occ.history import History, Life, Operation, ProcessEvent
from pytest_ciris_occ.invariants.claims import leaves_open
from pytest_ciris_occ.invariants.decisions import firm_decisions, observed_decisions
from pytest_ciris_occ.invariants.verdict import Verdict

# Class names, not classes: the checkers read histories, and know no driver. SQLAlchemy wraps, so that the message of
# SQLite's one class for everything has to be looked at as well.
_CONTENTION_KINDS = frozenset({"LockNotAvailable", "SerializationFailure", "DeadlockDetected", "TransactionRollback"})
_CONTENTION_WORDS = (
    "database is locked",
    "database table is locked",
    "could not serialize access",
    "deadlock detected",
)


def died_of_contention(end: ProcessEvent) -> bool:
    """Whether an occurrence ended because the database refused it a lock: unlucky, and harmless to the others."""
    return end.reason == "raised" and (
        bool(_CONTENTION_KINDS & set(end.kinds)) or any(words in end.detail for words in _CONTENTION_WORDS)
    )


def everyone_ends(history: History) -> Verdict:
    """Everybody who survives ends by itself, in bounded time, with the decision (INV 4).

    An occurrence that raises, or exits otherwise than by 0, has not ended well; one that the database refused a lock is
    reported as that and is no violation. One that the harness had to end at the run's bound makes the verdict
    ``unknown``: longer than the harness waited is not for ever. An occurrence that looked for a decision and ended
    with none, though one was made, is left out, and that is a violation whatever it says of a time-out.
    """
    unlucky = []
    survivors = history.survivors()
    for life in survivors:
        end = history.ends.get(life)
        if end is None or end.reason == "bound":
            return Verdict("everyone_ends", "unknown", _still_running(history, life), (end,) if end else ())
        if died_of_contention(end):
            unlucky.append(life[0])
        elif end.reason != "returned":
            return Verdict("everyone_ends", "violated", f"{life[0]} did not end well: {end.detail}", (end,))
    for task in history.tasks:
        for verdict in _left_out(history, task, survivors):
            return verdict
    died = f", {', '.join(unlucky)} without harm of lock contention" if unlucky else ""
    return Verdict("everyone_ends", "holds", f"{len(survivors)} survivors ended{died}")


def _still_running(history: History, life: Life) -> str:
    return f"{life[0]} was still running after {history.setting.bound:g} s, when the harness ended the run"


def _left_out(history: History, task: str, survivors: tuple[Life, ...]) -> Iterator[Verdict]:
    decisions = firm_decisions(history, task)
    last = {op.life: op for op in history.of("observe", task=task) if op.life in survivors}
    for decision in decisions[:1]:
        for life, observation in last.items():
            if observation.value is None and not any(op.life == life for op in decisions):
                yield Verdict("everyone_ends", "violated", _without(decision, observation), (decision, observation))


def _without(decision: Operation, observation: Operation) -> str:
    saw = f" (it saw {observation.status!r})" if observation.status else ""
    return (
        f"{observation.occurrence} ended without the decision {decision.value!r} that {decision.occurrence} made on "
        f"{decision.task}{saw}"
    )


def someone_decides(history: History) -> Verdict:
    """Every shared task that somebody took up is decided, as long as somebody who took it up survives (INV 4).

    Source: *termination* of consensus, as for ``one_decision``. Measured at the end of the run: every occurrence had
    ended by itself by then; where one had not, or nobody survived, nothing can be said.
    """
    for task in history.tasks:
        touched = list(history.of("claim", "decide", "observe", task=task))
        if touched and not _is_decided(history, task):
            return _undecided(history, task, touched)
    return Verdict("someone_decides", "holds", f"{len(history.tasks)} tasks, each decided")


def _is_decided(history: History, task: str) -> bool:
    if any(leaves_open(op.value) for op in history.of("decide", task=task)):
        return True  # deferred on purpose: the answer is still to come
    return bool(firm_decisions(history, task)) or any(observed_decisions(history, task))


def _undecided(history: History, task: str, touched: list[Operation]) -> Verdict:
    if any(end.reason == "bound" for end in history.ends.values()):
        return Verdict("someone_decides", "unknown", f"{task} was undecided when the harness ended the run")
    if not {op.life for op in touched} & set(history.survivors()):
        return Verdict("someone_decides", "unknown", f"nobody who took up {task} survived to decide it")
    claims = [op for op in touched if op.function == "claim" and op.value is True]
    who = f"; {claims[-1].occurrence} had claimed it" if claims else ""
    return Verdict("someone_decides", "violated", f"nobody ever decided {task}{who}", tuple(claims[-1:]))
