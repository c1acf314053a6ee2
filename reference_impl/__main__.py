"""``python -m reference_impl --adapter api|cli --port PORT [--database URL]``."""

from __future__ import annotations

import sys

from reference_impl.agent import main

if __name__ == "__main__":
    sys.exit(main())
