"""Finding the implementation under test, and saying what is wrong with it before any process starts."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_ciris_occ.errors import UsageMistake

_METHODS = ("create", "open")


@dataclass(frozen=True, slots=True)
class LoadedTarget:
    """An implementation that was found and has the methods it needs.

    Attributes:
        reference: ``MODULE:ATTR``, by which the occurrences load it again.
        target: the object.
        capabilities: the optional abilities that it names.
    """

    reference: str
    target: Any
    capabilities: frozenset[str]


def load_target(reference: str, places: Sequence[Path] = ()) -> LoadedTarget:
    """Load ``MODULE:ATTR``.

    Args:
        reference: what to load.
        places: folders that are added to the search path when the module is not found without them, because the
            ``pytest`` command, unlike ``python -m pytest``, does not look in the working directory.

    Raises:
        UsageMistake: it cannot be imported, is not there, or is not a target.
    """
    module_name, _, attribute = reference.partition(":")
    target: Any = _import(module_name, reference, places)
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise UsageMistake(_not_there(reference, module_name, target, part))
        target = getattr(target, part)
    missing = [name for name in _METHODS if not callable(getattr(target, name, None))]
    if missing or isinstance(target, type):
        raise UsageMistake(_not_a_target(reference, target, missing))
    return LoadedTarget(reference, target, frozenset(getattr(target, "capabilities", ())))


def _import(name: str, reference: str, places: Sequence[Path]) -> Any:
    try:
        return _import_from(name, places)
    except (Exception, SystemExit) as error:  # a script without its main guard may exit
        raise UsageMistake(
            f"{reference!r} was given as the target, and importing {name} raised {type(error).__name__}: {error}; "
            f"give MODULE:ATTR of something that can be imported from {Path.cwd()}"
        ) from error


def _import_from(name: str, places: Sequence[Path]) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
    sys.path.extend(str(place) for place in places if str(place) not in sys.path)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _not_there(reference: str, module_name: str, owner: Any, part: str) -> str:
    close = difflib.get_close_matches(part, dir(owner), n=1)
    hint = f"did you mean {close[0]!r}?" if close else "give MODULE:ATTR of an object that is there"
    return f"{reference!r} was given as the target, and {module_name} has no {part!r}; {hint}"


def _not_a_target(reference: str, target: Any, missing: list[str]) -> str:
    if isinstance(target, type):
        what = f"it is the class {target.__name__}, not an object of it"
    else:
        what = f"it is a {type(target).__name__} without {' and '.join(f'{name}()' for name in missing)}"
    return f"{reference!r} was given as the target, and {what}; see pytest_ciris_occ.targets.SharedTaskTarget"
