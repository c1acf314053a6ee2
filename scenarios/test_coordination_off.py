"""The operator switches coordination off (``ENABLE_MULTI_OCCURRENCE_COORDINATION=false``), the plan's emergency exit.

Each occurrence then decides alone, as it did before there were several: nobody waits for anybody, and nobody's decision
is another's. For implementations that have the switch.
"""

from __future__ import annotations

import pytest

from pytest_ciris_occ import Fleet, SharedTaskTarget

from .parts import SIZES, wake_up

OFF = {"ENABLE_MULTI_OCCURRENCE_COORDINATION": "false"}


@pytest.mark.occ(n=SIZES, needs="switch")
def test_each_occurrence_decides_alone(occ_fleet: Fleet, occ_target: SharedTaskTarget) -> None:
    """As many decisions as occurrences, each on a task of its own."""
    history = occ_fleet.run(wake_up, environment=OFF)
    history.check()
    decisions = list(history.of("decide"))
    assert {op.occurrence for op in decisions} == {f"occ-{index}" for index in range(history.setting.n)}
    assert len({op.task for op in decisions}) == len(decisions), "two occurrences decided on one task"
