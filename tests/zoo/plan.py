"""The original plan's own way with a shutdown that another occurrence decides (K65 and K71).

The claim is sound here (a primary key and ``ON CONFLICT``). The waiting is the plan's: it answers with yes or no, and
the caller then acts on the row that it had read when it claimed. An accepted shutdown still looks undecided there
(K65), and a rejected one is taken for a time-out (K71). The occurrences meet after the claim, so that everybody has
read the row before anybody decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from pytest_ciris_occ.targets import Claim, Identity, Seen

from .polling import poll

if TYPE_CHECKING:
    from pytest_ciris_occ import Occurrence

metadata = sa.MetaData()
tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("task_id", sa.Text, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("summary", sa.Text),
)
_STATUS = {"rejected": "FAILED", "failed": "FAILED"}


class PlanSession:
    """One occurrence's session."""

    def __init__(self, occ: Occurrence) -> None:
        self._occ = occ
        self._engine = occ.engine
        self._claimed: dict[str, Seen] = {}

    def claim(self, task_type: str, request: str | None = None) -> Claim:
        """Create or find the row, and remember what it looked like."""
        task_id = f"{task_type.upper()}_SHARED_{request}"
        row = {"task_id": task_id, "status": "ACTIVE"}
        with self._engine.begin() as connection:
            insert = sa.text("INSERT INTO tasks (task_id, status) VALUES (:task_id, :status) ON CONFLICT DO NOTHING")
            mine = connection.execute(insert, row).rowcount == 1
        self._claimed[task_id] = self._row(task_id)
        self._occ.rendezvous("after the claim")
        return Claim(task_id, mine)

    def decide(self, task_id: str, decision: str, reason: str = "") -> None:
        """Complete the task, or fail it for a rejection."""
        values = {"status": _STATUS.get(decision, "COMPLETED"), "summary": decision}
        with self._engine.begin() as connection:
            connection.execute(tasks.update().where(tasks.c.task_id == task_id).values(**values))

    def read(self, task_type: str, request: str | None = None) -> Seen | None:
        """Look."""
        seen = self._row(f"{task_type.upper()}_SHARED_{request}")
        return None if seen.status == "missing" else seen

    def wait(self, task_id: str, timeout: float) -> Seen:
        """Wait as the plan does, and answer as the plan does."""
        if self._completed(task_id, timeout):
            return self._claimed[task_id]  # K65: the row as it was at claim time
        return Seen(task_id, "timed out", None)  # K71: FAILED made the wait say no

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _completed(self, task_id: str, timeout: float) -> bool:
        final = ("COMPLETED", "FAILED")
        return poll(lambda: self._row(task_id), lambda row: row.status in final, timeout).status == "COMPLETED"

    def _row(self, task_id: str) -> Seen:
        query = sa.select(tasks.c.status, tasks.c.summary).where(tasks.c.task_id == task_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return Seen(task_id, "missing", None) if row is None else Seen(task_id, row.status, row.summary)


class PlanTarget:
    """The target."""

    def create(self, url: str) -> None:
        """Make the table."""
        engine = sa.create_engine(url)
        metadata.create_all(engine)
        engine.dispose()

    def open(self, occ: Identity) -> PlanSession:
        """Open a session."""
        return PlanSession(occ)  # type: ignore[arg-type]  # it needs the whole occurrence, for its rendezvous


target = PlanTarget()
