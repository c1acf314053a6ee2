"""The wakeup of the agent, as real processes do it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from pytest_ciris_occ import Fleet, Occurrence

from agent import claim, decide, metadata, wait

DAY = "2031-05-04"


def wake_up(occ: Occurrence) -> None:
    """What each occurrence does; ``occ`` tells the harness about it."""
    if claim(occ.engine, DAY):
        occ.claimed(DAY)
        with occ.effect("say good morning", task=DAY):
            pass
        occ.decide(DAY, "awake")
        decide(occ.engine, DAY, "awake")
        occ.complete(DAY)
    else:
        occ.observe(DAY, wait(occ.engine, DAY, timeout=20))


@pytest.fixture
def fleet(occ_fleet: Fleet) -> Fleet:
    """A fleet whose database has the agent's table."""
    engine = sa.create_engine(occ_fleet.database_url)
    metadata.create_all(engine)
    engine.dispose()
    return occ_fleet


@pytest.mark.occ(n=3)
def test_one_occurrence_wakes_the_fleet(fleet: Fleet) -> None:
    """One claim, one decision, known to all."""
    fleet.run(wake_up).check()


def wake_up_at_the_same_time(occ: Occurrence) -> None:
    """Like ``wake_up``, and whoever is about to insert waits until everybody else is as far."""

    @sa.event.listens_for(occ.engine, "before_cursor_execute")
    def meet(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        if statement.startswith("INSERT"):
            occ.rendezvous("before the insert")

    wake_up(occ)


@pytest.mark.occ(n=[3, 20])
def test_even_when_all_look_before_anybody_inserts(fleet: Fleet) -> None:
    """The worst moment, every time."""
    fleet.run(wake_up_at_the_same_time).check()
