"""The database server goes away in the middle of a run."""

from __future__ import annotations

import re

import pytest

from tests.plugin.inner import Ended, Inner

CONFIG = """
    [pytest]
    occ_database = postgres-embedded
    occ_n = 2
"""
TESTS = """
    import os, select, signal
    import psutil
    import pytest
    import sqlalchemy as sa

    def take_part(occ):
        session = occ.open()
        claim = session.claim("wakeup")
        if claim.mine: session.decide(claim.task_id, "awake")
        else: session.wait(claim.task_id, 30)
        session.close()

    def kill_the_server(occ):
        "The first occurrence kills the postmaster as the out-of-memory killer would; the second waits on it."
        with occ.engine.connect() as connection:
            backend = connection.scalar(sa.text("SELECT pg_backend_pid()"))
            occ.rendezvous("both are connected")
            if occ.index == 0:
                postmaster = psutil.Process(backend).parent()
                with occ.effect("kill"):
                    gone = os.pidfd_open(postmaster.pid)
                    postmaster.kill()
                    select.select([gone], [], [])
                connection.invalidate()
            else:
                connection.execute(sa.text("SELECT pg_sleep(1000)"))

    def test_1_before(occ_fleet, occ_target):
        occ_fleet.run(take_part).check()

    def test_2_in_the_middle(occ_fleet):
        occ_fleet.run(kill_the_server, timeout=20).check()

    def test_3_after(occ_fleet, occ_target):
        occ_fleet.run(take_part, timeout=20).check()

    @pytest.mark.occ(database="sqlite")
    def test_4_elsewhere(occ_fleet, occ_target):
        occ_fleet.run(take_part).check()
"""


@pytest.fixture(scope="module")
def run(shared: Inner) -> Ended:
    """Return a run whose server is killed by its second test."""
    shared.write({"pytest.ini": CONFIG, "test_gone": TESTS})
    return shared.run("-v", timeout=90).expect(1)


def test_the_run_in_which_it_went_ends_with_a_verdict(run: Ended) -> None:
    """The occurrence that was cut off has raised, and its error says so; the harness itself has not failed."""
    name = "test_2_in_the_middle[postgres-embedded-n2]"
    failures = [case.find("failure") for case in run.suite if case.attrib["name"] == name]
    (said,) = [failure.attrib["message"] for failure in failures if failure is not None]
    assert said.startswith(
        "pytest_ciris_occ.errors.SingleDecisionViolated: everyone_ends violated: occ-1 did not end well"
    )
    assert "raised OperationalError: (psycopg." in said
    assert run.properties(name)["occ_verdict"] == "violated"


def test_that_its_database_could_not_be_dropped_is_said_once(run: Ended) -> None:
    """The teardown of that test cannot do its work; it says why in one sentence."""
    name = "test_2_in_the_middle[postgres-embedded-n2]"
    errors = [case.find("error") for case in run.suite if case.attrib["name"] == name]
    (said,) = [error for error in errors if error is not None]
    assert re.search(r"the embedded PostgreSQL server of this test run is gone \(pid \d+\)", str(said.text))
    assert ".py:" not in str(said.text)


def test_the_next_test_gets_a_server_or_a_sentence(run: Ended) -> None:
    """It does not hang, and what it says names the server."""
    name = "test_3_after[postgres-embedded-n2]"
    if run.outcome(name) != "passed":
        assert re.search(r"the embedded PostgreSQL server of this test run is gone \(pid \d+\)", run.block(name))
        assert not re.search(r"^(\S*/)?(pytest_ciris_occ|psycopg)\S*\.py:\d+", run.block(name), re.MULTILINE)


def test_other_databases_are_not_concerned(run: Ended) -> None:
    """SQLite before, beside and after it is as it was."""
    assert run.outcome("test_1_before[postgres-embedded-n2]") == "passed"
    assert run.outcome("test_4_elsewhere[sqlite-n2]") == "passed"
