"""The agent's own functions behind the protocol, so that the scenario suite can test them."""

import sqlalchemy as sa
from pytest_ciris_occ.targets import Claim, Identity, Seen

import agent


class Session:
    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url)

    def claim(self, task_type: str, request: str | None = None) -> Claim:
        task_id = f"{task_type} {request}"
        return Claim(task_id, mine=agent.claim(self.engine, task_id))

    def decide(self, task_id: str, decision: str, reason: str = "") -> None:
        agent.decide(self.engine, task_id, decision)

    def read(self, task_type: str, request: str | None = None) -> Seen | None:
        row = agent.look(self.engine, f"{task_type} {request}")
        return row and Seen(row.day, "open" if row.decision is None else "done", row.decision)

    def wait(self, task_id: str, timeout: float) -> Seen:
        decision = agent.wait(self.engine, task_id, timeout)
        return Seen(task_id, "open" if decision is None else "done", decision)

    def close(self) -> None:
        self.engine.dispose()


class Target:
    def create(self, url: str) -> None:
        agent.metadata.create_all(sa.create_engine(url))

    def open(self, occ: Identity) -> Session:
        return Session(occ.database_url)


target = Target()
