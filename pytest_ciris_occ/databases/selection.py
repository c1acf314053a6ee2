"""Which databases were asked for: the option ``--occ-database`` as values, and the provider of each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pytest_ciris_occ.databases.postgres import mask
from pytest_ciris_occ.databases.provider import Provider
from pytest_ciris_occ.errors import UsageMistake

Kind = Literal["sqlite", "sqlite-rollback", "postgres", "postgres-embedded", "postgres-url", "sqlite-url"]

NAMES: dict[str, Kind] = {
    "sqlite": "sqlite",
    "sqlite-rollback": "sqlite-rollback",
    "postgres": "postgres",
    "postgres-embedded": "postgres-embedded",
}
"""What can be named, URLs apart."""

_LATER = frozenset({"postgres-container", "sqlite-container"})
_KNOWN = f"known are {', '.join(NAMES)}, and URLs (postgresql://…, sqlite:////directory/name.db)"


@dataclass(frozen=True, slots=True)
class Selected:
    """One entry of the option.

    Attributes:
        label: for test ids and reports, without password; no two entries of one selection share it.
        kind: what it is.
        url: the URL that was given, if one was; not part of ``repr``.
    """

    label: str
    kind: Kind
    url: str | None = field(default=None, repr=False)


def parse(names: Sequence[str]) -> list[Selected]:
    """Return what ``names`` ask for, in their order; an entry that is given twice counts once.

    Raises:
        UsageMistake: a name is unknown or belongs to a later version, a URL is of no kind that is served, or there is
            nothing.
    """
    found = list(dict.fromkeys(_entry(name.strip()) for name in names if name.strip()))
    if not found:
        raise UsageMistake(f"no database was given, and tests without one cannot run; {_KNOWN}")
    return list(_labelled_apart(found))


def _entry(name: str) -> Selected:
    if "://" in name:
        return _url_entry(name)
    if name in NAMES:
        return Selected(name, NAMES[name])
    if name in _LATER:
        raise UsageMistake(f"{name!r} was given as a database, and this version does not have it yet; {_KNOWN}")
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UsageMistake(f"{name!r} was given as a database, and there is none of that name; {hint}{_KNOWN}")


def _url_entry(url: str) -> Selected:
    backend = url.partition("://")[0].partition("+")[0].lower()
    if backend in {"postgresql", "postgres"}:
        return Selected(f"postgres@{_place(url)}", "postgres-url", url)
    if backend == "sqlite":
        return Selected(f"sqlite@{_sqlite_path(url).name}", "sqlite-url", url)
    raise UsageMistake(f"{mask(url)!r} was given as a database, and {backend!r} is not served; {_KNOWN}")


def _place(url: str) -> str:
    """Return host and port of ``url``, and nothing of its credentials."""
    after_credentials = url.partition("://")[2].rpartition("@")[2]
    return after_credentials.partition("?")[0].partition("/")[0] or "default"


def _sqlite_path(url: str) -> Path:
    name = url.partition("://")[2].removeprefix("/").partition("?")[0]
    if name in {"", ":memory:"} or ":memory:" in url or "mode=memory" in url:
        raise UsageMistake(
            f"{url!r} is a database in memory, which no second process can see; give a file: sqlite:////directory/name.db"
        )
    return Path(name)


def _labelled_apart(entries: Iterable[Selected]) -> Iterable[Selected]:
    seen: dict[str, int] = {}
    for entry in entries:
        seen[entry.label] = seen.get(entry.label, 0) + 1
        count = seen[entry.label]
        yield entry if count == 1 else replace(entry, label=f"{entry.label}-{count}")


def provider_for(selected: Selected, run_directory: Path, run_id: str, postgres_url: str | None = None) -> Provider:
    """Return the provider of one entry; nothing is started yet.

    ``postgres`` is the server of ``postgres_url`` when that is given, else the embedded one, whose
    :meth:`~pytest_ciris_occ.databases.provider.Provider.unavailable` has the reason when there is none either.

    """
    from pytest_ciris_occ.databases.embedded import EmbeddedProvider
    from pytest_ciris_occ.databases.postgres import PostgresProvider
    from pytest_ciris_occ.databases.sqlite import SqliteProvider, SqliteUrlProvider

    match selected.kind:
        case "sqlite" | "sqlite-rollback":
            return SqliteProvider(run_directory, "wal" if selected.kind == "sqlite" else "delete")
        case "sqlite-url":
            url = selected.url or ""
            drivername = url.partition("://")[0]
            return SqliteUrlProvider(_sqlite_path(url), name=selected.label, drivername=drivername)
        case "postgres-url":
            return PostgresProvider(selected.url or "", name=selected.label)
        case "postgres" if postgres_url:
            return PostgresProvider(postgres_url, name=selected.label)
        case "postgres" | "postgres-embedded":
            return EmbeddedProvider(run_id, name=selected.label)
