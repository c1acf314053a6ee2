"""Numbers that several rooms agree on."""

from __future__ import annotations

MOST = 256
"""Occurrences in one fleet: more than this on one machine test the machine."""

BOUND = 60.0
"""Seconds after which a run is ended, unless it says otherwise."""
