"""A recorded session: what is journalled of each call, and what a target may not answer."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.fleet import channel
from pytest_ciris_occ.fleet.occurrence import Identity, Occurrence
from pytest_ciris_occ.history import History, from_records
from pytest_ciris_occ.targets import Claim, Refused, Seen, Session
from pytest_ciris_occ.targets.recording import RecordingSession


class Answers:
    """A session that answers what it was made with, or raises it."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.closed = False

    def _say(self) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def claim(self, task_type: str, request: str | None = None) -> Claim:
        answer: Claim = self._say()
        return answer

    def decide(self, task_id: str, decision: str, reason: str = "") -> None:
        self._say()

    def read(self, task_type: str, request: str | None = None) -> Seen | None:
        answer: Seen | None = self._say()
        return answer

    def wait(self, task_id: str, timeout: float) -> Seen:
        answer: Seen = self._say()
        return answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def journal() -> Iterator[tuple[Occurrence, Callable[[], History]]]:
    """Return an occurrence on a real channel, and what is journalled of it so far."""
    ours, theirs = channel.pair()
    occ = Occurrence(Identity("occ-0"), channel.Channel(os.dup(theirs.fileno())))
    theirs.close()
    yield occ, lambda: from_records(_packets(ours))
    occ._channel._socket.close()
    ours.close()


def _packets(ours: socket.socket) -> list[dict[str, Any]]:
    packets = []
    while True:
        try:
            packets.append(json.loads(ours.recv(channel.LIMIT)))
        except BlockingIOError:
            return packets


Journal = tuple[Occurrence, Callable[[], History]]


def test_each_call_is_one_operation(journal: Journal) -> None:
    """With the task, the value, the token, and its outcome; a decision that returned is complete as well."""
    occ, history = journal
    answers = Answers(Claim("task-1", mine=True, token=7, lease=30.0))
    session = RecordingSession(occ, answers)
    session.claim("wakeup", "r")
    answers.answer = None
    session.decide("task-1", "yes")
    assert session.read("wakeup", "r") is None
    answers.answer = Seen("task-1", "done", "yes")
    session.wait("task-1", 1)
    session.close()
    said = [
        (op.function, op.task, op.value, op.status, op.token, op.request, op.outcome) for op in history().operations
    ]
    assert said == [
        ("claim", "task-1", True, None, 7, "r", "ok"),
        ("decide", "task-1", "yes", None, None, None, "ok"),
        ("complete", "task-1", None, None, None, None, "ok"),
        ("read", None, None, None, None, "r", "ok"),
        ("observe", "task-1", "yes", "done", None, None, "ok"),
    ]
    assert answers.closed


def test_a_refused_decision_has_failed_and_is_not_complete(journal: Journal) -> None:
    """Refused means that it did not happen."""
    occ, history = journal
    with pytest.raises(Refused):
        RecordingSession(occ, Answers(Refused("fenced"))).decide("task-1", "yes")
    assert [(op.function, op.outcome, op.error) for op in history().operations] == [
        ("decide", "fail", "Refused: fenced")
    ]


def test_a_decision_that_broke_off_may_have_happened(journal: Journal) -> None:
    """Any other exception says nothing: the connection may have broken after the commit."""
    occ, history = journal
    with pytest.raises(ConnectionError):
        RecordingSession(occ, Answers(ConnectionError("reset"))).decide("task-1", "yes")
    assert [(op.function, op.outcome) for op in history().operations] == [("decide", "info")]


@pytest.mark.parametrize("answer", [None, ("task", True), "task", {"task_id": "task"}, Seen("task", "open", None)])
def test_a_claim_that_is_none_gets_a_sentence(journal: Journal, answer: object) -> None:
    """The method, what it returned, what it should."""
    with pytest.raises(UsageMistake, match=r"from claim\(\), and the protocol says Claim"):
        RecordingSession(journal[0], Answers(answer)).claim("wakeup")


@pytest.mark.parametrize("answer", ["yes", Claim("task", mine=True), 3])
def test_what_was_not_seen_gets_a_sentence(journal: Journal, answer: object) -> None:
    """Of reading and of waiting."""
    session = RecordingSession(journal[0], Answers(answer))
    with pytest.raises(UsageMistake, match=r"from read\(\), and the protocol says Seen"):
        session.read("wakeup")
    with pytest.raises(UsageMistake, match=r"from wait\(\), and the protocol says Seen"):
        session.wait("task", 1)


def test_waiting_must_return_what_was_seen(journal: Journal) -> None:
    """A read may return nothing, a wait may not."""
    with pytest.raises(UsageMistake, match=r"returned None from wait\(\)"):
        RecordingSession(journal[0], Answers(None)).wait("task", 1)


@pytest.mark.parametrize("session", [None, "session", object()])
def test_what_is_no_session_is_refused_at_once(journal: Journal, session: Any) -> None:
    """By name of what it lacks, not by an AttributeError at the first call."""
    with pytest.raises(UsageMistake, match=r"which has no claim\(\), decide\(\), read\(\), wait\(\), close\(\)"):
        RecordingSession(journal[0], session)


def test_the_double_is_a_session() -> None:
    """What these tests use fulfils the protocol that it stands for."""
    assert isinstance(Answers(), Session)
