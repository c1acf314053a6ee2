"""The journal: where records arrive one by one, and their form on disk.

On disk a history is JSON lines: a header with the schema's version, then one record a line, written as it happens,
so that a run that is killed leaves what it saw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.history.history import SCHEMA, History, from_records
from pytest_ciris_occ.history.records import Setting


class Journal:
    """Takes records in, keeps them, and writes each at once where a file was asked for."""

    def __init__(self, setting: Setting, path: Path | None = None) -> None:
        """Begin with the header.

        Raises:
            UsageMistake: ``path`` cannot be written.
        """
        self._records: list[dict[str, Any]] = []
        self._file = _open(path) if path is not None else None
        self.write({"record": "history", "schema": SCHEMA, "setting": asdict(setting)})

    def write(self, record: dict[str, Any]) -> None:
        """Take one record in."""
        self._records.append(record)
        if self._file is not None:
            self._file.write(json.dumps(record, separators=(",", ":")) + "\n")
            self._file.flush()

    def history(self) -> History:
        """Everything so far."""
        return from_records(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def close(self) -> None:
        """Close the file, where there is one."""
        if self._file is not None:
            self._file.close()


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageMistake(
            f"the history cannot be written to {str(path)!r} ({error.strerror}); "
            f"give --occ-history a directory that can be made and written"
        ) from error


def read(path: Path) -> History:
    """Read a history back.

    A last line that is cut short (the run was killed while it wrote) is left out.

    Raises:
        ValueError: it is not a history, or of another schema.
    """
    return from_records(_lines(path))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a record of a history ({error})") from error
