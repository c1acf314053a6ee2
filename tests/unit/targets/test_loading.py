"""Finding a target by MODULE:ATTR."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.settings import DEFAULT_TARGET
from pytest_ciris_occ.targets import Claim, Seen, SharedTaskTarget
from pytest_ciris_occ.targets.loading import load_target

MODULE = """
class Target:
    capabilities = {"switch", "lease"}
    def create(self, url): pass
    def open(self, occ): pass

class NoCreate:
    def open(self, occ): pass

class Box:
    target = Target()

target, no_create, text = Target(), NoCreate(), "text"
def create(url): pass
def open(occ): pass
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder that is not on the search path, with modules whose names nobody else has."""
    (tmp_path / "occ_unit_target.py").write_text(MODULE)
    (tmp_path / "occ_unit_broken.py").write_text("import no_such_module_at_all")
    (tmp_path / "occ_unit_exits.py").write_text("raise SystemExit('usage: …')")
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("occ_unit_")]:
        del sys.modules[name]


def test_the_reference_is_a_target() -> None:
    """The default can be loaded, fulfils the protocol, and names its abilities."""
    loaded = load_target(DEFAULT_TARGET)
    assert isinstance(loaded.target, SharedTaskTarget)
    assert loaded.reference == DEFAULT_TARGET
    assert loaded.capabilities == {"switch"}


def test_a_module_beside_the_project_is_found(place: Path) -> None:
    """The places given are looked through when the search path does not have it."""
    with pytest.raises(UsageMistake, match="importing occ_unit_target raised ModuleNotFoundError"):
        load_target("occ_unit_target:target")
    loaded = load_target("occ_unit_target:target", [place])
    assert loaded.capabilities == {"switch", "lease"}


def test_attributes_may_have_dots_and_a_module_may_be_a_target(place: Path) -> None:
    """An object within an object; and a module with the two functions, which is duck enough."""
    assert load_target("occ_unit_target:Box.target", [place]).capabilities == {"switch", "lease"}
    (place / "occ_unit_package.py").write_text("import occ_unit_target as module")
    assert load_target("occ_unit_package:module", [place]).capabilities == frozenset()


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("occ_unit_nowhere:target", "importing occ_unit_nowhere raised ModuleNotFoundError"),
        (
            "occ_unit_broken:target",
            "importing occ_unit_broken raised ModuleNotFoundError: No module named 'no_such_module_at_all'",
        ),
        ("occ_unit_exits:target", "importing occ_unit_exits raised SystemExit: usage: …"),
        ("occ_unit_target:traget", "occ_unit_target has no 'traget'; did you mean 'target'?"),
        ("occ_unit_target:xyzzy", "occ_unit_target has no 'xyzzy'; give MODULE:ATTR of an object that is there"),
        ("occ_unit_target:Target", "it is the class Target, not an object of it"),
        ("occ_unit_target:no_create", "it is a NoCreate without create()"),
        ("occ_unit_target:text", "it is a str without create() and open()"),
    ],
)
def test_what_is_no_target_gets_a_sentence(place: Path, reference: str, sentence: str) -> None:
    """What was given, and why it cannot be."""
    with pytest.raises(UsageMistake) as raised:
        load_target(reference, [place])
    assert str(raised.value).startswith(f"{reference!r} was given as the target, and ")
    assert sentence in str(raised.value)


def test_the_answers_of_the_protocol_are_values() -> None:
    """Frozen, and equal when they say the same."""
    assert Claim("task", mine=True) == Claim("task", mine=True, token=None, lease=None)
    assert Seen("task", "open", None) != Seen("task", "open", "yes")
    with pytest.raises(AttributeError):
        Claim("task", mine=True).mine = False  # type: ignore[misc]
