"""The option ``--occ-database``: what it takes, what it refuses and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ciris_occ.databases import Provider, parse, provider_for
from pytest_ciris_occ.databases.selection import NAMES
from pytest_ciris_occ.errors import UsageMistake

SECRET = "s3cr3t"  # noqa: S105


def test_names_come_back_in_their_order_and_once() -> None:
    """A list that somebody put together from two sources is no mistake."""
    labels = [selected.label for selected in parse(["postgres", " sqlite ", "sqlite", "", "sqlite-rollback"])]
    assert labels == ["postgres", "sqlite", "sqlite-rollback"]


@pytest.mark.parametrize(
    ("url", "label", "kind"),
    [
        (f"postgresql://me:{SECRET}@db.example:5433/app?sslmode=require", "postgres@db.example:5433", "postgres-url"),
        (f"postgres://me:{SECRET}@[::1]/app", "postgres@[::1]", "postgres-url"),
        (f"postgresql+asyncpg://me:p@{SECRET}/x@host", "postgres@host", "postgres-url"),
        ("postgresql:///app?host=/run/postgresql", "postgres@default", "postgres-url"),
        ("sqlite:////data/my.db", "sqlite@my.db", "sqlite-url"),
        ("sqlite+aiosqlite:///my.db?timeout=5", "sqlite@my.db", "sqlite-url"),
    ],
)
def test_a_url_gets_a_short_label_without_password(url: str, label: str, kind: str) -> None:
    """Labels stand in test ids, and so in every log."""
    (selected,) = parse([url])
    assert (selected.label, selected.kind, selected.url) == (label, kind, url)
    assert SECRET not in repr(selected)


def test_two_urls_of_one_server_have_two_labels() -> None:
    """Test ids must tell them apart."""
    found = parse(["postgresql://a@host/x", "postgresql://b@host/x"])
    assert [selected.label for selected in found] == ["postgres@host", "postgres@host-2"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sqllite", "did you mean 'sqlite'"),
        ("posgres-embeded", "did you mean 'postgres-embedded'"),
        ("oracle", "there is none of that name; known are sqlite"),
        ("postgres-container", "does not have it yet"),
        ("sqlite-container", "does not have it yet"),
        (f"mysql://me:{SECRET}@host/db", "'mysql' is not served"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(name: str, words: str) -> None:
    """It says what was given, and what would do; never a password."""
    with pytest.raises(UsageMistake) as caught:
        parse(["sqlite", name])
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("names", [[], ["", " "]])
def test_no_database_at_all_is_refused(names: list[str]) -> None:
    """Else a misspelt list would run no test and look green."""
    with pytest.raises(UsageMistake, match="no database was given"):
        parse(names)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_provider_of_that_name(name: str, tmp_path: Path, run_id: str) -> None:
    """Nothing is started by asking for it."""
    (selected,) = parse([name])
    provider = provider_for(selected, tmp_path, run_id)
    assert isinstance(provider, Provider)
    assert provider.name == name
    assert provider.unavailable() is None
    provider.close()
    assert list(tmp_path.iterdir()) == []


def test_postgres_is_the_given_server_else_the_embedded_one(tmp_path: Path) -> None:
    """A server that somebody names is better than one of ours."""
    (selected,) = parse(["postgres"])
    assert "crash" in provider_for(selected, tmp_path, "unused").capabilities
    assert provider_for(selected, tmp_path, "unused", "postgresql://u@host/db").capabilities == frozenset()


def test_a_url_has_a_provider_of_its_label(tmp_path: Path) -> None:
    """Both kinds."""
    for selected in parse([f"sqlite:///{tmp_path}/a.db", "postgresql://u@host/db"]):
        assert provider_for(selected, tmp_path, "unused").name == selected.label
