"""Sphinx configuration."""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "pytest-ciris-occ"
copyright = "The developers of pytest-ciris-occ"
version = release = _version("pytest-ciris-occ")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = "pytest-ciris-occ"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_class_signature = "separated"
napoleon_use_ivar = True  # attributes of dataclasses are members already: a second description would be one too many


def _spare_properties(_app: Sphinx, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Napoleon takes "What it is: more of it" in the first line of a property's docstring for "type: description"."""
    if what == "property":
        lines.insert(0, "")


def setup(app: Sphinx) -> None:
    """Run before napoleon, which has the default priority of 500."""
    app.connect("autodoc-process-docstring", _spare_properties, priority=400)
