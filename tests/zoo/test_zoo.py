"""Every planted bug is found by the unchanged scenario suite, on every database, and the story names the cause.

The short form runs each once; ``-m long`` runs each fifty times.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
DATABASES = ("sqlite", "postgres-embedded")


def failures(target: str, select: str, tmp_path: Path) -> dict[str, str]:
    """Run the scenarios against ``target``; return the message of each that failed, by name."""
    report = tmp_path / "report.xml"
    options = [f"--occ-target={target}", "--occ-n=3", f"--occ-database={','.join(DATABASES)}", f"--junitxml={report}"]
    quiet = ["-q", "-p", "no:cacheprovider", "-k", select]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "scenarios", *options, *quiet],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode in (0, 1), finished.stdout + finished.stderr
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314 - pytest's own output
    return {
        str(case.get("name")): str(failed.get("message"))
        for case in cases
        if (failed := case.find("failure")) is not None
    }


def repeated(times: int) -> pytest.MarkDecorator:
    """Once in the short form, ``times`` in the long one."""
    long = [pytest.param(number, marks=pytest.mark.long) for number in range(1, times)]
    return pytest.mark.parametrize("attempt", [0, *long])


@repeated(50)
def test_check_then_insert_is_found(attempt: int, tmp_path: Path) -> None:
    """Two claimants, both named in the first line, wherever three occurrences ask the same question."""
    found = failures("tests.zoo.naive:target", "wakes_the_fleet or all_go or late_joiners", tmp_path)
    assert len(found) == 4 * len(DATABASES)
    for name, message in found.items():
        first = message.splitlines()[0]
        assert "one_claimant violated: both occ-" in first, name
        assert len(set(re.findall(r"occ-\d", first))) >= 2, name


@repeated(50)
def test_the_plans_way_with_an_accepted_shutdown_is_found(attempt: int, tmp_path: Path) -> None:
    """K65: everybody but the claimant acts on the row of claim time, and never learns that it was accepted."""
    found = failures("tests.zoo.plan:target", "all_go and accepted", tmp_path)
    assert len(found) == len(DATABASES)
    for message in found.values():
        assert re.search(r"occ-\d ended without the decision 'accepted' .*'ACTIVE'", message)


@repeated(50)
def test_the_plans_way_with_a_rejected_shutdown_is_found(attempt: int, tmp_path: Path) -> None:
    """K71: a rejection is reported as a time-out."""
    found = failures("tests.zoo.plan:target", "all_go and rejected", tmp_path)
    assert len(found) == len(DATABASES)
    for message in found.values():
        assert re.search(r"occ-\d ended without the decision 'rejected' .*'timed out'", message)


def test_the_reference_passes_the_same_selection(tmp_path: Path) -> None:
    """The suite that finds all this has nothing to say against the reference."""
    selected = "wakes_the_fleet or all_go or late_joiners"
    assert not failures("pytest_ciris_occ.targets.reference:target", selected, tmp_path)
