"""Text of others, made fit to be shown."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ciris_occ.reports.text import printable


@pytest.mark.parametrize("text", ["", "awake", "größer – “ja”", "日本語", "two\nlines\twith a tab"])
def test_what_can_be_printed_stays(text: str) -> None:
    """Letters of every script, line ends and tabs."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[2J", r"\x1b[2J"), ("a\x00b", r"a\x00b"), ("\ud800", r"\ud800"), ("\r", r"\r"), ("\u202e", r"\u202e")],
)
def test_what_would_harm_is_escaped(text: str, shown: str) -> None:
    """Control sequences, zeros, lone surrogates, marks that turn the direction of reading."""
    assert printable(text) == shown


@given(st.text(st.characters()) | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_whatever_it_is_it_can_be_encoded_and_put_into_xml(text: str) -> None:
    """A terminal, a worker's channel and JUnit take the result; a second time changes nothing."""
    shown = printable(text)
    element = ET.Element("x")
    element.text = shown
    assert ET.fromstring(ET.tostring(element, "utf-8")).text in (shown, None)  # noqa: S314 - our own
    assert printable(shown) == shown
