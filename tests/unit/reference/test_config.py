"""Configuration: names, defaults and bounds of the plan, and sentences for nonsense."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import reference_impl as ref


def test_defaults_are_those_of_the_plan() -> None:
    """Coordination is off until somebody switches it on."""
    assert dataclasses.asdict(ref.MultiOccurrenceConfig()) == {
        "enabled": False,
        "shared_task_timeout_seconds": 300,
        "poll_interval_seconds": 5,
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shared_task_timeout_seconds", 59),
        ("shared_task_timeout_seconds", 601),
        ("poll_interval_seconds", 0),
        ("poll_interval_seconds", 31),
        ("poll_interval_seconds", True),
        ("poll_interval_seconds", "5"),
        ("enabled", "false"),
    ],
)
def test_values_out_of_bounds_are_refused(key: str, value: object) -> None:
    """The sentence names the setting, the value and what may be given."""
    with pytest.raises(ref.ConfigurationError, match=rf"{key} is .*; give "):
        ref.MultiOccurrenceConfig.from_mapping({key: value})


@pytest.mark.parametrize(("timeout", "interval"), [(60, 1), (600, 30)])
def test_the_bounds_themselves_are_allowed(timeout: int, interval: int) -> None:
    """Both ends belong to the range."""
    values: dict[str, Any] = {"shared_task_timeout_seconds": timeout, "poll_interval_seconds": interval}
    assert ref.MultiOccurrenceConfig.from_mapping(values) == ref.MultiOccurrenceConfig(**values)


def test_unknown_keys_are_refused() -> None:
    """A misspelt setting is not silently a default."""
    with pytest.raises(ref.ConfigurationError, match="unknown settings pol_interval; known are enabled"):
        ref.MultiOccurrenceConfig.from_mapping({"enabled": True, "pol_interval": 3})


def test_the_configuration_cannot_be_changed() -> None:
    """Everybody who holds it sees the same."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ref.MultiOccurrenceConfig().enabled = True  # type: ignore[misc]


@pytest.mark.parametrize("environ", [{}, {"AGENT_OCCURRENCE_ID": "", "AGENT_OCCURRENCE_COUNT": ""}])
def test_an_empty_environment_is_one_uncoordinated_default(environ: dict[str, str]) -> None:
    """Deployments of one occurrence work without any variable."""
    loaded = ref.Environment.load(environ)
    assert (loaded.occurrence_id, loaded.occurrence_count, loaded.switch) == ("default", None, None)
    assert not loaded.coordinated


@pytest.mark.parametrize(
    ("count", "switch", "coordinated"),
    [("1", None, False), ("3", None, True), ("3", "false", False), ("1", "TRUE", True), (None, "true", True)],
)
def test_the_switch_holds_and_else_the_count_decides(count: str | None, switch: str | None, coordinated: bool) -> None:
    """The emergency switch wins over the number of occurrences."""
    given = {"AGENT_OCCURRENCE_COUNT": count, "ENABLE_MULTI_OCCURRENCE_COORDINATION": switch}
    environ = {key: value for key, value in given.items() if value is not None}
    assert ref.Environment.load(environ).coordinated is coordinated


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AGENT_OCCURRENCE_COUNT", "three"),
        ("AGENT_OCCURRENCE_COUNT", "0"),
        ("AGENT_OCCURRENCE_COUNT", "-1"),
        ("AGENT_OCCURRENCE_COUNT", "³"),
        ("AGENT_OCCURRENCE_COUNT", "9" * 5000),
        ("ENABLE_MULTI_OCCURRENCE_COORDINATION", "maybe"),
    ],
)
def test_nonsense_in_the_environment_gets_a_sentence(variable: str, value: str) -> None:
    """A mistyped variable does not become a default."""
    with pytest.raises(ref.ConfigurationError, match=f"{variable} is "):
        ref.Environment.load({variable: value})


def test_the_reserved_id_is_refused() -> None:
    """An occurrence by that name would own the shared rows."""
    with pytest.raises(ref.ConfigurationError, match="reserved"):
        ref.Environment.load({"AGENT_OCCURRENCE_ID": "__shared__"})


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument os.environ is read, when it is asked for and not at import."""
    monkeypatch.setenv("AGENT_OCCURRENCE_ID", "occ-3")
    monkeypatch.setenv("AGENT_OCCURRENCE_COUNT", "9")
    assert ref.Environment.load() == ref.Environment("occ-3", 9, None)
