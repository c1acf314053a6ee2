"""The one stream of typed events that every report consumes."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_ciris_occ.history import History
from pytest_ciris_occ.invariants import Judgement


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run is over.

    Attributes:
        history: what happened in it.
        seconds: how long it took from the start of the occurrences to the end of the last.
    """

    history: History
    seconds: float


@dataclass(frozen=True, slots=True)
class Checked:
    """A history was judged."""

    history: History
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Noted:
    """The harness has to say something about how it runs (a fallback that it took, a sentence long)."""

    sentence: str


Event = RunEnded | Checked | Noted
