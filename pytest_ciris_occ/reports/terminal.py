"""The summary at the end of a test run: what was decided, by whom, and how long it took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_MOST = 60
_WIDEST = 60


def summary(rows: Sequence[Mapping[str, Any]], *, everything: bool) -> Iterator[str]:
    """A line per test.

    Args:
        rows: the properties of each test (``occ_…``), with its id as ``test``.
        everything: also more than a screenful.
    """
    shown = list(rows) if everything else _important_first(rows)[:_MOST]
    cells = [_cells(row) for row in sorted(shown, key=_order)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    if len(shown) < len(rows):
        yield f"… and {len(rows) - len(shown)} more (-v shows all)"


def _important_first(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: row["occ_verdict"] in ("holds", "not checked"))


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return str(row["test"]).partition("[")[0], str(row["occ_database"]), int(row["occ_n"]), str(row["test"])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    name = str(row["test"]).rpartition("::")[2].partition("[")[0]
    decided = f"{_cut(str(row['occ_decided']))} by {_cut(str(row['occ_by']))}" if row["occ_decided"] else "no decision"
    return (
        name,
        str(row["occ_database"]),
        f"n={row['occ_n']}",
        str(row["occ_verdict"]),
        decided,
        f"{float(row['occ_seconds']) * 1000:.0f} ms",
    )


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
