"""The pytest plugin: it translates between pytest and the library, and computes nothing.

Imported by every pytest run of everybody who has this package installed, so it costs pytest and the standard library
only; all else is imported by the first test that uses a fleet.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import _pytest
import pluggy
import pytest

from pytest_ciris_occ.errors import OccError, SingleDecisionViolated, Unavailable, UsageMistake, VerdictUnknown
from pytest_ciris_occ.settings import OPTIONS, Option, Sources, check_marker, sizes

if TYPE_CHECKING:
    from pytest_ciris_occ.databases import Database, Selected
    from pytest_ciris_occ.fleet.fleet import Fleet
    from pytest_ciris_occ.reports.record import TestRecord
    from pytest_ciris_occ.session import Session
    from pytest_ciris_occ.targets.loading import LoadedTarget

_SOURCES = pytest.StashKey[Sources]()
_SEED = pytest.StashKey[int]()
_RUN_ID = pytest.StashKey[str]()
_SESSION = pytest.StashKey["Session"]()
_RECORD = pytest.StashKey["TestRecord"]()
_USED = pytest.StashKey[bool]()


# -- options ----------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register every option as flag and ini key."""
    group = parser.getgroup("occ", "occurrences over one database")
    for option in OPTIONS.values():
        text = f"{option.help} (ini: {option.name}, environment: {option.variable})"
        if option.metavar:
            group.addoption(option.flag, dest=option.name, default=None, metavar=option.metavar, help=text)
        else:
            group.addoption(option.flag, dest=option.name, action="store_const", const=True, default=None, help=text)
        parser.addini(option.name, option.help, type=_ini_type(option), default=None)


def _ini_type(option: Option) -> Any:
    """What may stand in an ini file: text, and in a TOML file the value as TOML writes it."""
    if option.native is list:
        return "linelist"
    if option.native is str or pytest.version_tuple < (9, 2):
        return "string"
    return str | option.native


def pytest_configure(config: pytest.Config) -> None:
    """Look at every option once, so that a mistake is told before anything runs."""
    config.addinivalue_line(
        "markers",
        "occ(n=…, database=…, target=…, seed=…, needs=…): how many occurrences a test starts (a number, or a list of "
        "sizes to run it for), and what it runs on; each overrides the ini file",
    )
    config.addinivalue_line("python_files", str(_here() / "scenarios" / "test_*.py"))
    sources = Sources(config.getoption, os.environ, lambda name: _from_ini(config, name))
    config.stash[_SOURCES] = sources
    with _mistakes_as_usage_errors():
        _identify(config)
        for name in OPTIONS:
            sources.get(name)
        if sources.asked("occ_database")[0] is not None:
            _parse_databases(sources, {})
        if sources.asked("occ_postgres_url")[0]:
            _check_postgres_url(sources.get("occ_postgres_url"))
        if sources.asked("occ_target")[0] is not None:
            _load_target(config, sources.get("occ_target"))


def _from_ini(config: pytest.Config, name: str) -> Any:
    value = config.getini(name)
    return None if value in ("", []) else value


def _identify(config: pytest.Config) -> None:
    """Give the run an id and a seed that all its xdist workers share."""
    given: Mapping[str, Any] = getattr(config, "workerinput", {})
    run_id = str(given.get("occ_run_id") or f"{os.getpid():x}{os.urandom(6).hex()}")
    config.stash[_RUN_ID] = run_id
    seed = config.stash[_SOURCES].get("occ_seed") if not given else None
    config.stash[_SEED] = int(given.get("occ_seed", zlib.crc32(run_id.encode()) if seed is None else seed))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the run's id and seed to an xdist worker."""
    node.workerinput["occ_run_id"] = node.config.stash[_RUN_ID]
    node.workerinput["occ_seed"] = node.config.stash[_SEED]


class _mistakes_as_usage_errors:  # noqa: N801 - used like a function
    """Turns a sentence for the user into pytest's own kind of error, which is shown without a traceback."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (UsageMistake, Unavailable)):
            raise pytest.UsageError(str(error)) from None


def _here() -> Path:
    return Path(__file__).parent


def _parse_databases(sources: Sources, marker: Mapping[str, Any]) -> list[Selected]:
    from pytest_ciris_occ.databases import parse

    return parse(sources.get("occ_database", marker))


def _check_postgres_url(url: str) -> None:
    from pytest_ciris_occ.databases.postgres import parse_url

    parse_url(url)


def _load_target(config: pytest.Config, reference: str) -> LoadedTarget:
    from pytest_ciris_occ.targets.loading import load_target

    return load_target(reference, (config.invocation_params.dir, config.rootpath))


# -- collection -------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once per database, and once per size that its marker lists."""
    if "occ_fleet" not in metafunc.fixturenames and "occ_database" not in metafunc.fixturenames:
        return
    metafunc.config.stash[_USED] = True
    sources = metafunc.config.stash[_SOURCES]
    with _mistakes_as_collect_errors(metafunc.function.__name__):
        marker = _marker(metafunc.definition)
        for name in OPTIONS.keys() - {"occ_n"}:
            sources.get(name, marker)
        databases = _parse_databases(sources, marker)
        counts, not_applicable = sizes(sources, marker)
    metafunc.parametrize("occ_database", databases, ids=[entry.label for entry in databases], indirect=True)
    if "occ_fleet" in metafunc.fixturenames:
        marks = [pytest.mark.skip(reason=not_applicable)] if not_applicable else []
        counted = [pytest.param(count, marks=marks, id=f"n{count}") for count in counts]
        metafunc.parametrize("_occ_n", counted, indirect=True)


class _mistakes_as_collect_errors:  # noqa: N801 - used like a function
    """Turns a sentence about the marker of a test into an error of collection, which is shown without a traceback."""

    def __init__(self, test: str) -> None:
        self._test = test

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, UsageMistake):
            raise pytest.Collector.CollectError(f"{self._test}: {error}") from None


def _marker(node: pytest.Item | Any) -> dict[str, Any]:
    """What the markers of a test say; the closest wins, name by name."""
    said: dict[str, Any] = {}
    for marker in node.iter_markers("occ"):
        check_marker(marker.args, marker.kwargs)
        said = {**marker.kwargs, **said}
    return said


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Say on what the tests will run, when there are any that use a fleet."""
    labels = {_label(item) for item in items if "occ_database" in getattr(item, "fixturenames", ())}
    if not labels:
        return []
    target = config.stash[_SOURCES].get("occ_target")
    return [f"occ: on {', '.join(sorted(labels))}; target {target}; seed {config.stash[_SEED]}"]


def _label(item: pytest.Item) -> str:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return str(getattr(parameters.get("occ_database"), "label", "?"))


# -- fixtures ---------------------------------------------------------------------------------------------------------


def _session(config: pytest.Config) -> Session:
    from pytest_ciris_occ.session import Session

    if _SESSION not in config.stash:
        url = config.stash[_SOURCES].get("occ_postgres_url")
        config.stash[_SESSION] = Session(config.rootpath, config.stash[_RUN_ID], url)
    return config.stash[_SESSION]


@pytest.fixture
def occ_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A clean database, gone after the test. The test runs once for each entry of ``--occ-database``."""
    provider = _session(request.config).provider(request.param)
    reason = provider.unavailable()
    if reason is not None:
        _missing(request.config, reason)
    _record(request.node).know(database=provider.name)
    with provider.fresh() as database:
        yield database


@pytest.fixture
def occ_target(request: pytest.FixtureRequest) -> LoadedTarget:
    """The implementation under test, which ``occ.open()`` opens in the occurrences of this test's fleet."""
    marker = _marker(request.node)
    target = _load_target(request.config, request.config.stash[_SOURCES].get("occ_target", marker))
    needs = {marker["needs"]} if isinstance(marker.get("needs"), str) else set(marker.get("needs", ()))
    if missing := sorted(needs - target.capabilities):
        pytest.skip(f"not applicable: {target.reference} does not offer {', '.join(missing)}")
    return target


@pytest.fixture
def _occ_n(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def occ_fleet(request: pytest.FixtureRequest, occ_database: Database, _occ_n: int) -> Iterator[Fleet]:
    """Starts occurrences: N real processes of the test's own code over one clean database."""
    from pytest_ciris_occ.fleet.fleet import Fleet
    from pytest_ciris_occ.history import Setting
    from pytest_ciris_occ.limits import BOUND

    sources, record = request.config.stash[_SOURCES], _record(request.node)
    target: LoadedTarget | None = request.getfixturevalue("occ_target") if _wants_target(request) else None
    record.know(n=_occ_n)
    directory = sources.get("occ_history")
    seed = sources.get("occ_seed", _marker(request.node))
    fleet = Fleet(
        _session(request.config).harness,
        Setting(
            test=request.node.nodeid,
            database=record.database,
            target=target.reference if target else "",
            n=_occ_n,
            seed=request.config.stash[_SEED] if seed is None else seed,
            bound=BOUND,
        ),
        database_url=occ_database.url,
        target=target.reference if target else "",
        history_directory=request.config.invocation_params.dir / directory if directory else None,
        listen=record.take,
    )
    yield fleet
    fleet.close()


def _wants_target(request: pytest.FixtureRequest) -> bool:
    return "occ_target" in request.fixturenames


def _missing(config: pytest.Config, reason: str) -> None:
    if config.stash[_SOURCES].get("occ_require"):
        pytest.fail(f"{reason} (--occ-require: what is missing fails)", pytrace=False)
    pytest.skip(reason)


def _record(item: pytest.Item) -> TestRecord:
    from pytest_ciris_occ.reports.record import TestRecord

    if _RECORD not in item.stash:
        item.stash[_RECORD] = TestRecord()
    return item.stash[_RECORD]


# -- reports ----------------------------------------------------------------------------------------------------------

_OURS = (OccError, SingleDecisionViolated, VerdictUnknown)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what a test's runs have shown into its report."""
    record = item.stash.get(_RECORD, None)
    if record is not None and call.when == "call":
        item.user_properties.extend(record.properties())
    if call.excinfo is not None and isinstance(call.excinfo.value, _OURS):
        call.excinfo = _without_our_frames(call.excinfo)
    report = yield
    if record is not None and report.failed and call.excinfo is not None:
        told = isinstance(call.excinfo.value, (SingleDecisionViolated, VerdictUnknown))
        report.sections.extend(record.sections(told=told))
    return report


def _without_our_frames(excinfo: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    """Show the user's frames only; where none is left, the sentence stands alone.

    The traceback is built anew: pytest goes back to the raw one, so that filtering its own view would not last.
    """
    error, theirs = excinfo.value, None
    for entry in reversed(excinfo.traceback):
        if _is_theirs(Path(entry.path)):
            raw = entry._rawentry  # noqa: SLF001 - it has no other name
            theirs = TracebackType(theirs, raw.tb_frame, raw.tb_lasti, raw.tb_lineno)
    if isinstance(error, OccError):
        error.__cause__ = None  # what it was made of is in the sentence
        error.__suppress_context__ = True
    if theirs is not None:
        return pytest.ExceptionInfo.from_exception(error.with_traceback(theirs))
    sentence = pytest.fail.Exception(str(error), pytrace=False)
    return pytest.ExceptionInfo.from_exception(sentence.with_traceback(excinfo.tb))


def _is_theirs(path: Path) -> bool:
    """Whether a frame is of the user's own code: neither pytest's nor ours, the scenarios apart."""
    if path.is_relative_to(_here() / "scenarios"):
        return True
    machinery = (_here(), *(Path(str(module.__file__)).parent for module in (_pytest, pluggy)))
    return path != Path(contextlib.__file__) and not any(path.is_relative_to(place) for place in machinery)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line per test: what was decided, by whom, how long it took."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = [dict(report.user_properties) | {"test": report.nodeid} for report in reports if report.when == "call"]
    rows = [row for row in rows if "occ_verdict" in row]
    if rows:
        from pytest_ciris_occ.reports.terminal import summary

        config = terminalreporter.config
        terminalreporter.section("occurrences", sep="=")
        for line in summary(rows, everything=config.get_verbosity() > 0):
            terminalreporter.write_line(line)
        if _has_workers(config):  # which collect, and whose header nobody sees
            terminalreporter.write_line(f"seed {config.stash[_SEED]}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End everything that was started."""
    # Whoever presses Ctrl-C now cannot wait: the results are told, and the watchdogs end the rest when we are gone.
    with contextlib.suppress(KeyboardInterrupt):
        _end_everything(config)


def _end_everything(config: pytest.Config) -> None:
    session = config.stash.get(_SESSION, None)
    if session is not None:
        session.close()
        del config.stash[_SESSION]
    if not hasattr(config, "workerinput") and (session is not None or _has_workers(config)):
        from pytest_ciris_occ.databases import wait_server_gone

        wait_server_gone(config.stash[_RUN_ID])


def _has_workers(config: pytest.Config) -> bool:
    return config.pluginmanager.hasplugin("dsession") and bool(config.getoption("numprocesses", None))
