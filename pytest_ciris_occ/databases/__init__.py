"""Where the rows live: SQLite as a file, PostgreSQL by URL or embedded; each hands out clean databases.

Importing this room costs the standard library only: drivers and SQLAlchemy are loaded by the first database.
"""

from __future__ import annotations

from pytest_ciris_occ.databases.embedded import wait_server_gone
from pytest_ciris_occ.databases.provider import CAPABILITIES, Database, Provider
from pytest_ciris_occ.databases.selection import Selected, parse, provider_for

__all__ = ["CAPABILITIES", "Database", "Provider", "Selected", "parse", "provider_for", "wait_server_gone"]
