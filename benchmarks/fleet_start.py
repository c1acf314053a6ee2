"""How long until 20 occurrences stand with an SQLAlchemy engine and an open connection, beside ``subprocess.Popen``.

``python -m benchmarks.fleet_start [--json] [--rounds N] [--n N] [--database sqlite,postgres-embedded]``

Both do the same: import SQLAlchemy and the driver, make an engine, connect, run ``SELECT 1``, and keep the connection
open until all have reported. The fleet's zygote is warm, as it is from the second run of a test session on. The two
take turns within one run, and the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy

from pytest_ciris_occ.databases import parse
from pytest_ciris_occ.fleet.fleet import Fleet
from pytest_ciris_occ.fleet.occurrence import Occurrence
from pytest_ciris_occ.history import Setting
from pytest_ciris_occ.session import Session

_SCRIPT = """
import sys, sqlalchemy
engine = sqlalchemy.create_engine(sys.argv[1])
connection = engine.connect()
connection.execute(sqlalchemy.text("SELECT 1"))
print("up", flush=True)
sys.stdin.read()
"""


def come_up(occ: Occurrence) -> None:
    """Connect, report, and stay until all have."""
    with occ.engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
        with occ.effect("up"):
            pass
        occ.rendezvous("all are up")


def fleet_seconds(fleet: Fleet, n: int) -> float:
    """From the call until all ``n`` stand connected."""
    began = time.perf_counter()
    with fleet.start(come_up, n=n) as running:
        running.wait_until(lambda history: sum(op.returned is not None for op in history.operations) == n, "all up")
        seconds = time.perf_counter() - began
        running.finish()
    return seconds


def popen_seconds(url: str, n: int) -> float:
    """The same by ``subprocess.Popen``."""
    began = time.perf_counter()
    command = [sys.executable, "-c", _SCRIPT, url]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(n)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
    seconds = time.perf_counter() - began
    for process in processes:
        process.communicate()
    return seconds


def measure(database: str, n: int, rounds: int) -> dict[str, float]:
    """Medians, extremes and ratio for one database."""
    session = Session(Path(__file__).parent, f"bench-{time.time_ns():x}", "")
    try:
        with session.provider(parse([database])[0]).fresh() as fresh:
            fleet = Fleet(session.harness, Setting(n=n, bound=120.0), database_url=fresh.url)
            fleet_seconds(fleet, n)
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(fleet_seconds(fleet, n))
                theirs.append(popen_seconds(fresh.url, n))
    finally:
        session.close()
    return _figures(ours, theirs)


def _figures(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    fleet, popen = statistics.median(ours), statistics.median(theirs)
    return {
        "fleet_ms": round(fleet * 1000, 1),
        "fleet_min_ms": round(min(ours) * 1000, 1),
        "fleet_max_ms": round(max(ours) * 1000, 1),
        "popen_ms": round(popen * 1000, 1),
        "ratio": round(fleet / popen, 4),
        "one_in": round(popen / fleet, 1),
        "rounds": len(ours),
    }


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--database", default="sqlite,postgres-embedded")
    options = parser.parse_args()
    found = {name: measure(name, options.n, options.rounds) for name in options.database.split(",")}
    if options.json:
        print(json.dumps({"n": options.n, "python": sys.version.split()[0], "databases": found}, indent=2))
        return
    for name, figures in found.items():
        print(
            f"{name}: {options.n} occurrences up in {figures['fleet_ms']} ms, by Popen in {figures['popen_ms']} ms: "
            f"1/{figures['one_in']} (medians of {figures['rounds']})"
        )


if __name__ == "__main__":
    main()
