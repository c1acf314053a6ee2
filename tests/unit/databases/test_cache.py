"""The cache: made once, never half, and done without where it cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ciris_occ.databases import cache
from pytest_ciris_occ.databases.cache import make_once


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "_parent", lambda: tmp_path)
    return tmp_path / "pytest-ciris-occ"


def fill(place: Path) -> None:
    (place / "content").write_text("whole")


def refuse(place: Path) -> None:
    raise AssertionError(f"made {place} once more")


def test_a_directory_is_made_once(root: Path, tmp_path: Path) -> None:
    """The second time its being there is enough."""
    made = make_once("key", fill, tmp_path)
    assert made == root / "key"
    assert make_once("key", refuse, tmp_path) == made
    assert (made / "content").read_text() == "whole"


def test_a_failed_making_leaves_nothing(root: Path, tmp_path: Path) -> None:
    """And the next one begins anew."""

    def fail(place: Path) -> None:
        fill(place)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        make_once("key", fail, tmp_path)
    assert [path.name for path in root.iterdir()] == [".key.lock"]
    make_once("key", fill, tmp_path)


def test_what_a_killed_maker_left_is_never_used(root: Path, child: Callable[..., Any], tmp_path: Path) -> None:
    """Another process is killed in the middle of making; then we make."""
    maker = child(f"""
        from pathlib import Path
        from pytest_ciris_occ.databases import cache
        cache._parent = lambda: Path({str(tmp_path)!r})
        def half(place):
            (place / "content").write_text("ha")
            say(str(place))
            stay()
        cache.make_once("key", half, Path("/"))
    """)
    half = Path(maker.says())
    maker.kill()
    assert (half / "content").read_text() == "ha"
    made = make_once("key", fill, tmp_path)
    assert (made / "content").read_text() == "whole"
    assert not half.exists()
    assert make_once("key", refuse, tmp_path) == root / "key"


def test_two_processes_make_it_once(root: Path, child: Callable[..., Any], tmp_path: Path) -> None:
    """The second waits for the lock of the first, and then uses what is there."""
    script = f"""
        from pathlib import Path
        from pytest_ciris_occ.databases import cache
        cache._parent = lambda: Path({str(tmp_path)!r})
        def make(place):
            (place / "content").write_text("whole")
            with open({str(tmp_path / "makers")!r}, "a") as file: file.write("x")
            say("making")
            stay()
        cache.make_once("key", make, Path("/"))
        say("done")
    """
    first, second = child(script), child(script)
    makers = {first: first, second: second}
    import select

    ready, _, _ = select.select([one.process.stdout for one in makers], [], [], 60)
    winner = first if first.process.stdout in ready else second
    assert winner.says() == "making"
    winner.process.stdin.close()
    winner.process.stdin = None
    assert winner.says() == "done"
    loser = second if winner is first else first
    assert loser.says() == "done"
    assert (tmp_path / "makers").read_text() == "x"
    assert (root / "key" / "content").exists()


def test_a_cache_that_others_can_write_to_is_not_used(root: Path, tmp_path: Path) -> None:
    """What is in it is run: it must be ours."""
    root.mkdir()
    root.chmod(0o777)
    spare = tmp_path / "spare"
    spare.mkdir()
    assert make_once("key", fill, spare) == spare / "key"
    assert list(root.iterdir()) == []


def test_where_there_can_be_no_cache_the_spare_place_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home directory that does not exist, or is a file."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "_parent", lambda: tmp_path / "file")
    assert make_once("key", fill, tmp_path) == tmp_path / "key"


def test_the_cache_of_root_is_not_in_its_closed_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Other users have theirs where the XDG specification says; a relative path there is ignored, as it says."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cache._parent() == Path("/var/cache")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cache._parent() == tmp_path / "xdg"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache._parent() == tmp_path / ".cache"
