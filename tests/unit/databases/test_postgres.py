"""A server that somebody else runs: clean databases on it, and one sentence for whatever is wrong with it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from pytest_ciris_occ.databases import Provider, postgres
from pytest_ciris_occ.databases.postgres import PostgresProvider, mask
from pytest_ciris_occ.errors import FleetBroken, OccError, UsageMistake
from pytest_ciris_occ.fleet.linux import wait_gone

SECRET = "s3cr3t"  # noqa: S105


def names(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'occ\\_%'")}


def refusal(provider: Provider, kind: type[OccError] = UsageMistake) -> str:
    with pytest.raises(kind) as caught, provider.fresh():
        pass
    provider.close()
    return str(caught.value)


def test_each_database_is_clean_and_gone_afterwards(theirs: str) -> None:
    """Also while somebody is still connected; UTF8 whatever template1 is."""
    provider: Provider = PostgresProvider(theirs)
    with provider.fresh() as first, provider.fresh() as second:
        assert {first.name, second.name} <= names(theirs)
        assert first.server_version is not None
        assert "url" not in repr(first)
        engine = create_engine(first.url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
            assert connection.execute(text("SHOW server_encoding")).scalar() == "UTF8"
        engine.dispose()
        left_open = psycopg.connect(second.url.replace("+psycopg", ""))
    with provider.fresh() as third:
        engine = create_engine(third.url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM pg_tables WHERE tablename = 't'")).scalar() == 0
        engine.dispose()
    provider.close()
    assert names(theirs).isdisjoint({first.name, second.name, third.name})
    left_open.close()


def test_what_somebody_put_into_template1_is_not_in_a_clean_database(theirs: str) -> None:
    """And a session that is open there is not in the way."""
    with psycopg.connect(theirs.replace("/postgres", "/template1"), autocommit=True) as connection:
        connection.execute("CREATE TABLE surprise (x INTEGER)")
        provider = PostgresProvider(theirs)
        with provider.fresh() as database, psycopg.connect(database.url.replace("+psycopg", "")) as other:
            found = other.execute("SELECT 1 FROM pg_tables WHERE tablename = 'surprise'").fetchall()
        provider.close()
        connection.execute("DROP TABLE surprise")
    assert found == []


def test_databases_go_when_the_process_is_killed(theirs: str, child: Callable[..., Any]) -> None:
    """Nobody is left to drop them but the janitor."""
    holder = child(f"""
        from pytest_ciris_occ.databases.postgres import PostgresProvider
        provider = PostgresProvider({theirs!r})
        with provider.fresh() as first, provider.fresh() as second:
            say([first.name, second.name, provider._janitor._watchdog.pid])
            stay()
    """)
    first, second, watchdog = holder.says()
    assert {first, second} <= names(theirs)
    holder.kill()
    wait_gone([watchdog], 10)
    assert names(theirs).isdisjoint({first, second})


def test_a_wrong_password_gets_a_sentence_without_it(theirs: str) -> None:
    """Nor does the traceback of its cause have it."""
    url = make_url(theirs).set(password=SECRET).render_as_string(hide_password=False)
    sentence = refusal(PostgresProvider(url))
    assert "password authentication failed" in sentence
    assert ":***@127.0.0.1" in sentence
    assert SECRET not in sentence


def test_a_database_that_is_not_there_gets_a_sentence(theirs: str) -> None:
    """The database of the URL is where administration connects to."""
    assert 'database "absent" does not exist' in refusal(PostgresProvider(theirs.replace("/postgres", "/absent")))


def test_a_port_without_server_gets_a_sentence() -> None:
    """The port is bound and does not listen, so that nobody can be there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert "Connection refused" in refusal(PostgresProvider(f"postgresql://u:{SECRET}@127.0.0.1:{port}/db"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql://u:{SECRET}@host:port/db", "cannot be read"),
        (f"postgresql//u:{SECRET}@host/db", "cannot be read"),
        (f"mysql://u:{SECRET}@host/db", "is not the URL of a PostgreSQL server"),
        (f"postgresql://u:{SECRET}@127.0.0.1/db?nonsense=1", "nonsense"),
        (f"postgresql://u:{SECRET}@host.invalid/db", "host.invalid"),
        (f"postgresql://127.0.0.1/db?user=u&password={SECRET}&port=1", "Connection refused"),
        (f"postgresql://u:p@{SECRET}@127.0.0.1:1/db", "more than one '@'"),
    ],
)
def test_a_url_that_leads_nowhere_gets_a_sentence_without_its_password(url: str, words: str) -> None:
    """Whatever is wrong with it."""
    sentence = refusal(PostgresProvider(url))
    assert words in sentence
    assert SECRET not in sentence
    assert "u:p@" not in sentence


def test_a_server_that_is_too_old_gets_a_sentence(theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were PostgreSQL 13.9."""
    monkeypatch.setattr(postgres, "server_version_number", lambda _connection: 130009)
    assert "is PostgreSQL 13.9, and 14 is the oldest that is served" in refusal(PostgresProvider(theirs))


def test_a_user_who_may_not_create_databases_gets_a_sentence(theirs: str) -> None:
    """The check comes before the first CREATE DATABASE fails in the middle of a test."""
    with psycopg.connect(theirs, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE poor LOGIN PASSWORD '{SECRET}'".encode())
        try:
            url = make_url(theirs).set(username="poor", password=SECRET)
            sentence = refusal(PostgresProvider(url.render_as_string(hide_password=False)))
        finally:
            connection.execute("DROP ROLE poor")
    assert "may not create databases" in sentence
    assert SECRET not in sentence


def test_a_refused_statement_gets_a_sentence(theirs: str) -> None:
    """A limit of connections, a full disk: the server's own words are in it."""
    provider = PostgresProvider(theirs)
    provider._prefix = "occ_" + "x" * 60 + '"; nonsense'
    assert "refused 'CREATE DATABASE" in refusal(provider, FleetBroken)


def test_a_missing_driver_is_a_reason_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the extra that brings it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "pytest-ciris-occ[postgres]" in (PostgresProvider("postgresql://h/d").unavailable() or "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://u:p@q@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?password=p&x=1", "postgresql://h/d?password=***&x=1"),
        ("postgresql:///d", "postgresql:///d"),
        ("postgresql//u:p@h/d", "***@h/d"),
    ],
)
def test_masked_urls(url: str, shown: str) -> None:
    """Nothing but the password goes."""
    assert mask(url) == shown
