"""Targets that are none, or that break their word, and what is said of them."""

from __future__ import annotations

import re

import pytest

from tests.plugin.inner import Ended, Inner

CONFIG = """
    [pytest]
    occ_database = sqlite
    occ_n = 2
"""
TARGETS = """
    from pytest_ciris_occ.targets import Claim, Refused, Seen

    class Session:
        "No store at all: the first occurrence decides, the others learn it once it has."
        def __init__(self, occ): self.occ = occ
        def claim(self, task_type, request=None): return Claim("task", self.occ.index == 0)
        def decide(self, task_id, decision, reason=""): pass
        def read(self, task_type, request=None): return None
        def wait(self, task_id, timeout):
            self.occ.rendezvous("the claimant has decided, and closes")
            return Seen("task", "final", "yes")
        def close(self): self.occ.rendezvous("closing")

    class Target:
        def __init__(self, session=Session): self.session = session
        def create(self, url): pass
        def open(self, occ): return self.session(occ)

    class Tuples(Session):
        def claim(self, task_type, request=None): return "task", True

    class Text(Session):
        def wait(self, task_id, timeout): return "yes"

    class Refuses(Session):
        def decide(self, task_id, decision, reason=""): raise Refused("fenced by token 7")
        def wait(self, task_id, timeout): return Seen("task", "open", None)

    class HalfASession:
        def __init__(self, occ): pass
        def claim(self, task_type, request=None): return Claim("task", True)

    class Creates(Target):
        def create(self, url): raise RuntimeError("no room for the schema")

    class Leaves(Target):
        def create(self, url): raise SystemExit(5)

    class Opens(Target):
        def open(self, occ): raise ConnectionError("no route to the database")

    fine, tuples, text, refuses = Target(), Target(Tuples), Target(Text), Target(Refuses)
    half, nothing = Target(HalfASession), Target(lambda occ: None)
    creates, leaves, opens = Creates(), Leaves(), Opens()
    number = 3
"""
TESTS = """
    import pytest

    def take_part(occ):
        session = occ.open()
        claim = session.claim("wakeup")
        if claim.mine: session.decide(claim.task_id, "yes")
        else: session.wait(claim.task_id, 5)
        session.close()

    def _test(name):
        @pytest.mark.occ(target=f"targets:{name}")
        def test(occ_fleet, occ_target):
            occ_fleet.run(take_part).check()
        return test

    for _name in "fine tuples text refuses half nothing creates leaves opens number missing".split():
        globals()[f"test_{_name}"] = _test(_name)

    def test_no_target(occ_fleet):
        occ_fleet.run(take_part).check()

    @pytest.mark.occ(target="targets:fine")
    def test_fine_again(occ_fleet, occ_target):
        occ_fleet.run(take_part).check()
"""
BAD = {
    "tuples": "raised UsageMistake: the target's session returned ('task', True) from claim(), and the protocol says "
    "Claim; return pytest_ciris_occ.targets.Claim(…)",
    "text": "raised UsageMistake: the target's session returned 'yes' from wait(), and the protocol says "
    "Seen; return pytest_ciris_occ.targets.Seen(…)",
    "half": "raised UsageMistake: the target's open() returned <targets.HalfASession object at",
    "nothing": "raised UsageMistake: the target's open() returned None, which has no claim(), decide(), read(), "
    "wait(), close(); return an object with the methods of pytest_ciris_occ.targets.Session",
    "creates": "UsageMistake: the target targets:creates could not create its schema: raised RuntimeError: no room for "
    "the schema",
    "leaves": "UsageMistake: the target targets:leaves could not create its schema: exited with code 5",
    "opens": "did not end well: raised ConnectionError: no route to the database",
    "no_target": "raised UsageMistake: occ.open() needs an implementation to open; use the fixture occ_target in the "
    "test",
}


@pytest.fixture(scope="module")
def run(shared: Inner) -> Ended:
    """Return a run over targets of all kinds."""
    shared.write({"pytest.ini": CONFIG, "targets": TARGETS, "test_targets": TESTS})
    return shared.run().expect(1)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_target_gets_a_sentence(run: Ended, name: str) -> None:
    """The first line of the error says what it returned or raised, and no frame of ours is shown."""
    full = f"test_{name}[sqlite-n2]"
    assert run.outcome(full) == "failure"
    assert BAD[name] in run.errors(full)[0]
    assert not re.search(r"^(\S*/)?pytest_ciris_occ\S*\.py:\d+", run.block(full), re.MULTILINE)


def test_the_traceback_of_a_failed_create_is_shown(run: Ended) -> None:
    """It is the user's code that failed, and its line is what they look for."""
    assert any("targets.py" in line and "in create" in line for line in run.errors("test_creates[sqlite-n2]"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("number", "'targets:number' was given as the target, and it is a int without create() and open()"),
        ("missing", "'targets:missing' was given as the target, and targets has no 'missing'"),
    ],
)
def test_what_is_no_target_is_refused_before_a_process_starts(run: Ended, name: str, sentence: str) -> None:
    """A target named by a marker is looked at when its test is set up: an error with a sentence and no traceback."""
    full = f"test_{name}[sqlite-n2]"
    assert run.outcome(full) == "error"
    said = [line for line in run.block(full).splitlines() if line.strip()]
    assert len(said) == 1
    assert sentence in said[0]


def test_a_refusal_is_told_as_one(run: Ended) -> None:
    """A target that refuses a decision says so by an exception of the protocol; the story has its reason."""
    story = run.errors("test_refuses[sqlite-n2]")
    assert any("decides 'yes' on task – refused (Refused: fenced by token 7)" in line for line in story)


def test_good_targets_are_not_disturbed(run: Ended) -> None:
    """Before and after all of them."""
    assert run.outcome("test_fine[sqlite-n2]") == "passed"
    assert run.outcome("test_fine_again[sqlite-n2]") == "passed"
