"""SQLite: a file on disk, in a new folder for each database."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from pytest_ciris_occ.databases import guard
from pytest_ciris_occ.databases.provider import Database
from pytest_ciris_occ.errors import FleetBroken, UsageMistake
from pytest_ciris_occ.fleet.rundir import PREFIX, RunDirectory

Journal = Literal["wal", "delete"]

_NAMES = {"wal": "sqlite", "delete": "sqlite-rollback"}


class SqliteProvider:
    """Clean SQLite files in a run directory.

    The journal mode is in the file before user code opens it: WAL is a property of the file, and the rollback journal
    is what SQLite takes when the file says nothing. User code needs no PRAGMA for either.
    """

    # No server: each statement runs in the process of its occurrence, so pinning the occurrence pins the work.
    capabilities = frozenset({"pin"})

    def __init__(
        self,
        run_directory: Path,
        journal: Journal = "wal",
        *,
        name: str | None = None,
        drivername: str = "sqlite",
        file_name: str = "occ.db",
    ) -> None:
        """Make files called ``file_name`` below ``run_directory``, with URLs for SQLAlchemy's ``drivername``."""
        self.name = name or _NAMES[journal]
        self._directory = run_directory
        self._journal: Journal = journal
        self._drivername = drivername
        self._file_name = file_name

    def unavailable(self) -> str | None:
        """Say why SQLite cannot be used here: an interpreter may be built without it."""
        try:
            import sqlite3  # noqa: F401
        except ImportError as error:
            return f"this Python has no SQLite ({error}); use one that was built with it"
        return None

    @contextmanager
    def fresh(self) -> Iterator[Database]:
        """Make a clean file, which is gone, with its ``-wal`` and ``-shm``, when the context ends."""
        folder = self._new_folder()
        try:
            yield _initialised(folder / self._file_name, self._journal, self._drivername)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Nothing is held between two databases."""

    def _new_folder(self) -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix="sqlite-", dir=self._directory))
        except OSError as error:
            raise UsageMistake(
                f"SQLite databases were to be made in {str(self._directory)!r}, and that directory takes no new folder "
                f"({error.strerror}); choose one that is writable (TMPDIR, or the path of the URL)"
            ) from error


class SqliteUrlProvider:
    """Clean SQLite files beside the path of a URL, in a folder that goes when this process has gone.

    The file of the URL itself is never opened or made. If it is there, it is somebody's data, and whoever gave it may
    expect tests on it: that is refused.
    """

    capabilities = SqliteProvider.capabilities

    def __init__(self, path: Path, *, name: str, drivername: str = "sqlite") -> None:
        """Make files called like ``path``, in folders beside it."""
        self.name = name
        self._path = path.absolute()
        self._drivername = drivername
        self._held: tuple[RunDirectory, subprocess.Popen[bytes]] | None = None

    def unavailable(self) -> str | None:
        """Say why SQLite cannot be used here."""
        return SqliteProvider(self._path).unavailable()

    @contextmanager
    def fresh(self) -> Iterator[Database]:
        """Make a clean file, which is gone, with its ``-wal`` and ``-shm``, when the context ends."""
        if self._path.exists():
            raise UsageMistake(
                f"the SQLite database {str(self._path)!r} is there already, and each test begins with an empty one; "
                f"give the path of a file that is not there (tests make their files in new folders beside it)"
            )
        files = SqliteProvider(self._folder(), drivername=self._drivername, file_name=self._path.name)
        with files.fresh() as database:
            yield database

    def close(self) -> None:
        """Have the folder beside the path removed."""
        if self._held is not None:
            guard.release(*self._held)
            self._held = None

    def _folder(self) -> Path:
        if self._held is None:
            directory = self._new_directory()
            self._held = directory, guard.guard(directory)
        return self._held[0].path

    def _new_directory(self) -> RunDirectory:
        try:
            return RunDirectory(self._path.parent / f"{PREFIX}{secrets.token_hex(6)}")
        except (OSError, FleetBroken) as error:
            raise UsageMistake(
                f"SQLite databases were to be made beside {str(self._path)!r}, and its directory takes no new folder "
                f"({error}); give the path of a file in a directory that is there and writable"
            ) from error


def _initialised(path: Path, journal: Journal, drivername: str) -> Database:
    import sqlite3

    try:
        with closing(sqlite3.connect(path)) as connection:
            (mode,) = connection.execute(f"PRAGMA journal_mode={journal}").fetchone()
            # A rollback database is an empty file until its first write: this one makes it a real one.
            connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise UsageMistake(
            f"SQLite could not make {str(path)!r} ({error}); choose a directory that is writable and has room"
        ) from error
    if mode != journal:
        raise UsageMistake(
            f"SQLite was asked for journal mode {journal!r} and keeps {mode!r} in {str(path.parent)!r}, as it does on "
            f"network file systems; set TMPDIR to a local disk"
        )
    return Database(name=str(path), url=_url(path, drivername), server_version=sqlite3.sqlite_version)


def _url(path: Path, drivername: str) -> str:
    from sqlalchemy import URL, make_url

    url = URL.create(drivername, database=str(path)).render_as_string(hide_password=False)
    if make_url(url).database != str(path):
        raise UsageMistake(
            f"the path {str(path)!r} cannot be written as a database URL; choose a directory without '?', '%' and '#'"
        )
    return url
