"""A shutdown is requested, and every occurrence hears of it at the same moment.

One of them deliberates for all. If it accepts, all go; if it rejects, nobody goes, and all know why: a rejection is an
answer, and neither an error nor a time-out.
"""

from __future__ import annotations

from functools import partial

import pytest

from pytest_ciris_occ import Fleet, Occurrence, SharedTaskTarget
from pytest_ciris_occ.invariants import BUILT_IN, exactly_once

from .parts import PATIENCE, SIZES

REQUEST = "maintenance-window"


def shut_down(occ: Occurrence, decision: str) -> None:
    """Claim the shutdown; the claimant decides, and everybody does what was decided."""
    session = occ.open()
    claim = session.claim("shutdown", REQUEST)
    if claim.mine:
        session.decide(claim.task_id, decision, reason="said the scenario")
        decided: str | None = decision
    else:
        decided = session.wait(claim.task_id, PATIENCE).decision
    session.close()
    if decided is not None:
        with occ.effect(_act(decided, occ.index), task=claim.task_id):
            pass


def _act(decision: str, index: int) -> str:
    return f"{'go' if decision == 'accepted' else 'stay'}-{index}"


@pytest.mark.occ(n=SIZES)
@pytest.mark.parametrize("decision", ["accepted", "rejected"])
def test_all_go_or_nobody_goes(occ_fleet: Fleet, occ_target: SharedTaskTarget, decision: str) -> None:
    """Each occurrence does what was decided, once, and nobody does the other."""
    history = occ_fleet.run(partial(shut_down, decision=decision))
    expected = [_act(decision, index) for index in range(history.setting.n)]
    history.check(*BUILT_IN, partial(exactly_once, expected=expected))
    assert {op.key for op in history.of("effect")} == set(expected)
