"""SQLite files: clean, in the journal mode that was asked for, and gone afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from pytest_ciris_occ.databases import Provider
from pytest_ciris_occ.databases.sqlite import Journal, SqliteProvider, SqliteUrlProvider
from pytest_ciris_occ.errors import UsageMistake


@pytest.mark.parametrize(("journal", "name"), [("wal", "sqlite"), ("delete", "sqlite-rollback")])
def test_user_code_finds_the_journal_mode_without_asking(tmp_path: Path, journal: Journal, name: str) -> None:
    """The mode is a property of the file: a bare connection has it, and its files go with the database."""
    provider = SqliteProvider(tmp_path, journal)
    with provider.fresh() as database, closing(sqlite3.connect(database.name)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (journal,)
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
        beside = {path.name for path in Path(database.name).parent.iterdir()}
        assert ("occ.db-wal" in beside) == (journal == "wal")
    assert provider.name == name
    assert list(tmp_path.iterdir()) == []


def test_each_database_is_clean_and_another(tmp_path: Path) -> None:
    """Two databases at once, and one after the other, share nothing."""
    provider: Provider = SqliteProvider(tmp_path)
    with provider.fresh() as first, provider.fresh() as second:
        assert first.name != second.name
        assert first.server_version == sqlite3.sqlite_version
        for database in (first, second):
            engine = create_engine(database.url)
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE t (x INTEGER)"))
            engine.dispose()
    with provider.fresh() as third, closing(sqlite3.connect(third.name)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    provider.close()


def test_a_file_is_gone_although_the_test_failed(tmp_path: Path) -> None:
    """An exception in the body passes, and the file goes all the same."""
    with pytest.raises(ZeroDivisionError), SqliteProvider(tmp_path).fresh():
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["with space", "ünï", "a#b", "a%20b", "a@b:c"])
def test_odd_directories_make_urls_that_lead_to_the_file(tmp_path: Path, folder: str) -> None:
    """SQLAlchemy opens the very file that was prepared."""
    (tmp_path / folder).mkdir()
    with SqliteProvider(tmp_path / folder).fresh() as database:
        engine = create_engine(database.url)
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA database_list")).one()[2] == database.name
        engine.dispose()


def test_a_path_that_no_url_can_carry_is_refused(tmp_path: Path) -> None:
    """SQLAlchemy 2.0 cannot write a question mark, and would silently go to another file; 2.1 can."""
    (tmp_path / "what?").mkdir()
    try:
        with SqliteProvider(tmp_path / "what?").fresh() as database:
            assert make_url(database.url).database == database.name
    except UsageMistake as error:
        assert "cannot be written as a database URL" in str(error)  # noqa: PT017
    assert list((tmp_path / "what?").iterdir()) == []


def test_a_directory_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    """The sentence names the directory and the reason."""
    with pytest.raises(UsageMistake, match=r"absent.*No such file"), SqliteProvider(tmp_path / "absent").fresh():
        pass


def test_an_unwritable_directory_gets_a_sentence(unprivileged: Callable[[str], Any], place: Path) -> None:
    """Seen without privileges, because root may write anywhere."""
    closed = place / "closed"
    closed.mkdir(mode=0o555)
    said = unprivileged(f"""
        from pathlib import Path
        from pytest_ciris_occ.databases.sqlite import SqliteProvider, SqliteUrlProvider
        from pytest_ciris_occ.errors import UsageMistake
        closed, said = Path({str(closed)!r}), []
        for provider in (SqliteProvider(closed), SqliteUrlProvider(closed / "a.db", name="x")):
            try:
                with provider.fresh():
                    pass
            except UsageMistake as error:
                said.append(str(error))
        say(said)
    """).says()
    assert len(said) == 2
    assert all(str(closed) in sentence and "Permission denied" in sentence for sentence in said)


def test_a_url_makes_files_beside_its_path_and_leaves_nothing(tmp_path: Path) -> None:
    """The file of the URL is never made; the folder beside it goes with the provider."""
    provider: Provider = SqliteUrlProvider(tmp_path / "my.db", name="sqlite@my.db", drivername="sqlite+pysqlite")
    with provider.fresh() as first, provider.fresh() as second:
        assert first.name != second.name
        for database in (first, second):
            assert Path(database.name).name == "my.db"
            assert make_url(database.url).drivername == "sqlite+pysqlite"
            assert tmp_path in Path(database.name).parents
    provider.close()
    assert list(tmp_path.iterdir()) == []


def test_a_url_of_data_that_is_there_is_refused_and_untouched(tmp_path: Path) -> None:
    """Somebody's database stays as it is."""
    (tmp_path / "my.db").write_bytes(b"precious")
    with pytest.raises(UsageMistake, match="there already"), SqliteUrlProvider(tmp_path / "my.db", name="x").fresh():
        pass
    assert (tmp_path / "my.db").read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["my.db"]


def test_files_beside_a_url_go_when_the_process_is_killed(tmp_path: Path, child: Callable[..., Any]) -> None:
    """The watchdog removes them."""
    from pytest_ciris_occ.fleet.linux import wait_gone

    holder = child(f"""
        from pathlib import Path
        from pytest_ciris_occ.databases.sqlite import SqliteUrlProvider
        provider = SqliteUrlProvider(Path({str(tmp_path / "my.db")!r}), name="x")
        with provider.fresh() as database:
            say([database.name, provider._held[1].pid])
            stay()
    """)
    name, watchdog = holder.says()
    assert Path(name).exists()
    holder.kill()
    wait_gone([watchdog], 10)
    assert list(tmp_path.iterdir()) == []
