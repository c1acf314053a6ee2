"""Correct protocols, told in every way in which truth may be told."""

from __future__ import annotations

import sys
import time
from functools import partial

import pytest

from pytest_ciris_occ import Fleet, Occurrence
from pytest_ciris_occ.databases import Database
from pytest_ciris_occ.invariants import BUILT_IN, exactly_once

from . import protocols
from .store import TASK, Store, connect, prepare

ALL = ["sqlite", "sqlite-rollback", "postgres-embedded"]


def follow(occ: Occurrence, store: Store) -> None:
    while (found := store.decision()) is None:
        time.sleep(0.005)
    occ.observe(TASK, found)


def tell_when_all_know(occ: Occurrence) -> None:
    """The decider stores first and tells last: by then everybody else has learnt its decision and gone."""
    with connect(occ.database_url) as store:
        token = store.claim(occ.occurrence_id, lease=60.0)
        if token is None:
            follow(occ, store)
            return
        assert store.decide(token, occ.occurrence_id)
        occ.rendezvous("all others have gone")
        occ.claimed(TASK)
        occ.decide(TASK, occ.occurrence_id)
        occ.complete(TASK)


@pytest.mark.occ(n=[2, 6], database=ALL)
def test_a_decision_told_after_everybody_has_learnt_it(occ_fleet: Fleet, occ_database: Database) -> None:
    prepare(occ_database.url)
    history = occ_fleet.run(tell_when_all_know)
    history.check()
    (made,) = history.of("decide")
    assert all(op.returned is not None and op.returned < made.invoked for op in history.of("observe"))


def first_answer_wins(occ: Occurrence) -> None:
    """No claim at all: whoever inserts its answer first has decided, and only tells when it knows that it was first."""
    insert = "INSERT INTO leases (id, decision) VALUES (?, ?) ON CONFLICT DO NOTHING"
    with connect(occ.database_url) as store:
        if store.run(insert, TASK, occ.occurrence_id).rowcount == 1:
            occ.decide(TASK, occ.occurrence_id)
        else:
            follow(occ, store)


@pytest.mark.occ(n=[2, 6], database=ALL)
def test_the_first_answer_wins(occ_fleet: Fleet, occ_database: Database) -> None:
    prepare(occ_database.url)
    occ_fleet.run(first_answer_wins).check()


def tell_nothing_but_the_end(occ: Occurrence) -> None:
    """Everybody reports, the decider too, and nobody says who decided."""
    insert = "INSERT INTO leases (id, decision) VALUES (?, ?) ON CONFLICT DO NOTHING"
    with connect(occ.database_url) as store:
        store.run(insert, TASK, occ.occurrence_id)
        follow(occ, store)


@pytest.mark.occ(n=3, database=ALL)
def test_what_nobody_claims_to_have_decided_is_unknown_and_no_violation(
    occ_fleet: Fleet, occ_database: Database
) -> None:
    prepare(occ_database.url)
    judgement = occ_fleet.run(tell_nothing_but_the_end).judge()
    assert {verdict.invariant: verdict.status for verdict in judgement.verdicts if verdict.status != "holds"} == {
        "validity": "unknown"
    }


@pytest.mark.occ(n=3, database=ALL)
def test_a_second_run_learns_what_the_first_decided(occ_fleet: Fleet, occ_database: Database) -> None:
    """Its history does not know the decision's maker, and accuses nobody."""
    prepare(occ_database.url)
    occ_fleet.run(first_answer_wins).check()
    assert occ_fleet.run(first_answer_wins).judge().status != "violated"


@pytest.mark.occ(n=4, database=ALL)
def test_staggered_starts_and_late_joiners(occ_fleet: Fleet, occ_database: Database) -> None:
    protocols.prepare(occ_database.url)
    take_part = partial(protocols.take_part, protocol=protocols.on_conflict)
    with occ_fleet.start(take_part, stagger=0.03) as running:
        running.wait_until_all_ended()
        running.join(2)
        history = running.finish()
    history.check(*BUILT_IN, partial(exactly_once, expected=["work"]))
    assert len(list(history.of("observe"))) == 5


PROGRAM = """
import json, os, time
import sqlalchemy as sa

me = os.environ["AGENT_OCCURRENCE_ID"]
engine = sa.create_engine(os.environ["OCC_DATABASE_URL"])
say = lambda **report: print(json.dumps(report))
find = sa.text("SELECT decision FROM leases WHERE decision IS NOT NULL")
with engine.begin() as connection:
    mine = connection.execute(
        sa.text("INSERT INTO leases (id, owner) VALUES ('t', :me) ON CONFLICT DO NOTHING"), {"me": me}
    ).rowcount == 1
say(occ="claim", task="t", mine=mine)
if mine:
    say(occ="effect", task="t", key="work")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE leases SET decision = :me"), {"me": me})
    say(occ="decide", task="t", decision=me)
    say(occ="complete", task="t")
else:
    while True:
        with engine.connect() as connection:
            found = connection.execute(find).scalar_one_or_none()
        if found:
            break
        time.sleep(0.01)
    say(occ="observe", task="t", decision=found)
"""


@pytest.mark.occ(n=3, database=["sqlite", "postgres-embedded"])
@pytest.mark.parametrize("buffered", [True, False])
def test_a_command_whose_lines_are_read_in_any_order(
    occ_fleet: Fleet, occ_database: Database, *, buffered: bool
) -> None:
    """With its output buffered, as Python does on a pipe, all lines of a process arrive at its end."""
    prepare(occ_database.url)
    argv = [sys.executable, *([] if buffered else ["-u"]), "-c", PROGRAM]
    history = occ_fleet.command(argv)
    history.check(*BUILT_IN, partial(exactly_once, expected=["work"]))
    assert len(list(history.of("observe"))) == 2
