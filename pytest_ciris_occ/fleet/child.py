"""What happens in an occurrence's own process, between its birth and its end."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import json
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dill

from pytest_ciris_occ.fleet import engines, imports
from pytest_ciris_occ.fleet.channel import Channel
from pytest_ciris_occ.fleet.linux import die_with_parent
from pytest_ciris_occ.fleet.occurrence import Identity, Occurrence
from pytest_ciris_occ.fleet.orders import Load, Spawn

# A real-time signal: no library uses one, and user code is unlikely to.
STACKS = signal.SIGRTMAX - 1

_TRACEBACK = 20_000


def become_occurrence(order: Spawn, fds: tuple[int, int, int], base: Mapping[str, str], zygote_pid: int) -> Channel:
    """Turn a new child of the zygote into a process of its own: session, signals, output, environment, channel."""
    die_with_parent()
    if os.getppid() != zygote_pid:
        os._exit(1)  # the zygote died before the line above
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    channel, out, err = fds
    os.dup2(out, 1)
    os.dup2(err, 2)
    for fd in (out, err):
        os.close(fd)
    _set_environment({**base, **order.environment})
    return Channel(channel)


def _set_environment(wanted: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update({name: value for name, value in wanted.items() if os.environ.get(name) != value})


def run_function(occ: Occurrence, channel: Channel, function: Callable[[Occurrence], object]) -> None:
    """Wait for the start, run the user's function, tell how it ended, and leave as an ordinary process would."""
    atexit._clear()  # noqa: SLF001 - the zygote's are not ours; multiprocessing does the same
    faulthandler.register(STACKS, file=2, all_threads=True, chain=False)
    engines.forget_inherited_pools()
    random.seed(f"{occ.identity.seed}:{occ.occurrence_id}:{occ.identity.incarnation}")
    channel.ask({"record": "ready"})
    code = 0
    try:
        function(occ)
    except SystemExit as error:
        code = _exit_code(error)
    except BaseException as error:
        code = 1
        channel.tell(_raised(error))
        traceback.print_exc()
    else:
        channel.tell({"record": "returned"})
    _leave(code)


def _exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def _raised(error: BaseException) -> dict[str, Any]:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    origin = getattr(error, "orig", None)  # SQLAlchemy wraps the driver's own exception
    if origin is not None:
        kinds += [kind.__name__ for kind in type(origin).__mro__]
    text = "".join(traceback.format_exception(error))
    detail = f"{type(error).__name__}: {error}"
    return {"record": "raised", "detail": detail[:2000], "kinds": kinds, "traceback": text[-_TRACEBACK:]}


def _leave(code: int) -> None:
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads that are no daemons
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def run_command(order: Spawn, channel: Channel) -> None:
    """Wait for the start, and become the user's program."""
    channel.ask({"record": "ready"})
    try:
        if order.cwd:
            os.chdir(order.cwd)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and an ignored signal outlives exec
        os.execvp(order.argv[0], order.argv)  # noqa: S606 - the user's own command line
    except OSError as error:
        channel.tell({"record": "raised", "detail": f"cannot run {order.argv[0]!r}: {error.strerror}", "kinds": []})
        os._exit(127)


def occurrence(order: Spawn, channel: Channel, target: Any) -> Occurrence:
    """Build what the user's function is given."""
    return Occurrence(Identity(**order.identity), channel, target)


def load(order: Load) -> tuple[Any, Any]:
    """Do what a :class:`Load` asks; return the target and the function (``None`` where there is none).

    Raises:
        BaseException: whatever the user's modules raise.
    """
    sys.path[:] = list(order.sys_path)
    os.chdir(order.cwd)
    imports.install(order.modules, order.rewriter)
    target = imports.load_attribute(order.target) if order.target else None
    if order.database_url:
        engines.prepare(order.database_url)
        warm = getattr(target, "warm", None)
        if warm is not None:
            warm(order.database_url)
    function = dill.loads(Path(order.function_file).read_bytes()) if order.function_file else None  # noqa: S301 - our own
    return target, function


def main(argv: list[str]) -> None:
    """Run as a fresh interpreter: load everything here, where no fork can have left anything."""
    spawn, loading = Spawn(**json.loads(argv[0])), Load(**json.loads(argv[1]))
    channel = Channel(int(argv[2]))
    try:
        target, function = load(loading)
    except BaseException as error:
        channel.tell(_raised(error))
        traceback.print_exc()
        os._exit(1)
    run_function(occurrence(spawn, channel, target), channel, function)
