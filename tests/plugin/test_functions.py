"""Which functions of a test can be run by occurrences, and what is said of those that cannot."""

from __future__ import annotations

import re

import pytest

from tests.plugin.inner import Ended, Inner

CONFIG = """
    [pytest]
    pythonpath = helpers
    occ_database = sqlite
    occ_n = 1
"""
CONFTEST = """
    import pytest

    WORD = "conftest"

    def of_conftest(occ):
        occ.decide("task", WORD)

    @pytest.fixture
    def conftest_function():
        return of_conftest

    @pytest.fixture
    def word():
        return {"word": "fixture"}
"""
HELPER = """
    def decide(occ, word):
        assert word.islower()
        occ.decide("task", word)
"""
TRAVELLERS = """
    import dataclasses
    import enum
    import functools

    import helper_on_path
    import pytest

    from {package}helper_beside import decide

    class Colour(enum.Enum):
        RED = "red"

    @dataclasses.dataclass(frozen=True)
    class Order:
        colour: Colour

    def decided(history):
        return [op.value for op in history.of("decide")]

    def of_module(occ):
        assert occ.count == 1
        decide(occ, "module")

    def test_module(occ_fleet):
        assert decided(occ_fleet.run(of_module)) == ["module"]

    def test_closure(occ_fleet):
        word = "closure"
        def run(occ):
            assert word == "closure", "what a closure holds travels with it"
            helper_on_path.decide(occ, word)
        assert decided(occ_fleet.run(run)) == ["closure"]

    def test_lambda(occ_fleet):
        assert decided(occ_fleet.run(lambda occ: decide(occ, "lambda"))) == ["lambda"]

    def test_partial(occ_fleet):
        assert decided(occ_fleet.run(functools.partial(decide, word="partial"))) == ["partial"]

    def test_module_class(occ_fleet):
        order = Order(Colour.RED)
        def run(occ):
            assert order == Order(Colour.RED) and order.colour is Colour.RED and isinstance(order, Order)
            decide(occ, order.colour.value)
        assert decided(occ_fleet.run(run)) == ["red"]

    def test_local_class(occ_fleet):
        class Agent:
            def __init__(self, word): self.word = word
            def run(self, occ):
                assert isinstance(self, Agent)
                decide(occ, self.word)
        class Caller:
            def __call__(self, occ): decide(occ, "called")
        assert decided(occ_fleet.run(Agent("local").run)) == ["local"]
        assert decided(occ_fleet.run(Caller())) == ["called"]

    class TestInClass:
        word = "class"

        def run(self, occ):
            assert self.word
            decide(occ, self.word)

        def test_method(self, occ_fleet):
            self.word = "instance"
            assert decided(occ_fleet.run(self.run)) == ["instance"]

        @staticmethod
        def static(occ): decide(occ, "static")

        @classmethod
        def of_class(cls, occ): decide(occ, cls.word)

        def test_static(self, occ_fleet):
            assert decided(occ_fleet.run(self.static)) == ["static"]

        def test_class_method(self, occ_fleet):
            assert decided(occ_fleet.run(self.of_class)) == ["class"]

    @pytest.mark.parametrize("value", ["text", ("a", 1), Order(Colour.RED)], ids=["text", "tuple", "object"])
    def test_parameter(occ_fleet, value):
        def run(occ):
            occ.decide("task", str(value))
        assert decided(occ_fleet.run(run)) == [str(value)]

    def test_fixture_value(occ_fleet, word, tmp_path):
        def run(occ):
            (tmp_path / "seen").write_text(occ.occurrence_id)
            decide(occ, word["word"])
        assert decided(occ_fleet.run(run)) == ["fixture"]
        assert (tmp_path / "seen").read_text() == "occ-0"

    def test_conftest_function(occ_fleet, conftest_function):
        assert decided(occ_fleet.run(conftest_function)) == ["conftest"]

    def test_recursion(occ_fleet):
        def count(number): return number and 1 + count(number - 1)
        assert decided(occ_fleet.run(lambda occ: occ.decide("task", count(3)))) == [3]

    def wrong_in_module(occ):
        numbers = [1, 2]
        assert numbers == [1, 3], "of module"

    def test_wrong_in_module(occ_fleet):
        occ_fleet.run(wrong_in_module).check()

    def test_wrong_in_closure(occ_fleet):
        expected = "closed over"
        def run(occ):
            assert occ.occurrence_id == expected
        occ_fleet.run(run).check()
"""
GOOD = [
    *("module", "closure", "lambda", "partial", "module_class", "local_class", "method", "static", "class_method"),
    *("fixture_value", "conftest_function", "recursion"),
]


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib", "plain"])
def test_functions_of_every_kind_travel(inner: Inner, mode: str) -> None:
    """In every import mode, from a package and from a folder, with assertions rewritten or (``plain``) not.

    An assertion that fails in an occurrence has the message that it has in a test.
    """
    inner.write({"pytest.ini": CONFIG, "helpers/helper_on_path": HELPER})
    inner.write({"package/__init__": "", "package/sub/__init__": "", "package/sub/conftest": CONFTEST})
    inner.write({"package/sub/helper_beside": HELPER, "package/sub/test_it": TRAVELLERS.format(package=".")})
    # importlib mode, on purpose, does not find modules beside the test; append mode finds our own conftest.py first
    # where our checkout is installed as editable.
    if mode in ("prepend", "plain"):
        inner.write({"folder/conftest": CONFTEST, "folder/helper_beside": HELPER})
        inner.write({"folder/test_there": TRAVELLERS.format(package="")})
    option = "--assert=plain" if mode == "plain" else f"--import-mode={mode}"

    ended = inner.run(option).expect(1)

    good = [f"test_{name}[sqlite-n1]" for name in GOOD]
    good += [f"test_parameter[sqlite-n1-{kind}]" for kind in ("text", "tuple", "object")]
    assert {name: ended.outcome(name) for name in good} == dict.fromkeys(good, "passed"), ended.out
    failures = [case for case in ended.suite if case.find("failure") is not None]
    assert len(failures) == (4 if mode in ("prepend", "plain") else 2), ended.out
    shown = re.findall(r"did not end well: raised AssertionError: ?(.*)$", ended.out, re.MULTILINE)
    if mode == "plain":
        assert {"of module", ""} <= set(shown)
    else:
        assert any(line.startswith("of module") for line in shown)
        assert any("assert 'occ-0' == 'closed over'" in line for line in shown)
        assert "assert [1, 2] == [1, 3]" in ended.out


BAD = """
    import functools
    import os
    import sqlite3
    import threading

    import pytest
    import sqlalchemy

    def test_sqlite_connection(occ_fleet):
        connection = sqlite3.connect(":memory:")
        occ_fleet.run(lambda occ: connection.execute("SELECT 1"))

    def test_engine(occ_fleet):
        engine = sqlalchemy.create_engine("sqlite://")
        def run(occ): engine.connect()
        occ_fleet.run(run)

    def test_request(occ_fleet, request):
        occ_fleet.run(lambda occ: request.node.name)

    def test_fleet_itself(occ_fleet):
        occ_fleet.run(lambda occ: occ_fleet.run)

    def test_generator(occ_fleet):
        numbers = (number for number in range(3))
        occ_fleet.run(lambda occ: next(numbers))

    def test_default(occ_fleet):
        def run(occ, cursor=sqlite3.connect(":memory:").cursor()): pass
        occ_fleet.run(run)

    def test_partial(occ_fleet):
        def run(occ, store): pass
        occ_fleet.run(functools.partial(run, store=sqlite3.connect(":memory:")))

    class TestMethod:
        def run(self, occ): pass

        def test_self(self, occ_fleet):
            self.connection = sqlite3.connect(":memory:")
            occ_fleet.run(self.run)

    @pytest.mark.parametrize("thing", [None, 3, "wakeup", ["a"]], ids=str)
    def test_not_callable(occ_fleet, thing):
        occ_fleet.run(thing)

    @pytest.mark.parametrize("n", [0, -1, 100000, "x", True, 2.0], ids=str)
    def test_n(occ_fleet, n):
        occ_fleet.run(print, n=n)

    @pytest.mark.parametrize("timeout", [0, -1], ids=str)
    def test_timeout(occ_fleet, timeout):
        occ_fleet.run(print, timeout=timeout)

    @pytest.mark.parametrize("argv", ["python main.py", [], ["no-such-program"], ["./here.txt"]], ids=str)
    def test_command(occ_fleet, argv):
        occ_fleet.command(argv)

    def test_after_all_this_the_fleet_works(occ_fleet):
        occ_fleet.run(lambda occ: occ.decide("task", "fine")).check()
"""
ONCE = """
    import os

    # The top level runs once more, in the process of the occurrences.
    if os.environ.setdefault("FIRST_PID", str(os.getpid())) != str(os.getpid()):
        raise RuntimeError("only once, please")

    def run(occ): occ.decide("task", "never")

    def test_it(occ_fleet):
        occ_fleet.run(run).check()
"""
LEAVES = """
    import os, sys

    if os.environ.setdefault("FIRST_PID", str(os.getpid())) != str(os.getpid()):
        {leave}

    def run(occ): occ.decide("task", "never")

    def test_it(occ_fleet):
        occ_fleet.run(run).check()
"""
FINE = """
    def run(occ): occ.decide("task", "fine")

    def test_it(occ_fleet):
        occ_fleet.run(run).check()
"""


@pytest.fixture(scope="module")
def bad(shared: Inner) -> Ended:
    """Return a run in which every function is a bad one."""
    shared.write(
        {
            "pytest.ini": CONFIG,
            "test_a_bad": BAD,
            "here.txt": "not a program",
            "test_b_raises": ONCE.replace("test_it", "test_raises"),
            "test_c_exits": LEAVES.format(leave="sys.exit(3)").replace("test_it", "test_exits"),
            "test_d_dies": LEAVES.format(leave="os._exit(3)").replace("test_it", "test_dies"),
            "test_e_fine": FINE.replace("test_it", "test_fine"),
        }
    )
    return shared.run().expect(1)


MAKE_IT_INSIDE = "make it inside the function instead"
SENTENCES = {
    "test_sqlite_connection": ["its variable 'connection' holds a Connection", MAKE_IT_INSIDE],
    "test_engine": ["its variable 'engine' holds a Engine", MAKE_IT_INSIDE],
    "test_request": ["its variable 'request' holds a ", MAKE_IT_INSIDE],
    "test_fleet_itself": ["its variable 'occ_fleet' holds a Fleet", MAKE_IT_INSIDE],
    "test_generator": ["its variable 'numbers' holds a generator", MAKE_IT_INSIDE],
    "test_default": ["its variable 'cursor' holds a Cursor", MAKE_IT_INSIDE],
    "test_partial": ["its variable 'store' holds a Connection", MAKE_IT_INSIDE],
    "test_self": ["its variable 'self' holds a TestMethod", MAKE_IT_INSIDE],
    **{f"test_not_callable-{thing}": ["which cannot be called"] for thing in ("None", "3", "wakeup", "['a']")},
    **{
        f"test_n-{n}": [f"a fleet of n={n!r} occurrences cannot be started; give a number from 1 to 256"]
        for n in (0, -1, 100000, "x", True, 2.0)
    },
    **{f"test_timeout-{n}": ["a run needs a timeout above 0 seconds"] for n in (0, -1)},
    "test_command-python main.py": ["the command 'python main.py' cannot be started; give a list"],
    "test_command-[]": ["the command [] cannot be started; give a list"],
    "test_command-['no-such-program']": ["the program 'no-such-program' cannot be run"],
    "test_command-['./here.txt']": ["the program './here.txt' cannot be run"],
    "test_raises": ["RuntimeError: only once, please", "its top level must not need pytest or conftest"],
    "test_exits": ["SystemExit: 3", "its top level must not need pytest or conftest"],
    "test_dies": ["the process that starts occurrences has ended"],
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_function_that_cannot_be_run_gets_a_sentence(bad: Ended, name: str) -> None:
    """The exception is one of ours with a sentence that names what is wrong; no line of code is ours."""
    test, _, parameter = name.partition("-")
    full = f"{test}[sqlite-n1-{parameter}]" if parameter else f"{test}[sqlite-n1]"
    assert bad.outcome(full) == "failure"
    block = bad.block(full if test != "test_self" else f"TestMethod.{full}")
    sentence = next(line for line in block.splitlines() if line.startswith("E "))
    assert re.match(r"E\s+pytest_ciris_occ\.errors\.(UsageMistake|FleetBroken): \S", sentence)
    for part in SENTENCES[name]:
        assert part in sentence
    assert not re.search(r"^(\S*/)?(pytest_ciris_occ|contextlib)\S*\.py:\d+", block, re.MULTILINE), block


def test_after_a_bad_function_the_fleet_works(bad: Ended) -> None:
    """The same test process, and the same zygote or a new one, serve the next test."""
    assert bad.outcome("test_after_all_this_the_fleet_works[sqlite-n1]") == "passed"
    assert bad.outcome("test_fine[sqlite-n1]") == "passed"
