"""What is dear to make and the same for every run is made once per machine and user."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = "pytest-ciris-occ"


def make_once(key: str, make: Callable[[Path], None], spare: Path) -> Path:
    """Return the directory that ``make`` filled, in this run or an earlier one.

    A directory of the cache is complete by its being there: it is filled under another name, under a lock, and then
    renamed. What a killed maker left is removed by the next.

    Args:
        key: the name; everything that the content depends on is in it.
        make: fills the empty directory that it is given, mode 0755.
        spare: where to make it when the cache is not writable.
    """
    root = _root() or spare
    place = root / key
    if place.is_dir():
        return place
    with locked(root / f".{key}.lock"):
        if not place.is_dir():
            _make(place, make)
    return place


def _make(place: Path, make: Callable[[Path], None]) -> None:
    for left in place.parent.glob(f".{place.name}.half-*"):
        shutil.rmtree(left, ignore_errors=True)
    half = Path(tempfile.mkdtemp(prefix=f".{place.name}.half-", dir=place.parent))
    half.chmod(0o755)
    try:
        make(half)
        os.sync()  # a rename may reach the disk before the content; after a power cut we would trust empty files
        half.rename(place)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of the file ``path``; the kernel gives it back when the holder dies."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _root() -> Path | None:
    """Return the cache directory, or ``None`` where there can be none that nobody else can write to."""
    root = _parent() / _NAME
    try:
        _make_root(root)
        found = root.lstat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        with tempfile.TemporaryFile(dir=root):
            return root
    except OSError:
        return None


def _make_root(root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        root.mkdir(mode=0o700)
        root.chmod(0o755)  # whatever our umask is: the account that the server runs under must get in


def _parent() -> Path:
    if os.geteuid() == 0:
        return Path("/var/cache")  # root's home is closed to the account that the server runs under
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if given.startswith("/") else Path("~/.cache").expanduser()
