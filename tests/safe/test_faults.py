"""Correct protocols under faults: killed, paused, restarted and refused, and nothing to be said against them."""

from __future__ import annotations

import signal
import time
from functools import partial

import pytest

from pytest_ciris_occ import Fleet, History, Occurrence, RunHistory, RunningFleet
from pytest_ciris_occ.databases import Database
from pytest_ciris_occ.invariants import BUILT_IN, exactly_once

from .store import LEASE, TASK, Store, connect, prepare

LITE = ["sqlite", "sqlite-rollback"]
ALL = [*LITE, "postgres-embedded"]
POLL = 0.005


def check(history: RunHistory, *expected: str) -> None:
    history.check(*BUILT_IN, partial(exactly_once, expected=expected))


def first_claimant(running: RunningFleet) -> str:
    """Wait until somebody has claimed."""
    running.wait_until(lambda history: any(history.of("claim")), "a claim")
    return next(running.history.of("claim")).occurrence


def completed(history: History) -> bool:
    return any(history.of("complete"))


# -- a lease with a fencing token -----------------------------------------------------------------------------------


def lead_or_follow(occ: Occurrence) -> None:
    """Claim, or take over from a lease that ran out; whoever claims first is struck before it can decide."""
    value = f"decided by {occ.occurrence_id}"
    with connect(occ.database_url) as store:
        while True:
            token = store.claim(occ.occurrence_id)
            if token is not None:
                occ.claimed(TASK, token=token, lease=LEASE)
                if token == 1:
                    occ.rendezvous("here it is struck")
                with occ.effect("work", task=TASK):
                    pass
                occ.decide(TASK, value)
                if store.decide(token, value):
                    occ.complete(TASK)
                    return
            if learn(occ, store):
                return
            time.sleep(POLL)


def learn(occ: Occurrence, store: Store) -> bool:
    found = store.decision()
    if found is not None:
        occ.observe(TASK, found)
    return found is not None


@pytest.mark.occ(n=[2, 4], database=ALL)
def test_a_lease_is_taken_over_from_the_dead(occ_fleet: Fleet, occ_database: Database) -> None:
    """The claimant is killed before it decides, and one of the others takes over when its lease has run out."""
    prepare(occ_database.url)
    with occ_fleet.start(lead_or_follow) as running:
        running.kill(first_claimant(running))
        history = running.finish()
    check(history, "work")
    assert len(list(history.of("claim"))) >= 2


@pytest.mark.occ(n=[2, 4], database=ALL)
def test_a_zombie_is_refused_and_learns(occ_fleet: Fleet, occ_database: Database) -> None:
    """The claimant stands still past its lease, and wakes up when another has decided: it works, and is refused."""
    prepare(occ_database.url)
    with occ_fleet.start(lead_or_follow) as running:
        zombie = first_claimant(running)
        running.pause(zombie)
        running.wait_until(completed, "a successor's decision")
        running.resume(zombie)
        history = running.finish()
    check(history, "work")
    assert [op.occurrence for op in history.of("decide")].count(zombie) == 1


@pytest.mark.occ(n=3, database=ALL)
def test_a_killed_zombie_is_restarted_and_learns(occ_fleet: Fleet, occ_database: Database) -> None:
    prepare(occ_database.url)
    with occ_fleet.start(lead_or_follow) as running:
        zombie = first_claimant(running)
        running.pause(zombie)
        running.wait_until(completed, "a successor's decision")
        running.kill(zombie)
        running.restart(zombie)
        history = running.finish()
    check(history, "work")
    assert [op.life for op in history.of("observe")].count((zombie, 1)) == 1


# -- a claim with its claimant's name -------------------------------------------------------------------------------


def find_own_claim(occ: Occurrence) -> None:
    """The row names its claimant, which after a restart finds its own name and goes on."""
    with connect(occ.database_url) as store:
        store.run("INSERT INTO leases (id, owner) VALUES (?, ?) ON CONFLICT DO NOTHING", TASK, occ.occurrence_id)
        if store.owner() == occ.occurrence_id and store.decision() is None:
            occ.claimed(TASK)
            with occ.effect("work", task=TASK):
                pass
            value = f"decided by {occ.occurrence_id}.{occ.identity.incarnation}"
            occ.decide(TASK, value)
            if occ.identity.incarnation == 0:
                signal.pause()
            store.run("UPDATE leases SET decision = ? WHERE id = ?", value, TASK)
            occ.complete(TASK)
            return
        while not learn(occ, store):
            time.sleep(POLL)


@pytest.mark.occ(n=[1, 4], database=ALL)
def test_a_restarted_claimant_finds_its_own_claim(occ_fleet: Fleet, occ_database: Database) -> None:
    """Killed between telling its decision and storing it; the next life decides anew, and otherwise."""
    prepare(occ_database.url)
    with occ_fleet.start(find_own_claim) as running:
        running.wait_until(lambda history: any(history.of("decide")), "a decision told")
        claimant = first_claimant(running)
        running.kill(claimant)
        running.restart(claimant)
        history = running.finish()
    check(history, "work")
    assert {op.value for op in history.of("observe", "decide")} >= {f"decided by {claimant}.1"}


# -- a lock that goes with its connection ---------------------------------------------------------------------------


def hold_a_session_lock(occ: Occurrence) -> None:
    """An advisory lock of the session: PostgreSQL gives it to the next in the moment in which its holder dies."""
    with connect(occ.database_url) as store:
        store.run("SELECT pg_advisory_lock(7)")
        if not learn(occ, store):
            store.run("INSERT INTO attempts (owner) VALUES (?)", occ.occurrence_id)
            occ.claimed(TASK)
            if store.first("SELECT count(*) FROM attempts") == 1:
                signal.pause()
            store.run("INSERT INTO leases (id, decision) VALUES (?, ?)", TASK, occ.occurrence_id)
            occ.decide(TASK, occ.occurrence_id)
            occ.complete(TASK)
        store.run("SELECT pg_advisory_unlock(7)")


@pytest.mark.occ(n=[2, 6], database="postgres-embedded")
def test_a_session_lock_passes_on_with_its_holders_death(occ_fleet: Fleet, occ_database: Database) -> None:
    prepare(occ_database.url)
    with occ_fleet.start(hold_a_session_lock) as running:
        running.kill(first_claimant(running))
        history = running.finish()
    check(history)
    assert len(list(history.of("claim"))) == 2


# -- a queue --------------------------------------------------------------------------------------------------------


def work_off_skipping_locked(occ: Occurrence) -> None:
    """Each item in a transaction of its own; occ-0 stands still in the middle of its first until it is killed."""
    struck = occ.index == 0 and occ.identity.incarnation == 0
    at_first = occ.identity.incarnation == 0
    take = "SELECT id FROM items WHERE done = 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
    with connect(occ.database_url) as store:
        while store.first("SELECT count(*) FROM items WHERE done = 0"):
            store.run("BEGIN")
            item = store.first(take)
            if item is None:
                store.run("ROLLBACK")
                time.sleep(POLL)
                continue
            with occ.effect(f"item-{item}"):
                if at_first:
                    occ.rendezvous("everybody has one")
                    at_first = False
                if struck:
                    signal.pause()
                store.run("UPDATE items SET done = 1 WHERE id = ?", item)
                store.run("COMMIT")


@pytest.mark.occ(n=[2, 4], database="postgres-embedded")
def test_the_item_of_a_dead_worker_is_done_by_another(occ_fleet: Fleet, occ_database: Database) -> None:
    items = range(12)
    prepare(occ_database.url, items)
    with occ_fleet.start(work_off_skipping_locked) as running:
        running.wait_until(lambda history: any(op.returned for op in history.of("effect")), "the first item done")
        running.kill("occ-0")
        running.restart("occ-0")
        history = running.finish()
    check(history, *(f"item-{item}" for item in items))


def work_off_by_update_returning(occ: Occurrence) -> None:
    """One statement takes an item under the write lock."""
    free = "(SELECT id FROM items WHERE done = 0 ORDER BY id LIMIT 1)"
    with connect(occ.database_url) as store:
        while True:
            taken = store.run(f"UPDATE items SET done = 1 WHERE id = {free} AND done = 0 RETURNING id").fetchall()
            if not taken:
                return
            with occ.effect(f"item-{taken[0][0]}"):
                pass


@pytest.mark.occ(n=[2, 6], database=LITE)
def test_an_update_that_returns_what_it_took(occ_fleet: Fleet, occ_database: Database) -> None:
    prepare(occ_database.url, range(12))
    check(occ_fleet.run(work_off_by_update_returning), *(f"item-{item}" for item in range(12)))


# -- deferred -------------------------------------------------------------------------------------------------------


def defer_once(occ: Occurrence) -> None:
    """The first claimant has no answer yet: it frees the task, tells that it deferred, and follows the next."""
    with connect(occ.database_url) as store:
        while not learn(occ, store):
            token = store.claim(occ.occurrence_id, lease=60.0)
            if token is None:
                time.sleep(POLL)
                continue
            occ.claimed(TASK)
            if token == 1:
                store.run("UPDATE leases SET until = 0 WHERE id = ?", TASK)
                occ.decide(TASK, "deferred")
                continue
            occ.decide(TASK, "accepted")
            assert store.decide(token, "accepted")
            occ.complete(TASK)
            return


@pytest.mark.occ(n=[2, 6], database=ALL)
def test_a_deferral_is_resumed_by_anybody(occ_fleet: Fleet, occ_database: Database) -> None:
    prepare(occ_database.url)
    history = occ_fleet.run(defer_once)
    check(history)
    assert sorted(str(op.value) for op in history.of("decide")) == ["accepted", "deferred"]


# -- refused a lock -------------------------------------------------------------------------------------------------


def decide_alone(occ: Occurrence, store: Store) -> None:
    occ.decide(TASK, occ.occurrence_id)
    store.run("INSERT INTO leases (id, decision) VALUES (?, ?)", TASK, occ.occurrence_id)
    occ.complete(TASK)


def without_waiting(occ: Occurrence) -> None:
    """NOWAIT: whoever finds the row locked dies of it, before anything was done."""
    with connect(occ.database_url) as store:
        store.run("BEGIN")
        store.run("SELECT 1 FROM items FOR UPDATE NOWAIT")
        occ.rendezvous("one has it, the others have died")
        decide_alone(occ, store)
        store.run("COMMIT")


def with_little_patience(occ: Occurrence) -> None:
    """The same with a lock time-out."""
    with connect(occ.database_url) as store:
        store.run("SET lock_timeout = '20ms'")
        store.run("BEGIN")
        store.run("SELECT 1 FROM items FOR UPDATE")
        occ.rendezvous("one has it, the others have died")
        decide_alone(occ, store)
        store.run("COMMIT")


def without_retry(occ: Occurrence) -> None:
    """Check, then insert, with the server as referee, and without a second try; told when it is stored."""
    with connect(occ.database_url) as store:
        store.run("BEGIN ISOLATION LEVEL SERIALIZABLE")
        assert store.first("SELECT count(*) FROM attempts") == 0
        occ.rendezvous("all have seen nothing")
        store.run("INSERT INTO attempts (owner) VALUES (?)", occ.occurrence_id)
        store.run("COMMIT")
        decide_alone(occ, store)


def embrace(occ: Occurrence) -> None:
    """Two locks in opposite order: the server ends one of the two."""
    with connect(occ.database_url) as store:
        store.run("BEGIN")
        store.run("SELECT 1 FROM items WHERE id = ? FOR UPDATE", occ.index)
        occ.rendezvous("each has one")
        store.run("SELECT 1 FROM items WHERE id = ? FOR UPDATE", 1 - occ.index)
        decide_alone(occ, store)
        store.run("COMMIT")


@pytest.mark.occ(n=2, database="postgres-embedded")
@pytest.mark.parametrize("protocol", [without_waiting, with_little_patience, without_retry, embrace])
def test_death_by_contention_on_postgresql(occ_fleet: Fleet, occ_database: Database, protocol: object) -> None:
    """One dies of it and is reported as unlucky; the other decides."""
    prepare(occ_database.url, items=[0, 1])
    history = occ_fleet.run(protocol)  # type: ignore[arg-type]
    verdicts = {verdict.invariant: verdict for verdict in history.check().verdicts}
    assert "without harm of lock contention" in verdicts["everyone_ends"].reason
    assert sorted(end.reason for end in history.ends.values()) == ["raised", "returned"]
