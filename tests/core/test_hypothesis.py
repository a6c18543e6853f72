"""Whether runs show that another commit brought a failure: a table, and what must hold whatever was run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.confirmation import Rules
from bot.core.hypothesis import Place, figures, not_shown, place
from bot.model import Tally

OWN, ONE, OTHER = (digit * 40 for digit in "123")
RULES = Rules()


def own(bad: int, n: int = 10) -> Tally:
    return Tally(OWN, bad, n)


def parents(*tallies: tuple[int, int]) -> tuple[Tally, ...]:
    return tuple(Tally(sha, *tally) for sha, tally in zip((ONE, OTHER), tallies, strict=False))


TABLE = [
    # the commit, its parents, whether the failure is rare, why it is not shown
    (own(10), parents((0, 10)), False, None),
    (own(10), parents((0, 10), (0, 10)), False, None),
    (own(0), (), False, "it passes 10 of 10"),
    (own(0, 0), (), False, "it could not be run"),
    (own(9), parents((0, 10)), False, "it fails only 9 of 10"),
    (own(10), parents((10, 10)), False, f"it fails 10 of 10, and so does its parent {ONE[:12]}, 10 of 10"),
    (own(10), parents((0, 10), (1, 10)), False, f"it fails 10 of 10, and so does its parent {OTHER[:12]}, 1 of 10"),
    (own(10), parents((0, 0)), False, f"it fails 10 of 10, but its parent {ONE[:12]} could not be run"),
    (own(10), (), False, "it fails 10 of 10, and it has no parent to compare it with"),
    (own(2, 40), parents((0, 40)), True, "it fails only 2 of 40"),
    (own(5, 40), parents((0, 40)), True, f"it fails 5 of 40, its parent {ONE[:12]} 0 of 40, which may be luck"),
    (own(20, 40), parents((0, 40)), True, None),
    (own(2, 2), parents((0, 10)), False,
     f"it fails 2 of 2, its parent {ONE[:12]} 0 of 10; of {OWN[:12]} there are fewer than 10 runs that say something"),
]  # fmt: skip


@pytest.mark.parametrize(("commit", "before", "rare", "why"), TABLE)
def test_table(commit: Tally, before: tuple[Tally, ...], rare: bool, why: str | None) -> None:
    assert not_shown(commit, before, RULES, rare=rare) == why


RUNS = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(RUNS, st.lists(RUNS, max_size=2), st.booleans())
def test_nobody_is_accused_without_figures(commit: tuple[int, int], before: list[tuple[int, int]], rare: bool) -> None:
    why = not_shown(own(*commit), parents(*before), RULES, rare=rare)
    assert why is None or (why and "\n" not in why)
    if why is None:
        assert commit[0] >= RULES.min_bad and (rare or commit[0] == commit[1])
        assert before and all(bad == 0 < n for bad, n in before)
        chance = max((1 - commit[0] / commit[1]) ** n for _, n in before)
        assert chance < RULES.doubt


def test_places() -> None:
    assert place(has=True, had=False) is Place.LATER
    assert place(has=False, had=True) is Place.EARLIER
    assert place(has=False, had=False) is Place.BESIDE
    assert figures(own(10), parents((0, 10))) == f"it fails 10 of 10, its parent {ONE[:12]} 0 of 10"
