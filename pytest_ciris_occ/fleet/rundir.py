"""Run directories: where a run keeps its files, and the lock that says that somebody still needs them.

One ``flock`` does two jobs. Everybody who uses a run directory holds a *shared* lock on its ``.alive`` file; the
kernel drops it when the holder ends, by whatever means. The watchdog waits for the *exclusive* lock, and so wakes
in the instant in which nobody is left. And a directory whose lock is free without a watchdog (a power cut, a killed
watchdog) is known to be rubbish: the next session sweeps it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from pathlib import Path

from pytest_ciris_occ.errors import FleetBroken, UsageMistake

PREFIX = "occ-run-"
ALIVE = ".alive"
WATCHED = ".watched"
_GONE = ".gone-"

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it, closed to others
_ROOM = 1 << 30

_held: weakref.WeakSet[RunDirectory] = weakref.WeakSet()


class RunDirectory:
    """A directory that lives as long as somebody holds it.

    Attributes:
        path: the directory, mode 0711 (a server under another uid must reach its own folder inside).
    """

    def __init__(self, path: Path) -> None:
        """Hold ``path``, which is made when it is missing.

        Raises:
            UsageMistake: the temporary directory is not writable.
            FleetBroken: the directory is there and belongs to somebody else.
        """
        self.path = path
        self._fd = _hold(path)
        _held.add(self)

    @classmethod
    def new(cls) -> RunDirectory:
        """Hold a new directory of its own in the system's temporary directory."""
        sweep()
        try:
            path = tempfile.mkdtemp(prefix=PREFIX)
        except OSError as error:
            raise UsageMistake(
                f"the temporary directory {tempfile.gettempdir()!r} takes no new directory ({error.strerror}); "
                f"set TMPDIR to one that is writable"
            ) from error
        return cls(Path(path))

    @classmethod
    def shared(cls, name: str) -> RunDirectory:
        """Hold the directory that every process of one test run finds under the same ``name``."""
        sweep()
        return cls(shared_place(name))

    def release(self) -> None:
        """Give the hold back; the watchdog then ends what runs in here and removes the directory."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def shared_place(name: str) -> Path:
    """Where the shared directory of that name is: in memory where there is room, since a database server lives there.

    Not for speed alone: removing a server's thousand files takes a busy disk seconds, and memory milliseconds.
    """
    base = _MEMORY if _has_room(_MEMORY) else Path(tempfile.gettempdir())
    return base / f"{PREFIX}{os.getuid()}-{name}"


def _has_room(place: Path) -> bool:
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    # The size, not what is free of it: every process of a run must come to the same answer.
    return found.f_blocks * found.f_frsize >= _ROOM and os.access(place, os.W_OK | os.X_OK)


def _forget_in_child() -> None:
    # A fork of the test process (os.fork, multiprocessing) shares the lock: it would keep a dead run alive.
    for directory in list(_held):
        directory.release()


os.register_at_fork(after_in_child=_forget_in_child)


def _hold(path: Path) -> int:
    while True:
        try:
            fd = _open_alive(path)
        except FileNotFoundError:
            continue  # a watchdog or a sweep removed the directory in between
        fcntl.flock(fd, fcntl.LOCK_SH)
        if is_still(path / ALIVE, fd):
            return fd
        os.close(fd)


def _open_alive(path: Path) -> int:
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    found = path.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise FleetBroken(f"{path} belongs to somebody else, so no run can live there; remove it or set TMPDIR")
    path.chmod(0o711)
    return os.open(path / ALIVE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def is_still(path: Path, fd: int) -> bool:
    """Say whether ``fd`` is the file that is at ``path`` now (a waiter may get the lock of a removed one)."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def remove(path: Path) -> None:
    """Remove a run directory; the caller has the exclusive lock of it.

    It is first renamed: a newcomer who makes the directory anew must never find the half of the old one that is still
    there, take its lock for the new one's, and lose what it puts beside it.
    """
    gone = path.with_name(f"{path.name}{_GONE}{os.getpid()}")
    with contextlib.suppress(OSError):
        path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def sweep() -> None:
    """Remove run directories of this user that nobody holds and no watchdog will ever remove."""
    places = {Path(tempfile.gettempdir()), _MEMORY}
    for path in (path for place in places for path in place.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == os.getuid():
                _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    if _GONE in path.name:
        shutil.rmtree(path, ignore_errors=True)  # whoever was removing it may have been killed
        return
    fd = os.open(path / ALIVE, os.O_RDWR | os.O_NOFOLLOW)  # not there: somebody is making it just now
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_still(path / ALIVE, fd) and not _is_watched(path):
            remove(path)
    finally:
        os.close(fd)


def _is_watched(path: Path) -> bool:
    """Whether a watchdog is there that has only not woken yet: what runs in the directory is then still to be ended."""
    fd = os.open(path / WATCHED, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
