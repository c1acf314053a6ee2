"""The original plan's own check, word for word: three agents from a shell loop, then a count of shared wakeups.

for i in {1..3}; do
  AGENT_OCCURRENCE_ID="occ-$i" AGENT_OCCURRENCE_COUNT=3 python main.py --adapter api --port $((8000+i)) &
done
sqlite3 … "SELECT COUNT(*) FROM tasks WHERE agent_occurrence_id='__shared__' AND task_id LIKE 'WAKEUP_%'"
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.request

import pytest
import sqlalchemy

from pytest_ciris_occ import Fleet, History, UsageMistake
from pytest_ciris_occ.databases import Database
from pytest_ciris_occ.fleet.occurrence import Identity

COUNT = "SELECT COUNT(*) FROM tasks WHERE agent_occurrence_id='__shared__' AND task_id LIKE 'WAKEUP_%'"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _all_know(history: History) -> bool:
    return len({op.occurrence for op in history.of("decide", "observe")}) == 3


@pytest.mark.occ(n=3)
def test_the_plans_shell_loop(occ_fleet: Fleet, occ_database: Database) -> None:
    """Three agents wake up by one shared task, all serve, and the plan's count is 1."""
    ports = free_ports(3)

    def agent(occ: Identity) -> list[str]:
        program = [sys.executable, "-m", "reference_impl", "--adapter", "api", "--port", str(ports[occ.index])]
        return [*program, "--database", occ.database_url]

    with occ_fleet.start_command(agent) as running:
        running.wait_until(_all_know, "all three to know the decision")
        health = [_health(port) for port in ports]
        running.terminate_all()
        history = running.finish()
    history.check()
    assert len(health) == 3
    engine = sqlalchemy.create_engine(occ_database.url)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text(COUNT)).scalar_one() == 1
    engine.dispose()


def _health(port: int) -> object:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/health")
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


@pytest.mark.occ(n=3, database="sqlite")
def test_a_command_until_something_holds(occ_fleet: Fleet) -> None:
    """Programs that run until they are stopped get SIGTERM when ``until`` holds."""
    ports = free_ports(3)

    def agent(occ: Identity) -> list[str]:
        return [sys.executable, "-m", "reference_impl", "--adapter", "api", "--port", str(ports[occ.index])]

    history = occ_fleet.command(agent, until=_all_know, environment={"DATABASE_URL": occ_fleet.database_url})
    history.check()
    assert all("terminate" in history.acts_of_harness(life) for life in history.lives)


@pytest.mark.occ(n=2, database="sqlite")
def test_a_command_in_any_language_reports_by_json_lines(occ_fleet: Fleet) -> None:
    """A shell script is an occurrence like any other; what else it prints is kept as its output."""
    script = """
    echo hello from $AGENT_OCCURRENCE_ID of $AGENT_OCCURRENCE_COUNT
    if mkdir "$0" 2>/dev/null; then
      echo '{"occ": "claim", "task": "T", "mine": true}'
      echo '{"occ": "decide", "task": "T", "decision": "yes"}'
    else
      echo '{"occ": "observe", "task": "T", "decision": "yes"}'
    fi
    """
    place = occ_fleet.harness.directory / "claimed"
    history = occ_fleet.command(["sh", "-c", script, str(place)])
    assert {op.function for op in history.operations} == {"claim", "decide", "observe"}
    assert "hello from occ-1 of 2" in history.outputs["occ-1"]


@pytest.mark.occ(n=1, database="sqlite")
@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"occ": "decied", "task": "T"}', "'occ' must be one of claim, complete, decide, effect, observe, read"),
        ('{"occ": "decide"', "which is not JSON"),
    ],
)
def test_a_report_that_is_none_is_told(occ_fleet: Fleet, line: str, sentence: str) -> None:
    """A typing error in a report is no output like any other."""
    with pytest.raises(UsageMistake, match=sentence):
        occ_fleet.command(["echo", line])


@pytest.mark.occ(n=1, database="sqlite")
def test_a_program_that_is_not_there(occ_fleet: Fleet) -> None:
    """Said before anything is started; so is a command that is a string."""
    with pytest.raises(UsageMistake, match="the program 'no-such-program' cannot be run"):
        occ_fleet.command(["no-such-program"])
    with pytest.raises(UsageMistake, match="give a list of program and arguments"):
        occ_fleet.command("echo hello")


@pytest.mark.occ(n=2, database="sqlite")
def test_a_command_that_fails_has_not_ended_well(occ_fleet: Fleet) -> None:
    """A bad exit code is a violation, and named."""
    history = occ_fleet.command(["sh", "-c", 'echo \'{"occ": "observe", "task": "T"}\'; exit 3'])
    (verdict,) = [verdict for verdict in history.judge().verdicts if verdict.invariant == "everyone_ends"]
    assert verdict.status == "violated"
    assert "exited with code 3" in verdict.reason
