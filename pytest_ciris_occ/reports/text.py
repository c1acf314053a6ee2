"""Text of others (output, messages, decisions) made fit for a terminal, an XML file and a worker's channel."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return ``text`` with what cannot be printed (control sequences, lone surrogates) as escapes; lines stay lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\t\n" else ascii(c)[1:-1] for c in text)
