"""All occurrences of an agent start at the same moment.

One of them may speak the five affirmations, once, for all. The others wait until it has, and wake up with its
decision: nobody affirms twice, nobody stays asleep.
"""

from __future__ import annotations

from functools import partial

import pytest

from pytest_ciris_occ import Fleet, SharedTaskTarget
from pytest_ciris_occ.invariants import BUILT_IN, exactly_once

from .parts import AFFIRMATIONS, SIZES, wake_up


@pytest.mark.occ(n=SIZES)
def test_one_occurrence_wakes_the_fleet(occ_fleet: Fleet, occ_target: SharedTaskTarget) -> None:
    """One claim, five affirmations, one decision, known to all."""
    history = occ_fleet.run(wake_up)
    history.check(*BUILT_IN, partial(exactly_once, expected=AFFIRMATIONS))
