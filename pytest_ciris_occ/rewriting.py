"""How assertions of test modules are rewritten in the occurrences as pytest rewrites them in its own process.

A closure of a test refers to globals that only pytest's rewriting makes, so a plainly imported module would fail in an
occurrence with a ``NameError`` and accuse correct code. Imported by the zygote and by the plugin, nowhere else.
"""

from __future__ import annotations

import ast
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from _pytest.assertion.rewrite import AssertionRewritingHook, rewrite_asserts

REWRITER = f"{__name__}:rewrite"


def rewrite(tree: ast.Module, source: bytes, path: str) -> None:
    """Rewrite the assertions of a module's syntax tree in place."""
    rewrite_asserts(tree, source, path)


def travelling_modules(root: Path) -> dict[str, str]:
    """The modules below ``root`` that another process could not import as they are here, with their files."""
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and _is_users(Path(file), root) and _needs_help(name, module, file):
            found[name] = file
    return found


def _is_users(file: Path, root: Path) -> bool:
    return file.is_relative_to(root) and not {"site-packages", "dist-packages"} & set(file.parts)


def _needs_help(name: str, module: ModuleType, file: str) -> bool:
    spec = module.__spec__
    if spec is not None and isinstance(spec.loader, AssertionRewritingHook):
        return True
    parent = sys.modules.get(name.rpartition(".")[0])
    plain = PathFinder.find_spec(name, getattr(parent, "__path__", None))
    return plain is None or plain.origin != file
