"""The three calls to Linux that Python's standard library does not offer."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from pathlib import Path

from pytest_ciris_occ.errors import UsageMistake

_PR_SET_PDEATHSIG = 1
_SIGNAL_MASKS = ("SigPnd:", "ShdPnd:", "SigBlk:")
_PR_SET_CHILD_SUBREAPER = 36

# Loaded before any fork: dlopen in a forked child may meet a lock that another thread held.
_libc = ctypes.CDLL(None, use_errno=True)


def require_linux() -> None:
    """Refuse other systems with a sentence.

    Raises:
        UsageMistake: this is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise UsageMistake(
            f"pytest-ciris-occ was asked to start processes on {sys.platform!r}, and it knows how to end them safely "
            f"on Linux only; run it on Linux or in a Linux container"
        )


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def adopt_orphans() -> None:
    """Make this process the parent of every descendant that loses its own (PR_SET_CHILD_SUBREAPER, prctl(2))."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(sig: int = signal.SIGKILL) -> None:
    """Have the kernel send ``sig`` to this process when the thread that forked it ends (PR_SET_PDEATHSIG, prctl(2)).

    Not inherited by fork, and cleared by a change of uid: call it in each child, after ``setuid``.
    """
    _prctl(_PR_SET_PDEATHSIG, int(sig))


def wait_ended(pidfd: int, seconds: float) -> None:
    """Wait until the process of a pidfd has ended, at most ``seconds``."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(seconds * 1000)


def wait_gone(pids: list[int], seconds: float) -> None:
    """Wait until all ``pids`` have ended, at most ``seconds`` for each."""
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            wait_ended(pidfd, seconds)
        finally:
            os.close(pidfd)


def is_handled(pid: int, sig: int) -> bool:
    """Say whether a process is done with a signal that it was sent: not pending, nor blocked as within its handler."""
    bit = 1 << (sig - 1)
    try:
        states = [Path(f"/proc/{pid}/task/{task}/status").read_text() for task in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has ended
    masks = (line.split()[1] for state in states for line in state.splitlines() if line.startswith(_SIGNAL_MASKS))
    return not any(int(mask, 16) & bit for mask in masks)
