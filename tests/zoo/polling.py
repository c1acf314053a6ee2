"""How the zoo's implementations wait: they poll, as the ones did that they are modelled on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def poll(read: Callable[[], T], done: Callable[[T], bool], timeout: float) -> T:
    """Read until ``done``, at most ``timeout`` seconds; return what was read last."""
    deadline = time.monotonic() + timeout
    while True:
        seen = read()
        if done(seen) or time.monotonic() >= deadline:
            return seen
        time.sleep(0.002)
