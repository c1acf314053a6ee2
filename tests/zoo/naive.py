"""Check, then insert, without a unique key: the classic race (K26's shape, INV 1).

The occurrences meet between the check and the insert, so that every one of them has seen an empty table before any of
them inserts; what a busy day does once a month happens every time.
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
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.Text),  # not unique: this is the bug
    sa.Column("decision", sa.Text),
)


class NaiveSession:
    """One occurrence's session."""

    def __init__(self, occ: Occurrence) -> None:
        self._occ = occ
        self._engine = occ.engine
        self._mine: dict[str, int] = {}

    def claim(self, task_type: str, request: str | None = None) -> Claim:
        """Look whether there is a row; make one when there is none."""
        task_id = f"{task_type}:{request}"
        if self._row(task_id) is not None:
            return Claim(task_id, mine=False)
        self._occ.rendezvous("between check and insert")
        with self._engine.begin() as connection:
            made = connection.execute(tasks.insert().values(task_id=task_id).returning(tasks.c.number))
            self._mine[task_id] = made.scalar_one()
        return Claim(task_id, mine=True)

    def decide(self, task_id: str, decision: str, reason: str = "") -> None:
        """Write the decision into the row that this session made."""
        with self._engine.begin() as connection:
            connection.execute(tasks.update().where(tasks.c.number == self._mine[task_id]).values(decision=decision))

    def read(self, task_type: str, request: str | None = None) -> Seen | None:
        """Look."""
        return self._row(f"{task_type}:{request}")

    def wait(self, task_id: str, timeout: float) -> Seen:
        """Poll until there is a decision."""
        seen = poll(lambda: self._row(task_id), lambda row: row is not None and row.decision is not None, timeout)
        return seen or Seen(task_id, "missing", None)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _row(self, task_id: str) -> Seen | None:
        query = sa.select(tasks.c.decision).where(tasks.c.task_id == task_id).order_by(tasks.c.number).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Seen(task_id, "decided" if row.decision else "open", row.decision)


class NaiveTarget:
    """The target."""

    def create(self, url: str) -> None:
        """Make the table."""
        engine = sa.create_engine(url)
        metadata.create_all(engine)
        engine.dispose()

    def open(self, occ: Identity) -> NaiveSession:
        """Open a session."""
        return NaiveSession(occ)  # type: ignore[arg-type]  # it needs the whole occurrence, for its rendezvous


target = NaiveTarget()
