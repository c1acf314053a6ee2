"""Occurrences that misbehave: each ends in a verdict with its reason, in bounded time, and disturbs no later test."""

from __future__ import annotations

import re

import pytest

from tests.plugin.inner import Ended, Inner

CONFIG = """
    [pytest]
    occ_database = sqlite
    occ_n = 2
"""
MISBEHAVIOUR = """
    import contextlib
    import os
    import resource
    import select
    import signal
    import subprocess
    import sys
    import threading
    import time

    import pytest

    # -- ends ---------------------------------------------------------------------------------------------------

    def raises(occ):
        if occ.index:
            raise LookupError("the config has no key 'wakeup'")
        occ.decide("task", "yes")

    def test_raises(occ_fleet):
        occ_fleet.run(raises).check()

    def test_raises_base_exception(occ_fleet):
        def run(occ):
            occ.decide("task-" + occ.occurrence_id, "yes")
            raise KeyboardInterrupt("of its own")
        occ_fleet.run(run, n=1).check()

    def test_exits(occ_fleet):
        def run(occ):
            if occ.index: sys.exit(3)
            occ.decide("task", "yes")
        occ_fleet.run(run).check()

    def test_exits_with_words(occ_fleet):
        def run(occ):
            if occ.index: sys.exit("no config file")
            occ.decide("task", "yes")
        occ_fleet.run(run).check()

    def test_exits_at_once(occ_fleet):
        def run(occ):
            if occ.index: os._exit(3)
            occ.decide("task", "yes")
        occ_fleet.run(run).check()

    def test_exits_well(occ_fleet):
        def run(occ):
            if occ.index: sys.exit(0)
            occ.decide("task", "yes")
        occ_fleet.run(run).check()

    def test_is_killed(occ_fleet):
        def run(occ):
            if occ.index: os.kill(os.getpid(), signal.SIGKILL)
            occ.decide("task", "yes")
        occ_fleet.run(run).check()

    def test_dies_in_an_effect(occ_fleet):
        def run(occ):
            with occ.effect("affirm"):
                os.kill(os.getpid(), signal.SIGKILL)
        history = occ_fleet.run(run, n=1)
        (effect,) = history.of("effect")
        assert (effect.outcome, effect.returned) == ("info", None)

    # -- hangs --------------------------------------------------------------------------------------------------

    def deep(level):
        if level: return deep(level - 1)
        threading.Event().wait()  # THE HANGING LINE

    def test_hangs(occ_fleet):
        def run(occ):
            for _ in range(50): threading.Thread(target=threading.Event().wait, daemon=True).start()
            occ.decide("task", "yes") if occ.index == 0 else deep(8)
        occ_fleet.run(run, timeout=1.0).check()

    def test_hangs_deaf(occ_fleet):
        "Without ears for any signal that can be blocked."
        def run(occ):
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
            threading.Event().wait()
        occ_fleet.run(run, n=1, timeout=0.5).check()

    def test_hangs_stopped(occ_fleet):
        def run(occ):
            os.kill(os.getpid(), signal.SIGSTOP)
        occ_fleet.run(run, n=1, timeout=0.5).check()

    def test_leaves_a_child(occ_fleet, tmp_path):
        "An occurrence that ends well and leaves a process with its pipes open."
        def run(occ):
            child = subprocess.Popen(["sleep", "1000"])
            (tmp_path / "pid").write_text(str(child.pid))
            occ.decide("task", "yes")
        occ_fleet.run(run, n=1).check()
        with contextlib.suppress(ProcessLookupError):  # it is gone already
            process = os.pidfd_open(int((tmp_path / "pid").read_text()))
            assert select.select([process], [], [], 10)[0], "the run is over, and its child lives"

    def test_leaves_a_thread(occ_fleet):
        "A thread that is no daemon is waited for, as Python does."
        def run(occ):
            threading.Thread(target=threading.Event().wait).start()
        occ_fleet.run(run, n=1, timeout=0.5).check()

    # -- output -------------------------------------------------------------------------------------------------

    def test_prints_much(occ_fleet):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        def run(occ):
            for number in range(20):
                sys.stdout.write("x" * 1023 * 1024 + "\\n")
            print("the last word")
            raise RuntimeError("enough")
        history = occ_fleet.run(run, n=1)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 4 * 1024, f"{grown} KiB more"
        assert len(history.outputs["occ-0"]) < 100_000
        history.check()

    def test_prints_garbage(occ_fleet):
        def run(occ):
            os.write(1, bytes(range(256)) * 4 + b"\\x1b[2J\\xff\\xfe\\n]]>&<\\x00")
            occ.decide("task", "\\x00\\x1b[31m\\ud800 <&>")
            raise RuntimeError("\\x00\\x1b[31m\\ud800 <&>")
        occ_fleet.run(run, n=1).check()

    # -- what is journalled ---------------------------------------------------------------------------------------

    class Answer:
        def __repr__(self): return "<the Answer>"

    def test_observes_an_object(occ_fleet):
        def run(occ): occ.observe("task", Answer())
        occ_fleet.run(run, n=1).check()

    def test_decides_bytes(occ_fleet):
        def run(occ): occ.decide("task", {"reply": [b"yes"]})
        occ_fleet.run(run, n=1).check()

    def test_observes_too_much(occ_fleet):
        def run(occ): occ.observe("task", "y" * 1_000_000)
        occ_fleet.run(run, n=1).check()

    def test_observes_much(occ_fleet):
        def run(occ):
            occ.decide("task", "y" * 100_000)
            occ.observe("task", "y" * 100_000)
        occ_fleet.run(run, n=1).check()

    def test_journals_from_threads(occ_fleet):
        def run(occ):
            def work(number):
                for step in range(50):
                    with occ.effect(f"{occ.occurrence_id}-{number}-{step}"): pass
            threads = [threading.Thread(target=work, args=(number,), name=f"worker-{number}") for number in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            if occ.index == 0: occ.decide("task", "yes")
        history = occ_fleet.run(run)
        history.check()
        effects = list(history.of("effect"))
        assert len({op.key for op in effects}) == 400
        assert {op.actor for op in effects} == {f"worker-{number}" for number in range(4)}
        assert all(op.outcome == "ok" and op.invoked <= op.returned for op in effects)

    def test_journals_nothing(occ_fleet):
        occ_fleet.run(lambda occ: None).check()

    def test_takes_no_argument(occ_fleet):
        occ_fleet.run(lambda: None, n=1).check()

    # -- a command ------------------------------------------------------------------------------------------------

    def test_command_reports_nonsense(occ_fleet):
        occ_fleet.command(["echo", '{"occ": "dream"}'], n=1).check()

    def test_command_fails(occ_fleet):
        report = '{"occ": "decide", "task": "task", "decision": "yes"}'
        occ_fleet.command(["sh", "-c", f"echo '{report}'; echo oh no >&2; exit 7"], n=1).check()

    def test_after_all_this_the_fleet_works(occ_fleet):
        def run(occ): occ.decide("task", "yes") if occ.index == 0 else occ.observe("task", "yes")
        occ_fleet.run(run).check()
"""


@pytest.fixture(scope="module")
def run(shared: Inner) -> Ended:
    """Return a run in which nearly every occurrence misbehaves."""
    shared.write({"pytest.ini": CONFIG, "test_misbehaviour": MISBEHAVIOUR})
    return shared.run("-v", timeout=60).expect(1)


VIOLATED = {
    "raises": "everyone_ends violated: occ-1 did not end well: raised LookupError: the config has no key 'wakeup'",
    "raises_base_exception": "everyone_ends violated: occ-0 did not end well: raised KeyboardInterrupt: of its own",
    "exits": "everyone_ends violated: occ-1 did not end well: exited with code 3",
    "exits_with_words": "everyone_ends violated: occ-1 did not end well: exited with code 1",
    "exits_at_once": "everyone_ends violated: occ-1 did not end well: exited with code 3",
    "is_killed": "everyone_ends violated: occ-1 did not end well: ended by SIGKILL",
    "prints_much": "everyone_ends violated: occ-0 did not end well: raised RuntimeError: enough",
    "observes_an_object": "occ.observe was given value=<the Answer>, a Answer, which cannot be journalled",
    "decides_bytes": "occ.decide was given value={'reply': [b'yes']}, a dict, which cannot be journalled",
    "observes_too_much": "occ.observe was given 1000",
    "takes_no_argument": "takes 0 positional arguments but 1 was given",
    "command_fails": "everyone_ends violated: occ-0 did not end well: exited with code 7",
}


@pytest.mark.parametrize("name", VIOLATED)
def test_an_occurrence_that_ends_badly_violates_everyone_ends(run: Ended, name: str) -> None:
    """The first line of the error says who ended, and how."""
    full = f"test_{name}[sqlite-n2]"
    assert run.outcome(full) == "failure"
    first = run.errors(full)[0]
    assert re.match(
        r"pytest_ciris_occ\.errors\.SingleDecisionViolated: everyone_ends violated: occ-\d did not end well", first
    )
    assert VIOLATED[name] in first
    assert run.properties(full)["occ_verdict"] == "violated"


UNKNOWN = {
    "hangs": "everyone_ends unknown: occ-1 was still running after 1 s, when the harness ended the run",
    "hangs_deaf": "was still running after 0.5 s",
    "hangs_stopped": "was still running after 0.5 s",
    "leaves_a_thread": "was still running after 0.5 s",
    "journals_nothing": "no claim, decision, observation or effect was journalled, so there is nothing to judge",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_judged_is_unknown(run: Ended, name: str) -> None:
    """It fails, and says that nothing is proven."""
    full = f"test_{name}[sqlite-n2]"
    assert run.outcome(full) == "failure"
    assert run.errors(full)[0].startswith("pytest_ciris_occ.errors.VerdictUnknown: ")
    assert UNKNOWN[name] in "".join(run.errors(full))
    assert run.properties(full)["occ_verdict"] == "unknown"


def test_the_traceback_of_an_occurrence_is_in_the_story(run: Ended) -> None:
    """Its last lines are there, with the line of the user's code that raised."""
    said = run.errors("test_raises[sqlite-n2]")
    assert "occ-1 ended with:" in said
    assert any("test_misbehaviour.py" in line and "in raises" in line for line in said)
    assert said[-1] == "LookupError: the config has no key 'wakeup'"


def test_the_hanging_line_is_in_the_output(run: Ended) -> None:
    """Where the occurrence hung, however deep, is what somebody needs who has to find out why."""
    line = next(n for n, text in enumerate(_source(), 1) if "THE HANGING LINE" in text)
    output = run.section("test_hangs[sqlite-n2]", "occ output")
    assert f'test_misbehaviour.py", line {line} in deep' in output


def _source() -> list[str]:
    import textwrap

    return textwrap.dedent(MISBEHAVIOUR).lstrip().splitlines()


def test_megabytes_of_output_end_in_their_tail(run: Ended) -> None:
    """The memory of the test process is bounded (asserted within), and what is shown is the end."""
    output = run.section("test_prints_much[sqlite-n2]", "occ output")
    assert "the last word" in output
    assert len(output) < 10_000
    assert len(run.block("test_prints_much[sqlite-n2]")) < 20_000


def test_binary_garbage_harms_neither_terminal_nor_junit(run: Ended) -> None:
    """The report is well-formed (it was parsed), and no control sequence reaches the terminal."""
    assert run.outcome("test_prints_garbage[sqlite-n2]") == "failure"
    assert "raised RuntimeError" in run.errors("test_prints_garbage[sqlite-n2]")[0]
    assert "\x1b" not in run.out
    assert "\x00" not in run.out
    assert run.properties("test_prints_garbage[sqlite-n2]")["occ_decided"] == r"\x00\x1b[31m\ud800 <&>"


def test_a_sentence_says_what_can_be_journalled(run: Ended) -> None:
    """It names the limit and the way out."""
    block = run.block("test_observes_too_much[sqlite-n2]")
    assert re.search(r"occ.observe was given 1000\d\d\d bytes to journal, and 163840 bytes is the most", block)
    block = run.block("test_observes_an_object[sqlite-n2]")
    assert "give a str, number, bool, None, or lists and dicts of them" in block


def test_a_command_that_reports_nonsense_gets_a_sentence(run: Ended) -> None:
    """What it printed, and what it may print."""
    (line, *_) = run.errors("test_command_reports_nonsense[sqlite-n2]")
    assert """occ-0 printed b'{"occ": "dream"}', and 'occ' must be one of claim, complete, decide""" in line


FINE = ["exits_well", "dies_in_an_effect", "leaves_a_child", "observes_much", "journals_from_threads"]


@pytest.mark.parametrize("name", [*FINE, "after_all_this_the_fleet_works"])
def test_what_is_no_misbehaviour_passes(run: Ended, name: str) -> None:
    """Each of these asserts within what it has to show."""
    assert run.outcome(f"test_{name}[sqlite-n2]") == "passed", run.block(f"test_{name}[sqlite-n2]")


def test_no_story_is_longer_than_a_screen(run: Ended) -> None:
    """At most 25 lines each, of at most 150 characters; the first says everything in short."""
    for name in [*VIOLATED, *UNKNOWN]:
        said = run.errors(f"test_{name}[sqlite-n2]")
        assert len(said) <= 25
        assert all(len(line) <= 150 for line in said[1:])
