"""What the scenarios have in common: how an occurrence takes part in one decision."""

from __future__ import annotations

from pytest_ciris_occ import Occurrence

SIZES = [1, 3, 9, 20]
AFFIRMATIONS = tuple(f"affirm-{step}" for step in range(5))
PATIENCE = 45.0
"""Seconds that an observer waits for a decision; the run itself is ended after 60."""


def wake_up(occ: Occurrence) -> None:
    """Claim the wakeup; the claimant affirms five times and decides for all, everybody else waits."""
    session = occ.open()
    claim = session.claim("wakeup")
    if claim.mine:
        for key in AFFIRMATIONS:
            with occ.effect(key, task=claim.task_id):
                pass
        session.decide(claim.task_id, f"awake, says {occ.occurrence_id}")
    else:
        session.wait(claim.task_id, PATIENCE)
    session.close()


def join_or_wake_up(occ: Occurrence) -> None:
    """Look first, as a process does that starts later: join when the fleet is awake already."""
    session = occ.open()
    seen = session.read("wakeup")
    session.close()
    if seen is not None and seen.decision is not None:
        occ.observe(seen.task_id, seen.decision, status=seen.status)
    else:
        wake_up(occ)
