"""The agent as a program of its own, watched through what it prints."""

from __future__ import annotations

import sys

import pytest
from pytest_ciris_occ import Fleet
from pytest_ciris_occ.fleet.occurrence import Identity


def agent(occurrence: Identity) -> list[str]:
    """The command line of one occurrence; ``AGENT_OCCURRENCE_ID`` and the count are in its environment."""
    return [sys.executable, "-m", "reference_impl", "--database", occurrence.database_url]


@pytest.mark.occ(n=3)
def test_the_program_wakes_up_once(occ_fleet: Fleet) -> None:
    """Any language will do: the harness reads JSON lines."""
    occ_fleet.command(agent).check()
