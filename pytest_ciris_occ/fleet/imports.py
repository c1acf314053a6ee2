"""How the zygote finds the modules of the test: by their files, under the names they have in the test process.

A function of a test travels by reference to its module, and pytest may have imported that module in a way that no
other process can repeat (importlib mode, a rootdir off the path) or rewritten its assertions (a closure then refers to
a global that a plain import does not make). So the test process sends the names and files of the modules it loaded
from the user's tree, and this finder serves them.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

Rewrite = Callable[[ast.Module, bytes, str], None]


class TravellingFinder(MetaPathFinder):
    """Serves the modules that the test process has, from their files."""

    def __init__(self, files: Mapping[str, str], rewrite: Rewrite | None) -> None:
        """Know the modules by name; ``rewrite`` changes the syntax tree of each before it is compiled."""
        self.files = dict(files)
        self._rewrite = rewrite

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG002 - the protocol's
    ) -> ModuleSpec | None:
        """Return the spec of a module that travelled, or an empty package where one needs a parent."""
        file = self.files.get(fullname)
        if file is not None:
            return self._spec(fullname, file)
        if any(name.startswith(f"{fullname}.") for name in self.files) and not _is_elsewhere(fullname, path):
            return ModuleSpec(fullname, None, is_package=True)
        return None

    def _spec(self, fullname: str, file: str) -> ModuleSpec | None:
        loader = _RewritingLoader(fullname, file, self._rewrite)
        places = [str(Path(file).parent)] if Path(file).name == "__init__.py" else None
        return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=places)


def _is_elsewhere(fullname: str, path: Sequence[str] | None) -> bool:
    others = (finder for finder in sys.meta_path if not isinstance(finder, TravellingFinder))
    return any(finder.find_spec(fullname, path) is not None for finder in others if hasattr(finder, "find_spec"))


class _RewritingLoader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, rewrite: Rewrite | None) -> None:
        super().__init__(fullname, path)
        self._rewrite = rewrite

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile anew: a cached .pyc would be that of the plain source."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def source_to_code(  # type: ignore[override]  # a static method in typeshed, a method in CPython
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> CodeType:
        """Compile, with the tree changed first."""
        source = bytes(data)
        tree = ast.parse(source, filename=str(path))
        if self._rewrite is not None:
            self._rewrite(tree, source, str(path))
        code: CodeType = compile(tree, str(path), "exec", dont_inherit=True, optimize=_optimize)
        return code


def install(files: Mapping[str, str], rewriter: str) -> None:
    """Serve ``files`` (module name to path) from now on.

    Args:
        files: the modules of the test process.
        rewriter: ``MODULE:ATTR`` of a function that changes a syntax tree, or ``""`` for none.
    """
    for finder in [finder for finder in sys.meta_path if isinstance(finder, TravellingFinder)]:
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0, TravellingFinder(files, load_attribute(rewriter) if rewriter else None))


def load_attribute(reference: str) -> Any:
    """Return what ``MODULE:ATTR`` names.

    Raises:
        ImportError, AttributeError: it is not there.
    """
    module, _, attribute = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found
