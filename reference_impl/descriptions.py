"""What a claimant is told about the decision it makes for everybody."""

from __future__ import annotations


def wakeup_description(occurrence_count: int) -> str:
    """Describe a wakeup, with its multi-occurrence context where there is one."""
    if occurrence_count <= 1:
        return "System wakeup: identity affirmation required."
    return (
        f"System wakeup of {occurrence_count} occurrences.\n\n"
        f"The occurrence that holds this task affirms the identity once, for all {occurrence_count}. "
        "When it is done, every occurrence joins the active pool; if it fails, none does."
    )


def shutdown_description(occurrence_count: int, reason: str) -> str:
    """Describe a shutdown request, with its multi-occurrence context where there is one."""
    if occurrence_count <= 1:
        return f"Shutdown requested: {reason}"
    return (
        f"Shutdown of {occurrence_count} occurrences requested: {reason}\n\n"
        f"This decision holds for all {occurrence_count} occurrences.\n"
        "- Accepted: all of them shut down gracefully; the service is gone until it is started again.\n"
        "- Rejected: none of them shuts down; all go on, and all learn the reason."
    )
