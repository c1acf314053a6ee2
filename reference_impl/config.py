"""Configuration: what may be set, within which bounds, and from which environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from reference_impl.errors import ConfigurationError
from reference_impl.models import SHARED

if TYPE_CHECKING:
    from collections.abc import Mapping

OCCURRENCE_ID = "AGENT_OCCURRENCE_ID"
OCCURRENCE_COUNT = "AGENT_OCCURRENCE_COUNT"
ENABLE = "ENABLE_MULTI_OCCURRENCE_COORDINATION"

_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiOccurrenceConfig:
    """Multi-occurrence coordination settings.

    The bounds are those of a sensible production configuration; the functions of this package take any duration.

    Attributes:
        enabled: whether occurrences coordinate through shared tasks; otherwise each decides alone.
        shared_task_timeout_seconds: how long to wait for a shared task, 60 to 600.
        poll_interval_seconds: how often to look, once the first quick looks are over, 1 to 30.

    """

    enabled: bool = False
    shared_task_timeout_seconds: int = 300
    poll_interval_seconds: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.enabled, bool):
            raise ConfigurationError(f"enabled is {self.enabled!r}, which is not a bool; give True or False")
        _require_within("shared_task_timeout_seconds", self.shared_task_timeout_seconds, 60, 600)
        _require_within("poll_interval_seconds", self.poll_interval_seconds, 1, 30)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> MultiOccurrenceConfig:
        """Build the configuration from a parsed file.

        Raises:
            ConfigurationError: a key is unknown or a value is out of its bounds.

        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigurationError(f"unknown settings {', '.join(unknown)}; known are {', '.join(known)}")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says about this occurrence.

    Attributes:
        occurrence_id: ``AGENT_OCCURRENCE_ID``, or ``default``.
        occurrence_count: ``AGENT_OCCURRENCE_COUNT``, or ``None`` when it is not set.
        switch: ``ENABLE_MULTI_OCCURRENCE_COORDINATION``, or ``None`` when it is not set.

    """

    occurrence_id: str = "default"
    occurrence_count: int | None = None
    switch: bool | None = None

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Environment:
        """Read the three variables; one that is empty counts as not set.

        Raises:
            ConfigurationError: a variable holds a value that makes no sense.

        """
        source = os.environ if environ is None else environ
        return cls(
            occurrence_id=checked_occurrence_id(source.get(OCCURRENCE_ID) or "default"),
            occurrence_count=_count(source.get(OCCURRENCE_COUNT)),
            switch=_switch(source.get(ENABLE)),
        )

    @property
    def coordinated(self) -> bool:
        """Whether to coordinate: as the switch says, and where it is silent, if there is more than one occurrence."""
        return (self.occurrence_count or 1) > 1 if self.switch is None else self.switch


def checked_occurrence_id(value: str) -> str:
    """Give the id back if it can be one.

    Raises:
        ConfigurationError: it is empty, reserved, or not printable.

    """
    if value == SHARED:
        raise ConfigurationError(f"the occurrence id {value!r} is reserved for shared rows; give another one")
    if not value.strip() or not value.isprintable():
        raise ConfigurationError(f"the occurrence id {value!r} is empty or not printable; give a name such as 'occ-1'")
    return value


def _require_within(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} is {value!r}, which is not an int; give {low} to {high}")
    if not low <= value <= high:
        raise ConfigurationError(f"{name} is {value}, which is out of bounds; give {low} to {high}")


def _count(raw: str | None) -> int | None:
    if not raw:
        return None
    # isdecimal() alone would let through digits of other scripts, isascii() alone signs and blanks.
    if not (raw.isascii() and raw.isdecimal() and len(raw) <= 6 and int(raw) >= 1):
        raise ConfigurationError(f"{OCCURRENCE_COUNT} is {raw!r}, which is no number of occurrences; give 1 or more")
    return int(raw)


def _switch(raw: str | None) -> bool | None:
    if not raw:
        return None
    if raw.lower() not in _SWITCH:
        raise ConfigurationError(f"{ENABLE} is {raw!r}, which is neither yes nor no; give 'true' or 'false'")
    return _SWITCH[raw.lower()]
