"""A session that journals what passes through it, so that no target can tell its own story."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.targets.protocol import Claim, Seen, Session

if TYPE_CHECKING:
    from pytest_ciris_occ.fleet.occurrence import Occurrence


T = TypeVar("T")
_METHODS = ("claim", "decide", "read", "wait", "close")


class RecordingSession:
    """A :class:`~pytest_ciris_occ.targets.Session` around the target's own."""

    def __init__(self, occ: Occurrence, session: Session) -> None:
        """Wrap ``session`` for ``occ``.

        Raises:
            UsageMistake: it is no session.
        """
        missing = [f"{name}()" for name in _METHODS if not callable(getattr(session, name, None))]
        if missing:
            raise UsageMistake(
                f"the target's open() returned {session!r:.80}, which has no {', '.join(missing)}; "
                f"return an object with the methods of pytest_ciris_occ.targets.Session"
            )
        self._occ = occ
        self._session = session

    def claim(self, task_type: str, request: str | None = None) -> Claim:
        """Claim, and journal whether it is mine."""
        with self._occ.operation("claim", request=request) as mark:
            claim = _checked(self._session.claim(task_type, request), Claim, "claim")
            mark.task, mark.value, mark.token, mark.lease = claim.task_id, claim.mine, claim.token, claim.lease
        return claim

    def decide(self, task_id: str, decision: str, reason: str = "") -> None:
        """Decide, and journal that it is durable once the target has returned."""
        with self._occ.operation("decide", task=task_id, value=decision):
            self._session.decide(task_id, decision, reason)
        self._occ.complete(task_id)

    def read(self, task_type: str, request: str | None = None) -> Seen | None:
        """Look, and journal what was seen."""
        with self._occ.operation("read", request=request) as mark:
            seen = self._session.read(task_type, request)
            if seen is not None:
                _checked(seen, Seen, "read")
                mark.task, mark.value, mark.status = seen.task_id, seen.decision, seen.status
        return seen

    def wait(self, task_id: str, timeout: float) -> Seen:
        """Wait, and journal what was learnt as this occurrence's observation."""
        with self._occ.operation("observe", task=task_id) as mark:
            seen = _checked(self._session.wait(task_id, timeout), Seen, "wait")
            mark.task, mark.value, mark.status = seen.task_id, seen.decision, seen.status
        return seen

    def close(self) -> None:
        """Close the target's session."""
        self._session.close()


def _checked(answer: object, kind: type[T], method: str) -> T:
    if not isinstance(answer, kind):
        raise UsageMistake(
            f"the target's session returned {answer!r:.80} from {method}(), and the protocol says {kind.__name__}; "
            f"return pytest_ciris_occ.targets.{kind.__name__}(…)"
        )
    return answer
