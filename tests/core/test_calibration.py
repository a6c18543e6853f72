"""What searches state against what comes out: figures that can be worked out by hand, and luck that is known."""

from __future__ import annotations

import random

import pytest

from bot.core.calibration import EDGES, Bin, Searched, bins
from bot.model import Course, CourseRow

RIGHT, WRONG = "a" * 40, "b" * 40


def search(*stated: tuple[float, bool], wrong: bool = False, phase: str = "search") -> Searched:
    rows = tuple(
        CourseRow(phase, "", (), 1, (), (1.0,), 0.0, RIGHT if right else WRONG, share) for share, right in stated
    )
    return Searched.of(Course(10, rows), RIGHT, wrong=wrong)


def test_a_search_counts_once_in_each_bin() -> None:
    low, high = bins([search((0.3, False), (0.4, True), (0.95, True)), search((0.45, True))])
    assert (low.low, low.high, low.searches) == (0.25, 0.5, 2)
    assert low.stated == pytest.approx(0.4)
    assert low.right == 0.75
    assert (high.low, high.searches, high.stated, high.right) == (0.9, 1, 0.95, 1.0)


def test_the_interval_is_wilsons() -> None:
    (found,) = bins([search((0.8, True))] * 8 + [search((0.8, False))] * 2)
    assert found.least == pytest.approx(0.4902, abs=1e-4)
    assert found.most == pytest.approx(0.9433, abs=1e-4)


def test_what_was_taken_back_was_wrong_and_a_confirmation_states_nothing() -> None:
    (found,) = bins([search((0.8, True), wrong=True)])
    assert found.right == 0.0
    assert bins([search((0.99, True), phase="confirmation")]) == ()
    assert bins([]) == ()


def test_edges_belong_to_the_bin_above() -> None:
    for share in (0.0, *EDGES, 1.0):
        (found,) = bins([search((share, True))])
        assert found.low <= share and (share < found.high or share == found.high == 1.0)


def test_who_says_what_is_true_is_near_the_line() -> None:
    chance = random.Random(7)  # noqa: S311 - luck that is the same each time
    shares = [chance.random() for _ in range(20_000)]
    found = bins([search((share, chance.random() < share)) for share in shares])
    assert len(found) == len(EDGES) - 1
    assert all(off(of) < 0.02 for of in found)
    bold = bins([search((share**0.5, chance.random() < share)) for share in shares])
    assert max(off(of) for of in bold) > 0.1


def off(of: Bin) -> float:
    return abs(of.stated - of.right)
