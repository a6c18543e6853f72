"""Which point release is the baseline: tables of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.succession import Failure, Fate, Release, Step, Trial, failing, fate, step, trial
from bot.model import Case, Direction, Observation, Outcome, Run, Signature

CASE = Case("x86_64-softmmu", "pc-q35-9.2", "bare", Direction.FORWARD, "v10.0")
OTHER = replace(CASE, direction=Direction.BACKWARD)
SIG, ELSE = Signature("ramblock", "ram", "pc.ram"), Signature("footer", "cpu")
PASS, FAIL, CRASH = (Outcome.PASS, None), (Outcome.FAIL_DST, SIG), (Outcome.CRASH_DST, ELSE)
GONE: tuple[Outcome, Signature | None] = (Outcome.UNTESTABLE, None)


def run(how: tuple[Outcome, Signature | None], case: Case = CASE) -> Run:
    return Run("c" * 40, case, Observation(*how))


def release(ref: str, person: str | None = None) -> Release:
    return Release("v10.0", ref, "a" * 40, 1.0, person=person)


STEPS: dict[str, tuple[str | None, Release | None, str, Step]] = {
    "nothing is in use": (None, None, "v10.0.13", Step.FIRST),
    "the newest is in use": ("v10.0.13", None, "v10.0.13", Step.NOTHING),
    "a new one": ("v10.0.13", None, "v10.0.14", Step.SEE),
    "by number, not by letter": ("v10.0.9", None, "v10.0.10", Step.SEE),
    "the newest tag is gone": ("v10.0.13", None, "v10.0.12", Step.NOTHING),
    "it waits": ("v10.0.13", release("v10.0.14"), "v10.0.14", Step.TRY),
    "a newer one than the one that waits": ("v10.0.13", release("v10.0.14"), "v10.0.15", Step.SEE),
    "a person does not want it": ("v10.0.13", release("v10.0.14", "ann"), "v10.0.14", Step.REFUSED),
    "a person did not want the one before": ("v10.0.13", release("v10.0.14", "ann"), "v10.0.15", Step.SEE),
}


@pytest.mark.parametrize("case", STEPS)
def test_what_is_to_be_done(case: str) -> None:
    used, waiting, newest, wanted = STEPS[case]
    assert step(release(used) if used else None, waiting, newest) is wanted


FATES: dict[str, tuple[bool, Run | None, Run | None, Fate]] = {
    "an entry explains it": (True, None, None, Fate.EXPECTED),
    "the tip was not run": (False, None, None, Fate.OPEN),
    "the tip fails with the old one and passes with the new": (False, run(FAIL), run(PASS), Fate.MENDED),
    "it fails otherwise with the old one": (False, run(CRASH), run(PASS), Fate.MENDED),
    "the tip passes with the old one and fails with the new": (False, run(PASS), run(FAIL), Fate.OPEN),
    "the tip passes with both": (False, run(PASS), run(PASS), Fate.OPEN),
    "the tip fails alike with both": (False, run(FAIL), run(FAIL), Fate.ALIKE),
    "the tip fails with both, otherwise": (False, run(CRASH), run(CRASH), Fate.OPEN),
    "the tip has not got the type": (False, run(GONE), run(PASS), Fate.OPEN),
    "the new one cannot be tested": (False, run(FAIL), run(GONE), Fate.OPEN),
    "the tip comes and goes with the old one": (
        False, replace(run(FAIL), beside=(Outcome.PASS,)), run(PASS), Fate.OPEN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FATES)
def test_what_a_failure_between_two_releases_is_taken_for(case: str) -> None:
    expected, before, after, wanted = FATES[case]
    assert fate(run(FAIL), expected, before, after) is wanted


def test_one_that_comes_and_goes_is_no_failure() -> None:
    flaky = replace(run(FAIL), beside=(Outcome.PASS,))
    assert failing([flaky, run(PASS), run(GONE), run(CRASH)]) == (run(CRASH),)
    made = trial([flaky, run(PASS, OTHER)], lambda _: False, {}, {})
    assert made == Trial(cases=2, passed=1, flaky=1) and made.clear


def test_what_a_trial_comes_to() -> None:
    runs = [run(FAIL), run(CRASH, OTHER)]
    made = trial(runs, lambda case: case == OTHER, {CASE: run(FAIL)}, {CASE: run(PASS)})
    assert made.clear
    assert made.said == (
        "0 of 2 cases between the two pass; 1 fail for the predecessor, which fails with the tip too, where the new one"
        " passes; 1 fail as expected"
    )
    kept = trial(runs, lambda _: False, {}, {}, ["ppc64: does not build"])
    assert not kept.clear and kept.failures == (
        Failure(str(SIG), Fate.OPEN, (CASE.id,)), Failure(str(ELSE), Fate.OPEN, (OTHER.id,)),
    )  # fmt: skip
    assert kept.said == "0 of 2 cases between the two pass; 2 fail, and nothing explains it; ppc64: does not build"
    assert not Trial(missing=("it does not build",)).clear
    assert Trial().clear and Trial().said == "no case runs between the two"
