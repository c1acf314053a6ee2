"""A run that is over: its history, and the question whether it went well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_ciris_occ.errors import SingleDecisionViolated, VerdictUnknown
from pytest_ciris_occ.history import History, Life
from pytest_ciris_occ.invariants import BUILT_IN, Invariant, Judgement, judge
from pytest_ciris_occ.reports.events import Checked, Event
from pytest_ciris_occ.reports.story import tell_story


def _nobody(_event: Event) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class RunHistory(History):
    """What a run returns: a history that can be checked.

    Attributes:
        outputs: what each occurrence printed (the end of it), by its id.
        tracebacks: the traceback of each life that ended by an exception.
        notes: what the harness has to say about the run itself.
    """

    outputs: Mapping[str, str] = field(default_factory=dict)
    tracebacks: Mapping[Life, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    listen: Callable[[Event], None] = field(default=_nobody, repr=False, compare=False)

    def judge(self, *invariants: Invariant | Callable[[History], Any]) -> Judgement:
        """Ask the invariants (all built-in ones when none is given), without raising."""
        return judge(self, invariants or BUILT_IN)

    def check(self, *invariants: Invariant | Callable[[History], Any]) -> Judgement:
        """Ask the invariants (all built-in ones when none is given), and insist that they hold.

        Raises:
            SingleDecisionViolated: one does not; the message is the story of how.
            VerdictUnknown: one cannot tell.
        """
        __tracebackhide__ = True
        judgement = self.judge(*invariants)
        self.listen(Checked(self, judgement))
        if judgement.status == "holds":
            return judgement
        story = tell_story(self, judgement, notes=self.notes, tracebacks=self.tracebacks)
        raise (SingleDecisionViolated if judgement.status == "violated" else VerdictUnknown)(story)
