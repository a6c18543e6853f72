"""What came and went on one commit, and what is run once more to know."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.flaky import combined, uncertain
from bot.model import Case, Observation, Outcome, Run, Signature
from tests.testing.reports import BAD, CASE, SIGNATURE
from tests.testing.reports import run as made

PASS, FAIL, INFRA, NOT_BUILT = Outcome.PASS, Outcome.FAIL_DST, Outcome.INFRA, Outcome.NOT_BUILT
OTHER = replace(CASE, machine="pseries-3.0")


def run(outcome: Outcome, case: Case = CASE, setup: str = "", signature: Signature | None = SIGNATURE) -> Run:
    seen = Observation(outcome, signature if outcome is FAIL else None)
    return replace(made(BAD, case, PASS), observation=seen, setup=setup)


@pytest.mark.parametrize(
    ("outcomes", "outcome", "beside"),
    [
        ([PASS], PASS, []),
        ([FAIL], FAIL, []),
        ([FAIL, FAIL, FAIL], FAIL, []),
        ([FAIL, PASS], FAIL, [PASS]),
        ([PASS, FAIL, FAIL], FAIL, [PASS, FAIL]),
        ([FAIL, INFRA, PASS], FAIL, [PASS]),
        ([FAIL, INFRA], FAIL, []),
        ([INFRA, INFRA], INFRA, []),
        ([NOT_BUILT, PASS], PASS, []),
        ([Outcome.UNTESTABLE, PASS], PASS, []),
        ([PASS, NOT_BUILT], NOT_BUILT, []),
    ],
)
def test_one_run_of_a_case_says_how_all_went(outcomes: list[Outcome], outcome: Outcome, beside: list[Outcome]) -> None:
    (one,) = combined(map(run, outcomes))
    assert (one.outcome, list(one.beside)) == (outcome, beside)
    assert one.flaky == bool(beside)


def test_runs_of_another_setup_do_not_count() -> None:
    """A case that failed until its profile was mended is not flaky."""
    (one,) = combined([run(FAIL, setup="old"), run(PASS, setup="new")])
    assert one == run(PASS, setup="new")
    one, other = combined([run(FAIL), run(PASS, OTHER), run(PASS)])
    assert one.flaky and one.case == CASE
    assert other == run(PASS, OTHER)


@pytest.mark.parametrize(
    ("runs", "times", "cases"),
    [
        ([run(PASS)], 2, ()),
        ([run(FAIL)], 2, (CASE,)),
        ([run(FAIL)], 0, ()),
        ([run(FAIL), run(FAIL)], 2, (CASE,)),
        ([run(FAIL), run(FAIL), run(FAIL)], 2, ()),
        ([run(FAIL), run(PASS)], 2, ()),
        ([run(FAIL), run(INFRA)], 2, (CASE,)),
        ([run(NOT_BUILT)], 2, ()),
        ([run(INFRA)], 2, ()),
        ([run(Outcome.UNTESTABLE)], 2, ()),
        ([run(FAIL), run(FAIL, OTHER), run(PASS, OTHER)], 2, (CASE,)),
    ],
)
def test_what_is_run_once_more(runs: list[Run], times: int, cases: tuple[Case, ...]) -> None:
    assert uncertain(runs, (), times) == cases
    assert uncertain(runs, {CASE, OTHER}, times) == ()


def test_many_that_fail_alike_are_no_accident() -> None:
    def failing(count: int, device: str) -> list[Run]:
        cases = [replace(CASE, machine=f"{device}-{k}") for k in range(count)]
        return [run(FAIL, case, signature=Signature("section", device)) for case in cases]

    few, many = failing(20, "few"), failing(21, "many")
    assert uncertain([*many, *few], (), 2) == tuple(r.case for r in few)


@given(st.lists(st.tuples(st.sampled_from(list(Outcome)), st.sampled_from([CASE, OTHER])), max_size=12), st.data())
def test_asking_comes_to_an_end_and_nothing_is_lost(
    given_runs: list[tuple[Outcome, Case]], data: st.DataObject
) -> None:
    """However the repetitions go: each case is in the answer, and at most `times` more runs of each are asked for."""
    runs, times = [run(outcome, case) for outcome, case in given_runs], data.draw(st.integers(0, 3))
    asked = 0
    while cases := uncertain(runs, (), times):
        asked += 1
        runs += [run(data.draw(st.sampled_from([PASS, FAIL, Outcome.HANG])), case) for case in cases]
    assert asked <= times
    found = combined(runs)
    assert {r.case for r in found} == {case for _, case in given_runs}
    for one in found:
        outcomes = [r.outcome for r in runs if r.case == one.case]
        assert not one.flaky or (PASS in outcomes and one.outcome is not PASS)
