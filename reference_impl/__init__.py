"""Shared tasks for agents that run as several occurrences over one SQL database: one decision, known to all."""

from __future__ import annotations

import logging

from reference_impl.claims import claim_local_task, read_shared_task, try_claim_shared_task
from reference_impl.config import Environment, MultiOccurrenceConfig
from reference_impl.coordination import Coordinator, Hooks
from reference_impl.decisions import (
    complete_shared_task,
    decide_shared_task,
    give_up_shared_task,
    heartbeat,
    lease_kept,
    read_task,
)
from reference_impl.engine import make_engine
from reference_impl.errors import (
    CannotRead,
    ConfigurationError,
    CoordinationError,
    Refused,
    SchemaBusy,
    TaskVanished,
)
from reference_impl.models import SHARED, Decision, Task, TaskStatus, Thought
from reference_impl.queries import (
    discover_occurrence_count,
    get_latest_shared_task,
    get_shared_task_status,
    get_thoughts_by_task_id,
    is_shared_task_completed,
)
from reference_impl.schema import create_schema
from reference_impl.shutdown import ShutdownProcessor, ShutdownResult
from reference_impl.waiting import wait_for_shared_task
from reference_impl.wakeup import WakeupProcessor, WakeupResult

logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "SHARED",
    "CannotRead",
    "ConfigurationError",
    "CoordinationError",
    "Coordinator",
    "Decision",
    "Environment",
    "Hooks",
    "MultiOccurrenceConfig",
    "Refused",
    "SchemaBusy",
    "ShutdownProcessor",
    "ShutdownResult",
    "Task",
    "TaskStatus",
    "TaskVanished",
    "Thought",
    "WakeupProcessor",
    "WakeupResult",
    "claim_local_task",
    "complete_shared_task",
    "create_schema",
    "decide_shared_task",
    "discover_occurrence_count",
    "get_latest_shared_task",
    "get_shared_task_status",
    "get_thoughts_by_task_id",
    "give_up_shared_task",
    "heartbeat",
    "is_shared_task_completed",
    "lease_kept",
    "make_engine",
    "read_shared_task",
    "read_task",
    "try_claim_shared_task",
    "wait_for_shared_task",
]
