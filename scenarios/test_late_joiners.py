"""The fleet is awake, and more occurrences start: a restart, a scale-up, a slow machine.

They look first, find the decision, and join. Nobody wakes the fleet a second time, and nobody waits for somebody who
has long since decided.
"""

from __future__ import annotations

from functools import partial

import pytest

from pytest_ciris_occ import Fleet, SharedTaskTarget
from pytest_ciris_occ.invariants import BUILT_IN, exactly_once

from .parts import AFFIRMATIONS, SIZES, join_or_wake_up


@pytest.mark.occ(n=SIZES)
def test_late_joiners_find_the_decision(occ_fleet: Fleet, occ_target: SharedTaskTarget) -> None:
    """Three more start after the decision, and report the same one."""
    with occ_fleet.start(join_or_wake_up) as running:
        running.wait_until_all_ended()
        late = running.join(3)
        history = running.finish()
    history.check(*BUILT_IN, partial(exactly_once, expected=AFFIRMATIONS))
    assert not [op for op in history.of("decide") if op.occurrence in late], "a late joiner decided once more"
    assert {op.occurrence for op in history.of("observe")} >= set(late), "a late joiner has not learnt the decision"
