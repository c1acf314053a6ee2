"""Directories that cannot be written, as a user without privileges meets them, and what the history files hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_ciris_occ.history import SCHEMA, read
from tests.plugin.inner import Ended, Inner

TESTS = """
    import pytest

    def run(occ):
        if occ.index == 0: occ.decide("task", "yes")

    @pytest.mark.occ(n=[1, 2])
    def test_it(occ_fleet):
        occ_fleet.run(run).check()
        occ_fleet.run(run).check()
"""
NAMES = ("test_it[sqlite-n1]", "test_it[sqlite-n2]")


def _assert_sentence(ended: Ended, names: tuple[str, ...], sentence: str) -> None:
    """Every test fails with this sentence, and shows no line of ours."""
    for name in names:
        block = ended.block(name)
        assert sentence in block
        assert "pytest_ciris_occ/" not in block.replace(sentence, "")
        assert "Error: [Errno" not in block


def test_a_history_directory_that_cannot_be_made_gets_a_sentence(unprivileged: Inner) -> None:
    """The sentence has the path, the reason and the option; nothing was started for it, nothing is left."""
    unprivileged.write({"test_it": TESTS})
    closed = unprivileged.root / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    unprivileged.own(closed)
    ended = unprivileged.run("--occ-database=sqlite", "--occ-history=closed/histories").expect(1)
    _assert_sentence(ended, NAMES, f"the history cannot be written to '{closed}/histories/")
    assert "(Permission denied); give --occ-history a directory that can be made and written" in ended.out


def test_a_history_directory_that_is_a_file_gets_a_sentence(inner: Inner) -> None:
    """The same for the wrong kind of thing."""
    inner.write({"test_it": TESTS, "taken.txt": "not a directory"})
    ended = inner.run("--occ-database=sqlite", "--occ-history=taken.txt").expect(1)
    _assert_sentence(ended, NAMES, f"the history cannot be written to '{inner.root}/taken.txt/")


def test_a_database_directory_that_cannot_be_written_gets_a_sentence(unprivileged: Inner) -> None:
    """A SQLite URL in a directory of somebody else: the path, the reason, what to do."""
    unprivileged.write({"test_it": TESTS})
    closed = unprivileged.root / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    unprivileged.own(closed)
    ended = unprivileged.run(f"--occ-database=sqlite:///{closed}/agent.db", "--continue-on-collection-errors").expect(1)
    names = tuple(name.replace("sqlite", "sqlite@agent.db") for name in NAMES)
    _assert_sentence(ended, names, f"SQLite databases were to be made beside '{closed}/agent.db'")
    assert {ended.outcome(name) for name in names} == {"error"}


def test_a_database_file_that_is_there_is_not_touched(inner: Inner) -> None:
    """It is somebody's data: a sentence, and the file is as it was."""
    inner.write({"test_it": TESTS, "agent.db": "precious"})
    ended = inner.run(f"--occ-database=sqlite:///{inner.root}/agent.db").expect(1)
    names = tuple(name.replace("sqlite", "sqlite@agent.db") for name in NAMES)
    _assert_sentence(ended, names, f"the SQLite database '{inner.root}/agent.db' is there already")
    assert (inner.root / "agent.db").read_text() == "precious"


@pytest.mark.parametrize("kind", ["no temporary directory", "a closed one"])
def test_without_a_temporary_directory_there_is_a_sentence(unprivileged: Inner, kind: str) -> None:
    """TMPDIR leads nowhere, and there is no other place to write to."""
    unprivileged.write({"conftest": NOWHERE, "test_it": TESTS})
    place = unprivileged.home / "nowhere"
    if kind == "a closed one":
        place.mkdir(mode=0o555)
    ended = unprivileged.run("--occ-database=sqlite", env={"PLACE": str(place)}).expect(1)
    _assert_sentence(ended, NAMES, f"the temporary directory '{place}' takes no new directory")
    assert "set TMPDIR to one that is writable" in ended.out


# Python falls back to other directories where TMPDIR is none; this is a machine that has no other either.
NOWHERE = """
    import os, tempfile
    tempfile.tempdir = os.environ["PLACE"]
"""


def test_an_unprivileged_user_is_served_in_full(unprivileged: Inner) -> None:
    """SQLite and an embedded server under the uid that runs the tests, and nothing is left of either."""
    unprivileged.write({"test_it": TESTS})
    ended = unprivileged.run("--occ-database=sqlite,postgres-embedded", "--occ-history=seen").expect(0)
    assert "4 passed" in ended.out
    assert len(list((unprivileged.root / "seen").iterdir())) == 8


def test_histories_are_json_lines_with_a_header(inner: Inner) -> None:
    """One file per run, named after its test; a header with the schema, then a record a line; readable again."""
    inner.write({"test_it": TESTS})
    inner.run("--occ-database=sqlite", "--occ-history=seen", "--occ-seed=5").expect(0)
    files = sorted(Path(inner.root, "seen").iterdir())
    assert len(files) == 4
    for file in files:
        assert file.suffix == ".jsonl"
        assert file.name.startswith("test_it.py_test_it_sqlite-n")
        header, *records = [json.loads(line) for line in file.read_text().splitlines()]
        assert (header["record"], header["schema"]) == ("history", SCHEMA)
        assert {record["record"] for record in records} == {"process", "invoke", "return"}
        history = read(file)
        assert (history.setting.database, history.setting.seed) == ("sqlite", 5)
        assert history.setting.test.startswith("test_it.py::test_it[sqlite-n")
        assert [op.value for op in history.of("decide")] == ["yes"]
        assert {event.reason for event in history.ends.values()} == {"returned"}
        assert len(history.lives) == history.setting.n
