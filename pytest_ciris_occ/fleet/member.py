"""One occurrence, as the test process sees it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.fleet import channel
from pytest_ciris_occ.fleet.occurrence import Identity
from pytest_ciris_occ.fleet.orders import Mode
from pytest_ciris_occ.history import FUNCTIONS

_KEPT = 64 * 1024
_CHUNK = 64 * 1024
_DRAIN = 4 * 1024 * 1024

State = Literal["starting", "ready", "running", "ended"]


class Output:
    """What an occurrence prints: the end of it is kept, all of it is counted."""

    def __init__(self) -> None:
        self.total = 0
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Take more in."""
        self.total += len(data)
        self._kept += data
        del self._kept[:-_KEPT]

    def text(self) -> str:
        """The end of what was printed, after a line that says how much is missing."""
        text = self._kept.decode(errors="replace")
        missing = self.total - len(self._kept)
        return f"[{missing} bytes before this are not kept]\n{text}" if missing else text


@dataclass(slots=True, eq=False)
class Member:
    """One life of one occurrence.

    Attributes:
        identity: who it is.
        mode: how it was started.
        channel: our end of its channel.
        streams: the ends of its output and error pipes that we read.
        pid: its process, 0 until the zygote has told.
        state: how far it has come.
        waiting: whether it waits at a rendezvous.
        last_words: what it told of its end itself (``returned`` or ``raised``).
        output: what it printed.
        line: the unfinished last line, for a command that reports by JSON lines.
    """

    identity: Identity
    mode: Mode
    channel: socket.socket
    streams: tuple[int, int]
    pid: int = 0
    state: State = "starting"
    waiting: bool = False
    last_words: dict[str, Any] = field(default_factory=dict)
    output: Output = field(default_factory=Output)
    line: bytes = b""

    @property
    def name(self) -> str:
        """The occurrence's id."""
        return self.identity.occurrence_id

    @property
    def lives(self) -> bool:
        """Whether its process has not ended."""
        return self.state != "ended"

    def release(self) -> None:
        """Let it go on; a process that has just died does not mind."""
        self.waiting = False
        with contextlib.suppress(OSError):
            self.channel.send(b"go")

    def signal(self, sig: int) -> None:
        """Send a signal. Safe until the run is over: an ended process stays a zombie, so the pid is still its own."""
        if not self.pid:
            raise RuntimeError(f"{self.name} has no process yet")  # kill(0) would be for our own process group
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, sig)

    def packets(self) -> Iterator[dict[str, Any]]:
        """The messages that have arrived on its channel."""
        while True:
            try:
                packet = self.channel.recv(channel.LIMIT)
            except (BlockingIOError, ConnectionError):
                return
            if not packet:
                return
            yield json.loads(packet)

    def read(self, stream: int) -> bytes:
        """What has arrived on one of its pipes; ``b""`` when there is nothing (more)."""
        try:
            data = os.read(stream, _CHUNK)
        except BlockingIOError:
            return b""
        self.output.add(data)
        return data

    def drain(self, stream: int) -> Iterator[bytes]:
        """All that has arrived, up to a bound: something that it left behind may go on printing."""
        for _ in range(_DRAIN // _CHUNK):
            data = self.read(stream)
            if not data:
                return
            yield data

    def close(self) -> None:
        """Give the descriptors back."""
        self.channel.close()
        for stream in self.streams:
            os.close(stream)

    def reports(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The reports among the lines that a command has printed.

        Raises:
            UsageMistake: a line looks like a report and is none.
        """
        *lines, self.line = (self.line + data).split(b"\n")
        self.line = self.line[-channel.LIMIT :]
        for line in lines:
            if line.lstrip().startswith(b"{") and b'"occ"' in line:
                yield self._report(line)

    def _report(self, line: bytes) -> dict[str, Any]:
        try:
            report = json.loads(line)
        except ValueError as error:
            raise UsageMistake(f"{self.name} printed {line[:200]!r}, which is not JSON ({error})") from None
        if report.get("occ") not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise UsageMistake(f"{self.name} printed {line[:200]!r}, and 'occ' must be one of {known}")
        return dict(report)
