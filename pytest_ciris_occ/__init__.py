"""pytest-ciris-occ: N real processes, one real SQL database, exactly one decision.

The names below are loaded at first use, so that a pytest run that uses none of them pays for none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ciris_occ.errors import OccError, SingleDecisionViolated, UsageMistake, VerdictUnknown
    from pytest_ciris_occ.fleet.fleet import Fleet
    from pytest_ciris_occ.fleet.harness import Harness
    from pytest_ciris_occ.fleet.occurrence import Occurrence
    from pytest_ciris_occ.fleet.outcome import RunHistory
    from pytest_ciris_occ.fleet.running import RunningFleet
    from pytest_ciris_occ.history import History
    from pytest_ciris_occ.invariants import Verdict
    from pytest_ciris_occ.targets import SharedTaskTarget

__all__ = [
    "Fleet",
    "Harness",
    "History",
    "OccError",
    "Occurrence",
    "RunHistory",
    "RunningFleet",
    "SharedTaskTarget",
    "SingleDecisionViolated",
    "UsageMistake",
    "Verdict",
    "VerdictUnknown",
]

_HOME = {
    "Fleet": "fleet.fleet",
    "Harness": "fleet.harness",
    "History": "history",
    "OccError": "errors",
    "Occurrence": "fleet.occurrence",
    "RunHistory": "fleet.outcome",
    "RunningFleet": "fleet.running",
    "SharedTaskTarget": "targets",
    "SingleDecisionViolated": "errors",
    "UsageMistake": "errors",
    "Verdict": "invariants",
    "VerdictUnknown": "errors",
}

_here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is not loaded yet, perhaps
if not os.path.isdir(os.path.join(_here, "scenarios")):  # noqa: PTH112, PTH118
    # An editable install: the scenarios lie beside the package, where a wheel has them inside.
    __path__.append(os.path.dirname(_here))  # noqa: PTH120


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """What the door offers."""
    return sorted(__all__)
