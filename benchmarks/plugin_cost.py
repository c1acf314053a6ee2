"""What the plugin costs a pytest run that does not use it: ``python -m benchmarks.plugin_cost [--json] [--rounds N]``.

``pytest --collect-only`` on an empty project, with the plugin loaded and with ``-p no:ciris_occ``, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def collect_seconds(place: Path, *options: str) -> float:
    """One whole run."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options]
    subprocess.run(command, cwd=place, capture_output=True, check=False)
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print a line or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "pytest.ini").write_text("[pytest]\n")
        pairs = [
            (collect_seconds(place), collect_seconds(place, "-p", "no:ciris_occ")) for _ in range(options.rounds + 1)
        ][1:]
    with_plugin, without = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    difference = statistics.median((loaded - bare) * 1000 for loaded, bare in pairs)
    figures = {
        "with_ms": round(with_plugin, 1),
        "without_ms": round(without, 1),
        "difference_ms": round(difference, 1),
        "rounds": options.rounds,
    }
    print(json.dumps(figures) if options.json else f"{figures}")


if __name__ == "__main__":
    main()
