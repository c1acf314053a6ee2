"""What a user gets: the wheel in an empty environment outside the checkout, and the editable install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"pytest_ciris_occ", "reference_impl"}


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OCC_", "PYTEST"))
    }
    finished = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A copy of what is tracked; not below pytest's own directory, which other users cannot enter."""
    with tempfile.TemporaryDirectory(prefix="occ-package-") as place:
        Path(place).chmod(0o755)
        target = Path(place) / "checkout"
        target.mkdir()
        listed = _run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
        for name in listed:
            if (ROOT / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name)
        yield target


def _environment(place: Path, *requirements: str) -> Path:
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", *requirements, cwd=place)
    return python


def _top_level(python: Path) -> set[str]:
    """What stands at the top level of site-packages, as the installed package's own record says."""
    code = "import importlib.metadata as m; print(*m.files('pytest-ciris-occ'), sep=chr(10))"
    files = _run(python, "-c", code, cwd=python.parent).splitlines()
    return {file.split("/")[0] for file in files if not file.startswith("..")}


def _passed(python: Path, cwd: Path) -> int:
    """Run the installed scenarios, small, from somewhere else; return how many passed."""
    options = ["--occ-n=3", "--occ-database=sqlite,postgres-embedded", "-q", "-p", "no:cacheprovider", "--occ-require"]
    output = _run(python, "-m", "pytest", "--pyargs", "pytest_ciris_occ.scenarios", *options, cwd=cwd)
    found = re.search(r"^(\d+) passed", output, re.MULTILINE)
    assert found, output
    assert "skipped" not in output
    return int(found[1])


def test_a_wheel_in_an_empty_environment(checkout: Path) -> None:
    """The scenarios pass from the wheel; it puts two packages on the top level and nothing else."""
    place = checkout.parent / "wheel"
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", place, checkout, cwd=checkout.parent)
    (wheel,) = place.glob("*.whl")
    python = _environment(place / "venv", f"{wheel}[embedded]")
    assert {name for name in _top_level(python) if not name.endswith(".dist-info")} == OURS
    assert _passed(python, place) == 12


def test_an_editable_install(checkout: Path) -> None:
    """The scenarios are found under the same name; only a path file stands in site-packages."""
    place = checkout.parent / "editable"
    place.mkdir()
    python = _environment(place / "venv", "-e", f"{checkout}[embedded]")
    assert all(name.endswith((".dist-info", ".pth")) for name in _top_level(python))
    assert _passed(python, place) == 12
