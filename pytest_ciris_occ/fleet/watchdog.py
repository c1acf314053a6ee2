"""The watchdog: a small process of its own that ends a whole tree when nobody holds its run directory any more.

It stands in a session of its own (a Ctrl-C in the terminal does not reach it), adopts every orphan below it, so
that not even a daemonised grand-child leaves the tree, and waits for the exclusive lock of the run directory
(:mod:`pytest_ciris_occ.fleet.rundir`). The kernel gives it that lock when the last holder is gone, SIGKILL included.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_ciris_occ.fleet.bootstrap import interpreter_command
from pytest_ciris_occ.fleet.linux import adopt_orphans, die_with_parent, wait_ended, wait_gone
from pytest_ciris_occ.fleet.rundir import ALIVE, WATCHED, RunDirectory, is_still, remove

_GRACE = 2.0
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watchdog starts, and how it ends it.

    Attributes:
        command: the program and its arguments.
        directory: the run directory, removed at the end.
        log: a file for the output of the command, inside the directory.
        pass_fds: descriptors that the command inherits.
        uid: the user id to run under, or ``None`` for the own one.
        gid: the group id that goes with it.
        quit_signal: sent first, so that the command can clean up after itself (a PostgreSQL server asked by SIGQUIT
            removes its shared memory); two seconds later comes SIGKILL.
    """

    command: Sequence[str]
    directory: str
    log: str
    pass_fds: Sequence[int] = ()
    uid: int | None = None
    gid: int | None = None
    quit_signal: int | None = None


def watch(directory: RunDirectory, watched: Watched, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a watchdog over ``watched``; ``directory`` must be held by the caller.

    Returns:
        The watchdog's process: it ends, with the directory removed, soon after the last holder has released it.
    """
    with (directory.path / "watchdog.log").open("ab") as log:
        return subprocess.Popen(
            interpreter_command(__name__, [json.dumps(asdict(watched))]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=tuple(watched.pass_fds),
            env=None if env is None else dict(env),
            cwd="/",
            start_new_session=True,
        )


def main(argv: list[str]) -> None:
    """Run as the watchdog: start the command, wait for the lock, end everything, remove the directory."""
    import psutil  # noqa: F401 - loaded now: in the moment of need the disk may be full or the package gone

    watched = Watched(**json.loads(argv[0]))
    alive = _stand_guard(Path(watched.directory))
    adopt_orphans()
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, _stay)  # not SIG_IGN, which the command would inherit
    command = _start(watched)
    signal.signal(signal.SIGCHLD, _reap)  # not before: a command that ends at once must be there to be opened
    _reap(signal.SIGCHLD, None)
    fcntl.flock(alive, fcntl.LOCK_EX)
    if watched.quit_signal is not None:
        _ask(command, watched.quit_signal)
    _end_descendants()
    if is_still(Path(watched.directory) / ALIVE, alive):
        remove(Path(watched.directory))


def _stay(_signal: int, _frame: Any) -> None:
    """Outlive the signals that end the test process; its lock says when to go."""


def _reap(_signal: int, _frame: Any) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _start(watched: Watched) -> int:
    """Start the command and return its pidfd: by the time of need its pid may be another's."""
    death = watched.quit_signal if watched.quit_signal is not None else signal.SIGKILL
    identity: dict[str, Any] = {}
    if watched.uid is not None:
        identity = {"user": watched.uid, "group": watched.gid, "extra_groups": []}
    on_death: Callable[[], None] = functools.partial(die_with_parent, death)
    with Path(watched.log).open("ab") as log:
        child = subprocess.Popen(
            watched.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=tuple(watched.pass_fds),
            cwd="/",
            preexec_fn=on_death,
            **identity,
        )
    for fd in watched.pass_fds:
        os.close(fd)
    return os.pidfd_open(child.pid)  # while the Popen lives: its end would reap a command that has ended already


def _stand_guard(directory: Path) -> int:
    """Tell sweeps that this directory is watched, and return the descriptor of the lock to wait for."""
    fcntl.flock(os.open(directory / WATCHED, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), fcntl.LOCK_SH)
    return os.open(directory / ALIVE, os.O_RDWR | os.O_NOFOLLOW)


def _ask(command: int, sig: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(command, sig)
        wait_ended(command, _GRACE)


def _end_descendants() -> None:
    """Stop and kill whatever is below us until nothing is: a process may fork while it is being looked for."""
    import psutil

    me = psutil.Process()
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and (left := me.children(recursive=True)):
        for act in (psutil.Process.suspend, psutil.Process.kill):  # both look first whether the pid is still the same
            for process in left:
                with contextlib.suppress(psutil.Error):
                    act(process)
        wait_gone([process.pid for process in left], 0.2)
        _reap(signal.SIGCHLD, None)
