"""The embedded server: one for all who name the same run, closed to everybody else, and gone with the last of them."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from pytest_ciris_occ.databases import Provider, cache, cluster, wait_server_gone
from pytest_ciris_occ.databases import embedded as room
from pytest_ciris_occ.databases.cluster import Server
from pytest_ciris_occ.databases.embedded import EmbeddedProvider
from pytest_ciris_occ.errors import FleetBroken, UsageMistake
from pytest_ciris_occ.fleet.linux import wait_gone
from pytest_ciris_occ.fleet.rundir import RunDirectory
from tests.unit.databases.processes import runs

HOLDER = """
    import dataclasses
    from pytest_ciris_occ.databases.embedded import EmbeddedProvider
    provider = EmbeddedProvider({run_id!r})
    with provider.fresh() as database:
        say([dataclasses.asdict(provider.server()), database.name, database.url])
        stay()
    provider.close()
"""


def segments(pid: int) -> list[str]:
    """Return the System V segments that the process ``pid`` made."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return [row[1] for row in rows if int(row[4]) == pid]


def family(pid: int) -> list[int]:
    """Return the postmaster and its children."""
    return [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def kill_server(processes: list[int]) -> None:
    os.kill(processes[0], signal.SIGKILL)
    wait_gone(processes, 10)


def assert_gone(server: Server, run_id: str, processes: list[int]) -> None:
    assert wait_server_gone(run_id)
    wait_gone([server.watchdog], 10)
    assert not any(runs(pid) for pid in processes)
    assert segments(server.pid) == []
    assert not room._place(run_id).exists()
    assert server.sockets is None or not Path(server.sockets).exists()
    with socket.socket() as caller:
        assert caller.connect_ex(("127.0.0.1", server.port)) != 0


def test_each_database_is_clean_and_gone_afterwards(embedded: EmbeddedProvider) -> None:
    """Through SQLAlchemy, as a user would come."""
    provider: Provider = embedded
    with provider.fresh() as first, provider.fresh() as second:
        assert first.name != second.name
        engine = create_engine(first.url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
        with psycopg.connect(second.url.replace("+psycopg", "")) as other:
            assert other.execute("SELECT 1 FROM pg_tables WHERE tablename = 't'").fetchall() == []
        admin = make_url(first.url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(admin.render_as_string(hide_password=False)) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'occ%'").fetchall()
    assert left == []
    engine.dispose()


def test_the_settings_fit_tests_and_keep_the_meaning_of_commit(embedded: EmbeddedProvider) -> None:
    """Fast where only a power cut would notice; room for twenty occurrences with pools; no shared memory outside."""
    wanted = {
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "on",
        "autovacuum": "on",
        "jit": "off",
        "max_connections": "300",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "default_transaction_isolation": "read committed",
        "listen_addresses": "127.0.0.1",
        "password_encryption": "scram-sha-256",
        "dynamic_shared_memory_type": "mmap",
    }
    with embedded.fresh() as database, psycopg.connect(database.url.replace("+psycopg", "")) as connection:
        found = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in wanted}
    assert found == {name: (value,) for name, value in wanted.items()}
    assert "/dev/shm/PostgreSQL" not in Path(f"/proc/{embedded.server().pid}/maps").read_text()  # noqa: S108


def test_nobody_gets_in_without_the_password(embedded: EmbeddedProvider) -> None:
    """Neither by TCP nor by the socket, which only the server's account can enter."""
    server = embedded.server()
    for host in ("127.0.0.1", server.sockets or "127.0.0.1"):
        for password in ("", "occ", "postgres"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(host=host, port=server.port, user="occ", dbname="postgres", password=password)
    assert server.sockets is not None
    assert stat.S_IMODE(Path(server.sockets).stat().st_mode) == 0o700
    state = room._place(embedded._run_id) / "server.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert server.password not in repr(server)
    assert server.password not in Path(f"/proc/{server.pid}/cmdline").read_text()


def test_every_start_has_a_password_of_its_own(embedded: EmbeddedProvider, theirs: str) -> None:
    """Although both servers come from one template."""
    assert embedded.server().password != make_url(theirs).password
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host="127.0.0.1",
            port=embedded.server().port,
            user="occ",
            dbname="postgres",
            password=make_url(theirs).password,
        )


def test_close_ends_the_server_and_all_that_was_its(run_id: str) -> None:
    """Processes, directory, socket, shared memory, port."""
    provider = EmbeddedProvider(run_id)
    server = provider.server()
    processes = family(server.pid)
    assert segments(server.pid)
    assert len(processes) > 1
    provider.close()
    assert_gone(server, run_id, processes)


def test_a_closed_provider_can_be_used_again(embedded: EmbeddedProvider, run_id: str) -> None:
    """At once, whether the first server is still there (then it stays), going, or gone (then there is another)."""
    for _ in range(5):
        with embedded.fresh():
            assert runs(embedded.server().pid)
        assert run_id in str(embedded.server().sockets)
        embedded.close()


def test_two_processes_share_one_server_until_the_last_has_gone(run_id: str, child: Callable[..., Any]) -> None:
    """Both begin at once; the first to end takes nothing with it."""
    one, two = (child(HOLDER.format(run_id=run_id)) for _ in range(2))
    (server, first, _), (same, second, url) = one.says(), two.says()
    assert server == same
    assert first != second
    one.end()
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    processes = family(server["pid"])
    two.end()
    assert_gone(Server(**server), run_id, processes)


def test_everything_goes_when_the_holder_is_killed(run_id: str, child: Callable[..., Any]) -> None:
    """SIGKILL, with a database open: nobody has said good-bye."""
    holder = child(HOLDER.format(run_id=run_id))
    state, _, url = holder.says()
    server = Server(**state)
    open_connection = psycopg.connect(url.replace("+psycopg", ""))
    processes = family(server.pid)
    holder.kill()
    assert_gone(server, run_id, processes)
    open_connection.close()


def test_a_killed_server_gets_a_sentence_and_leaves_nothing(run_id: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The postmaster's SIGKILL is the hardest case: it cannot remove its shared memory."""
    provider = EmbeddedProvider(run_id)
    server = provider.server()
    processes = family(server.pid)
    with pytest.raises(FleetBroken, match="is gone") as caught, provider.fresh():
        kill_server(processes)
    assert "its log ends" in str(caught.value)
    assert server.password not in str(caught.value)
    with pytest.raises(FleetBroken, match="is gone"), provider.fresh():
        pass
    assert segments(server.pid) == []
    provider.close()
    assert_gone(server, run_id, processes)
    assert capfd.readouterr().err == ""


def test_what_went_wrong_in_the_body_is_not_hidden_by_a_dead_server(embedded: EmbeddedProvider) -> None:
    """The user sees their own exception."""
    processes = family(embedded.server().pid)

    def body() -> None:
        with embedded.fresh():
            kill_server(processes)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()


def test_a_killed_watchdog_takes_the_server_with_it(
    embedded: EmbeddedProvider, run_id: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel asks the server to quit; the directory is swept by who waits for it, or by the next run."""
    monkeypatch.setattr("tempfile.tempdir", str(place))  # where no other run sweeps
    server = embedded.server()
    processes = family(server.pid)
    os.kill(server.watchdog, signal.SIGKILL)
    wait_gone(processes, 10)
    assert segments(server.pid) == []
    embedded.close()
    assert_gone(server, run_id, processes)


def test_a_taken_port_is_left_to_its_owner(embedded: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody listens there between our look and the start: the server goes to another."""
    real = cluster._reserved_port
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        tries: list[int] = []

        class Reserved:
            def __enter__(self) -> int:
                self.inner = real()
                tries.append(taken if not tries else self.inner.__enter__())
                return tries[-1]

            def __exit__(self, *_: object) -> None:
                if len(tries) > 1:
                    self.inner.__exit__(None, None, None)

        monkeypatch.setattr(cluster, "_reserved_port", Reserved)
        with embedded.fresh():
            assert embedded.server().port == tries[-1] != taken
        assert len(tries) == 2


def test_a_server_that_does_not_start_shows_its_log(
    run_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And who comes later in the same run gets the same sentence at once."""
    monkeypatch.setattr(cache, "_parent", lambda: tmp_path)
    if os.geteuid() == 0:
        monkeypatch.setattr(cache, "_root", lambda: None)
    monkeypatch.setattr(cluster, "_set_password", _break_settings)
    first, second = EmbeddedProvider(run_id), EmbeddedProvider(run_id)
    held = RunDirectory.shared(f"pg-{run_id}")
    with pytest.raises(FleetBroken, match=r'did not start; its log ends: .*"nonsense"') as caught:
        first.server()
    monkeypatch.setattr(cluster, "start", lambda _directory: pytest.fail("started once more"))
    with pytest.raises(FleetBroken) as again:
        second.server()
    assert str(again.value) == str(caught.value)
    held.release()


def test_a_disk_that_is_full_gets_a_sentence(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the operating system refuses while the server is set up."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cluster, "_sockets", fail)
    with pytest.raises(FleetBroken, match=r"could not be set up.*No space left"):
        EmbeddedProvider(run_id).server()


def test_an_unwritable_temporary_directory_gets_a_sentence(
    unprivileged: Callable[[str], Any], place: Path, run_id: str
) -> None:
    """Seen without privileges, because root may write anywhere."""
    (place / "shut").mkdir(mode=0o555)
    said = unprivileged(f"""
        import tempfile
        from pytest_ciris_occ.databases.embedded import EmbeddedProvider
        from pytest_ciris_occ.errors import UsageMistake
        from pytest_ciris_occ.fleet import rundir
        tempfile.tempdir = {str(place / "shut")!r}
        rundir._MEMORY = rundir.Path("/nowhere")
        try:
            EmbeddedProvider({run_id!r}).server()
        except UsageMistake as error:
            say(str(error))
    """).says()
    assert "Permission denied" in said
    assert "TMPDIR" in said


def _break_settings(data: Path, *_: object) -> str:
    with (data / "postgresql.conf").open("a") as file:
        file.write("nonsense = on\n")
    return "unused"


def test_a_start_that_is_interrupted_leaves_nothing(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before there is a watchdog, and after."""
    for name in ("_set_password", "_wait_until_ready"):
        with monkeypatch.context() as patch:
            patch.setattr(cluster, name, _interrupt)
            with pytest.raises(KeyboardInterrupt):
                EmbeddedProvider(run_id).server()
        assert wait_server_gone(run_id)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["_set_password", "_wait_until_ready"])
def test_a_start_that_was_killed_in_the_middle_does_not_stop_the_next(
    run_id: str, step: str, child: Callable[..., Any], embedded: EmbeddedProvider
) -> None:
    """A worker is killed with the lock in its hand, before or after its server runs; another holds the directory."""
    held = RunDirectory.shared(f"pg-{run_id}")
    starter = child(f"""
        from pytest_ciris_occ.databases import cluster, guard
        from pytest_ciris_occ.databases.embedded import EmbeddedProvider
        real = cluster.{step}
        def wait(*given):
            if {step!r} == "_wait_until_ready":
                real(*given)
            say([watchdog.pid for watchdog in guard._started])
            stay()
        cluster.{step} = wait
        EmbeddedProvider({run_id!r}).server()
    """)
    orphaned = starter.says()
    starter.kill()
    with embedded.fresh() as database:
        assert database.server_version
    server = embedded.server()
    held.release()
    embedded.close()
    wait_gone([server.watchdog, *orphaned], 10)
    assert_gone(server, run_id, [server.pid, *orphaned])


def test_a_long_temporary_directory_needs_no_socket(place: Path, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Unix socket's path has at most 107 bytes; TCP does not care."""
    deep = place / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    monkeypatch.setattr("pytest_ciris_occ.fleet.rundir._MEMORY", Path("/nowhere"))
    provider = EmbeddedProvider(run_id)
    with provider.fresh() as database, psycopg.connect(database.url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server = provider.server()
    assert server.sockets is None
    provider.close()
    assert_gone(server, run_id, [server.pid])
    assert list(deep.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives processes to another account")
def test_root_gives_the_server_to_nobody(embedded: EmbeddedProvider) -> None:
    """PostgreSQL refuses root, and a temporary directory that is closed to others gets a sentence."""
    status = Path(f"/proc/{embedded.server().pid}/status").read_text()
    assert "Uid:\t65534\t65534\t65534\t65534" in status
    assert "Groups:\t \n" in status or "Groups:\t\n" in status


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives processes to another account")
def test_a_closed_temporary_directory_gets_a_sentence(
    place: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /root/tmp is."""
    (place / "closed").mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(place / "closed"))
    monkeypatch.setattr("pytest_ciris_occ.fleet.rundir._MEMORY", Path("/nowhere"))
    with pytest.raises(UsageMistake, match=r"closed to the user 'nobody'.*TMPDIR"):
        EmbeddedProvider(run_id).server()
    assert list((place / "closed").iterdir()) == []


def test_without_privileges_and_without_cache(unprivileged: Callable[[str], Any], place: Path, run_id: str) -> None:
    """A first run as an ordinary user: initdb, start, a database, and nothing left but the cache."""
    worker = unprivileged(HOLDER.format(run_id=run_id))
    state, _, url = worker.says()
    server = Server(**state)
    processes = family(server.pid)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    worker.kill()
    wait_gone([server.watchdog], 10)
    assert not any(runs(pid) for pid in processes)
    assert segments(server.pid) == []
    assert [path.name for path in (place / "home").iterdir()] == ["cache"]
    (template,) = (place / "home" / "cache" / "pytest-ciris-occ").glob("data-*/data")
    assert stat.S_IMODE(template.stat().st_mode) == 0o700


def test_waiting_for_a_server_that_never_was(run_id: str) -> None:
    """A run without PostgreSQL asks all the same."""
    assert wait_server_gone(run_id)


def test_waiting_for_a_server_that_is_still_held_is_bounded(embedded: EmbeddedProvider, run_id: str) -> None:
    """It says so."""
    embedded.server()
    assert not wait_server_gone(run_id, 0.05)
