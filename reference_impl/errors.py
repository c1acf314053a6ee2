"""What can go wrong in the coordination, each as one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_impl.models import Task


class CoordinationError(Exception):
    """Anything this package raises on purpose."""


class ConfigurationError(CoordinationError, ValueError):
    """A value that was given cannot be used; the message says which, why, and what would do."""


class Refused(CoordinationError):
    """A write was refused by the row: not the claimant, fenced by a take-over, or already final.

    Attributes:
        task: the row as it stood right after the refusal, ``None`` when it is gone.

    """

    def __init__(self, message: str, task: Task | None = None) -> None:
        super().__init__(message)
        self.task = task


class TaskVanished(CoordinationError):
    """The row that was asked for is not there (which is not the same as *cannot read*)."""


class CannotRead(CoordinationError):
    """The database did not answer within the bound; nothing is known about the row."""


class SchemaBusy(CoordinationError):
    """Another session held the schema lock for longer than the bound."""
