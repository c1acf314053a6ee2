"""What is tested: the protocol for shared-task implementations, and ready adapters."""

from pytest_ciris_occ.targets.protocol import Claim, Identity, Refused, Seen, Session, SharedTaskTarget

__all__ = ["Claim", "Identity", "Refused", "Seen", "Session", "SharedTaskTarget"]
