"""What must hold: pure functions from a history to a verdict with its evidence. Imports only ``history``."""

from pytest_ciris_occ.invariants.claims import one_claimant
from pytest_ciris_occ.invariants.decisions import agreement, one_decision, validity
from pytest_ciris_occ.invariants.effects import exactly_once
from pytest_ciris_occ.invariants.liveness import everyone_ends, someone_decides
from pytest_ciris_occ.invariants.verdict import Evidence, Invariant, Judgement, Status, Verdict, judge

BUILT_IN: tuple[Invariant, ...] = (
    one_claimant,
    one_decision,
    agreement,
    validity,
    exactly_once,
    everyone_ends,
    someone_decides,
)
"""What ``check()`` asks when it is given nothing."""

__all__ = [
    "BUILT_IN",
    "Evidence",
    "Invariant",
    "Judgement",
    "Status",
    "Verdict",
    "agreement",
    "everyone_ends",
    "exactly_once",
    "judge",
    "one_claimant",
    "one_decision",
    "someone_decides",
    "validity",
]
