"""The zygote: a warm, single-threaded process without handles, from which every occurrence is forked.

Our own and not ``multiprocessing``'s: its fork server runs the main module of the test process again and knows nothing
of pytest's imports. This one starts clean, imports what the tests need once, and holds no handle when it forks.
``multiprocess`` carries its messages and descriptors. It stays under the watchdog, which ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict
from typing import Any

import dill  # noqa: F401 - loaded before any fork
from multiprocess import reduction
from multiprocess.connection import Connection

from pytest_ciris_occ.fleet import child, hazards
from pytest_ciris_occ.fleet.bootstrap import interpreter_command
from pytest_ciris_occ.fleet.orders import Load, Spawn, decode

_now = time.monotonic
_renewal: list[str] = []


class Zygote:
    """The loop of the zygote.

    Attributes:
        children: pid to pidfd of every child that has not been told to the test process as ended. An ended child stays
            a zombie until the run is over, so that its pid, and that of its process group, cannot become another's.
    """

    def __init__(self, fd: int) -> None:
        """Serve the test process at the other end of ``fd``."""
        self._connection = Connection(fd)
        self._fd = fd
        self._loading = Load()
        self._target: Any = None
        self._function: Any = None
        self._zombies: list[int] = []
        self.children: dict[int, int] = {}

    def serve(self) -> None:
        """Do as told until the test process hangs up."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            for fd in self.children.values():
                poll.register(fd, select.POLLIN)
            ready = {fd for fd, _ in poll.poll()}
            for pid in [pid for pid, fd in self.children.items() if fd in ready]:
                poll.unregister(self.children[pid])
                self._tell_end(pid)
            if self._fd in ready and not self._obey():
                return

    def _obey(self) -> bool:
        try:
            word, arguments = decode(self._connection.recv_bytes())
        except (EOFError, OSError):
            return False
        match word:
            case "load":
                self._tell(self._load(Load(**arguments)))
            case "spawn":
                self._spawn(Spawn(**arguments))
            case "bury":
                self._bury()
            case "renew":
                _renew(self._fd)
        return True

    def _tell(self, message: dict[str, Any]) -> None:
        self._connection.send_bytes(json.dumps(message).encode())

    def _load(self, order: Load) -> dict[str, Any]:
        self._loading = order
        if order.elsewhere:
            return {"record": "loaded", "hazards": []}
        before = hazards.descriptors()
        try:
            self._target, self._function = child.load(order)
        except BaseException as error:
            return {
                "record": "loaded",
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
            }
        return {"record": "loaded", "hazards": hazards.hazards(before)}

    def _spawn(self, order: Spawn) -> None:
        fds = _receive_three(self._fd)
        zygote_pid, began = os.getpid(), _now()
        pid = os.fork()
        if pid == 0:
            self._in_child(order, fds, zygote_pid)
        for fd in fds:
            os.close(fd)
        self.children[pid] = os.pidfd_open(pid)
        self._tell({"record": "started", "occurrence": order.identity["occurrence_id"], "pid": pid, "at": began})

    def _in_child(self, order: Spawn, fds: tuple[int, int, int], zygote_pid: int) -> None:
        try:
            for fd in (self._fd, *self.children.values()):
                os.close(fd)
            channel = child.become_occurrence(order, fds, self._loading.environment, zygote_pid)
            if order.mode == "command":
                child.run_command(order, channel)
            elif order.mode == "fresh":
                _become_fresh(order, self._loading, fds[0])
            else:
                child.run_function(child.occurrence(order, channel, self._target), channel, self._function)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _tell_end(self, pid: int) -> None:
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(self.children.pop(pid))
        self._zombies.append(pid)
        signalled = end is not None and end.si_code != os.CLD_EXITED
        self._tell(
            {"record": "ended", "pid": pid, "signalled": signalled, "status": end.si_status if end else 0, "at": _now()}
        )

    def _bury(self) -> None:
        """Kill what the ended occurrences left in their process groups, and let their pids go."""
        for pid in self._zombies:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._zombies.clear()
        self._tell({"record": "buried"})


def _receive_three(fd: int) -> tuple[int, int, int]:
    with socket.fromfd(fd, socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        first, second, third = reduction.recvfds(connection, 3)
    for received in (first, second, third):
        os.set_inheritable(received, False)
    return first, second, third


def _renew(fd: int) -> None:
    """Become a zygote that has imported nothing of the user's; threads and handles end with the old image."""
    os.set_inheritable(fd, True)
    os.chdir("/")
    os.execv(sys.executable, _renewal)  # noqa: S606 - our own command line


def _become_fresh(order: Spawn, loading: Load, channel: int) -> None:
    os.set_inheritable(channel, True)
    arguments = [json.dumps(asdict(order)), json.dumps(asdict(loading)), str(channel)]
    command = interpreter_command(child.__name__, arguments)
    os.execv(command[0], command)  # noqa: S606 - our own command line


def main(argv: list[str]) -> None:
    """Run as the zygote: import what is dear, then serve."""
    _renewal[:] = interpreter_command(__name__, argv)
    os.set_inheritable(int(argv[0]), False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in json.loads(argv[1]):
        with contextlib.suppress(ImportError):
            __import__(module)
    Zygote(int(argv[0])).serve()
    sys.exit(0)
