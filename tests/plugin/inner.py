"""A pytest of its own, started as a user starts it: a process, in a folder, with a temporary directory of its own.

``pytester`` serves one test with one run. Here one run serves many tests, or is killed in the middle, or belongs to
another user, and afterwards everything that it started must be gone.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import psutil
import pytest

PATIENCE = 120.0
NOBODY = 65534
MARK = "OCC_TEST_MARK"

_STARTER = (
    "import os, sys; given = {paths!r}; own = sys.path[1:]; "
    "sys.path[:] = [p for p in given if os.access(p, os.R_OK)] + [p for p in own if p not in given]; "
    "import pytest; sys.exit(pytest.console_main())"
)


@dataclass(frozen=True)
class Ended:
    """A run that is over.

    Attributes:
        code: its exit code.
        out: everything that it printed, errors included.
        junit: the file of its JUnit report, which need not be there.
    """

    code: int
    out: str
    junit: Path

    @cached_property
    def suite(self) -> list[ET.Element]:
        """The test cases of the JUnit report."""
        return list(ET.parse(self.junit).getroot().iter("testcase"))  # noqa: S314 - our own

    @cached_property
    def cases(self) -> dict[str, ET.Element]:
        """The test cases of the JUnit report by name."""
        return {case.attrib["name"]: case for case in self.suite}

    def outcome(self, name: str) -> str:
        """Return ``passed``, or what else became of a test (``failure``, ``error``, ``skipped``)."""
        kinds = [child.tag for child in self.cases[name] if child.tag in ("failure", "error", "skipped")]
        return kinds[0] if kinds else "passed"

    def properties(self, name: str) -> dict[str, str]:
        """Return the JUnit properties of a test."""
        return {p.attrib["name"]: p.attrib["value"] for p in self.cases[name].iter("property")}

    def block(self, name: str) -> str:
        """Return what the terminal says of one test that failed."""
        found = re.search(
            rf"^_+ (?:ERROR at \w+ of )?{re.escape(name)} _+\n(.*?)(?=^_+ \S.* _+$|^=+ )", self.out, _LONG
        )
        assert found, f"the run says nothing of {name}:\n{self.out}"
        return found[1]

    def section(self, name: str, title: str) -> str:
        """Return one section of what the terminal says of a test, ``""`` when it is not there."""
        found = re.search(rf"^-+ {re.escape(title)} -+\n(.*?)(?=^-+ \S.* -+$|\Z)", self.block(name), _LONG)
        return found[1] if found else ""

    def errors(self, name: str) -> list[str]:
        """Return the lines of the exception that ended a test."""
        return [line[1:].strip() for line in self.block(name).splitlines() if line.startswith("E ")]

    def expect(self, code: int) -> Self:
        """Insist on an exit code."""
        assert self.code == code, self.out
        return self


_LONG = re.MULTILINE | re.DOTALL


class Inner:
    """Where runs take place."""

    def __init__(self, uid: int | None = None) -> None:
        """Make the folder; everything in it belongs to ``uid`` when that is given."""
        # Not tmp_path: an embedded server runs under another uid, which must be able to enter.
        self.home = Path(tempfile.mkdtemp(prefix="occ-inner-"))
        self.home.chmod(0o755)
        self.root = self.home / "project"
        self.tmp = self.home / "tmp"
        self._mark = uuid.uuid4().hex
        self._uid = uid
        self._started: list[subprocess.Popen[str]] = []
        for folder in (self.root, self.tmp):
            folder.mkdir()
        if uid is not None:
            for folder in (self.home, self.root, self.tmp):
                os.chown(folder, uid, uid)

    def write(self, files: Mapping[str, str]) -> Self:
        """Write files of the project, by their names, with ``.py`` where they have no other suffix."""
        for name, text in files.items():
            path = self.root / (name if Path(name).suffix else f"{name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip())
        return self

    def own(self, path: Path) -> None:
        """Give a path to the user of the runs."""
        if self._uid is not None:
            os.chown(path, self._uid, self._uid)

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, program: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Start pytest, in a session of its own."""
        self._started.append(
            subprocess.Popen(
                [*(program or self._interpreter()), "-p", "no:cacheprovider", "--junit-xml=junit.xml", *arguments],
                cwd=self.root,
                env=self._environment() | dict(env or {}),
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._uid,
                group=self._uid,
                extra_groups=None if self._uid is None else [],
            )
        )
        return self._started[-1]

    @property
    def last(self) -> subprocess.Popen[str]:
        """The run that was started last."""
        return self._started[-1]

    def wait(self, process: subprocess.Popen[str], timeout: float = PATIENCE) -> Ended:
        """Wait until a run has ended."""
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.kill()
            out, _ = process.communicate()
            pytest.fail(f"the run did not end within {timeout:g} s; it said:\n{out}")
        return Ended(process.returncode, out, self.root / "junit.xml")

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = (),
        timeout: float = PATIENCE,
    ) -> Ended:
        """Run pytest to its end."""
        return self.wait(self.start(*arguments, env=env, program=program), timeout)

    def left(self) -> list[str]:
        """Name what is left: processes that a run started, and what lies in the temporary directory."""
        processes = [" ".join(process.cmdline()) for process in self._processes()]
        return processes + [str(path) for path in self.tmp.iterdir() if path.name.startswith("occ-")]

    def assert_clean(self, within: float = 0.0) -> None:
        """Insist that nothing is left, ``within`` seconds from now (a run that was killed cannot wait for it)."""
        psutil.wait_procs(self._processes(), timeout=within)
        assert self.left() == []

    def close(self) -> None:
        """End what runs, remove the folder."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for left in self._processes():
            left.kill()
        shutil.rmtree(self.home)

    def _processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self._mark
        except (psutil.Error, OSError):
            return False

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OCC_", "PYTEST_", "AGENT_"))}
        own = {"TMPDIR": str(self.tmp), "HOME": str(self.home), "COLUMNS": "160", MARK: self._mark}
        if self._uid is not None:
            own["XDG_CACHE_HOME"] = str(self.home / "cache")
        return kept | own | {"CI": "", "BUILD_NUMBER": "", "PYTHONDONTWRITEBYTECODE": "1"}

    def _interpreter(self) -> Sequence[str]:
        if self._uid is None:
            return [sys.executable, "-m", "pytest"]
        return [_interpreter_for(self._uid), "-c", _STARTER.format(paths=sys.path)]


def _interpreter_for(uid: int) -> str:
    """Return an interpreter of our version that ``uid`` can run (ours may be below root's closed home)."""
    name = f"python3.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        try:
            subprocess.run([candidate, "-c", ""], user=uid, group=uid, extra_groups=[], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip(f"no {name} here can be run by uid {uid}")
