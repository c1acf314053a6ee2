"""What a test may do to a running fleet, and what it is told of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from pytest_ciris_occ import Fleet, History, Occurrence, UsageMistake, VerdictUnknown
from pytest_ciris_occ.fleet.linux import wait_gone

from .leftovers import runs

pytestmark = pytest.mark.occ(database="sqlite")


def announce(occ: Occurrence) -> None:
    """Say that I am here, with what the environment says I am."""
    known = f"{os.environ['AGENT_OCCURRENCE_ID']} of {os.environ['AGENT_OCCURRENCE_COUNT']}"
    occ.observe("identity", f"{occ.occurrence_id} of {occ.count}")
    occ.observe("environment", known)
    occ.observe("pid", os.getpid())


def stand_by(occ: Occurrence) -> None:
    """Say that I am here, and stay until a signal ends me."""
    with occ.effect("here"):
        pass
    signal.pause()


def _here(history: History, count: int) -> bool:
    return sum(op.returned is not None for op in history.of("effect")) >= count


def _how(history: History) -> dict[str, str]:
    return {occurrence: event.detail for (occurrence, _), event in history.ends.items()}


@pytest.mark.occ(n=5)
def test_identity_by_argument_and_environment(occ_fleet: Fleet) -> None:
    """Five different processes, each with its own id both ways."""
    history = occ_fleet.run(announce)
    expected = {f"occ-{number} of 5" for number in range(5)}
    assert {op.value for op in history.of("observe", task="identity")} == expected
    assert {op.value for op in history.of("observe", task="environment")} == expected
    assert len({op.value for op in history.of("observe", task="pid")} | {os.getpid()}) == 6


@pytest.mark.occ(n=3)
def test_environment_and_seed_reach_the_occurrences(occ_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patched environment travels, and so does the run's own; equal seeds draw equal numbers."""
    monkeypatch.setenv("OF_THE_TEST", "patched")

    def draw(occ: Occurrence) -> None:
        occ.observe("drawn", [occ.random().random(), os.environ["OF_THE_TEST"], os.environ["OF_THE_RUN"]])

    first, second = (occ_fleet.run(draw, environment={"OF_THE_RUN": "1"}) for _ in range(2))
    values = [sorted((op.occurrence, str(op.value)) for op in history.of("observe")) for history in (first, second)]
    assert values[0] == values[1]
    assert all("patched" in value for _, value in values[0])
    assert len({value for _, value in values[0]}) == 3


@pytest.mark.occ(n=3)
def test_all_are_released_together(occ_fleet: Fleet) -> None:
    """Nobody is let go before everybody stands at the barrier."""
    history = occ_fleet.run(announce)
    released = [event.at for event in history.processes if event.step == "released"]
    started = [event.at for event in history.processes if event.step == "started"]
    assert max(started) <= min(released)


@pytest.mark.occ(n=3)
def test_staggered_starts_keep_their_distance(occ_fleet: Fleet) -> None:
    """With a stagger, each is released that much later than the one before."""
    history = occ_fleet.run(announce, stagger=0.2)
    released = [event.at for event in history.processes if event.step == "released"]
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(released))


@pytest.mark.occ(n=3)
def test_kill_terminate_and_restart(occ_fleet: Fleet) -> None:
    """Each end has its reason; a restart keeps the id and begins a new life."""
    with occ_fleet.start(stand_by) as running:
        running.wait_until(partial(_here, count=3), "all three")
        running.kill("occ-0")
        running.restart("occ-0")
        running.wait_until(partial(_here, count=4), "the second life")
        running.terminate_all()
        history = running.finish()
    assert [(life, event.detail) for life, event in sorted(history.ends.items())] == [
        (("occ-0", 0), "ended by SIGKILL"),
        (("occ-0", 1), "ended by SIGTERM"),
        (("occ-1", 0), "ended by SIGTERM"),
        (("occ-2", 0), "ended by SIGTERM"),
    ]
    assert {op.life for op in history.of("effect")} == set(history.lives)


@pytest.mark.occ(n=2)
def test_a_paused_occurrence_stands_still_until_it_is_resumed(occ_fleet: Fleet, tmp_path: Path) -> None:
    """Let go while it is stopped, it does nothing; its peer does; after SIGCONT it goes on where it stood."""
    door = tmp_path / "door"
    os.mkfifo(door)

    def meet(occ: Occurrence) -> None:
        occ.observe("pid", os.getpid())
        if occ.index == 1:
            door.read_text()
        occ.rendezvous("both")
        with occ.effect("after"):
            pass

    with occ_fleet.start(meet) as running:
        running.wait_until(lambda history: len(list(history.of("observe"))) == 2, "both pids")
        (pid,) = (op.value for op in running.history.of("observe") if op.occurrence == "occ-0")
        running.wait_until_waiting("occ-0")
        running.pause("occ-0")
        _wait_for_status(int(str(pid)), psutil.STATUS_STOPPED)
        door.write_text("open")
        running.wait_until(partial(_here, count=1), "the one that can move")
        assert [op.occurrence for op in running.history.of("effect")] == ["occ-1"]
        running.resume("occ-0")
        history = running.finish()
    (resumed,) = (event.at for event in history.processes if event.step == "resume")
    (after,) = (op.invoked for op in history.of("effect") if op.occurrence == "occ-0")
    assert resumed < after


def _wait_for_status(pid: int, status: str) -> None:
    process = psutil.Process(pid)
    for _ in range(100_000):
        if process.status() == status:
            return
        os.sched_yield()
    raise AssertionError(f"{pid} is {process.status()}")


@pytest.mark.occ(n=4)
def test_a_rendezvous_waits_for_everybody_who_lives(occ_fleet: Fleet) -> None:
    """Nobody passes before the last has come; one who ends without coming does not hold the others."""

    def meet(occ: Occurrence) -> None:
        if occ.index == 3:
            return
        with occ.effect(f"before-{occ.index}"):
            pass
        occ.rendezvous("middle")
        with occ.effect(f"after-{occ.index}"):
            pass

    history = occ_fleet.run(meet)
    times = {str(op.key): op.invoked for op in history.of("effect")}
    before = [at for key, at in times.items() if key.startswith("before")]
    after = [at for key, at in times.items() if key.startswith("after")]
    assert len(before) == len(after) == 3
    assert max(before) < min(after)


@pytest.mark.occ(n=2)
def test_more_may_join_and_are_numbered_on(occ_fleet: Fleet) -> None:
    """Joined occurrences run the same function under the next ids."""
    with occ_fleet.start(announce) as running:
        running.wait_until_all_ended()
        assert running.join(2) == ("occ-2", "occ-3")
        history = running.finish()
    assert set(_how(history)) == {"occ-0", "occ-1", "occ-2", "occ-3"}


@pytest.mark.occ(n=2)
def test_waiting_for_what_cannot_come_is_unknown(occ_fleet: Fleet) -> None:
    """When everybody has ended, waiting on is pointless, and said at once."""
    running = occ_fleet.start(announce)
    with pytest.raises(VerdictUnknown, match="waited for a miracle, and every occurrence ended without it"), running:
        running.wait_until(lambda _history: False, "a miracle")


@pytest.mark.occ(n=2)
def test_acting_on_who_is_not_there_is_a_mistake(occ_fleet: Fleet) -> None:
    """An unknown id, an ended occurrence and a living one to restart each get a sentence."""
    with occ_fleet.start(stand_by) as running:
        running.wait_until(partial(_here, count=2), "both")
        with pytest.raises(UsageMistake, match="there is no occurrence 'occ-9' in this fleet; it has occ-0, occ-1"):
            running.kill("occ-9")
        with pytest.raises(UsageMistake, match="occ-1 was to be restarted and is still running"):
            running.restart("occ-1")
        running.kill("occ-0")
        with pytest.raises(UsageMistake, match="occ-0 has ended, so it cannot be told to pause"):
            running.pause("occ-0")
        running.terminate_all()


@pytest.mark.occ(n=2)
def test_grandchildren_end_with_the_run(occ_fleet: Fleet) -> None:
    """What an occurrence leaves running in its process group is gone when the run is over."""

    def leave_one(occ: Occurrence) -> None:
        left = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        occ.observe("left", left.pid)
        os._exit(0)

    history = occ_fleet.run(leave_one)
    pids = [int(str(op.value)) for op in history.of("observe")]
    wait_gone(pids, 5)
    assert not [pid for pid in pids if runs(pid)]


@pytest.mark.occ(n=1)
def test_what_an_occurrence_prints_is_kept_apart(occ_fleet: Fleet) -> None:
    """Standard output and error of each, and nothing of it in the test's own."""

    def talk(occ: Occurrence) -> None:
        print("to the output")
        print("to the errors", file=sys.stderr)

    history = occ_fleet.run(talk)
    assert sorted(history.outputs["occ-0"].split("\n")) == ["", "to the errors", "to the output"]


@pytest.mark.occ(n=1)
def test_a_normal_end_cleans_up_like_any_process(occ_fleet: Fleet) -> None:
    """Exit handlers run, and threads that are no daemons are waited for."""

    def register(occ: Occurrence) -> None:
        import atexit
        import threading

        atexit.register(print, "exit handler ran")
        alive = threading.Event()
        threading.Thread(target=lambda: alive.wait(0.05) or print("thread ended")).start()

    assert occ_fleet.run(register).outputs["occ-0"] == "thread ended\nexit handler ran\n"
