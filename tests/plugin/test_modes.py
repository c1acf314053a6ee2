"""The plugin beside xdist, JUnit, and pytest's own ways to be run; and what it costs when nobody uses it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.plugin.inner import Ended, Inner

CONFIG = """
    [pytest]
    occ_database = sqlite,postgres-embedded
"""
TESTS = """
    import pytest

    def take_part(occ):
        session = occ.open()
        claim = session.claim("wakeup")
        if claim.mine: session.decide(claim.task_id, "awake")
        else: session.wait(claim.task_id, 30)
        session.close()

    def fight(occ):
        occ.rendezvous("both have looked, and seen nothing")
        occ.claimed("wakeup")
        occ.decide("wakeup", f"says {occ.occurrence_id}")

    @pytest.mark.occ(n=[1, 2])
    def test_holds(occ_fleet, occ_target, request):
        request.node.user_properties.append(("seed", occ_fleet.setting.seed))
        occ_fleet.run(take_part).check()

    @pytest.mark.occ(n=2)
    def test_violated(occ_fleet, request):
        request.node.user_properties.append(("seed", occ_fleet.setting.seed))
        occ_fleet.run(fight).check()

    @pytest.mark.occ(n=1)
    def test_not_checked(occ_fleet):
        occ_fleet.run(lambda occ: occ.observe("task", None))

    @pytest.mark.occ(n=1)
    def test_unknown(occ_fleet):
        occ_fleet.run(lambda occ: None).check()

    def test_other(): pass
"""
DATABASES = ("sqlite", "postgres-embedded")
VERDICTS = {
    "test_holds[{}-n1]": ("holds", "1"),
    "test_holds[{}-n2]": ("holds", "2"),
    "test_violated[{}-n2]": ("violated", "2"),
    "test_not_checked[{}-n1]": ("not checked", "1"),
    "test_unknown[{}-n1]": ("unknown", "1"),
}


@pytest.fixture(scope="module", params=["alone", "with two workers"])
def run(request: pytest.FixtureRequest, shared: Inner) -> Ended:
    """Return the same run without and with xdist."""
    shared.write({"pytest.ini": CONFIG, "test_modes": TESTS})
    shared.assert_clean()
    return shared.run(*(["-n", "2"] if request.param != "alone" else [])).expect(1)


def test_junit_carries_database_n_and_verdict(run: Ended) -> None:
    """The XML is valid (it was parsed) and has, for every test of a fleet, what is wanted of it; no other test has."""
    expected = {
        name.format(database): {"occ_database": database, "occ_n": n, "occ_verdict": verdict}
        for name, (verdict, n) in VERDICTS.items()
        for database in DATABASES
    }
    wanted = ("occ_database", "occ_n", "occ_verdict")
    assert {name: {key: run.properties(name)[key] for key in wanted} for name in expected} == expected
    assert run.properties("test_other") == {}
    outcomes = {name: run.outcome(name) for name in expected}
    bad = {name for name in expected if name.startswith(("test_violated", "test_unknown"))}
    assert outcomes == {name: "failure" if name in bad else "passed" for name in expected}


def test_the_summary_says_who_decided_what(run: Ended) -> None:
    """A line per test, once, in the process that has the terminal."""
    section = run.out.partition(" occurrences ===")[2]
    for name, (verdict, n) in VERDICTS.items():
        for database in DATABASES:
            test = name.partition("[")[0]
            lines = re.findall(rf"^{test} +{database} +n={n} +{verdict} +(.*?) +\d+ ms$", section, re.MULTILINE)
            assert len(lines) == 1, section
            said = {"holds": r"awake by occ-\d", "violated": r"says occ-\d, says occ-\d by occ-\d, occ-\d"}
            assert re.fullmatch(said.get(verdict, "no decision"), lines[0])


def test_one_run_has_one_seed(run: Ended) -> None:
    """All workers draw from it, and it is printed where the run can be seen."""
    seeds = {p.attrib["value"] for case in run.suite for p in case.iter("property") if p.attrib["name"] == "seed"}
    assert len(seeds) == 1
    assert re.search(
        rf"\bseed {seeds.pop()}\b", run.out.partition("= FAILURES =")[0] + run.out.partition(" occurrences ===")[2]
    )


def test_the_failure_names_both_claimants(run: Ended) -> None:
    """The first line is a sentence that is whole in itself; the story has no more lines than a screen."""
    for database in DATABASES:
        first, *others = run.errors(f"test_violated[{database}-n2]")
        assert re.fullmatch(
            r"pytest_ciris_occ.errors.SingleDecisionViolated: one_claimant violated: "
            r"both (occ-[01]) and (?!\1)occ-[01] hold wakeup at a time: .*",
            first,
        )
        assert len(others) < 25


WARNINGS = ["-W", "error"]
MODES = {
    "no terminal": ["-p", "no:terminal"],
    "no capture": ["--capture=no"],
    "strict": ["--strict-markers", "--strict-config", "-o", "strict=true"],
    "warnings are errors": WARNINGS,
    "no summary": ["--no-summary"],
    "verbose": ["-vv"],
    "no assertion rewriting": ["--assert=plain"],
    "everything off": ["-p", "pytest_ciris_occ.plugin", "--disable-plugin-autoload"],
}


@pytest.mark.parametrize("mode", MODES)
def test_pytest_may_be_run_in_any_way(inner: Inner, mode: str) -> None:
    """The same outcomes in each of them, without a warning."""
    inner.write({"pytest.ini": CONFIG, "test_modes": TESTS})
    ended = inner.run(*MODES[mode], "--occ-database=sqlite").expect(1)
    outcomes = {name: ended.outcome(name.format("sqlite")) for name in VERDICTS}
    assert list(outcomes.values()) == ["passed", "passed", "failure", "passed", "failure"]
    assert "warning" not in ended.out.lower()
    assert "INTERNALERROR" not in ended.out


def test_the_plugin_works_when_plugins_are_not_loaded_by_themselves(inner: Inner) -> None:
    """``PYTEST_DISABLE_PLUGIN_AUTOLOAD=1`` and the plugin by its module, as a user with many plugins has it."""
    inner.write({"pytest.ini": CONFIG, "test_modes": TESTS})
    arguments = ("-p", "pytest_ciris_occ.plugin", "--occ-database=sqlite", "-k", "holds", *WARNINGS)
    ended = inner.run(*arguments, env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}).expect(0)
    assert "xdist" not in ended.out
    assert "2 passed" in ended.out


HEAVY = (
    "sqlalchemy",
    "multiprocess",
    "dill",
    "psutil",
    "hypothesis",
    "asyncio",
    "ctypes",
    "sqlite3",
    "multiprocessing",
    "psycopg",
    "subprocess",
)


def test_importing_the_plugin_imports_nothing_dear() -> None:
    """Every pytest run of everybody who has it installed pays for it. What pytest itself imports is not counted."""
    script = (
        "import sys, pytest, _pytest.config, json; _pytest.config.get_config(); before = set(sys.modules); "
        "import pytest_ciris_occ.plugin; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    new = json.loads(said)
    assert [name for name in new if name.partition(".")[0] in HEAVY] == []
    assert {name for name in new if name.startswith("pytest_ciris_occ")} == {
        "pytest_ciris_occ",
        "pytest_ciris_occ.errors",
        "pytest_ciris_occ.limits",
        "pytest_ciris_occ.plugin",
        "pytest_ciris_occ.settings",
    }


UNUSED = """
    import sys

    def test_nothing_is_loaded():
        ours = {name for name in sys.modules if name.startswith("pytest_ciris_occ.")}
        assert ours <= {"pytest_ciris_occ." + name for name in ("errors", "limits", "plugin", "settings")}
        dear = {"sqlalchemy", "multiprocess", "dill", "psutil", "hypothesis", "sqlite3", "psycopg"}
        assert not dear & set(sys.modules)

    def test_no_process_is_started():
        import os
        from pathlib import Path
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
        assert children == ""
"""


@pytest.mark.parametrize("arguments", [[], ["-v"], ["-n", "1"]], ids=" ".join)
def test_an_unused_plugin_is_not_seen(inner: Inner, arguments: list[str]) -> None:
    """No header, no summary, no process, nothing imported."""
    inner.write({"test_unused": UNUSED})
    ended = inner.run("-p", "no:hypothesispytest", *arguments).expect(0)
    assert "2 passed" in ended.out
    assert "occ:" not in ended.out
    assert "occurrences" not in ended.out


def test_pytest_lists_what_there_is(pytester: pytest.Pytester) -> None:
    """``--markers``, ``--help`` and ``--fixtures`` show ours, with their options in all forms."""
    markers = pytester.runpytest_inprocess("--markers").stdout.str()
    assert "@pytest.mark.occ(n=…, database=…, target=…, seed=…, needs=…):" in markers
    said = pytester.runpytest_inprocess("--help").stdout.str()
    for name in ("n", "database", "postgres-url", "target", "seed", "history", "require"):
        assert f"--occ-{name}" in said
        key = f"occ_{name.replace('-', '_')}"
        assert f"ini: {key}" in " ".join(said.split())
        assert f"environment: {key.upper()}" in " ".join(said.split())
    fixtures = pytester.runpytest_inprocess("--fixtures").stdout
    fixtures.fnmatch_lines(["occ_database *", "occ_target *", "occ_fleet *"])
    fixtures.no_fnmatch_line("_occ_n*")
