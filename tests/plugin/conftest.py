"""Runs of pytest inside pytest, each of which must leave nothing behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_ciris_occ.settings import OPTIONS
from tests.plugin.inner import NOBODY, Inner


@pytest.fixture
def inner() -> Iterator[Inner]:
    """Return a place for runs, looked through when the test is over."""
    yield from _place()


@pytest.fixture(scope="module")
def shared() -> Iterator[Inner]:
    """Return a place for a run that serves several tests."""
    yield from _place()


@pytest.fixture
def unprivileged() -> Iterator[Inner]:
    """Return a place for runs that may not write wherever they like."""
    yield from _place(NOBODY if os.geteuid() == 0 else None)


def _place(uid: int | None = None) -> Iterator[Inner]:
    place = Inner(uid)
    yield place
    try:
        place.assert_clean()
    finally:
        place.close()


@pytest.fixture(autouse=True)
def _no_options_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment asks of this test run is not asked of the runs inside it."""
    for option in OPTIONS.values():
        monkeypatch.delenv(option.variable, raising=False)
