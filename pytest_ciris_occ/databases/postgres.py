"""PostgreSQL on a server that is there: checks, and clean databases on it."""

from __future__ import annotations

import importlib.util
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pytest_ciris_occ.databases.provider import Database
from pytest_ciris_occ.errors import FleetBroken, OccError, Unavailable, UsageMistake

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import URL

    from pytest_ciris_occ.databases.janitor import Janitor

MINIMUM_VERSION = 140000
"""The oldest server that is served, as PostgreSQL numbers itself (14.0)."""

_CONNECT_SECONDS = 10
_SECRET_OPTION = re.compile(r"(?i)((?:ssl)?password=)[^&\s]*")


class PostgresProvider:
    """Clean databases on the user's own server.

    Nothing is asked of the server before the first database; then its version and the right to create databases are
    checked once. A janitor (:mod:`pytest_ciris_occ.databases.janitor`) drops what is left when the test run is killed.
    """

    # Not our server: it cannot be killed, and neither its clock nor its settings are ours.
    capabilities: frozenset[str] = frozenset()

    def __init__(self, url: str, *, name: str = "postgres") -> None:
        """Use the server of ``url``; the database named there is only where administration connects to."""
        self.name = name
        self._given = url
        self._url: URL | None = None
        self._prefix = f"occ_{secrets.token_hex(6)}_"
        self._janitor: Janitor | None = None

    def unavailable(self) -> str | None:
        """Say whether the driver is missing; the server itself is asked by the first :meth:`fresh`."""
        return driver_missing()

    @contextmanager
    def fresh(self) -> Iterator[Database]:
        """Create a database named ``occ_…``; it is dropped, open connections notwithstanding, at the end."""
        if self._url is None:
            self._url = self._checked()
        with clean_database(self._url, self._prefix) as database:
            yield database

    def close(self) -> None:
        """Let the janitor go, which drops what a fixture could not."""
        if self._janitor is not None:
            self._janitor.release()
        self._janitor = self._url = None

    def _checked(self) -> URL:
        url = parse_url(self._given)
        try:
            with connect(url) as connection:
                _require_version(connection, url)
                _require_createdb(connection, url)
        except FleetBroken as error:
            raise UsageMistake(str(error)) from error.__cause__
        from pytest_ciris_occ.databases.janitor import employ

        self._janitor = employ(url.render_as_string(hide_password=False), self._prefix)
        return url


def driver_missing() -> str | None:
    """Say in one sentence that psycopg is not installed, or return ``None``."""
    if importlib.util.find_spec("psycopg") is None:
        return "PostgreSQL needs the driver psycopg, which is not installed; pip install 'pytest-ciris-occ[postgres]'"
    return None


def mask(url: str) -> str:
    """Return ``url`` fit to be shown: no password, whatever else is wrong with it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "***@" + url.rpartition("@")[2] if "@" in url else url
    # The last @ ends the credentials: a password with an unescaped @ must not show its second half.
    credentials, at, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return scheme + separator + user + (":***" if colon else "") + at + _SECRET_OPTION.sub(r"\1***", place)


def parse_url(given: str) -> URL:
    """Return ``given`` as an SQLAlchemy URL whose driver is named.

    Raises:
        UsageMistake: it is no URL of a PostgreSQL server.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    wanted = "a URL like 'postgresql://user:password@host:5432/postgres' is expected"
    if given.partition("?")[0].count("@") > 1:
        # It would be read as another host, whose name would then be shown with a piece of the password.
        raise UsageMistake(
            f"{mask(given)!r} has more than one '@', so its host is not clear; write %40 within a password"
        )
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        # Not "from error": its message may quote a piece of the password.
        raise UsageMistake(f"{mask(given)!r} cannot be read as a database URL; {wanted}") from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise UsageMistake(f"{mask(given)!r} is not the URL of a PostgreSQL server; {wanted}")
    # Without a driver SQLAlchemy 2.0 takes psycopg2 and 2.1 psycopg: the one that our extra brings is named.
    return url.set(drivername="postgresql+psycopg") if "+" not in url.drivername else url


def connect(url: URL) -> psycopg.Connection[Any]:
    """Connect for administration, in autocommit.

    Raises:
        Unavailable: psycopg does not work here.
        FleetBroken: the server does not let us in; the sentence says why.
    """
    try:
        import psycopg
    except ImportError as error:
        raise Unavailable(driver_missing() or f"psycopg does not load ({error}); reinstall psycopg[binary]") from error
    try:
        return psycopg.connect(**_connect_arguments(url), autocommit=True)
    except psycopg.Error as error:
        raise FleetBroken(
            f"the PostgreSQL server {_shown(url)} does not let us in ({_reason(error, url)}); "
            f"check that it runs and that host, port, user, password and database are right"
        ) from None


def _connect_arguments(url: URL) -> dict[str, Any]:
    options = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    named = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
    given = {name: value for name, value in named.items() if value is not None}
    return {"connect_timeout": _CONNECT_SECONDS, "dbname": url.database or "postgres", **options, **given}


def _shown(url: URL) -> str:
    return repr(mask(url.render_as_string(hide_password=True)))


def _reason(error: Exception, url: URL) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(rf"(?<!\w){re.escape(url.password)}(?!\w)", "***", text) if url.password else text


def _require_version(connection: psycopg.Connection[Any], url: URL) -> None:
    if server_version_number(connection) < MINIMUM_VERSION:
        raise UsageMistake(
            f"the server {_shown(url)} is PostgreSQL {server_version(connection)}, and {MINIMUM_VERSION // 10000} is "
            f"the oldest that is served; use a newer server, or 'postgres-embedded'"
        )


def _require_createdb(connection: psycopg.Connection[Any], url: URL) -> None:
    row = connection.execute(
        "SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row is None or not row[0]:
        raise UsageMistake(
            f"the user of {_shown(url)} may not create databases, and each test needs a clean one; "
            f"grant it with ALTER ROLE … CREATEDB, or give another user"
        )


def server_version_number(connection: psycopg.Connection[Any]) -> int:
    """Return the server's version as one number, such as 180004."""
    return connection.info.server_version


def server_version(connection: psycopg.Connection[Any]) -> str:
    """Return the server's version as people write it, such as ``18.4``."""
    major, minor = divmod(server_version_number(connection), 10000)
    return f"{major}.{minor}"


@contextmanager
def clean_database(admin: URL, prefix: str, creation: str = "") -> Iterator[Database]:
    """Create a database on the server of ``admin``, with the options ``creation``, and drop it at the end.

    Raises:
        FleetBroken: the server is gone, or refused.
    """
    name = prefix + secrets.token_hex(6)
    version = _create(admin, name, creation)
    url = admin.set(database=name).render_as_string(hide_password=False)
    try:
        yield Database(name=name, url=url, server_version=version)
    except BaseException:
        # What went wrong in the body is the news; that the server is gone too would only hide it.
        with suppress(OccError):
            _drop(admin, name)
        raise
    _drop(admin, name)


def _create(admin: URL, name: str, creation: str) -> str:
    with connect(admin) as connection:
        # template0: whatever somebody has put into template1, and whoever is connected to it, is not in our way.
        _execute(connection, admin, f"CREATE DATABASE \"{name}\" ENCODING 'UTF8' TEMPLATE template0 {creation}")
        return server_version(connection)


def _drop(admin: URL, name: str) -> None:
    with connect(admin) as connection:
        drop_database(connection, name)


def _execute(connection: psycopg.Connection[Any], url: URL, statement: str) -> None:
    import psycopg

    try:
        connection.execute(statement.encode())
    except psycopg.Error as error:
        raise FleetBroken(
            f"the PostgreSQL server {_shown(url)} refused {statement!r} ({_reason(error, url)}); "
            f"look into its log, and give it what it lacks"
        ) from None


def drop_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop ``name``, and end the sessions that are still in it."""
    connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
