"""A small agent: wakes up together with its peers, then serves its health, or ends.

What it does it says on standard output, one JSON object a line, for a harness that watches it from outside.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from reference_impl.config import Environment, MultiOccurrenceConfig
from reference_impl.coordination import Coordinator, Hooks
from reference_impl.engine import make_engine
from reference_impl.errors import CoordinationError
from reference_impl.schema import create_schema
from reference_impl.wakeup import WakeupProcessor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Never

    from reference_impl.models import Decision, Task

_DEFAULT_DATABASE = Path("data") / "ciris_engine.db"


class _Reporter(Hooks):
    """Prints what happens; remembers the claimed task for the effects that follow."""

    task_id = ""

    def claimed(self, task: Task, mine: bool) -> None:
        self.task_id = task.task_id
        _say("claim", task.task_id, mine=mine)

    def affirmed(self, step: int) -> None:
        _say("effect", self.task_id, key=f"affirm-{step}")

    # Before the write: a reader who sees the row decided must never find that nobody said so.
    def deciding(self, task: Task, decision: Decision) -> None:
        _say("decide", task.task_id, decision=decision.value)

    def observed(self, task: Task) -> None:
        _say("observe", task.task_id, decision=task.decision)


@dataclass(frozen=True, slots=True)
class _Options:
    adapter: str
    port: int
    database: str | None
    request: str | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent and give its exit code: 0, or 2 after one sentence on standard error."""
    options = _parse(arguments)
    try:
        return _run(options)
    except CoordinationError as error:
        return _fail(str(error))
    except SQLAlchemyError as error:
        return _fail(f"the database did not do what was asked: {error}")
    except OSError as error:
        return _fail(f"the agent could not start: {error}")


def _parse(arguments: Sequence[str] | None) -> _Options:
    parser = argparse.ArgumentParser(prog="python -m reference_impl", description="An agent that wakes up with others.")
    parser.add_argument("--adapter", choices=("api", "cli"), default="cli", help="serve health over HTTP, or end")
    parser.add_argument("--port", type=int, default=8001, help="where the api adapter listens, on 127.0.0.1")
    parser.add_argument("--database", help="SQLAlchemy URL; default: DATABASE_URL, else data/ciris_engine.db")
    parser.add_argument("--request", help="tells this wakeup from others of the day")
    return _Options(**vars(parser.parse_args(arguments)))


def _run(options: _Options) -> int:
    environment = Environment.load()
    if options.adapter == "cli":
        _wake_up(environment, options)
        return 0
    # The port is taken before the wakeup: an occurrence that cannot serve must not wake the others up.
    with _health_server(options.port, environment.occurrence_id) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)
        _wake_up(environment, options)
        server.serve_forever()
    return 0


def _wake_up(environment: Environment, options: _Options) -> None:
    engine = make_engine(options.database or os.environ.get("DATABASE_URL") or _default_database())
    try:
        create_schema(engine)
        reporter = _Reporter()
        coordinator = Coordinator(
            engine=engine,
            occurrence_id=environment.occurrence_id,
            config=MultiOccurrenceConfig(enabled=environment.coordinated),
            hooks=reporter,
        )
        result = WakeupProcessor(
            coordinator,
            affirm=reporter.affirmed,
            occurrence_count=environment.occurrence_count,
            request=options.request,
        ).run()
    finally:
        engine.dispose()
    if not result.wakeup_complete:
        raise CoordinationError(result.message)


def _default_database() -> str:
    _DEFAULT_DATABASE.parent.mkdir(exist_ok=True)
    return f"sqlite:///{_DEFAULT_DATABASE}"


def _health_server(port: int, occurrence_id: str) -> ThreadingHTTPServer:
    body = json.dumps({"status": "ok", "occurrence_id": occurrence_id}).encode()

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/health"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body if found else b'{"status": "not found"}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep quiet: standard error is for errors."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Health)
    except (OSError, OverflowError) as error:
        raise CoordinationError(f"port {port} on 127.0.0.1 cannot be used: {error}; give another --port") from error


def _leave(_number: int, _frame: object) -> Never:
    sys.exit(0)


def _say(kind: str, task_id: str, **more: object) -> None:
    print(json.dumps({"occ": kind, "task": task_id, **more}), flush=True)


def _fail(sentence: str) -> int:
    # A driver's message may have several lines; people and logs get one.
    print(f"reference_impl: {' '.join(sentence.split())}", file=sys.stderr)
    return 2
