"""An occurrence dies in the middle of its work, and is started again under the same id."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest
from pytest_ciris_occ import Fleet, History, Occurrence
from pytest_ciris_occ.invariants import BUILT_IN, exactly_once


def copy_files(occ: Occurrence, done: Path) -> None:
    """Do what is not done yet, and remember that it is done."""
    for key in ("one", "two"):
        if (done / key).exists():
            continue
        with occ.effect(key):
            (done / key).touch()
        if key == "one" and occ.identity.incarnation == 0:
            signal.pause()  # until the kill


def one_is_done(history: History) -> bool:
    """Whether the first file is there."""
    return any(operation.outcome == "ok" for operation in history.of("effect"))


@pytest.mark.occ(n=1)
def test_a_restart_goes_on_where_the_dead_one_stopped(occ_fleet: Fleet, tmp_path: Path) -> None:
    """Nothing is lost, and nothing is done twice."""
    with occ_fleet.start(partial(copy_files, done=tmp_path)) as running:
        running.wait_until(one_is_done, "the first file")
        running.kill("occ-0")
        running.restart("occ-0")
        history = running.finish()
    history.check(*BUILT_IN, partial(exactly_once, expected=["one", "two"], once=True))
