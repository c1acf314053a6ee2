"""How this package starts an interpreter of its own: a clean command line and the same search path."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

_STARTER = "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); from {module} import main; main(sys.argv[1:])"


def interpreter_command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command that runs ``module.main(arguments)`` in a new interpreter.

    ``-c`` and not ``-m`` or the ``pytest`` script: the new process must not run the user's main module again, and
    must find what this process finds even where pytest changed ``sys.path``.
    """
    return [sys.executable, "-c", _STARTER.format(module=module), json.dumps(sys.path), *arguments]
