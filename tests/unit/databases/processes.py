"""What the tests ask about processes."""

from __future__ import annotations

from pathlib import Path


def runs(pid: int) -> bool:
    """Say whether ``pid`` runs; a zombie does not (an orphan's zombie is the business of the machine's init)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
