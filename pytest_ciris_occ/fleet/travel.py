"""How a test's function gets into another process, or the sentence that says why it cannot."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import dill

from pytest_ciris_occ.errors import UsageMistake


def pack(function: Callable[..., object]) -> bytes:
    """Pickle a function, its closure and its defaults.

    Raises:
        UsageMistake: it is not callable, or something that it holds cannot travel; the sentence names the variable.
    """
    if not callable(function):
        raise UsageMistake(
            f"the fleet was given {function!r:.80} to run, which cannot be called; give it a function that takes the "
            f"occurrence as its one argument"
        )
    try:
        # The main script has no module to refer to in another process: what the function uses travels with it.
        packed: bytes = dill.dumps(function, recurse=getattr(function, "__module__", None) == "__main__")
    except Exception as error:
        raise UsageMistake(_why_not(function, error)) from error
    return packed


def _why_not(function: Callable[..., object], error: Exception) -> str:
    name = getattr(function, "__qualname__", repr(function))
    for variable, value in _held(function):
        reason = _refusal(value)
        if reason is not None:
            return (
                f"{name} cannot travel to another process: its variable {variable!r} holds a "
                f"{type(value).__qualname__} ({reason}); make it inside the function instead, a connection from "
                f"occ.database_url"
            )
    return f"{name} cannot travel to another process ({error}); use a function whose variables can be pickled"


def _refusal(value: object) -> str | None:
    try:
        dill.dumps(value)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _held(function: Callable[..., object]) -> Iterator[tuple[str, Any]]:
    """Every variable that a function takes with it."""
    if isinstance(function, functools.partial):
        yield from ((f"argument {number}", value) for number, value in enumerate(function.args))
        yield from function.keywords.items()
        yield from _held(function.func)
        return
    if inspect.ismethod(function):
        yield "self", function.__self__
        yield from _held(function.__func__)
        return
    if inspect.isfunction(function):
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # a variable that has no value yet
                yield variable, cell.cell_contents
        signature = inspect.signature(function)
        yield from ((p.name, p.default) for p in signature.parameters.values() if p.default is not p.empty)
        yield from inspect.getclosurevars(function).globals.items()
