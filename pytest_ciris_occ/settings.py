"""What can be set, where, and which place wins: flag over environment over marker over ini file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.limits import MOST

DEFAULT_N = 3
DEFAULT_TARGET = "pytest_ciris_occ.targets.reference:target"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Option:
    """One setting with its three names.

    Attributes:
        name: the ini key; the flag is ``--`` with dashes, the environment variable in capitals.
        help: a sentence for ``--help``.
        parse: turns what was written into the value; raises ``ValueError`` with the end of a sentence.
        default: the value when nobody says anything.
        metavar: how the help calls the value; ``""`` for a switch.
        native: what a TOML file may hold for it, besides text.
    """

    name: str
    help: str
    parse: Callable[[Any], Any]
    default: Any
    metavar: str
    native: type = str

    @property
    def flag(self) -> str:
        """The command line's name."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment's name."""
        return self.name.upper()


def _count(text: Any) -> int:
    number = _integer(text)
    if not 1 <= number <= MOST:
        raise ValueError(f"a fleet has from 1 to {MOST} occurrences")
    return number


def _integer(text: Any) -> int:
    if isinstance(text, bool) or not isinstance(text, (int, str)):
        raise ValueError("it must be a whole number")  # noqa: TRY004 - one kind of error for every bad value
    try:
        return int(text)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def _list(text: Any) -> tuple[str, ...]:
    entries = text if isinstance(text, (list, tuple)) else [text]
    if not all(isinstance(entry, str) for entry in entries):
        raise ValueError("it must be a name, or a list of names")
    return tuple(name.strip() for entry in entries for name in entry.split(",") if name.strip())


def _reference(text: Any) -> str:
    module, colon, attribute = str(text).partition(":")
    if not (module and colon and attribute) or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError("it must have the form MODULE:ATTR, such as my_agent.occ:target")
    return str(text)


def _switch(text: Any) -> bool:
    word = str(text).lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("it must be one of true and false")
    return word in _TRUE


OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option(
            "occ_n",
            "number of occurrences; replaces the sizes of scenarios that declare a list",
            _count,
            None,
            "N",
            int,
        ),
        Option(
            "occ_database",
            "list of sqlite, sqlite-rollback, postgres, postgres-embedded, or URLs; tests run once per entry",
            _list,
            ("sqlite", "postgres"),
            "LIST",
            list,
        ),
        Option("occ_postgres_url", "the server that 'postgres' means", str, "", "URL"),
        Option("occ_target", "the implementation under test", _reference, DEFAULT_TARGET, "MODULE:ATTR"),
        Option("occ_seed", "seed of everything that is drawn; printed in the header", _integer, None, "SEED", int),
        Option("occ_history", "directory for the histories of all runs, as JSON lines", str, "", "DIR"),
        Option(
            "occ_require",
            "fail instead of skip where a database or a capability is missing (for CI)",
            _switch,
            False,
            "",
            bool,
        ),
    )
}


@dataclass(frozen=True)
class Sources:
    """Where settings are looked for, in order of precedence, the marker apart.

    Attributes:
        flag: returns the command line's value of an option, ``None`` when it was not given.
        environment: the environment.
        ini: returns the ini file's value, ``None`` when it is not there.
    """

    flag: Callable[[str], Any]
    environment: Mapping[str, str]
    ini: Callable[[str], Any]

    def get(self, name: str, marker: Mapping[str, Any] | None = None) -> Any:
        """The value of an option.

        Raises:
            UsageMistake: what was given cannot be a value of it; the sentence says where it was given.
        """
        option = OPTIONS[name]
        asked, where = self.asked(name)
        if asked is None and marker is not None and name.removeprefix("occ_") in marker:
            asked, where = marker[name.removeprefix("occ_")], f"the marker's {name.removeprefix('occ_')}="
        if asked is None:
            asked, where = self.ini(name), f"the ini key {name}"
        return option.default if asked is None else _parsed(option, asked, where)

    def asked(self, name: str) -> tuple[Any, str]:
        """What flag or environment say, unparsed, and which of them does; ``None`` when neither does."""
        option = OPTIONS[name]
        given = self.flag(name)
        if given is not None:
            return given, option.flag
        return self.environment.get(option.variable), option.variable


def _parsed(option: Option, asked: Any, where: str) -> Any:
    try:
        return option.parse(asked)
    except ValueError as error:
        raise UsageMistake(f"{where} was given {asked!r}, and {error}") from None


MARKER_KEYS = frozenset({"n", "database", "target", "seed", "needs"})
"""What the marker ``occ(...)`` takes."""


def check_marker(arguments: tuple[Any, ...], given: Mapping[str, Any]) -> None:
    """Refuse what the marker does not know.

    Raises:
        UsageMistake: a positional argument, or a keyword that it does not take.
    """
    if arguments:
        raise UsageMistake(f"the marker occ was given {arguments[0]!r} without a name; write occ(n={arguments[0]!r})")
    for name in given:
        if name not in MARKER_KEYS:
            raise UsageMistake(f"the marker occ was given {name}=…; it takes {', '.join(sorted(MARKER_KEYS))}")


def sizes(sources: Sources, marker: Mapping[str, Any]) -> tuple[list[int], str]:
    """For which numbers of occurrences a test runs.

    A list in the marker is replaced by what flag or environment ask for; a single number is fixed.

    Returns:
        The sizes, and the reason why the test is not applicable, ``""`` when it is.

    Raises:
        UsageMistake: a size is none.
    """
    asked, where = sources.asked("occ_n")
    wanted = None if asked is None else _parsed(OPTIONS["occ_n"], asked, where)
    declared = marker.get("n")
    if isinstance(declared, (list, tuple)):
        if not declared:
            raise UsageMistake("the marker's n= was given no size at all; give a number, or a list of numbers")
        return [wanted] if wanted else [_parsed(OPTIONS["occ_n"], size, "the marker's n=") for size in declared], ""
    if declared is None:
        return [wanted or sources.get("occ_n") or DEFAULT_N], ""
    fixed = _parsed(OPTIONS["occ_n"], declared, "the marker's n=")
    reason = (
        f"not applicable: of the fixed size {fixed}, and {wanted} was asked for" if wanted not in (None, fixed) else ""
    )
    return [fixed], reason
