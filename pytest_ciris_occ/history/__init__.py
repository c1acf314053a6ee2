"""What happened: frozen records, the journal that collects them, and their form on disk.

Imports nothing of the rest but the errors.
"""

from pytest_ciris_occ.history.history import SCHEMA, History, Life, from_records
from pytest_ciris_occ.history.journal import Journal, read
from pytest_ciris_occ.history.records import FUNCTIONS, JSON, Operation, Outcome, ProcessEvent, ProcessStep, Setting

__all__ = [
    "FUNCTIONS",
    "JSON",
    "SCHEMA",
    "History",
    "Journal",
    "Life",
    "Operation",
    "Outcome",
    "ProcessEvent",
    "ProcessStep",
    "Setting",
    "from_records",
    "read",
]
