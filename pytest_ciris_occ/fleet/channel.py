"""The harness's own channel: one socket between each occurrence and the test process.

``SOCK_SEQPACKET`` keeps the borders of messages, so that a process that is killed or stopped in the middle of one can
neither tear it nor hold the reader. Every message is JSON; nothing from an occurrence is ever unpickled.
"""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

# The kernel's default send buffer is 208 KiB, and a packet must fit into it whole.
LIMIT = 160 * 1024


def pair() -> tuple[socket.socket, socket.socket]:
    """Return a connected pair: the test process's end (never blocking) and the occurrence's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def encode(message: dict[str, Any]) -> bytes:
    """Return the packet for a message.

    Raises:
        TypeError: a value is none that JSON has.
        ValueError: the message is longer than ``LIMIT`` bytes.
    """
    packet = json.dumps(message, separators=(",", ":")).encode()
    if len(packet) > LIMIT:
        raise ValueError(f"{len(packet)} bytes")
    return packet


class Channel:
    """The occurrence's end."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor."""
        self._socket = socket.socket(fileno=fd)
        self._asking = threading.Lock()

    def tell(self, message: dict[str, Any]) -> None:
        """Send one message; one packet is one call to the kernel, so threads need no lock."""
        self._socket.send(encode(message))

    def ask(self, message: dict[str, Any]) -> None:
        """Send one message and wait until the test process lets this occurrence go on."""
        with self._asking:
            self.tell(message)
            self.wait()

    def wait(self) -> None:
        """Wait until the test process lets this occurrence go on.

        Raises:
            EOFError: the test process is gone.
        """
        if not self._socket.recv(16):
            raise EOFError("the test process has ended")
