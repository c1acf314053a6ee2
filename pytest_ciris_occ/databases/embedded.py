"""The embedded server: one per test run, shared by its workers, gone with the last of them.

Every worker holds the run directory of the same name. The first starts the server, under a lock, and writes down where
it is; the others read that. Nobody has to be the last: the watchdog sees it.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ciris_occ.databases import cluster, guard
from pytest_ciris_occ.databases.cache import locked
from pytest_ciris_occ.databases.cluster import HOST, LOG, SUPERUSER, Server, log_tail
from pytest_ciris_occ.databases.postgres import clean_database, driver_missing
from pytest_ciris_occ.databases.provider import Database
from pytest_ciris_occ.errors import FleetBroken, OccError, UsageMistake
from pytest_ciris_occ.fleet.linux import wait_gone
from pytest_ciris_occ.fleet.rundir import RunDirectory, shared_place, sweep

if TYPE_CHECKING:
    from sqlalchemy import URL

_STATE = "server.json"
_LOCK = ".server.lock"
_FAILURE = "failure"


class EmbeddedProvider:
    """Clean databases on the server that all providers with the same ``run_id`` share.

    A provider with a run id of its own has a server of its own, which it may then kill.
    """

    capabilities = frozenset({"crash", "pin", "deadlock-timeout"})

    def __init__(self, run_id: str, *, name: str = "postgres-embedded") -> None:
        """Use the server of the test run ``run_id``; it is started by the first database that is asked for."""
        self.name = name
        self._run_id = run_id
        self._directory: RunDirectory | None = None
        self._server: Server | None = None

    def unavailable(self) -> str | None:
        """Say whether the driver or the programs are missing."""
        return driver_missing() or cluster.missing()

    def server(self) -> Server:
        """Return the server, which is started when nobody has done so.

        Raises:
            Unavailable: there is no PostgreSQL to start.
            UsageMistake: it cannot run in the temporary directory.
            FleetBroken: it did not start.
        """
        if self._server is None:
            self._directory, self._server = _join(self._run_id)
        return self._server

    @contextmanager
    def fresh(self) -> Iterator[Database]:
        """Create a database named ``occ_…``; it is dropped, open connections notwithstanding, at the end."""
        server = self.server()
        try:
            with clean_database(_url(server), "occ_", _creation(server)) as database:
                yield database
        except FleetBroken as error:
            if _runs(server.pid):
                raise
            raise FleetBroken(
                f"the embedded PostgreSQL server of this test run is gone (pid {server.pid}); see what killed it, "
                f"and run the tests again; its log ends: {self._log()}"
            ) from error

    def close(self) -> None:
        """Give the server back; the watchdog ends it when nobody else has it."""
        if self._directory is not None:
            self._directory.release()
        self._directory = self._server = None
        guard.reap()

    def _log(self) -> str:
        return log_tail(_place(self._run_id) / LOG)


def wait_server_gone(run_id: str, seconds: float = 10.0) -> bool:
    """Wait until the server of ``run_id``, its watchdog and its directory are gone; say whether they are.

    For the process that ends last: every provider of the run must be closed, or its process gone, before.
    """
    directory = _place(run_id)
    deadline = time.monotonic() + seconds
    while directory.exists() and (left := deadline - time.monotonic()) > 0:
        _wait_for_watchdog(directory, left)
    guard.reap()
    return not directory.exists()


def _wait_for_watchdog(directory: Path, seconds: float) -> None:
    try:
        server = _read(directory)
    except (OccError, OSError):
        server = None
    if server is not None:
        wait_gone([server.watchdog], seconds)
        if not _runs(server.watchdog):
            sweep()  # it was killed, or it has removed the directory
    if directory.exists():
        # It is being removed, and its state went first, or it is still held: look again in a moment.
        select.select([], [], [], 0.005)


def _place(run_id: str) -> Path:
    return shared_place(f"pg-{run_id}")


def _join(run_id: str) -> tuple[RunDirectory, Server]:
    directory = _hold(run_id)
    try:
        with locked(directory.path / _LOCK):
            server = _read(directory.path) or _start(directory)
    except BaseException:
        directory.release()
        sweep()  # without a server there may be no watchdog that removes the directory
        raise
    return directory, server


def _hold(run_id: str) -> RunDirectory:
    try:
        return RunDirectory.shared(f"pg-{run_id}")
    except OSError as error:
        raise UsageMistake(
            f"the embedded PostgreSQL server was to live in {str(_place(run_id))!r}, and that directory cannot be made "
            f"({error.strerror}); set TMPDIR to one that is writable"
        ) from error


def _start(directory: RunDirectory) -> Server:
    try:
        server = _started(directory)
    except FleetBroken as error:
        # The others would try in vain one after the other, and each wait as long as we did.
        with suppress(OSError):
            _write(directory.path, {_FAILURE: str(error)})
        raise
    _write(directory.path, asdict(server))
    return server


def _started(directory: RunDirectory) -> Server:
    try:
        return cluster.start(directory)
    except OSError as error:
        raise FleetBroken(
            f"the embedded PostgreSQL server could not be set up in {str(directory.path)!r} ({error}); "
            f"look at the room and the permissions there, and run the tests again"
        ) from error


def _read(directory: Path) -> Server | None:
    try:
        state = json.loads((directory / _STATE).read_text())
    except FileNotFoundError:
        return None
    if _FAILURE in state:
        raise FleetBroken(state[_FAILURE])
    return Server(**state)


def _write(directory: Path, state: dict[str, object]) -> None:
    half = directory / f"{_STATE}.half"
    half.touch(mode=0o600)
    half.write_text(json.dumps(state))
    half.replace(directory / _STATE)


def _runs(pid: int) -> bool:
    """Say whether ``pid`` is alive; a process that has ended and was not collected yet is not."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([fd], [], [], 0)[0]
    finally:
        os.close(fd)


def _url(server: Server) -> URL:
    from sqlalchemy import URL

    return URL.create("postgresql+psycopg", SUPERUSER, server.password, HOST, server.port, "postgres")


def _creation(server: Server) -> str:
    # Three times as quick as the default (11 against 35 ms), and its checkpoints cost nothing without fsync.
    return "STRATEGY file_copy" if int(server.version.partition(".")[0]) >= 15 else ""
