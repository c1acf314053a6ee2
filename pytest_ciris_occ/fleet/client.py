"""The test process's end of the zygote."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multiprocess import reduction
from multiprocess.connection import Connection

from pytest_ciris_occ.errors import FleetBroken, UsageMistake
from pytest_ciris_occ.fleet.bootstrap import interpreter_command
from pytest_ciris_occ.fleet.linux import require_linux
from pytest_ciris_occ.fleet.orders import Load, Spawn, encode
from pytest_ciris_occ.fleet.rundir import RunDirectory
from pytest_ciris_occ.fleet.watchdog import Watched, watch

_LOADING = 120.0
_ANSWER = 60.0


class ZygoteClient:
    """Speaks to one zygote under one watchdog.

    Attributes:
        directory: the run directory of both, removed with them.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        """Start a watchdog and its zygote, which imports the modules ``preload`` (those that it finds)."""
        require_linux()
        self.directory = RunDirectory.new()
        self._log = self.directory.path / "zygote.log"
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = [str(theirs.fileno()), json.dumps(list(preload))]
            command = interpreter_command("pytest_ciris_occ.fleet.zygote", arguments)
            watched = Watched(command, str(self.directory.path), str(self._log), pass_fds=(theirs.fileno(),))
            self._watchdog = watch(self.directory, watched)
        self._connection = Connection(ours.detach())
        self._files: dict[str, str] = {}

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return int(self._connection.fileno())

    def load(self, order: Load) -> list[str]:
        """Have the zygote import what a run needs.

        Returns:
            What the imports have left that must not cross a fork: then call :meth:`renew` and use fresh processes.

        Raises:
            UsageMistake: the user's modules cannot be imported there.
            FleetBroken: the zygote died of it, or did not answer.
        """
        if any(self._files.get(name, file) != file for name, file in order.modules.items()):
            self.renew()  # another module of the same name is loaded there
        self._files.update(order.modules)
        self._send(order)
        answer = self._answer("loaded", _LOADING)
        if "error" in answer:
            raise UsageMistake(
                f"the occurrences' process could not import what the test needs: {answer['error']}; the module of a "
                f"test runs once more outside pytest, so its top level must not need pytest or conftest\n"
                f"{answer['traceback']}"
            )
        hazards: list[str] = answer["hazards"]
        return hazards

    def renew(self) -> None:
        """Replace the zygote by one that has imported nothing of the user's."""
        self._files.clear()
        self._send("renew")

    def spawn(self, order: Spawn, fds: tuple[int, int, int]) -> None:
        """Start one occurrence; the answer comes among :meth:`messages`."""
        self._send(order)
        with socket.fromfd(self.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            reduction.sendfds(connection, fds)

    def messages(self) -> list[dict[str, Any]]:
        """What has arrived; never waits.

        Raises:
            FleetBroken: the zygote has died.
        """
        arrived = []
        while self._has_message(0):
            arrived.append(self._receive())
        return arrived

    def bury(self, timeout: float = _ANSWER) -> list[dict[str, Any]]:
        """Let ended occurrences go, with all they left in their process groups; return what else was told."""
        self._send("bury")
        others: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout
        while self._has_message(max(0.0, deadline - time.monotonic())):
            message = self._receive()
            if message["record"] == "buried":
                return others
            others.append(message)
        raise self._broken(f"did not answer for {timeout:g} s")

    def close(self) -> None:
        """End everything under the watchdog, and wait until it is gone."""
        self._connection.close()
        self.directory.release()
        self._watchdog.wait()

    def _send(self, order: Load | Spawn | str) -> None:
        try:
            self._connection.send_bytes(encode(order))
        except OSError:
            raise self._broken("has ended") from None

    def _answer(self, record: str, timeout: float) -> dict[str, Any]:
        if not self._has_message(timeout):
            raise self._broken(f"did not answer for {timeout:g} s")
        message = self._receive()
        if message["record"] != record:
            raise self._broken(f"answered {message['record']!r} where {record!r} was due")
        return message

    def _has_message(self, timeout: float) -> bool:
        return bool(self._connection.poll(timeout))

    def _receive(self) -> dict[str, Any]:
        try:
            message: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._broken("has ended") from None
        return message

    def _broken(self, what: str) -> FleetBroken:
        return FleetBroken(f"the process that starts occurrences {what}; its last words: {tail(self._log)!r}")


def tail(path: Path, size: int = 600) -> str:
    """The last ``size`` characters of a file, ``""`` where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-size:].strip()
    except OSError:
        return ""
