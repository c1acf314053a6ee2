"""A fleet that is running: one loop in the test process that listens to every occurrence."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from pytest_ciris_occ.errors import FleetBroken, UsageMistake, VerdictUnknown
from pytest_ciris_occ.fleet import channel
from pytest_ciris_occ.fleet.child import STACKS
from pytest_ciris_occ.fleet.client import ZygoteClient
from pytest_ciris_occ.fleet.linux import is_handled
from pytest_ciris_occ.fleet.member import Member
from pytest_ciris_occ.fleet.occurrence import Identity
from pytest_ciris_occ.fleet.orders import Mode, Spawn
from pytest_ciris_occ.fleet.outcome import RunHistory
from pytest_ciris_occ.history import History, Journal, Life, ProcessEvent, Setting
from pytest_ciris_occ.reports.events import Event, RunEnded

START_BOUND = 120.0
"""Seconds within which every occurrence must stand ready."""

_STACKS_BOUND = 1.0
_STACKS_POLL = 0.01
_END_BOUND = 30.0


@dataclass(frozen=True)
class Plan:
    """What a run is to be.

    Attributes:
        setting: what its history will say of it.
        mode: forks of the zygote, fresh interpreters, or commands.
        database_url: the database under test, ``""`` without one.
        argv: for commands, the program and its arguments for each occurrence.
        cwd: for commands, where they run.
        environment: variables set for every occurrence.
        stagger: seconds between the start of one occurrence and of the next; 0 releases all from one barrier.
        notes: what the harness has to say already.
    """

    setting: Setting
    mode: Mode
    database_url: str = ""
    argv: Callable[[Identity], tuple[str, ...]] = lambda _identity: ()
    cwd: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    stagger: float = 0.0
    notes: tuple[str, ...] = ()


class RunningFleet:
    """N occurrences under way. Use it as a context manager; leaving it by an exception ends them all."""

    def __init__(self, client: ZygoteClient, plan: Plan, journal: Journal, listen: Callable[[Event], None]) -> None:
        """Prepare; nothing is started yet."""
        self._client = client
        self._plan = plan
        self._journal = journal
        self._listen = listen
        self._members: list[Member] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(client, selectors.EVENT_READ, self._hear_zygote)
        self._origin = time.monotonic()
        self._deadline = float("inf")
        self._timers: list[tuple[float, Member]] = []
        self._mistakes: list[UsageMistake] = []
        self._closed = False

    # -- what a test may do -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if kind is not None:
            self.abort()
        else:
            self.finish()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the occurrences, in order of first start."""
        return tuple(dict.fromkeys(member.name for member in self._members))

    @property
    def history(self) -> History:
        """Everything that has happened so far."""
        return self._journal.history()

    def join(self, count: int) -> tuple[str, ...]:
        """Start ``count`` more occurrences of the same function now; return their ids."""
        return tuple(member.name for member in self._start(count))

    def kill(self, occurrence: str) -> None:
        """Send SIGKILL, and wait until the process is gone."""
        self._act(occurrence, "kill", signal.SIGKILL)
        self._pump_until(lambda: not self._member(occurrence).lives, _END_BOUND, f"{occurrence} to die")

    def terminate(self, occurrence: str) -> None:
        """Send SIGTERM; whether and when it obeys is its own affair."""
        self._act(occurrence, "terminate", signal.SIGTERM)

    def terminate_all(self) -> None:
        """Send SIGTERM to everybody who still runs."""
        for member in self._living():
            self.terminate(member.name)

    def pause(self, occurrence: str) -> None:
        """Send SIGSTOP: every thread of the process stands still until :meth:`resume`."""
        self._act(occurrence, "pause", signal.SIGSTOP)

    def resume(self, occurrence: str) -> None:
        """Send SIGCONT."""
        self._act(occurrence, "resume", signal.SIGCONT)

    def restart(self, occurrence: str) -> None:
        """Start a new life of an occurrence that has ended, under the same id.

        Raises:
            UsageMistake: it has not ended.
        """
        old = self._member(occurrence)
        if old.lives:
            raise UsageMistake(f"{occurrence} was to be restarted and is still running; kill or terminate it first")
        identity = replace(old.identity, incarnation=old.identity.incarnation + 1)
        self._release([self._spawn(identity)])

    def wait_until(self, holds: Callable[[History], bool], what: str, timeout: float = 30.0) -> None:
        """Wait until something has happened.

        Args:
            holds: asked again whenever something new was journalled.
            what: a few words for the message.
            timeout: seconds.

        Raises:
            VerdictUnknown: it did not happen in time, or can no longer happen because everybody has ended.
        """
        self._pump_until(lambda: holds(self.history), timeout, what)

    def wait_until_waiting(self, *occurrences: str, timeout: float = 30.0) -> None:
        """Wait until these occurrences stand at a rendezvous.

        Raises:
            VerdictUnknown: one of them does not, within ``timeout`` seconds.
        """
        members = [self._member(occurrence) for occurrence in occurrences]
        what = f"{', '.join(occurrences)} to stand at a rendezvous"
        self._pump_until(lambda: all(member.waiting for member in members), timeout, what)

    def wait_until_all_ended(self, timeout: float = 60.0) -> None:
        """Wait until everybody who was started has ended; more may be started then.

        Raises:
            VerdictUnknown: somebody still runs after ``timeout`` seconds, or at the run's bound.
        """
        self._pump_until(lambda: not self._living(), timeout, "everybody to end")

    def finish(self) -> RunHistory:
        """Wait until every occurrence has ended, at most until the run's bound, and return what happened."""
        if self._closed:
            return self.result()
        while self._living() and time.monotonic() < self._deadline:
            self._pump(self._deadline)
        self._end_at_bound()
        return self._close()

    def abort(self) -> None:
        """Kill every occurrence."""
        if self._closed:
            return
        with contextlib.suppress(FleetBroken):
            self._kill_all()
            self._close()

    # -- starting ---------------------------------------------------------------------------------------------------

    def begin(self) -> Self:
        """Start the occurrences that the plan asks for."""
        with _ended_on_error(self):
            self._start(self._plan.setting.n)
        return self

    def _start(self, count: int) -> list[Member]:
        first = len(self.ids)
        return self._release([self._spawn(self._identity(first + number)) for number in range(count)])

    def _identity(self, index: int) -> Identity:
        setting = self._plan.setting
        return Identity(f"occ-{index}", index, setting.n, 0, self._plan.database_url, setting.seed)

    def _spawn(self, identity: Identity) -> Member:
        ours, theirs = channel.pair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        member = Member(identity, self._plan.mode, ours, (out, err))
        self._members.append(member)
        fixed = {"AGENT_OCCURRENCE_ID": identity.occurrence_id, "AGENT_OCCURRENCE_COUNT": str(identity.count)}
        environment = fixed | {"OCC_DATABASE_URL": identity.database_url} | self._plan.environment
        order = Spawn(member.mode, asdict(identity), environment, self._plan.argv(identity), self._plan.cwd)
        with theirs:
            self._client.spawn(order, (theirs.fileno(), out_end, err_end))
        for end in (out_end, err_end):
            os.close(end)
        for stream in member.streams:
            os.set_blocking(stream, False)
            self._selector.register(stream, selectors.EVENT_READ, (self._hear_output, member, stream))
        self._selector.register(ours, selectors.EVENT_READ, (self._hear_channel, member))
        return member

    def _release(self, members: list[Member]) -> list[Member]:
        """Wait until all stand at the barrier, then let them go, at once or one after the other."""
        standing = lambda: all(member.pid and member.state != "starting" for member in members)  # noqa: E731
        self._pump_until(standing, START_BOUND, "the occurrences to stand ready")
        now = time.monotonic()
        if self._deadline == float("inf"):
            self._deadline = now + self._plan.setting.bound
        for number, member in enumerate(members):
            self._timers.append((now + number * self._plan.stagger, member))
        self._fire_timers()
        return members

    def _fire_timers(self) -> None:
        now = time.monotonic()
        due = [member for at, member in self._timers if at <= now]
        self._timers = [(at, member) for at, member in self._timers if at > now]
        for member in due:
            if member.state == "ready":
                member.state = "running"
                self._note(member, "released", time.monotonic())
                member.release()

    # -- listening --------------------------------------------------------------------------------------------------

    def _pump_until(self, done: Callable[[], bool], timeout: float, what: str) -> None:
        limit = time.monotonic() + timeout
        while not done():
            if not self._living():
                raise VerdictUnknown(f"waited for {what}, and every occurrence ended without it\n{self._sketch()}")
            if time.monotonic() >= min(limit, self._deadline):
                raise VerdictUnknown(f"waited for {what} for {timeout:g} s, and it did not happen\n{self._sketch()}")
            self._pump(min(limit, self._deadline))

    def _pump(self, until: float) -> None:
        """Handle what has arrived; wait for something, or a timer, or ``until`` when nothing has."""
        due = min([until, *(at for at, _ in self._timers)])
        for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
            if callable(key.data):
                key.data()
            else:
                handle, *arguments = key.data
                handle(*arguments)
        self._fire_timers()

    def _hear_zygote(self) -> None:
        for message in self._client.messages():
            self._hear_from_zygote(message)

    def _hear_from_zygote(self, message: dict[str, Any]) -> None:
        if message["record"] == "started":
            member = self._member(message["occurrence"])
            member.pid = message["pid"]
            self._note(member, "started", message["at"])
        elif message["record"] == "ended":
            self._end(next(member for member in self._members if member.pid == message["pid"]), message)

    def _hear_channel(self, member: Member) -> None:
        if not member.lives:
            return  # its end was heard in the same round, and the descriptor may be another's by now
        heard = False
        for packet in member.packets():
            heard = True
            self._hear(member, packet)
        if not heard and member.channel in self._selector.get_map():
            self._selector.unregister(member.channel)  # hung up: the command has started, or the end is near

    def _hear(self, member: Member, packet: dict[str, Any]) -> None:
        match packet["record"]:
            case "ready":
                member.state = "ready"
            case "rendezvous":
                member.waiting = True
                self._meet()
            case "returned" | "raised":
                member.last_words = packet
            case _:
                packet["at"] -= self._origin
                self._journal.write(packet)

    def _meet(self) -> None:
        """When everybody who lives waits at a rendezvous, nobody else can come: let them all go on."""
        living = self._living()
        if living and all(member.waiting for member in living):
            for member in living:
                member.release()

    def _hear_output(self, member: Member, stream: int) -> None:
        if not member.lives:
            return
        data = member.read(stream)
        if not data:
            self._selector.unregister(stream)
        self._take_reports(member, stream, data)

    def _take_reports(self, member: Member, stream: int, data: bytes) -> None:
        if member.mode != "command" or stream != member.streams[0]:
            return
        try:
            for report in member.reports(data):
                self._journal_report(member, report)
        except UsageMistake as mistake:
            self._mistakes.append(mistake)

    def _journal_report(self, member: Member, report: dict[str, Any]) -> None:
        function, now = report.pop("occ"), time.monotonic() - self._origin
        value = report.get("mine", True) if function == "claim" else report.get("decision")
        known = {
            name: report[name] for name in ("task", "request", "key", "status", "token", "lease") if name in report
        }
        number = f"{member.name}.{member.identity.incarnation}.{len(self._journal)}"
        base = {"op": number, "at": now}
        who = {"occurrence": member.name, "incarnation": member.identity.incarnation, "actor": "main"}
        self._journal.write({"record": "invoke", "function": function, "value": value} | base | who | known)
        self._journal.write({"record": "return", "outcome": "ok"} | base)

    # -- ends -------------------------------------------------------------------------------------------------------

    def _end(self, member: Member, message: dict[str, Any]) -> None:
        """Take in the last of what a process that has ended said, then how it ended."""
        for packet in member.packets():
            self._hear(member, packet)
        for stream in member.streams:
            for data in member.drain(stream):
                self._take_reports(member, stream, data)
        for source in (member.channel, *member.streams):
            if source in self._selector.get_map():
                self._selector.unregister(source)
        member.state = "ended"
        member.close()
        self._note(member, "ended", message["at"], **self._reason(member, message))
        self._meet()

    def _reason(self, member: Member, message: dict[str, Any]) -> dict[str, Any]:
        words, status = member.last_words, message["status"]
        if time.monotonic() >= self._deadline and message["signalled"]:
            return {"reason": "bound", "detail": f"still running after {self._plan.setting.bound:g} s"}
        if words.get("record") == "raised":
            return {"reason": "raised", "detail": f"raised {words['detail']}", "kinds": words["kinds"]}
        if message["signalled"]:
            return {"reason": "signal", "detail": f"ended by {signal.Signals(status).name}"}
        if status == 0:
            return {"reason": "returned", "detail": "returned"}
        return {"reason": "exit", "detail": f"exited with code {status}"}

    def _end_at_bound(self) -> None:
        late = self._living()
        if not late:
            return
        for member in late:
            if member.mode != "command" and member.state == "running":
                member.signal(STACKS)  # faulthandler prints where every thread stands
        limit = time.monotonic() + _STACKS_BOUND
        while time.monotonic() < limit and not all(is_handled(member.pid, STACKS) for member in self._living()):
            self._pump(min(limit, time.monotonic() + _STACKS_POLL))
        self._kill_all()

    def _kill_all(self) -> None:
        limit = time.monotonic() + _END_BOUND
        while self._living() and time.monotonic() < limit:
            for member in self._living():
                if member.pid:
                    member.signal(signal.SIGKILL)
            self._pump(min(limit, time.monotonic() + 0.1))

    def _close(self) -> RunHistory:
        self._closed = True
        for message in self._client.bury():
            self._hear_from_zygote(message)
        self._selector.close()
        self._journal.close()
        if self._mistakes:
            raise self._mistakes[0]
        history = self.result()
        self._listen(RunEnded(history, time.monotonic() - self._origin))
        return history

    def result(self) -> RunHistory:
        """The history so far, with what the occurrences printed and raised."""
        base = self._journal.history()
        return RunHistory(
            base.setting,
            base.operations,
            base.processes,
            outputs={member.name: member.output.text() for member in self._members},
            tracebacks={(m.name, m.identity.incarnation): m.last_words.get("traceback", "") for m in self._members},
            notes=self._plan.notes,
            listen=self._listen,
        )

    # -- small things -----------------------------------------------------------------------------------------------

    def _living(self) -> list[Member]:
        return [member for member in self._members if member.lives]

    def _member(self, occurrence: str) -> Member:
        for member in reversed(self._members):
            if member.name == occurrence:
                return member
        raise UsageMistake(f"there is no occurrence {occurrence!r} in this fleet; it has {', '.join(self.ids)}")

    def _act(self, occurrence: str, step: str, sig: signal.Signals) -> None:
        member = self._member(occurrence)
        if not member.lives:
            raise UsageMistake(f"{occurrence} has ended, so it cannot be told to {step}; restart it first")
        self._note(member, step, time.monotonic())
        member.signal(sig)

    def _note(self, member: Member, step: str, at: float, **more: Any) -> None:
        who = {"occurrence": member.name, "incarnation": member.identity.incarnation}
        self._journal.write({"record": "process", "step": step, "at": at - self._origin} | who | more)

    def _sketch(self) -> str:
        ends = self.history.ends
        return "; ".join(_state(member, ends) for member in self._members)


def _state(member: Member, ends: dict[Life, ProcessEvent]) -> str:
    end = ends.get((member.name, member.identity.incarnation))
    if end is not None:
        return f"{member.name} {end.detail[:300]}"
    return f"{member.name} {'waits at a rendezvous' if member.waiting else f'is {member.state}'}"


@contextlib.contextmanager
def _ended_on_error(fleet: RunningFleet) -> Iterator[None]:
    try:
        yield
    except BaseException:
        fleet.abort()
        raise
