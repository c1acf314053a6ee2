"""The fleet: the door through which a test starts occurrences."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from pytest_ciris_occ.errors import FleetBroken, UsageMistake
from pytest_ciris_occ.fleet.harness import Harness
from pytest_ciris_occ.fleet.occurrence import Identity, Occurrence
from pytest_ciris_occ.fleet.orders import Load, Mode
from pytest_ciris_occ.fleet.outcome import RunHistory
from pytest_ciris_occ.fleet.running import Plan, RunningFleet
from pytest_ciris_occ.fleet.travel import pack
from pytest_ciris_occ.history import History, Journal, Setting
from pytest_ciris_occ.limits import BOUND, MOST
from pytest_ciris_occ.reports.events import Event, Noted

Argv = Sequence[str | os.PathLike[str]] | Callable[[Identity], Sequence[str | os.PathLike[str]]]


def _ignore(_event: Event) -> None:
    """Nobody listens."""


@dataclass
class Fleet:
    """Starts occurrences: real processes of the user's own code over one database.

    Attributes:
        harness: the processes behind it.
        setting: what the histories of its runs say of their circumstances.
        database_url: the database under test, ``""`` without one.
        target: ``MODULE:ATTR`` of the implementation under test, ``""`` without one.
        history_directory: where histories are written as they happen, or ``None``.
        listen: consumes the event stream.
    """

    harness: Harness
    setting: Setting = field(default_factory=lambda: Setting(n=3, bound=BOUND))
    database_url: str = ""
    target: str = ""
    history_directory: Path | None = None
    listen: Callable[[Event], None] = _ignore
    _created: bool = field(default=False, init=False)
    _runs: int = field(default=0, init=False)
    _live: list[RunningFleet] = field(default_factory=list, init=False)

    def run(
        self,
        function: Callable[[Occurrence], object],
        *,
        n: int | None = None,
        stagger: float = 0.0,
        timeout: float = BOUND,
        environment: Mapping[str, str] | None = None,
    ) -> RunHistory:
        """Run ``function`` in ``n`` real processes, released together from a barrier, until all have ended.

        Args:
            function: called with an :class:`Occurrence` in each process; a closure takes with it what can be pickled.
            n: how many; the test's own number when it is left out.
            stagger: seconds between one start and the next, instead of the barrier.
            timeout: seconds after which whoever still runs is ended, which makes the verdict ``unknown``.
            environment: variables to set for every occurrence.

        Raises:
            UsageMistake: something was given that cannot be; nothing has been started then.
            FleetBroken: the harness itself could not go on.
        """
        with self.start(function, n=n, stagger=stagger, timeout=timeout, environment=environment) as running:
            return running.finish()

    def start(
        self,
        function: Callable[[Occurrence], object],
        *,
        n: int | None = None,
        stagger: float = 0.0,
        timeout: float = BOUND,
        environment: Mapping[str, str] | None = None,
    ) -> RunningFleet:
        """Like :meth:`run`, but return as soon as the occurrences run, for a test that kills, pauses or adds some."""
        packed = pack(function)
        setting = self._setting(n, timeout, stagger)
        self._create_schema()
        home = getattr(function, "__module__", "") or ""
        mode, notes = self._load(packed, home)
        plan = Plan(setting, mode, self.database_url, environment=_variables(environment), stagger=stagger, notes=notes)
        return self._begin(plan)

    def command(
        self,
        argv: Argv,
        *,
        n: int | None = None,
        stagger: float = 0.0,
        timeout: float = BOUND,
        environment: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        until: Callable[[History], bool] | None = None,
    ) -> RunHistory:
        """Run a program of any kind as each occurrence.

        ``AGENT_OCCURRENCE_ID``, ``AGENT_OCCURRENCE_COUNT`` and ``OCC_DATABASE_URL`` are set. A line of its standard
        output that is a JSON object with the key ``occ`` is a report: ``{"occ": "claim", "task": …, "mine": true}``,
        ``decide``, ``observe`` (with ``decision``), ``effect`` (with ``key``), ``complete``.

        Args:
            argv: program and arguments, or a function that returns them for each occurrence.
            n: how many; the test's own number when it is left out.
            stagger: seconds between one start and the next, instead of the barrier.
            timeout: seconds after which whoever still runs is ended.
            environment: variables to set for every occurrence.
            cwd: where to run; the test's own working directory when it is left out.
            until: for programs that run until they are told to stop: when this holds, all get SIGTERM.
        """
        start = self.start_command(argv, n=n, stagger=stagger, timeout=timeout, environment=environment, cwd=cwd)
        with start as running:
            if until is not None:
                running.wait_until(until, "what the command was to do", timeout)
                running.terminate_all()
            return running.finish()

    def start_command(
        self,
        argv: Argv,
        *,
        n: int | None = None,
        stagger: float = 0.0,
        timeout: float = BOUND,
        environment: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> RunningFleet:
        """Like :meth:`command`, but return as soon as the programs run."""
        setting = self._setting(n, timeout, stagger)
        where = str(cwd or Path.cwd())
        arguments = _argv(argv)
        _find_program(arguments(Identity("occ-0", count=setting.n, database_url=self.database_url)), where)
        self.harness.client.load(Load(environment=dict(os.environ), elsewhere=True))
        return self._begin(
            Plan(setting, "command", self.database_url, arguments, where, _variables(environment), stagger)
        )

    def __reduce__(self) -> NoReturn:
        """Refuse to travel into an occurrence, as part of a closure, where it could start nothing."""
        raise TypeError("only the test process starts occurrences")

    def close(self) -> None:
        """End whatever a test has left running."""
        while self._live:
            self._live.pop().abort()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _setting(self, n: int | None, timeout: float, stagger: float) -> Setting:
        count = self.setting.n if n is None else n
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
            raise UsageMistake(f"a fleet of n={count!r} occurrences cannot be started; give a number from 1 to {MOST}")
        if not timeout > 0 or stagger < 0:
            raise UsageMistake(
                f"timeout={timeout!r} and stagger={stagger!r} were given; a run needs a timeout above 0 seconds and a "
                f"stagger of 0 or more"
            )
        return replace(self.setting, n=count, bound=timeout + stagger * (count - 1))

    def _load(self, packed: bytes, home: str) -> tuple[Mode, tuple[str, ...]]:
        order = Load(
            sys_path=_search_path(),
            cwd=str(Path.cwd()),
            environment=dict(os.environ),
            modules=self.harness.modules(),
            rewriter=self.harness.rewriter,
            target=self.target,
            database_url=self.database_url,
            function_file=str(self.harness.function_file(packed)),
        )
        try:
            mode, hazards = self.harness.load(order, home)
        except FleetBroken:
            self.harness.retire()
            raise
        if not hazards:
            return mode, ()
        note = (
            f"importing {home} leaves {', '.join(hazards)}, which must not cross a fork; every occurrence gets a fresh "
            f"interpreter instead, which is slower"
        )
        self.listen(Noted(note))
        return mode, (note,)

    def _create_schema(self) -> None:
        """Have the target make its schema, in a process of its own, once per database."""
        if self._created or not (self.target and self.database_url):
            return
        mode, _ = self._load(pack(create_schema), create_schema.__module__)
        setting = Setting(database=self.setting.database, n=1, bound=BOUND)
        running = RunningFleet(
            self.harness.client, Plan(setting, mode, self.database_url), Journal(setting), _ignore
        ).begin()
        history = running.finish()
        (end,) = history.ends.values()
        if end.reason != "returned":
            traceback = next(iter(history.tracebacks.values()), "")
            raise UsageMistake(f"the target {self.target} could not create its schema: {end.detail}\n{traceback}")
        self._created = True

    def _begin(self, plan: Plan) -> RunningFleet:
        self._runs += 1
        journal = Journal(plan.setting, self._history_file())
        running = RunningFleet(self.harness.client, plan, journal, self.listen)
        self._live.append(running)
        return running.begin()

    def _history_file(self) -> Path | None:
        if self.history_directory is None:
            return None
        name = re.sub(r"[^\w.=-]+", "_", self.setting.test).strip("_") or "run"
        return self.history_directory / f"{name[-150:]}-{self._runs}-{os.getpid()}-{time.time_ns() % 10**9:09d}.jsonl"


def create_schema(occ: Occurrence) -> None:
    """What the first process of a database runs."""
    occ.create_schema()


def _variables(environment: Mapping[str, str] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (environment or {}).items()}


def _search_path() -> tuple[str, ...]:
    return tuple(str(Path.cwd()) if entry == "" else str(entry) for entry in sys.path)


def _argv(argv: Argv) -> Callable[[Identity], tuple[str, ...]]:
    if callable(argv):
        return lambda identity: tuple(os.fspath(word) for word in argv(identity))
    if isinstance(argv, str) or not argv:
        raise UsageMistake(
            f"the command {argv!r} cannot be started; give a list of program and arguments, such as "
            f'["python", "main.py"]'
        )
    fixed = tuple(os.fspath(word) for word in argv)
    return lambda _identity: fixed


def _find_program(argv: tuple[str, ...], cwd: str) -> None:
    program = argv[0]
    found = shutil.which(program) or (os.sep in program and shutil.which(os.path.join(cwd, program)))  # noqa: PTH118
    if not found:
        raise UsageMistake(f"the program {program!r} cannot be run: it is not on PATH or not executable; give its path")
