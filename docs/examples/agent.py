"""A small agent that wakes up once a day, together with its peers."""

from __future__ import annotations

import time

import sqlalchemy as sa

metadata = sa.MetaData()
wakeups = sa.Table(
    "wakeups",
    metadata,
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("decision", sa.Text),
)


def look(engine: sa.Engine, day: str) -> sa.Row[tuple[str, str]] | None:
    """Return the row of the day, ``None`` while nobody has taken it."""
    with engine.connect() as db:
        return db.execute(sa.select(wakeups).where(wakeups.c.day == day)).first()


def claim(engine: sa.Engine, day: str) -> bool:
    """Take the day, when nobody has taken it; say whether it is ours."""
    insert = sa.text("INSERT INTO wakeups (day) VALUES (:day) ON CONFLICT DO NOTHING")
    with engine.begin() as db:
        return db.execute(insert, {"day": day}).rowcount == 1


def decide(engine: sa.Engine, day: str, decision: str) -> None:
    """Write down what was decided for the day."""
    with engine.begin() as db:
        db.execute(wakeups.update().where(wakeups.c.day == day).values(decision=decision))


def wait(engine: sa.Engine, day: str, timeout: float) -> str | None:
    """Wait for the decision of whoever took the day."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        row = look(engine, day)
        if row is not None and row.decision is not None:
            return row.decision
        time.sleep(0.01)
    return None
