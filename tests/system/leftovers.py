"""Looking for what a test run has left behind."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def files(temporary: Path) -> set[str]:
    """Everything in a temporary directory, sockets included."""
    return {str(path.relative_to(temporary)) for path in temporary.rglob("*")}


def tree(pid: int) -> list[psutil.Process]:
    """A process and everything that runs below it now; who has ended and is not buried yet does not count."""
    root = psutil.Process(pid)
    return [member for member in [root, *root.children(recursive=True)] if list(_describe(member))]


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended; nobody may have taken notice of its end yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def alive_after(processes: list[psutil.Process], seconds: float) -> list[str]:
    """Which of ``processes`` still run after at most ``seconds``, described."""
    _gone, alive = psutil.wait_procs(processes, timeout=seconds)
    return [description for process in alive for description in _describe(process)]


def segments(processes: Iterable[psutil.Process]) -> set[str]:
    """The System V shared-memory segments that these processes have made; others' servers may run beside."""
    makers = {str(process.pid) for process in processes}
    rows = (row.split() for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:])
    return {row[1] for row in rows if row[4] in makers}


def shared_files(processes: Iterable[psutil.Process]) -> set[Path]:
    """The files in shared memory that these processes have mapped."""
    found = set()
    for process in processes:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            found |= {Path(line.split()[-1]) for line in lines if "/dev/shm/" in line}  # noqa: S108 - looked at, not used
    return found


def run_directories(processes: Iterable[psutil.Process]) -> set[Path]:
    """The run directories that the command lines of these processes name."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):  # ended in between
            for word in process.cmdline():
                found |= {Path(path) for path in re.findall(r'/[^"\s]*/occ-run-[\w-]+', word)}
    return found


@contextmanager
def everything_ends(pid: int, temporary: Path, seconds: float) -> Iterator[None]:
    """Expect that what the block does to ``pid`` ends all of its tree, and empties ``temporary``, in ``seconds``."""
    doomed = tree(pid)
    mapped, directories = shared_files(doomed), run_directories(doomed)
    assert directories
    yield
    left = alive_after(doomed, seconds)
    assert not left, left
    assert not files(temporary)
    assert not segments(doomed)
    assert not [path for path in mapped | directories if path.exists()]


def _describe(process: psutil.Process) -> Iterator[str]:
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            yield f"{process.pid} {' '.join(process.cmdline())[:120]}"
    except psutil.NoSuchProcess:
        return
