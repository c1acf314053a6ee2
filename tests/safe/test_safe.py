"""Correct protocols, run for real, with nothing to be said against them."""

from __future__ import annotations

import signal
from functools import partial

import pytest
import sqlalchemy as sa

from pytest_ciris_occ import Fleet, History, Occurrence
from pytest_ciris_occ.databases import Database
from pytest_ciris_occ.invariants import BUILT_IN, exactly_once

from . import protocols
from .protocols import POSTGRES, SQLITE, TASK, Protocol, prepare, take_part

LITE = ["sqlite", "sqlite-rollback"]
ALL = [*LITE, "postgres-embedded"]


@pytest.mark.occ(n=[2, 6], database=LITE)
@pytest.mark.parametrize("protocol", SQLITE)
def test_correct_claims_on_sqlite(occ_fleet: Fleet, occ_database: Database, protocol: Protocol) -> None:
    """Exactly one claims and decides, and nobody is accused."""
    _run_and_check(occ_fleet, occ_database, protocol)


@pytest.mark.occ(n=[2, 6], database="postgres-embedded")
@pytest.mark.parametrize("protocol", POSTGRES)
def test_correct_claims_on_postgresql(occ_fleet: Fleet, occ_database: Database, protocol: Protocol) -> None:
    """Exactly one claims and decides, and nobody is accused."""
    _run_and_check(occ_fleet, occ_database, protocol)


def _run_and_check(fleet: Fleet, database: Database, protocol: Protocol) -> None:
    prepare(database.url)
    history = fleet.run(partial(take_part, protocol=protocol))
    history.check(*BUILT_IN, partial(exactly_once, expected=["work"]))


@pytest.mark.occ(n=4, database=ALL)
def test_a_work_queue_does_every_item_once(occ_fleet: Fleet, occ_database: Database) -> None:
    """Twelve items, four workers, none lost, none doubled."""
    prepare(occ_database.url, work=12)
    expected = [f"item-{number}" for number in range(12)]
    occ_fleet.run(protocols.take_work).check(*BUILT_IN, partial(exactly_once, expected=expected))


@pytest.mark.occ(n=3, database=LITE)
def test_death_by_contention_is_reported_and_no_violation(occ_fleet: Fleet, occ_database: Database) -> None:
    """Two of three are refused the lock and die of it; the third decides alone."""
    prepare(occ_database.url)
    history = occ_fleet.run(partial(take_part, protocol=protocols.impatient))
    verdicts = {verdict.invariant: verdict for verdict in history.check().verdicts}
    assert "lock contention" in verdicts["everyone_ends"].reason
    assert sorted(end.reason for end in history.ends.values()) == ["raised", "raised", "returned"]


def _half_done(history: History) -> bool:
    return any(op.returned is not None for op in history.of("effect"))


@pytest.mark.occ(n=1, database=ALL)
@pytest.mark.parametrize("successor", ["the same", "another"])
def test_a_dead_claimants_work_is_taken_over(occ_fleet: Fleet, occ_database: Database, successor: str) -> None:
    """After SIGKILL of the claimant its next life, or a peer, claims again and decides: nobody is accused."""
    prepare(occ_database.url)
    with occ_fleet.start(holding) as running:
        running.wait_until(_half_done, "the claimant's half")
        running.kill("occ-0")
        if successor == "the same":
            running.restart("occ-0")
        else:
            running.join(1)
        history = running.finish()
    history.check(*BUILT_IN, partial(exactly_once, expected=["work"]))
    assert len([op for op in history.of("claim") if op.value is True]) == 2


def holding(occ: Occurrence) -> None:
    """Claim and stay in the middle until killed, in the first life of the fleet; decide in any other."""
    if occ.index == 0 and occ.identity.incarnation == 0:
        claim(occ)
        with occ.effect("half of it", task=TASK, token=1):
            pass
        signal.pause()
    claim(occ)
    protocols.decide(occ)


def claim(occ: Occurrence) -> None:
    """Claim anew, under the next token; the one before is known to be dead."""
    take = sa.text(
        "INSERT INTO tasks (id, owner, token) VALUES (:id, :me, 1) ON CONFLICT (id) DO UPDATE "
        "SET owner = excluded.owner, token = tasks.token + 1 WHERE tasks.decision IS NULL RETURNING token"
    )
    with occ.engine.begin() as connection:
        token = connection.execute(take, {"id": TASK, "me": occ.occurrence_id}).scalar_one()
    occ.claimed(TASK, token=token)
