"""Real servers, real files, and processes without privileges for the tests of the databases room."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_ciris_occ.databases import wait_server_gone
from pytest_ciris_occ.databases.embedded import EmbeddedProvider

NOBODY = 65534
PATIENCE = 60.0


class Child:
    """A Python process that says one JSON line, and then waits until its standard input ends."""

    def __init__(self, script: str, env: dict[str, str] | None = None, uid: int | None = None) -> None:
        self.process = subprocess.Popen(
            [_interpreter(uid), "-c", _PROLOGUE + textwrap.dedent(script), json.dumps(sys.path)],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**os.environ, **(env or {})},
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def says(self) -> Any:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "the child says nothing"
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return json.loads(line)

    def end(self) -> None:
        _, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


_PROLOGUE = """
import json, os, sys
own = sys.path[:]
sys.path[:] = [path for path in json.loads(sys.argv[1]) if os.access(path, os.R_OK)]
sys.path += [path for path in own if path not in sys.path]
def say(what): print(json.dumps(what), flush=True)
def stay(): sys.stdin.read()
"""


def _interpreter(uid: int | None) -> str:
    """Return an interpreter of our version that ``uid`` can run (ours may be below root's closed home)."""
    if uid is None:
        return sys.executable
    for candidate in (
        sys.executable,
        f"/usr/bin/python3.{sys.version_info.minor}",
        f"/usr/local/bin/python3.{sys.version_info.minor}",
    ):
        try:
            subprocess.run([candidate, "-c", ""], user=uid, group=uid, extra_groups=[], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip(f"no Python 3.{sys.version_info.minor} here can be run by uid {uid}")


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Start children, none of which outlives the test."""
    started: list[Child] = []

    def start(script: str, env: dict[str, str] | None = None, uid: int | None = None) -> Child:
        started.append(Child(script, env, uid))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that every account can enter (``tmp_path`` is closed to others)."""
    path = Path(tempfile.mkdtemp(prefix="occ-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def unprivileged(place: Path, child: Callable[..., Child]) -> Callable[[str], Child]:
    """Start a child without privileges, whose home, cache and temporary directory are in a folder of its own."""
    uid = NOBODY if os.geteuid() == 0 else None
    home = place / "home"
    home.mkdir()
    if uid is not None:
        os.chown(home, uid, uid)
    env = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home)}
    return lambda script: child(script, env, uid)


@pytest.fixture
def run_id() -> Iterator[str]:
    """Return the id of a test run, whose server must be gone after the test."""
    name = uuid.uuid4().hex
    yield name
    assert wait_server_gone(name), "the server of the run outlives it"


@pytest.fixture
def embedded(run_id: str) -> Iterator[EmbeddedProvider]:
    """Return a provider with a server of its own."""
    provider = EmbeddedProvider(run_id)
    yield provider
    provider.close()


@pytest.fixture(scope="session")
def theirs() -> Iterator[str]:
    """Return the URL of a server that was there before us, as far as the provider for URLs can tell."""
    from sqlalchemy import URL

    name = uuid.uuid4().hex
    provider = EmbeddedProvider(name)
    server = provider.server()
    url = URL.create("postgresql", "occ", server.password, "127.0.0.1", server.port, "postgres")
    yield url.render_as_string(hide_password=False)
    provider.close()
    assert wait_server_gone(name)
