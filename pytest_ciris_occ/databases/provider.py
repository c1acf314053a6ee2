"""What a database provider is: it hands out clean databases and says what can be done to the server behind them.

Capabilities, by name; a provider lists only what it can really do:

``crash``
    its server is ours, so it can be killed and started again
``clock``
    the clock that its SQL reads can be moved
``pin``
    the processes that do its work can be bound to one core
``deadlock-timeout``
    the server's ``deadlock_timeout`` can be set
``container``
    the server runs in a container, which can be paused and cut off
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

CAPABILITIES = frozenset({"crash", "clock", "pin", "deadlock-timeout", "container"})


@dataclass(frozen=True, slots=True)
class Database:
    """One clean database.

    Attributes:
        name: its name on the server, or the path of its file.
        url: an SQLAlchemy URL, password included; for this reason it is not part of ``repr``.
        server_version: the version of the server or of the SQLite library, such as ``18.4``.
    """

    name: str
    url: str = field(repr=False)
    server_version: str | None = None


@runtime_checkable
class Provider(Protocol):
    """Where clean databases come from."""

    @property
    def name(self) -> str:
        """The name for reports and test ids, such as ``sqlite``; never with a password."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What can be done to the server behind it, of :data:`CAPABILITIES`."""

    def unavailable(self) -> str | None:
        """Say in one sentence why it cannot be used here, or return ``None``; cheap, and starts nothing."""

    def fresh(self) -> AbstractContextManager[Database]:
        """Make a clean database, which is gone when the context ends.

        Raises:
            UsageMistake: what the user gave cannot be used (a wrong password, a directory that is not writable).
            Unavailable: something that it needs is not installed.
            FleetBroken: the server is gone or could not be started.
        """

    def close(self) -> None:
        """Give back what it holds; a server of ours ends when its last user has done so."""
