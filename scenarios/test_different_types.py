"""Several things are to be decided at the same moment: some occurrences wake up, some roll out, some are asked to stop.

Each question is decided once, by one of those that ask it, and no question takes the answer of another.
"""

from __future__ import annotations

import pytest

from pytest_ciris_occ import Fleet, Occurrence, SharedTaskTarget

from .parts import PATIENCE

TYPES = ("wakeup", "rollout", "shutdown")


def decide_mine(occ: Occurrence) -> None:
    """Take part in one of the decisions, by the number of the occurrence."""
    task_type = TYPES[occ.index % len(TYPES)]
    session = occ.open()
    claim = session.claim(task_type)
    if claim.mine:
        session.decide(claim.task_id, f"{task_type} accepted")
    else:
        session.wait(claim.task_id, PATIENCE)
    session.close()


@pytest.mark.occ(n=[3, 9, 20])
def test_each_type_is_decided_once(occ_fleet: Fleet, occ_target: SharedTaskTarget) -> None:
    """As many tasks as types were asked for, each with one decision of its own."""
    history = occ_fleet.run(decide_mine)
    history.check()
    asked = {TYPES[index % len(TYPES)] for index in range(history.setting.n)}
    assert {op.value for op in history.of("decide")} == {f"{task_type} accepted" for task_type in asked}
    assert len(history.tasks) == len(asked), "two types share a task, or one has several"
