"""What the test process tells the zygote: small frozen orders that travel as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Mode = Literal["fork", "fresh", "command"]


@dataclass(frozen=True, slots=True)
class Load:
    """Import the test's modules, the target and the function, and prepare the engine.

    Attributes:
        sys_path: the search path of the test process.
        cwd: its working directory.
        environment: its environment.
        modules: names and files of the user's modules that it has loaded.
        rewriter: ``MODULE:ATTR`` that rewrites the assertions of those modules, or ``""``.
        target: ``MODULE:ATTR`` of the implementation under test, or ``""``.
        database_url: the database to prepare an engine for, or ``""``.
        function_file: a file that holds the pickled function, or ``""``.
        elsewhere: only remember all this: fresh interpreters will do it.
    """

    sys_path: tuple[str, ...] = ()
    cwd: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    rewriter: str = ""
    target: str = ""
    database_url: str = ""
    function_file: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start one occurrence; its descriptors (channel, output, errors) follow.

    Attributes:
        mode: a fork of the zygote, a fresh interpreter, or a command.
        identity: the fields of :class:`~pytest_ciris_occ.fleet.occurrence.Identity`.
        environment: variables set on top of the test process's.
        argv: for a command, the program and its arguments.
        cwd: for a command, where it runs.
    """

    mode: Mode
    identity: dict[str, Any]
    environment: dict[str, str]
    argv: tuple[str, ...] = ()
    cwd: str = ""


def encode(order: Load | Spawn | str) -> bytes:
    """Return an order as JSON; a bare word is an order without arguments."""
    if isinstance(order, str):
        return json.dumps({"order": order}).encode()
    return json.dumps({"order": type(order).__name__.lower()} | asdict(order)).encode()


def decode(packet: bytes) -> tuple[str, dict[str, Any]]:
    """Return an order's word and its arguments."""
    message = json.loads(packet)
    return message.pop("order"), message
