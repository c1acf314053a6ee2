"""What all fleets of one test process share: the zygote, and what is known of modules that must not be forked."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_ciris_occ.fleet.client import ZygoteClient
from pytest_ciris_occ.fleet.orders import Load, Mode

# Dear to import, needed by nearly every target, and without threads or handles of their own.
_PRELOAD = (
    "sqlalchemy",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql.psycopg",
    "psycopg",
    "pytest_ciris_occ.targets.recording",
)


class Harness:
    """Starts the zygote at first use and ends it, with everything below it, at the end.

    Attributes:
        modules: returns the names and files of the modules that the test process has loaded from the user's tree.
        rewriter: ``MODULE:ATTR`` that rewrites their assertions as they are rewritten here, or ``""``.
    """

    def __init__(self, modules: Callable[[], dict[str, str]] = dict, rewriter: str = "") -> None:
        """Prepare; nothing is started yet."""
        self.modules = modules
        self.rewriter = rewriter
        self._client: ZygoteClient | None = None
        self._retired: list[ZygoteClient] = []
        self._unforkable: dict[str, list[str]] = {}
        self._files = itertools.count()

    @property
    def client(self) -> ZygoteClient:
        """The zygote, warm."""
        if self._client is None:
            self._client = ZygoteClient([*_PRELOAD, *filter(None, [self.rewriter.partition(":")[0]])])
        return self._client

    @property
    def directory(self) -> Path:
        """The run directory: whatever lies in it is removed at the end, however the end comes."""
        return self.client.directory.path

    def function_file(self, packed: bytes) -> Path:
        """Put a pickled function where the zygote, and nobody else, can read it."""
        path = self.directory / f"function-{next(self._files)}"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(packed)
        return path

    def load(self, order: Load, home: str) -> tuple[Mode, list[str]]:
        """Load what a run needs, and say how its occurrences are to be started, and why not by fork.

        Args:
            order: what to load.
            home: the module that the function comes from; what its import leaves behind is remembered under it.

        Raises:
            UsageMistake: the user's modules cannot be imported.
            FleetBroken: the zygote died of it; the next run gets a new one.
        """
        if home not in self._unforkable:
            found = self.client.load(order)
            if not found:
                return "fork", []
            self._unforkable[home] = found
            self.client.renew()
        self.client.load(replace(order, elsewhere=True))
        return "fresh", self._unforkable[home]

    def retire(self) -> None:
        """Let go of a zygote that is broken; its directory stays until the end, for what lies in it."""
        if self._client is not None:
            self._retired.append(self._client)
            self._client = None

    def close(self) -> None:
        """End everything."""
        self.retire()
        while self._retired:
            self._retired.pop().close()
