"""Options as values: how each is read, which place wins, what the sentence says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_ciris_occ.errors import UsageMistake
from pytest_ciris_occ.limits import MOST
from pytest_ciris_occ.settings import DEFAULT_N, DEFAULT_TARGET, MARKER_KEYS, OPTIONS, Sources, check_marker, sizes


def sources(
    flag: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    ini: Mapping[str, Any] | None = None,
) -> Sources:
    return Sources((flag or {}).get, environment or {}, (ini or {}).get)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_three_names_are_the_same_words(name: str) -> None:
    """A flag with dashes, a key with underscores, a variable in capitals."""
    option = OPTIONS[name]
    assert option.flag == "--" + name.replace("_", "-")
    assert option.variable == name.upper()
    assert option.help


def test_the_defaults_hold_where_nobody_says_anything() -> None:
    """As the design has them."""
    nobody = sources()
    found = {name: nobody.get(name) for name in OPTIONS}
    assert found == {
        "occ_n": None,
        "occ_database": ("sqlite", "postgres"),
        "occ_postgres_url": "",
        "occ_target": DEFAULT_TARGET,
        "occ_seed": None,
        "occ_history": "",
        "occ_require": False,
    }


@pytest.mark.parametrize("strongest", range(4))
def test_flag_over_environment_over_marker_over_ini(strongest: int) -> None:
    """The strongest place that says something wins, whatever the weaker ones say."""
    flag = {"occ_seed": "0"} if strongest == 0 else {}
    environment = {"OCC_SEED": "1"} if strongest <= 1 else {}
    marker = {"seed": 2} if strongest <= 2 else {}
    assert sources(flag, environment, {"occ_seed": "3"}).get("occ_seed", marker) == strongest


def test_zero_is_a_seed_and_false_is_a_word() -> None:
    """What is falsy and was given is given: it wins over what is weaker."""
    assert sources({"occ_seed": "0"}, {"OCC_SEED": "5"}).get("occ_seed") == 0
    assert sources(ini={"occ_seed": 0}).get("occ_seed") == 0
    assert sources(None, {"OCC_REQUIRE": "0"}, {"occ_require": True}).get("occ_require") is False
    assert sources(ini={"occ_require": False}).get("occ_require") is False


@pytest.mark.parametrize("word", ["1", "true", "TRUE", "yes", "on", True])
def test_words_for_yes(word: str | bool) -> None:
    """As other tools have them, and as TOML has them."""
    assert sources(ini={"occ_require": word}).get("occ_require") is True


@pytest.mark.parametrize(
    "given", ["sqlite, postgres", ["sqlite", "postgres"], ("sqlite,postgres",), " sqlite,,postgres "]
)
def test_lists_are_read_from_text_and_from_lists(given: object) -> None:
    """With commas, spaces or as a list: the same."""
    assert sources(ini={"occ_database": given}).get("occ_database") == ("sqlite", "postgres")


@pytest.mark.parametrize("given", [0, -1, MOST + 1, 100_000, "0", "x", "", "2.5", 2.5, True, None, [3]], ids=repr)
def test_a_size_that_is_none_is_refused(given: object) -> None:
    """One sentence that begins with the place, says what was given, and what can be."""
    with pytest.raises(
        UsageMistake, match=r"^the marker's n= was given .*, and (it must be a whole number|a fleet has)"
    ):
        sizes(sources(), {"n": [given]})


@pytest.mark.parametrize("given", [1, MOST, "1", f" {MOST} "], ids=repr)
def test_the_bounds_belong_to_what_can_be_asked_for(given: object) -> None:
    """The smallest and the largest fleet."""
    assert sizes(sources(), {"n": given}) == ([int(str(given))], "")


def test_sizes_without_a_marker() -> None:
    """The flag, else the environment, else the ini file, else three."""
    assert sizes(sources(), {}) == ([DEFAULT_N], "")
    assert sizes(sources(ini={"occ_n": "7"}), {}) == ([7], "")
    assert sizes(sources({"occ_n": "5"}, {"OCC_N": "6"}, {"occ_n": "7"}), {}) == ([5], "")


def test_a_list_is_replaced_by_what_was_asked_for_only() -> None:
    """An ini file is a default for tests that say nothing; it does not overrule a marker."""
    marker = {"n": [1, 3, 9]}
    assert sizes(sources(ini={"occ_n": "7"}), marker) == ([1, 3, 9], "")
    assert sizes(sources({"occ_n": "7"}), marker) == ([7], "")
    assert sizes(sources(None, {"OCC_N": "7"}), marker) == ([7], "")


def test_a_fixed_size_is_never_changed() -> None:
    """It runs as it is, or is not applicable, with the reason; asked for its own size it runs."""
    assert sizes(sources(ini={"occ_n": "7"}), {"n": 2}) == ([2], "")
    assert sizes(sources({"occ_n": "2"}), {"n": 2}) == ([2], "")
    counts, reason = sizes(sources({"occ_n": "7"}), {"n": 2})
    assert counts == [2]
    assert reason == "not applicable: of the fixed size 2, and 7 was asked for"


def test_no_size_at_all_is_a_mistake() -> None:
    """An empty list would make a test vanish without a word."""
    with pytest.raises(UsageMistake, match="was given no size at all"):
        sizes(sources(), {"n": []})


@pytest.mark.parametrize("reference", ["a:b", "a.b:c", "my_agent.occ:target", "a:b.c"])
def test_references_have_a_module_and_an_attribute(reference: str) -> None:
    """The form MODULE:ATTR, both with dots."""
    assert sources({"occ_target": reference}).get("occ_target") == reference


@pytest.mark.parametrize("reference", ["", "a", "a:", ":b", "a/b:c", "a b:c", "1a:b"])
def test_other_references_are_refused(reference: str) -> None:
    """Also paths, which are the usual mistake."""
    with pytest.raises(UsageMistake, match=r"it must have the form MODULE:ATTR, such as my_agent\.occ:target"):
        sources({"occ_target": reference}).get("occ_target")


def test_the_sentence_names_the_place() -> None:
    """So that the user knows where to look."""
    for given, place in [
        (sources({"occ_seed": "x"}), "--occ-seed"),
        (sources(None, {"OCC_SEED": "x"}), "OCC_SEED"),
        (sources(None, None, {"occ_seed": "x"}), "the ini key occ_seed"),
    ]:
        with pytest.raises(UsageMistake, match=f"^{place} was given 'x', and it must be a whole number$"):
            given.get("occ_seed")


def test_the_marker_takes_known_keywords_only() -> None:
    """Everything it takes passes; a positional argument or another word is named."""
    check_marker((), dict.fromkeys(MARKER_KEYS))
    with pytest.raises(UsageMistake, match=r"was given 3 without a name; write occ\(n=3\)"):
        check_marker((3,), {})
    with pytest.raises(UsageMistake, match=r"was given size=…; it takes database, n, needs, seed, target"):
        check_marker((), {"size": 3})
