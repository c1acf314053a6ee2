"""The agent program as its users run it: a process with an environment, a database and an output."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import reference_impl as ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

ROOT = Path(__file__).parents[3]
PLAN_QUERY = "SELECT COUNT(*) FROM tasks WHERE agent_occurrence_id='__shared__' AND task_id LIKE 'WAKEUP_%'"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the agent in ``tmp_path``; whatever is left of it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **environ: str) -> subprocess.Popen[str]:
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("AGENT_", "ENABLE_", "DATABASE"))
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "reference_impl", *arguments],
            cwd=tmp_path,
            env={**clean, "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, object]], str]:
    """Wait for the end and give the exit code, the JSON lines and the error text."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, [json.loads(line) for line in output.splitlines()], errors


def test_three_agents_wake_up_once(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """The plan's loop, and its count query on the default database, which must print 1."""
    fleet = [start("--adapter", "cli", AGENT_OCCURRENCE_ID=f"occ-{n}", AGENT_OCCURRENCE_COUNT="3") for n in (1, 2, 3)]
    endings = [finish(process) for process in fleet]
    assert [(code, errors) for code, _, errors in endings] == [(0, "")] * 3
    said = [line for _, lines, _ in endings for line in lines]
    assert sum(line["occ"] == "claim" and line["mine"] is True for line in said) == 1
    assert [line["key"] for line in said if line["occ"] == "effect"] == [f"affirm-{n}" for n in range(5)]
    assert [line["decision"] for line in said if line["occ"] == "decide"] == ["accepted"]
    assert [line["decision"] for line in said if line["occ"] == "observe"] == ["accepted"] * 2
    assert len({line["task"] for line in said}) == 1
    with sqlite3.connect(tmp_path / "data" / "ciris_engine.db") as connection:
        assert connection.execute(PLAN_QUERY).fetchone() == (1,)
    connection.close()


def test_the_claimant_speaks_in_order(start: Callable[..., subprocess.Popen[str]], url: str) -> None:
    """Claim, five effects, decide, and nothing else."""
    _, lines, _ = finish(start("--database", url, AGENT_OCCURRENCE_COUNT="2"))
    assert [line["occ"] for line in lines] == ["claim", *["effect"] * 5, "decide"]


def test_the_switch_makes_agents_decide_alone(start: Callable[..., subprocess.Popen[str]], url: str) -> None:
    """Each one claims and decides its own task."""
    environ = {"AGENT_OCCURRENCE_COUNT": "3", "ENABLE_MULTI_OCCURRENCE_COORDINATION": "false", "DATABASE_URL": url}
    fleet = [start(AGENT_OCCURRENCE_ID=who, **environ) for who in ("a", "b")]
    endings = [finish(process)[1] for process in fleet]
    assert [lines[0]["mine"] for lines in endings] == [True, True]
    assert len({str(lines[0]["task"]) for lines in endings}) == 2


def test_the_api_adapter_serves_its_health_until_it_is_told_to_end(
    start: Callable[..., subprocess.Popen[str]], url: str
) -> None:
    """GET /health answers with JSON, other paths with 404, SIGTERM ends it with 0."""
    port = free_port()
    agent = start("--adapter", "api", "--port", str(port), "--database", url, AGENT_OCCURRENCE_ID="occ-1")
    # The port is open from the start, so the request is answered when the wakeup is done.
    assert agent.stdout is not None
    assert agent.stdout.readline()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
        assert json.load(answer) == {"status": "ok", "occurrence_id": "occ-1"}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(timeout=60) == 0


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_failed_wakeup_is_an_error(start: Callable[..., subprocess.Popen[str]], engine: Engine, url: str) -> None:
    """The agent observes it, says why, and does not serve."""
    task, _ = ref.try_claim_shared_task(engine, "wakeup", occurrence_id="a")
    ref.decide_shared_task(engine, task, "failed", "no identity")
    code, lines, errors = finish(
        start("--adapter", "api", "--port", "0", "--database", url, AGENT_OCCURRENCE_COUNT="2")
    )
    assert code == 2
    assert lines[-1] == {"occ": "observe", "task": task.task_id, "decision": "failed"}
    assert "no identity" in errors


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        ((), {"AGENT_OCCURRENCE_COUNT": "many"}, "AGENT_OCCURRENCE_COUNT is 'many'"),
        (("--database", "nonsense"), {}, "cannot be parsed"),
        (("--database", "sqlite:////nowhere/at/all.db"), {}, "unable to open"),
        (("--database", "postgresql://nobody@127.0.0.1:1/none"), {}, "connection"),
        (("--adapter", "api", "--port", "99999"), {}, "port 99999"),
        (("--request", ""), {"AGENT_OCCURRENCE_COUNT": "2"}, "request id"),
    ],
)
def test_a_mistake_gets_one_sentence(
    start: Callable[..., subprocess.Popen[str]], arguments: tuple[str, ...], environ: dict[str, str], says: str
) -> None:
    """No traceback, one line, exit code 2."""
    code, _, errors = finish(start(*arguments, **environ))
    assert code == 2
    assert says in errors
    assert len(errors.splitlines()) == 1
