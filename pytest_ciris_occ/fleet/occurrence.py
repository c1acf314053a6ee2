"""What the code of an occurrence holds in its hand: its identity, and the means to tell the harness the truth."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.fleet.channel import LIMIT, Channel
from pytest_ciris_occ.history import JSON
from pytest_ciris_occ.targets.protocol import Refused

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pytest_ciris_occ.targets.protocol import Session, SharedTaskTarget

# Taken before any user code can patch it.
_now = time.monotonic


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an occurrence is.

    Attributes:
        occurrence_id: its id, also ``AGENT_OCCURRENCE_ID`` in its environment; a restart keeps it.
        index: its number within the fleet, from 0.
        count: how many occurrences the fleet began with, also ``AGENT_OCCURRENCE_COUNT``.
        incarnation: which life of the occurrence this is, from 0.
        database_url: the database under test as an SQLAlchemy URL, password included; ``""`` without one.
        seed: the run's seed.
    """

    occurrence_id: str
    index: int = 0
    count: int = 1
    incarnation: int = 0
    database_url: str = ""
    seed: int = 0


@dataclass(slots=True)
class Mark:
    """An operation under way; set what is only known when it has returned."""

    task: str | None = None
    value: JSON = None
    status: str | None = None
    token: int | None = None
    lease: float | None = None


@dataclass
class Occurrence:
    """One occurrence, as its own code sees it: the argument of the function that ``occ_fleet.run`` starts.

    Everything told here is journalled by the harness over a channel of its own, never read back from the database.
    """

    identity: Identity
    _channel: Channel = field(repr=False)
    _target: SharedTaskTarget | None = field(default=None, repr=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @property
    def occurrence_id(self) -> str:
        """The id of this occurrence, also in the environment as ``AGENT_OCCURRENCE_ID``."""
        return self.identity.occurrence_id

    @property
    def index(self) -> int:
        """The number of this occurrence within its fleet, from 0."""
        return self.identity.index

    @property
    def count(self) -> int:
        """How many occurrences the fleet began with, also in ``AGENT_OCCURRENCE_COUNT``."""
        return self.identity.count

    @property
    def database_url(self) -> str:
        """The database under test as an SQLAlchemy URL, password included."""
        return self.identity.database_url

    @property
    def engine(self) -> Engine:
        """An SQLAlchemy engine for the database under test, initialised before this process was forked.

        Raises:
            UsageMistake: the fleet has no database.
        """
        from pytest_ciris_occ.fleet import engines

        if not self.database_url:
            raise UsageMistake("occ.engine was asked for in a fleet without a database; use the fixture occ_database")
        return engines.engine_for(self.database_url)

    def random(self) -> random.Random:
        """A source of random numbers that depends on the run's seed and on this occurrence only."""
        return random.Random(f"{self.identity.seed}:{self.occurrence_id}:{self.identity.incarnation}")  # noqa: S311

    # -- ground truth ---------------------------------------------------------------------------------------------

    def claimed(self, task: str, *, token: int | None = None, lease: float | None = None) -> None:
        """Tell: from now on I hold the right to decide ``task`` (for ``lease`` seconds, under fencing ``token``)."""
        self._point("claim", task=task, value=True, token=token, lease=lease)

    def decide(self, task: str, decision: JSON, *, token: int | None = None) -> None:
        """Tell: I decided this. Call it for a decision that is yours to make, before or after it is stored."""
        self._point("decide", task=task, value=decision, token=token)

    def complete(self, task: str, *, token: int | None = None) -> None:
        """Tell: the decision of ``task`` is stored for good, so that it counts even if I die now."""
        self._point("complete", task=task, token=token)

    def observe(self, task: str, decision: JSON, *, status: str | None = None) -> None:
        """Tell: this is the decision that I learnt and act on; ``None`` when I stopped waiting without one."""
        self._point("observe", task=task, value=decision, status=status)

    @contextlib.contextmanager
    def effect(self, key: str, *, task: str | None = None, token: int | None = None) -> Iterator[None]:
        """Tell: I do this unit of work. Killed, or left by an exception, it may or may not have happened (``info``)."""
        with self.operation("effect", key=key, task=task, token=token):
            yield

    @contextlib.contextmanager
    def operation(
        self, function: str, *, key: str | None = None, request: str | None = None, **known: Any
    ) -> Iterator[Mark]:
        """Journal the block as one operation with its beginning and its end.

        ``ok`` when it runs to its end, ``fail`` when it raises :class:`Refused`, ``info`` when it raises anything else.
        """
        number = f"{self.occurrence_id}.{self.identity.incarnation}.{next(self._numbers)}"
        mark = Mark(**known)
        actor = threading.current_thread().name
        self._tell("invoke", op=number, function=function, key=key, request=request, actor=actor, **known)
        try:
            yield mark
        except BaseException as error:
            outcome = "fail" if isinstance(error, Refused) else "info"
            self._tell("return", op=number, outcome=outcome, error=f"{type(error).__name__}: {error}"[:500])
            raise
        self._tell("return", op=number, outcome="ok", **_known(mark))

    def _point(self, function: str, **known: Any) -> None:
        with self.operation(function, **known):
            pass

    def _tell(self, record: str, **values: Any) -> None:
        message = {"record": record, "at": _now()} | {name: v for name, v in values.items() if v is not None}
        if record == "invoke":
            message |= {"occurrence": self.occurrence_id, "incarnation": self.identity.incarnation}
        try:
            self._channel.tell(message)
        except (TypeError, ValueError) as error:
            raise UsageMistake(_cannot_journal(values, error)) from None

    # -- meeting others -------------------------------------------------------------------------------------------

    def rendezvous(self, name: str) -> None:
        """Wait at this point of the code until every occurrence that still runs is waiting at a rendezvous."""
        self._channel.ask({"record": "rendezvous", "name": name})

    # -- the target ------------------------------------------------------------------------------------------------

    def open(self) -> Session:
        """Open a session of the implementation under test whose every call is journalled.

        Raises:
            UsageMistake: the fleet has no target.
        """
        from pytest_ciris_occ.targets.recording import RecordingSession

        return RecordingSession(self, self._the_target().open(self))

    def create_schema(self) -> None:
        """Have the implementation under test make its schema; the fleet does it once before the first run.

        Raises:
            UsageMistake: the fleet has no target.
        """
        self._the_target().create(self.database_url)

    def _the_target(self) -> SharedTaskTarget:
        if self._target is None:
            raise UsageMistake("occ.open() needs an implementation to open; use the fixture occ_target in the test")
        return self._target


def _known(mark: Mark) -> dict[str, Any]:
    return {name: getattr(mark, name) for name in Mark.__slots__}


def _cannot_journal(values: dict[str, Any], error: Exception) -> str:
    what = values.get("function", "operation")
    if isinstance(error, ValueError) and "bytes" in str(error):
        return (
            f"occ.{what} was given {error} to journal, and {LIMIT} bytes is the most; give a digest or a summary of it"
        )
    for name, value in values.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            return (
                f"occ.{what} was given {name}={value!r:.80}, a {type(value).__name__}, which cannot be journalled; "
                f"give a str, number, bool, None, or lists and dicts of them"
            )
    return f"occ.{what} could not be journalled: {error}"
