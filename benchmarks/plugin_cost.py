"""What the plugin costs a pytest run that does not use it: ``python -m benchmarks.plugin_cost [--json] [--rounds N]``.

``pytest --collect-only`` on an empty project, with the plugin loaded and with ``-p no:ciris_occ``, in turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def collect(place: Path, *options: str) -> tuple[float, float]:
    """One whole run: its wall-clock time and its processor time, in milliseconds."""
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options]
    subprocess.run(command, cwd=place, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return (time.perf_counter() - began) * 1000, processor * 1000


def figures(rounds: int) -> dict[str, float]:
    """Medians of each, and the median of the differences within the pairs."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "pytest.ini").write_text("[pytest]\n")
        pairs = [(collect(place), collect(place, "-p", "no:ciris_occ")) for _ in range(rounds + 1)][1:]
    found: dict[str, float] = {"rounds": rounds}
    for number, kind in enumerate(("wall", "processor")):
        found[f"{kind}_with_ms"] = round(statistics.median(loaded[number] for loaded, _ in pairs), 1)
        found[f"{kind}_without_ms"] = round(statistics.median(bare[number] for _, bare in pairs), 1)
        found[f"{kind}_difference_ms"] = round(
            statistics.median(loaded[number] - bare[number] for loaded, bare in pairs), 1
        )
    return found


def main() -> None:
    """Measure, and print a line or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    found = figures(options.rounds)
    print(json.dumps(found) if options.json else "\n".join(f"{name}: {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
