"""The reference behind the harness's target protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import reference_impl as ref
from pytest_ciris_occ.targets import protocol
from pytest_ciris_occ.targets.reference import ReferenceSession, target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    Open = Callable[[str], ReferenceSession]


@dataclass(frozen=True)
class Occurrence:
    """An identity as the fleet gives it."""

    occurrence_id: str
    database_url: str
    count: int = 3
    engine: Engine | None = None


@pytest.fixture(autouse=True)
def _no_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENABLE_MULTI_OCCURRENCE_COORDINATION", raising=False)


@pytest.fixture
def open_session(url: str) -> Iterator[Open]:
    target.create(url)
    opened: list[ReferenceSession] = []

    def open_one(who: str) -> ReferenceSession:
        opened.append(target.open(Occurrence(who, url)))
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


def test_it_fulfils_the_protocol(open_session: Open) -> None:
    """Both halves have every method."""
    as_target: protocol.SharedTaskTarget = target
    as_session: protocol.Session = open_session("a")
    assert isinstance(as_target, protocol.SharedTaskTarget)
    assert isinstance(as_session, protocol.Session)
    assert target.capabilities == {"switch"}


@pytest.mark.parametrize("decision", ["accepted", "rejected", "failed", "deferred", "version 7"])
def test_a_decision_reaches_waiters_and_late_joiners(open_session: Open, decision: str) -> None:
    """Exactly as it was made."""
    one, two, late = (open_session(who) for who in ("a", "b", "c"))
    claim = one.claim("shutdown", "r")
    assert claim.mine
    assert claim.token == 1
    assert claim.lease == pytest.approx(30.0, abs=0.001)
    assert two.claim("shutdown", "r") == protocol.Claim(claim.task_id, False)
    one.decide(claim.task_id, decision, "because")
    assert two.wait(claim.task_id, 60).decision == decision
    seen = late.read("shutdown", "r")
    assert seen is not None
    assert (seen.task_id, seen.decision) == (claim.task_id, decision)


def test_nothing_is_read_before_a_claim_and_no_decision_before_one_is_made(open_session: Open) -> None:
    """A wait that runs out changes nothing."""
    session = open_session("a")
    assert session.read("wakeup") is None
    claim = session.claim("wakeup")
    assert session.wait(claim.task_id, 0).decision is None
    seen = session.read("wakeup")
    assert seen == protocol.Seen(claim.task_id, "ACTIVE", None)


def test_writes_without_the_right_are_refused(open_session: Open) -> None:
    """By an observer, by a stranger, and twice."""
    one, two = open_session("a"), open_session("b")
    claim = one.claim("wakeup")
    for session, task_id in ((two, claim.task_id), (one, "NOTHING")):
        with pytest.raises(protocol.Refused):
            session.decide(task_id, "accepted")
    two.claim("wakeup")
    with pytest.raises(protocol.Refused):
        two.decide(claim.task_id, "accepted")
    one.decide(claim.task_id, "accepted")
    with pytest.raises(protocol.Refused):
        one.decide(claim.task_id, "accepted")


def test_switched_off_each_decides_alone(open_session: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a task of its own, which only it waits for and reads."""
    monkeypatch.setenv("ENABLE_MULTI_OCCURRENCE_COORDINATION", "false")
    one, two = open_session("a"), open_session("b")
    claims = [session.claim("wakeup") for session in (one, two)]
    assert [claim.mine for claim in claims] == [True, True]
    assert claims[0].task_id != claims[1].task_id
    one.decide(claims[0].task_id, "accepted")
    two.decide(claims[1].task_id, "rejected")
    assert one.wait(claims[0].task_id, 60).decision == "accepted"
    seen = two.read("wakeup")
    assert seen is not None
    assert seen.decision == "rejected"
    assert open_session("c").read("wakeup") is None


def test_a_ready_engine_is_used_and_left_open(engine: Engine, url: str) -> None:
    """It belongs to the fleet, which made it."""
    session = target.open(Occurrence("a", url, engine=engine))
    claim = session.claim("wakeup")
    session.close()
    assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]
    assert ref.read_task(engine, claim.task_id) is not None
