"""Every option in each of its forms, which form wins, and what is said of nonsense."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from tests.plugin.inner import Inner

TARGETS = """
    class Target:
        capabilities = frozenset()
        def create(self, url): pass
        def open(self, occ): pass

    first, second, third, fourth, fifth = (Target() for _ in range(5))
"""
SHOW = """
    import pytest

    def decide(occ):
        if occ.index == 0:
            occ.decide("task", "yes")

    {marker}
    def test_it(occ_fleet, occ_target):
        setting = occ_fleet.setting
        print(f"<{{setting.n}} {{setting.database}} {{setting.seed}} {{setting.target}}>")
        occ_fleet.run(decide).check()
"""
MISSING = """
    import pytest

    @pytest.fixture(autouse=True)
    def nothing_is_installed(monkeypatch):
        from pytest_ciris_occ.databases import embedded
        monkeypatch.setattr(embedded.cluster, "find", lambda: None)
"""

# Where a value stands, and what stands there: n, database, seed, target, history. Each place has values of its own.
FLAG = (2, "sqlite-rollback", 11, "targets:first", "h-flag")
ENVIRONMENT = (3, "sqlite:///{root}/environment.db", 12, "targets:second", "h-environment")
MARKER = (4, "sqlite:///{root}/marker.db", 13, "targets:third")
INI = (5, "sqlite", 14, "targets:fourth", "h-ini")

ORDER = ("flag", "environment", "marker", "ini", "toml", "toml in ini form")


@pytest.mark.parametrize("strongest", ORDER)
def test_flag_wins_over_environment_over_marker_over_ini(inner: Inner, strongest: str) -> None:
    """Every place from the strongest down is filled, and the strongest is what the fleet is made with.

    The history directory has no marker form, so the marker's case takes that of the ini file.
    """
    weaker = ORDER.index(strongest)
    arguments: list[str] = []
    environment: dict[str, str] = {}
    if weaker <= ORDER.index("flag"):
        n, database, seed, target, history = FLAG
        arguments = [f"--occ-n={n}", f"--occ-database={database}", f"--occ-seed={seed}", f"--occ-target={target}"]
        arguments.append(f"--occ-history={history}")
    if weaker <= ORDER.index("environment"):
        names = ("OCC_N", "OCC_DATABASE", "OCC_SEED", "OCC_TARGET", "OCC_HISTORY")
        environment = {name: str(value).format(root=inner.root) for name, value in zip(names, ENVIRONMENT, strict=True)}
    marker = ""
    if weaker <= ORDER.index("marker"):
        n, database, seed, target = MARKER
        database = database.format(root=inner.root)
        marker = f"@pytest.mark.occ(n=[{n}], database={database!r}, seed={seed}, target={target!r})"
    inner.write({"targets": TARGETS, "test_show": SHOW.format(marker=marker), **_config(strongest)})

    ended = inner.run("-s", *arguments, env=environment).expect(0)

    values: tuple[object, ...] = {"flag": FLAG, "environment": ENVIRONMENT, "marker": (*MARKER, "h-ini")}.get(
        strongest, INI
    )
    label = {"environment": "sqlite@environment.db", "marker": "sqlite@marker.db"}.get(strongest, values[1])
    assert f"<{values[0]} {label} {values[2]} {values[3]}>" in ended.out
    written = [path.relative_to(inner.root) for path in inner.root.rglob("*.jsonl")]
    assert [path.parts[0] for path in written] == [values[4]]


def _config(form: str) -> dict[str, str]:
    n, database, seed, target, history = INI
    if form == "toml":
        # Native types: a number is a number, a list is a list.
        lines = f'occ_n = {n}\nocc_database = ["{database}"]\nocc_seed = {seed}\nocc_target = "{target}"\n'
        return {"pyproject.toml": f'[tool.pytest]\n{lines}occ_history = "{history}"\n'}
    if form == "toml in ini form":
        lines = f'occ_n = "{n}"\nocc_database = "{database}"\nocc_seed = "{seed}"\nocc_target = "{target}"\n'
        return {"pyproject.toml": f'[tool.pytest.ini_options]\n{lines}occ_history = "{history}"\n'}
    lines = f"occ_n = {n}\nocc_database = {database}\nocc_seed = {seed}\nocc_target = {target}\n"
    return {"pytest.ini": f"[pytest]\n{lines}occ_history = {history}\n"}


@pytest.mark.parametrize("place", ["nowhere", "flag", "environment", "ini", "toml", "no by ini, yes by environment"])
def test_require_turns_skips_into_failures(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Where no PostgreSQL can be started, a test on it is skipped with the reason, and fails with it if required."""
    pytester.makepyfile("def test_it(occ_database): pass")
    pytester.makeconftest(textwrap.dedent(MISSING))
    arguments = ["--occ-require"] if place == "flag" else []
    if "environment" in place:
        monkeypatch.setenv("OCC_REQUIRE", "1")
    if place == "toml":
        pytester.makepyprojecttoml("[tool.pytest]\nocc_require = true")
    elif "ini" in place:
        pytester.makeini(f"[pytest]\nocc_require = {'no' if place.startswith('no') else 'yes'}")

    result = pytester.runpytest_inprocess("-rsE", "--occ-database=postgres", "-p", "no:cacheprovider", *arguments)

    if place == "nowhere":
        result.assert_outcomes(skipped=1)
        result.stdout.fnmatch_lines("SKIPPED*no PostgreSQL programs*pip install*")
    else:
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines("no PostgreSQL programs*pip install*--occ-require*")
        result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("place", ["flag", "environment", "ini"])
def test_the_postgres_url_says_what_postgres_means(inner: Inner, place: str) -> None:
    """A server that is not there is named with its address and without its password, in each form of the option."""
    url = f"postgresql://{place}:hidden@127.0.0.1:1/postgres"
    inner.write({"test_it": "def test_it(occ_database): pass"})
    if place == "ini":
        inner.write({"pytest.ini": f"[pytest]\nocc_postgres_url = {url}"})
    arguments = [f"--occ-postgres-url={url}"] if place == "flag" else []
    environment = {"OCC_POSTGRES_URL": url} if place == "environment" else {}

    ended = inner.run("--occ-database=postgres", *arguments, env=environment).expect(1)

    sentence = f"the PostgreSQL server 'postgresql+psycopg://{place}:***@127.0.0.1:1/postgres' does not let us in"
    assert ended.outcome("test_it[postgres]") == "error"
    assert sentence in ended.out
    assert "hidden" not in ended.out
    assert _lines_of_code(ended.block("test_it[postgres]")) == []


COUNT = "a fleet has from 1 to 256 occurrences"
WHOLE = "it must be a whole number"
KNOWN = "known are sqlite, sqlite-rollback, postgres, postgres-embedded, and URLs"
NONSENSE = [
    ("n", "0", f"'0', and {COUNT}"),
    ("n", "-1", f"'-1', and {COUNT}"),
    ("n", "100000", f"'100000', and {COUNT}"),
    ("n", "x", f"'x', and {WHOLE}"),
    ("n", "2.5", f"'2.5', and {WHOLE}"),
    ("seed", "x", f"'x', and {WHOLE}"),
    (
        "database",
        "sqlit",
        f"'sqlit' was given as a database, and there is none of that name; did you mean 'sqlite'? {KNOWN}",
    ),
    ("database", "oracle", f"'oracle' was given as a database, and there is none of that name; {KNOWN}"),
    ("database", "mysql://u:hidden@h/d", "'mysql://u:***@h/d' was given as a database, and 'mysql' is not served"),
    ("database", ",", "no database was given, and tests without one cannot run"),
    ("database", "sqlite://", "is a database in memory, which no second process can see"),
    ("postgres_url", "nonsense", "'nonsense' cannot be read as a database URL"),
    ("postgres_url", "mysql://u:hidden@h/d", "'mysql://u:***@h/d' is not the URL of a PostgreSQL server"),
    ("target", "nonsense", "'nonsense', and it must have the form MODULE:ATTR"),
    ("target", "no_such_module:it", "importing no_such_module raised ModuleNotFoundError"),
    ("target", "broken:it", "importing broken raised RuntimeError: broken on purpose"),
    ("target", "leaves:it", "importing leaves raised SystemExit: 3"),
    ("target", "things:targte", "things has no 'targte'; did you mean 'target'?"),
    ("target", "things:Target", "it is the class Target, not an object of it"),
    ("target", "things:half", "it is a Half without open()"),
    ("target", "things:number", "it is a int without create() and open()"),
    ("require", "perhaps", "'perhaps', and it must be one of true and false"),
]
THINGS = """
    class Target:
        def create(self, url): pass
        def open(self, occ): pass

    class Half:
        def create(self, url): pass

    target, half, number = Target(), Half(), 3
"""


@pytest.mark.parametrize(("option", "value", "sentence"), NONSENSE)
def test_nonsense_is_refused_before_anything_runs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, value: str, sentence: str
) -> None:
    """By flag and by environment: exit code 4 and one line, which begins with ERROR and has no traceback."""
    pytester.makepyfile(
        things=textwrap.dedent(THINGS),
        broken="raise RuntimeError('broken on purpose')",
        leaves="raise SystemExit(3)",
        test_it="def test_it(occ_database): raise AssertionError('it ran')",
    )
    pytester.syspathinsert()
    flag = f"--occ-{option.replace('_', '-')}"
    if option != "require":
        _assert_refused(pytester.runpytest_inprocess(f"{flag}={value}"), sentence)
    monkeypatch.setenv(f"OCC_{option.upper()}", value)
    _assert_refused(pytester.runpytest_inprocess(), sentence)


def _assert_refused(result: pytest.RunResult, sentence: str) -> None:
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = [line for line in result.stderr.lines if line]
    assert len(said) == 1, result.stderr.str() + result.stdout.str()
    assert said[0].startswith("ERROR: ")
    assert sentence in said[0]
    assert "hidden" not in said[0]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("[tool.pytest]\nocc_n = 0", f"the ini key occ_n was given 0, and {COUNT}"),
        ("[tool.pytest]\nocc_n = true", "config option 'occ_n' expects one of string | int, got bool: True"),
        ("[tool.pytest]\nocc_seed = 'x'", f"the ini key occ_seed was given 'x', and {WHOLE}"),
        ("[tool.pytest]\nocc_database = 3", "config option 'occ_database' expects a list"),
        ("[tool.pytest]\nocc_require = 'perhaps'", "the ini key occ_require was given 'perhaps', and it must be"),
        ("[tool.pytest]\nocc_target = 'nonsense'", "the ini key occ_target was given 'nonsense', and it must have"),
        ("[tool.pytest.ini_options]\nocc_n = '0'", f"the ini key occ_n was given '0', and {COUNT}"),
        ("[tool.pytest.ini_options]\nocc_require = 'perhaps'", "the ini key occ_require was given 'perhaps'"),
    ],
)
def test_nonsense_in_the_ini_file_is_refused_too(pytester: pytest.Pytester, config: str, sentence: str) -> None:
    """One sentence with the name of the key."""
    pytester.makepyprojecttoml(config)
    pytester.makepyfile("def test_it(): raise AssertionError('it ran')")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = [line for line in result.stderr.lines if line]
    assert len(said) == 1
    assert sentence in said[0]


MARKERS = [
    ("m=2", "the marker occ was given m=…; it takes database, n, needs, seed, target"),
    ("3", "the marker occ was given 3 without a name; write occ(n=3)"),
    ("n=0", f"the marker's n= was given 0, and {COUNT}"),
    ("n=-1", f"the marker's n= was given -1, and {COUNT}"),
    ("n=[3, 100000]", f"the marker's n= was given 100000, and {COUNT}"),
    ("n='x'", f"the marker's n= was given 'x', and {WHOLE}"),
    ("n=True", f"the marker's n= was given True, and {WHOLE}"),
    ("n=[]", "the marker's n= was given no size at all"),
    ("seed='x'", f"the marker's seed= was given 'x', and {WHOLE}"),
    ("target='x'", "the marker's target= was given 'x', and it must have the form MODULE:ATTR"),
    ("database='sqlit'", "there is none of that name; did you mean 'sqlite'?"),
    ("database=3", "the marker's database= was given 3, and it must be a name, or a list of names"),
]


def test_nonsense_in_markers_is_refused_when_the_tests_are_collected(pytester: pytest.Pytester) -> None:
    """Each file with such a marker has one error of collection: the name of the test and a sentence, no traceback."""
    files = {
        f"test_{number:02}": f"import pytest\n@pytest.mark.occ({arguments})\ndef test_of_{number}(occ_fleet): pass"
        for number, (arguments, _) in enumerate(MARKERS)
    }
    pytester.makepyfile(**files)
    result = pytester.runpytest_inprocess("--continue-on-collection-errors")
    result.assert_outcomes(errors=len(MARKERS))
    for number, (_, sentence) in enumerate(MARKERS):
        result.stdout.fnmatch_lines([f"*ERROR collecting test_{number:02}.py*", f"test_of_{number}: *"])
        assert sentence in result.stdout.str()
    assert _lines_of_code(result.stdout.str()) == []


def _lines_of_code(said: str) -> list[str]:
    """The lines of a traceback."""
    return [
        line for line in said.splitlines() if line.startswith((">", "INTERNALERROR", "Traceback")) or ".py:" in line
    ]


SIZES = """
    import pytest

    def nothing(occ): pass

    @pytest.mark.occ(n=[1, 3, 9])
    def test_list(occ_fleet): pass

    @pytest.mark.occ(n=2)
    def test_fixed(occ_fleet): pass

    def test_unmarked(occ_fleet): pass

    def test_database_only(occ_database): pass

    @pytest.mark.parametrize("word", ["a", "b"])
    def test_with_parameters(occ_fleet, word): pass
"""


def test_ids_carry_database_and_size(pytester: pytest.Pytester) -> None:
    """One run per database of the list, in its order, and one per size that a marker lists; nothing of a password."""
    pytester.makepyfile(textwrap.dedent(SIZES))
    databases = "sqlite,postgres,postgresql://me:hidden@db:5/x,sqlite"
    result = pytester.runpytest_inprocess("--collect-only", "-q", f"--occ-database={databases}")
    ids = [line.partition("::")[2] for line in result.stdout.lines if "::" in line]
    labels = ("sqlite", "postgres", "postgres@db:5")
    expected: tuple[str, ...] = (
        "test_list[{}-n1]",
        "test_list[{}-n3]",
        "test_list[{}-n9]",
        "test_fixed[{}-n2]",
        "test_unmarked[{}-n3]",
    )
    expected += ("test_database_only[{}]", "test_with_parameters[{}-n3-a]", "test_with_parameters[{}-n3-b]")
    assert sorted(ids) == sorted(name.format(label) for label in labels for name in expected)
    assert "hidden" not in result.stdout.str()


def test_the_size_asked_for_replaces_lists_only(inner: Inner) -> None:
    """With ``--occ-n`` a list of sizes becomes that size; a fixed other size is reported as not applicable.

    So is a test that needs what the target does not offer.
    """
    inner.write(
        {
            "test_sizes": SIZES,
            "test_needs": """
                import pytest

                @pytest.mark.occ(needs="time-travel")
                def test_needs_one(occ_fleet, occ_target): raise AssertionError("it ran")

                @pytest.mark.occ(needs=["switch", "time-travel", "mind-reading"])
                def test_needs_some(occ_fleet, occ_target): raise AssertionError("it ran")

                @pytest.mark.occ(needs="switch")
                def test_has_it(occ_fleet, occ_target): pass
            """,
        }
    )
    ended = inner.run("-rs", "--occ-n=4", "--occ-database=sqlite").expect(0)
    assert sorted(ended.cases) == [
        "test_database_only[sqlite]",
        "test_fixed[sqlite-n2]",
        "test_has_it[sqlite-n4]",
        "test_list[sqlite-n4]",
        "test_needs_one[sqlite-n4]",
        "test_needs_some[sqlite-n4]",
        "test_unmarked[sqlite-n4]",
        "test_with_parameters[sqlite-n4-a]",
        "test_with_parameters[sqlite-n4-b]",
    ]
    reference = "pytest_ciris_occ.targets.reference:target"
    skipped = {name: case.find("skipped") for name, case in ended.cases.items()}
    assert {name: skip.attrib["message"] for name, skip in skipped.items() if skip is not None} == {
        "test_fixed[sqlite-n2]": "not applicable: of the fixed size 2, and 4 was asked for",
        "test_needs_one[sqlite-n4]": f"not applicable: {reference} does not offer time-travel",
        "test_needs_some[sqlite-n4]": f"not applicable: {reference} does not offer mind-reading, time-travel",
    }


def test_the_target_is_found_beside_the_project(inner: Inner) -> None:
    """The ``pytest`` command does not look in the working directory for modules; for the target it does."""
    inner.write({"targets": TARGETS, "test_show": SHOW.format(marker="")})
    program = [str(Path(sys.executable).with_name("pytest"))]
    arguments = ("-s", "--import-mode=importlib", "--occ-target=targets:fifth", "--occ-database=sqlite")
    ended = inner.run(*arguments, program=program)
    assert "targets:fifth>" in ended.expect(0).out
