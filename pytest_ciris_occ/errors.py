"""What can go wrong, by whose hand: the user's mistakes, missing things, and verdicts.

Every message is one sentence in three parts: what was given, why it cannot be, what to do.
"""

from __future__ import annotations


class OccError(Exception):
    """Anything this package raises on purpose, verdicts apart."""


class UsageMistake(OccError):
    """A mistake in what the user gave; the plugin shows the sentence without a traceback."""


class Unavailable(OccError):
    """Something that was asked for is not there (a database, an engine, a capability).

    The plugin skips with the sentence as the reason, or fails under ``--occ-require``.
    """


class FleetBroken(OccError):
    """The harness itself could not go on (its zygote died, the machine refused a process)."""


class SingleDecisionViolated(AssertionError):
    """An invariant does not hold; the message is the story of how."""


class VerdictUnknown(AssertionError):
    """Nothing could be proven either way. Never a pass; the message says what was missing."""
