"""What may import what, as ARCHITECTURE.md says it; and what the house looks like."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "pytest_ciris_occ"

# Room to the rooms (and single modules) that it may import.
ALLOWED = {
    "history": {"errors"},
    "invariants": {"history"},
    "targets": {"errors", "fleet", "history"},
    "reports": {"history", "invariants"},
    "fleet": {"errors", "history", "invariants", "limits", "reports", "targets"},
    "databases": {"errors", "fleet"},
    "settings": {"errors", "limits"},
    "session": {"databases", "fleet", "rewriting"},
}
KNOWS_PYTEST = {"plugin.py", "rewriting.py"}


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        yield path.relative_to(ROOT / PACKAGE), ast.parse(path.read_text())


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    """The arrows point one way."""
    for path, tree in _modules():
        if path.parts[0].removesuffix(".py") != room:
            continue
        used = {_room(name) for name in _imports(tree) if name.startswith(f"{PACKAGE}.")}
        assert used - {room} <= ALLOWED[room], f"{path} imports {used - {room} - ALLOWED[room]}"


def test_only_two_modules_know_pytest() -> None:
    """The library runs without pytest."""
    for path, tree in _modules():
        if {name.split(".")[0] for name in _imports(tree)} & {"pytest", "_pytest", "pluggy"}:
            assert str(path) in KNOWS_PYTEST


def test_the_reference_knows_nothing_of_the_harness() -> None:
    """It can be copied or imported alone."""
    for path in (ROOT / "reference_impl").rglob("*.py"):
        assert PACKAGE not in {name.split(".")[0] for name in _imports(ast.parse(path.read_text()))}, path


def test_a_fleet_runs_without_pytest() -> None:
    """The door of the library, in an interpreter that never imports pytest."""
    code = (
        "import sys\n"
        "from pytest_ciris_occ import Fleet, Harness\n"
        "harness = Harness()\n"
        "history = Fleet(harness).run(lambda occ: occ.decide('T', 'yes') if occ.index == 0 else None, n=2)\n"
        "harness.close()\n"
        "assert 'pytest' not in sys.modules\n"
        "print(history.check().status)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.stdout == "holds\n", finished.stderr
