"""What must not cross a fork: threads, sockets and database handles that imports have left in the zygote."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable
from pathlib import Path

_SQLITE_MAGIC = b"SQLite format 3\x00"


def descriptors() -> frozenset[int]:
    """The descriptors that are open now."""
    fds = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            os.fstat(int(name))  # the descriptor of the listing itself is closed by now
            fds.append(int(name))
    return frozenset(fds)


def hazards(before: Iterable[int]) -> list[str]:
    """Name what makes a fork unsafe: threads, and sockets or databases that were not open ``before``."""
    return [*_threads(), *_handles(descriptors() - frozenset(before))]


def _threads() -> list[str]:
    named = [f"the thread {thread.name!r}" for thread in threading.enumerate() if thread is not threading.main_thread()]
    tasks = len(os.listdir("/proc/self/task"))
    native = tasks - 1 - len(named)
    return named + ([f"{native} native threads (of a compiled library)"] if native > 0 else [])


def _handles(fds: Iterable[int]) -> list[str]:
    found = []
    for fd in fds:
        with contextlib.suppress(OSError):
            link = os.readlink(f"/proc/self/fd/{fd}")
            if link.startswith("socket:"):
                found.append("an open socket")
            elif link.startswith("/") and _is_sqlite(fd, Path(link)):
                found.append(f"an open SQLite database ({link})")
    return found


def _is_sqlite(fd: int, path: Path) -> bool:
    if not path.is_file():
        return False
    if path.stat().st_size == 0:
        # A new database is empty until its first write. Another empty file that is open like this costs time, no more.
        return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    with path.open("rb") as file:
        head = file.read(len(_SQLITE_MAGIC))
    return head == _SQLITE_MAGIC or path.name.endswith(("-wal", "-shm"))
