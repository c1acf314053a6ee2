"""The janitor: drops our databases on a user's server when the test run is gone, by whatever means.

It runs under a watchdog, which sends it SIGTERM in the instant in which nobody holds the run directory any more.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from pytest_ciris_occ.databases import guard
from pytest_ciris_occ.databases.postgres import connect, drop_database, parse_url
from pytest_ciris_occ.errors import FleetBroken
from pytest_ciris_occ.fleet.bootstrap import interpreter_command
from pytest_ciris_occ.fleet.rundir import RunDirectory
from pytest_ciris_occ.fleet.watchdog import Watched

_ORDERS = "janitor.json"
_LOG = "janitor.log"
_READY = b"r"


class Janitor:
    """A janitor at work; it does its job once :meth:`release` is called or this process is gone."""

    def __init__(self, directory: RunDirectory, watchdog: subprocess.Popen[bytes]) -> None:
        """Hold ``directory``, over which ``watchdog`` watches."""
        self._directory = directory
        self._watchdog = watchdog

    def release(self) -> None:
        """Have what is left dropped."""
        guard.release(self._directory, self._watchdog)


def employ(url: str, prefix: str) -> Janitor:
    """Start a janitor for the databases whose names begin with ``prefix``, and return once it listens."""
    directory = RunDirectory.new()
    ready, answer = os.pipe()
    try:
        # The URL has a password: it travels in a file that only we can read, not on a command line.
        orders = directory.path / _ORDERS
        orders.touch(mode=0o600)
        orders.write_text(json.dumps({"url": url, "prefix": prefix}))
        try:
            watchdog = guard.start(directory, _watched(directory.path, orders, answer))
        finally:
            os.close(answer)
        _require_ready(os.read(ready, 1), directory.path)
    except BaseException:
        directory.release()
        raise
    finally:
        os.close(ready)
    return Janitor(directory, watchdog)


def _require_ready(answer: bytes, directory: Path) -> None:
    if answer != _READY:
        said = (directory / _LOG).read_text(errors="replace").splitlines()[-1:]
        raise FleetBroken(
            f"the process that drops our databases after a killed run did not start ({' '.join(said)}); "
            f"see that the server takes one more connection, and run the tests again"
        )


def _watched(directory: Path, orders: Path, answer: int) -> Watched:
    return Watched(
        command=interpreter_command(__name__, [str(orders), str(answer)]),
        directory=str(directory),
        log=str(directory / _LOG),
        pass_fds=(answer,),
        quit_signal=signal.SIGTERM,
    )


def main(argv: list[str]) -> None:
    """Run as the janitor: wait for SIGTERM, then drop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    orders = json.loads(Path(argv[0]).read_text())
    url = parse_url(orders["url"])
    connect(url).close()  # everything is loaded now: in the moment of need the package may be gone
    os.write(int(argv[1]), _READY)
    os.close(int(argv[1]))
    signal.sigwait({signal.SIGTERM})
    with connect(url) as connection:
        found = connection.execute(
            "SELECT datname FROM pg_catalog.pg_database WHERE starts_with(datname, %s)", [orders["prefix"]]
        ).fetchall()
        for (name,) in found:
            drop_database(connection, name)
