"""Engines that are initialised before the fork and harmless to inherit.

A first connect costs SQLAlchemy several times what the driver's connect costs (the dialect asks the server about
itself). Done once in the zygote, and disposed there, it is free in every occurrence.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

_prepared: dict[str, Engine] = {}


def prepare(url: str) -> None:
    """Build the engine for ``url``, initialise its dialect, and give every connection back.

    A database that cannot be reached is no error here: the occurrence that needs it will say so itself.
    """
    import sqlalchemy

    if url in _prepared:
        return
    _prepared.clear()
    engine = sqlalchemy.create_engine(url)
    with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError), engine.connect():
        pass
    engine.dispose()
    _prepared[url] = engine


def engine_for(url: str) -> Engine:
    """Return the prepared engine for ``url``, or a new one; in a child of the zygote, with a pool of its own."""
    import sqlalchemy

    return _prepared.setdefault(url, sqlalchemy.create_engine(url)) if url not in _prepared else _prepared[url]


def forget_inherited_pools() -> None:
    """In a freshly forked child: start with empty pools, without touching what belongs to the parent."""
    for engine in _prepared.values():
        engine.dispose(close=False)
