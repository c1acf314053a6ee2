"""The reference implementation as a target: the adapter, and an example of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import reference_impl as ref
from pytest_ciris_occ.targets.protocol import Claim, Identity, Refused, Seen

if TYPE_CHECKING:
    from sqlalchemy import Engine


class ReferenceSession:
    """One occurrence's session with the reference."""

    def __init__(self, engine: Engine, occurrence_id: str) -> None:
        """Speak for ``occurrence_id`` over ``engine``, which this session closes."""
        self._engine = engine
        self._me = occurrence_id
        self._claimed: dict[str, ref.Task] = {}

    def claim(self, task_type: str, request: str | None = None) -> Claim:
        """Claim the shared task, or a task of this occurrence alone when coordination is switched off."""
        if ref.Environment.load().switch is False:
            task, mine = ref.claim_local_task(self._engine, task_type, occurrence_id=self._me, request=request), True
        else:
            task, mine = ref.try_claim_shared_task(self._engine, task_type, occurrence_id=self._me, request=request)
        self._claimed[task.task_id] = task
        if not mine:
            return Claim(task.task_id, False)
        return Claim(task.task_id, True, task.token, task.lease_until - task.read_at)

    def decide(self, task_id: str, decision: str, reason: str = "") -> None:
        """Make the decision final, with the right that the claim gave."""
        held = self._claimed.get(task_id)
        if held is None or held.claimant != self._me:
            raise Refused(f"occurrence {self._me} has not claimed {task_id}")
        try:
            ref.decide_shared_task(self._engine, held, decision, reason)
        except ref.Refused as refused:
            raise Refused(str(refused)) from refused

    def read(self, task_type: str, request: str | None = None) -> Seen | None:
        """Look without waiting and without claiming."""
        own = self._own_task(task_type, request)
        if own is None:
            task = ref.read_shared_task(self._engine, task_type, request)
        else:
            task = ref.read_task(self._engine, own.task_id, namespace=self._me)
        return _seen(task) if task else None

    def wait(self, task_id: str, timeout: float) -> Seen:
        """Wait until the task is final or the time is up; the row is left as it is either way."""
        known = self._claimed.get(task_id)
        namespace = known.agent_occurrence_id if known else ref.SHARED
        return _seen(ref.wait_for_shared_task(self._engine, task_id, timeout_seconds=timeout, namespace=namespace))

    def _own_task(self, task_type: str, request: str | None) -> ref.Task | None:
        """Find the latest task that this session opened for its occurrence alone."""
        wanted = (self._me, task_type.upper(), request or "")
        for task in reversed(self._claimed.values()):
            if (task.agent_occurrence_id, task.task_type, task.request_id) == wanted:
                return task
        return None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class ReferenceTarget:
    """The reference behind the target protocol."""

    capabilities = frozenset({"switch"})

    def __init__(self) -> None:
        self._ready: dict[str, Engine] = {}

    def create(self, url: str) -> None:
        """Make the schema."""
        engine = ref.make_engine(url)
        try:
            ref.create_schema(engine)
        finally:
            engine.dispose()

    def open(self, occ: Identity) -> ReferenceSession:
        """Open one occurrence's session."""
        engine = self._ready.get(occ.database_url) or ref.make_engine(occ.database_url)
        engine.dispose(close=False)  # what a fork has inherited belongs to another process
        return ReferenceSession(engine, occ.occurrence_id)

    def warm(self, url: str) -> None:
        """Initialise an engine once for all occurrences that are forked afterwards."""
        if url not in self._ready:
            self._ready = {url: ref.make_engine(url)}
            with self._ready[url].connect():
                pass
            self._ready[url].dispose()


def _seen(task: ref.Task) -> Seen:
    return Seen(task.task_id, task.status.value, task.decision)


target = ReferenceTarget()
