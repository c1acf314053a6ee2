"""Watchdogs that this process has started, and the simplest of them: one that only removes a directory."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from pytest_ciris_occ.fleet.linux import wait_gone
from pytest_ciris_occ.fleet.rundir import RunDirectory
from pytest_ciris_occ.fleet.watchdog import Watched, watch

_GOING_SECONDS = 5.0

# A Popen that is forgotten while its process runs is reported as a leak, and nobody could reap it.
_started: list[subprocess.Popen[bytes]] = []


def start(directory: RunDirectory, watched: Watched, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a watchdog over ``watched`` and remember it."""
    watchdog = watch(directory, watched, env)
    _started.append(watchdog)
    return watchdog


def guard(directory: RunDirectory) -> subprocess.Popen[bytes]:
    """Have ``directory`` removed when nobody holds it any more; nothing runs in there."""
    return start(directory, Watched(["true"], str(directory.path), str(directory.path / "guard.log")))


def release(directory: RunDirectory, watchdog: subprocess.Popen[bytes]) -> None:
    """Give ``directory`` back and wait, for a bounded time, until its ``watchdog`` has done its work."""
    directory.release()
    wait_gone([watchdog.pid], _GOING_SECONDS)
    reap()


def reap() -> None:
    """Collect the watchdogs of this process that have ended."""
    _started[:] = [watchdog for watchdog in _started if watchdog.poll() is None]
