"""What was decided, and what everybody knows of it."""

from __future__ import annotations

from itertools import combinations
from math import inf

from pytest_ciris_occ.history import History, Life, Operation
from pytest_ciris_occ.invariants.holds import can_take_over, holds_on, last_before
from pytest_ciris_occ.invariants.made import leaves_open, may_be_source, observed_decisions, stored_by, tried_decisions
from pytest_ciris_occ.invariants.moments import Moments
from pytest_ciris_occ.invariants.verdict import Verdict, worst


def stands(history: History, moments: Moments, made: Operation, by: float = inf) -> bool:
    """Whether a decision was certainly made, in the eyes of somebody who looks at the moment ``by``.

    Told is not stored: an occurrence may tell of its decision before it stores it. A decision that was never shown to
    be stored is in doubt when its process was cut short, or when another occurrence had taken the task over after its
    lease had run out; whoever has taken over is right to decide again.
    """
    if stored_by(history, moments, made) < inf:
        return True
    cut_short = made.outcome != "ok" or moments.gone(made.life, by)
    return not cut_short and not _taken_over(history, moments, made, by)


def _taken_over(history: History, moments: Moments, made: Operation, by: float) -> bool:
    """Whether the hold of its maker may have ended, and another begun, by that moment."""
    holds = holds_on(history, moments, str(made.task))
    mine = last_before(holds, made)
    return mine is not None and any(can_take_over(mine, other, by) for other in holds)


def standing_decisions(history: History, moments: Moments, task: str, by: float = inf) -> list[Operation]:
    """The final decisions on ``task`` that stand."""
    return [op for op in tried_decisions(history, task) if stands(history, moments, op, by)]


def one_decision(history: History) -> Verdict:
    """For one shared task at most one decision is ever made (INV 2, the single-decision invariant).

    Two decisions by different processes are two, even if they say the same; one process may repeat its own. A decision
    that is in doubt (see ``stands``) is none. Source: *integrity* of consensus, Cachin, Guerraoui, Rodrigues,
    *Reliable and Secure Distributed Programming*, §5.1.
    """
    moments = Moments(history)
    for task in history.tasks:
        for first, other in combinations(tried_decisions(history, task), 2):
            if _differ(first, other) and _both_stand(history, moments, first, other):
                return Verdict("one_decision", "violated", _decided_twice(first, other), (first, other))
    decided = sum(bool(standing_decisions(history, moments, task)) for task in history.tasks)
    return Verdict("one_decision", "holds", f"{decided} of {len(history.tasks)} tasks decided, each once")


def _differ(first: Operation, other: Operation) -> bool:
    return other.life != first.life or other.value != first.value


def _both_stand(history: History, moments: Moments, first: Operation, other: Operation) -> bool:
    return stands(history, moments, first, moments.latest(other)) and stands(
        history, moments, other, moments.latest(first)
    )


def _decided_twice(first: Operation, other: Operation) -> str:
    return (
        f"{first.task} was decided twice: {first.value!r} by {first.occurrence}, {other.value!r} by {other.occurrence}"
    )


def agreement(history: History) -> Verdict:
    """Everybody who reports a decision reports the same one, and it is the one that was made (INV 2).

    A decision that is in doubt (see ``stands``) is no report. Occurrences that end without any decision are the
    business of ``everyone_ends``. Source: *agreement* of consensus, as for ``one_decision``.
    """
    moments = Moments(history)
    counted = 0
    for task in history.tasks:
        reports = [*tried_decisions(history, task), *observed_decisions(history, task)]
        counted += len(reports)
        for first, other in combinations(reports, 2):
            if other.value != first.value and _both_report(history, moments, first, other):
                reason = f"on {task}, {first.occurrence} has {first.value!r} and {other.occurrence} has {other.value!r}"
                return Verdict("agreement", "violated", reason, (first, other))
    return Verdict("agreement", "holds", f"{counted} reports of a decision, all alike within their task")


def _both_report(history: History, moments: Moments, first: Operation, other: Operation) -> bool:
    return all(
        one.function == "observe" or stands(history, moments, one, moments.latest(another))
        for one, another in ((first, other), (other, first))
    )


def validity(history: History) -> Verdict:
    """A decision that somebody reports was made by somebody before (INV 2).

    Two sources leave no trace, and make the verdict ``unknown``: an occurrence that was cut short before it could tell
    of what it had stored, and, where nobody claimed or decided the task within the history, somebody before it.
    Source: *validity* of consensus, as for ``one_decision``.
    """
    moments = Moments(history)
    reports = [op for task in history.tasks for op in observed_decisions(history, task)]
    unfounded = [report for report in reports if not _has_source(history, moments, report)]
    found = f"{len(reports)} observations, each of a decision that was made before"
    return worst(_unfounded(history, moments, report) for report in unfounded) or Verdict("validity", "holds", found)


def _has_source(history: History, moments: Moments, report: Operation) -> bool:
    return any(
        made.outcome != "fail" and may_be_source(moments, made, report)
        for made in history.of("decide", task=report.task)
    )


def _unfounded(history: History, moments: Moments, report: Operation) -> Verdict:
    what = f"{report.occurrence} reports {report.value!r} for {report.task}"
    silent = [life for life in history.lives if _may_have_kept_silent(history, moments, life, report)]
    if silent:
        reason = f"{what}: {silent[0][0]} may have decided that, and was cut short before it could tell"
        return Verdict("validity", "unknown", reason, (report,))
    if any(op.value is True or op.function == "decide" for op in history.of("claim", "decide", task=report.task)):
        return Verdict("validity", "violated", f"{what}, which nobody had decided", (report,))
    reason = f"{what}, and nobody in this run claimed or decided it: it may have been decided before the run"
    return Verdict("validity", "unknown", reason, (report,))


def _may_have_kept_silent(history: History, moments: Moments, life: Life, report: Operation) -> bool:
    """Whether a life may have decided untold: it was cut short, and told of no decision under its last hold."""
    if not moments.cut_short(life) or moments.last_sign(life) > moments.latest(report):
        return False
    acts = [op for op in history.of("claim", "decide", task=report.task) if op.life == life]
    last = [op for op in acts if op.function == "decide" or op.value is True][-1:]
    return not any(op.function == "decide" and not leaves_open(op.value) for op in last)
