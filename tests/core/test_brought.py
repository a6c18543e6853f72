"""What a series breaks, given runs with it and on its base."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.brought import Brought, Failure, brought, to_compare
from bot.model import Case, Direction, Outcome, Run, Signature
from tests.testing import series
from tests.testing.series import BASE, PATCHES, cases

OLD = cases("ppc64", "pseries", ("2.6", "2.7", "2.8"))
BLOCK = "ppc_spapr.ram"


def tip(case: Case, block: str | None = None) -> Run:
    return series.run(PATCHES[-1], case, block)


def base(case: Case, block: str | None = None) -> Run:
    return series.run(BASE, case, block)


def outcome(run: Run, what: Outcome) -> Run:
    return replace(run, observation=replace(run.observation, outcome=what, signature=None))


def test_what_passes_on_the_base_is_told_by_kind_most_cases_first() -> None:
    runs = [tip(OLD[0], "a.rom"), tip(OLD[1], BLOCK), tip(OLD[2], BLOCK)]
    before = {case: base(case) for case in OLD}
    other, many = Signature("ramblock", "a.rom"), Signature("ramblock", BLOCK)
    assert brought(runs, before, ()) == Brought((Failure(many, OLD[1:]), Failure(other, OLD[:1])))


@pytest.mark.parametrize("block", [BLOCK, "another.rom"])
def test_a_base_that_fails_too_in_whatever_way_is_not_told(block: str) -> None:
    assert brought([tip(OLD[0], BLOCK)], {OLD[0]: base(OLD[0], block)}, ()) == Brought(older=(OLD[0],))


def test_a_base_that_fails_now_and_then_fails_too() -> None:
    flaky = replace(base(OLD[0], BLOCK), beside=(Outcome.PASS,))
    assert brought([tip(OLD[0], BLOCK)], {OLD[0]: flaky}, ()) == Brought(older=(OLD[0],))


@pytest.mark.parametrize("what", [Outcome.INFRA, Outcome.UNTESTABLE, Outcome.NOT_BUILT])
def test_what_the_base_does_not_answer_is_not_told(what: Outcome) -> None:
    assert brought([tip(OLD[0], BLOCK)], {OLD[0]: outcome(base(OLD[0]), what)}, ()) == Brought(open=(OLD[0],))
    assert brought([tip(OLD[0], BLOCK)], {}, ()) == Brought(open=(OLD[0],))


def test_what_comes_and_goes_or_is_known_is_not_compared() -> None:
    flaky = replace(tip(OLD[0], BLOCK), beside=(Outcome.PASS,))
    runs = [flaky, tip(OLD[1], BLOCK), tip(OLD[2])]
    assert to_compare(runs, {OLD[1]}) == ()
    assert brought(runs, {case: base(case) for case in OLD}, {OLD[1]}) == Brought()


def test_a_start_that_fails_with_the_series_alone_is_told() -> None:
    """The smoke, which knows no history, calls it UNTESTABLE."""
    run = tip(OLD[0], BLOCK)
    start = Signature("start")
    run = replace(run, observation=replace(run.observation, outcome=Outcome.UNTESTABLE, signature=start))
    assert to_compare([run], ()) == (OLD[0],)
    assert brought([run], {OLD[0]: base(OLD[0])}, ()) == Brought((Failure(start, (OLD[0],)),))


def test_compared_are_all_cases_of_a_pair_of_sides_that_fails() -> None:
    back = replace(OLD[0], direction=Direction.BACKWARD)
    absent = outcome(tip(OLD[2]), Outcome.UNTESTABLE)
    assert to_compare([tip(OLD[0], BLOCK), tip(OLD[1]), absent, tip(back)], ()) == (OLD[0], OLD[1])
