"""Which side is to be searched: what siblings of the pinned release say, and what their answers mean together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.confirmation import Rules
from bot.core.sides import answer, attribution, comes_from, lacking, numbers, open_to, place, said, settle
from bot.model import Answer, Branch, By, Outcome, Place, Run, Sibling, Side, SideTest
from tests.testing.world import LETTERS, SIGNATURE, run

PASSES, ALIKE, NOTHING = Answer.PASSES, Answer.ALIKE, Answer.NOTHING
POINT, SAME, LATER = Place.OLDER_POINT, Place.SAME, Place.NEWER_POINT
OLDER, NEWER = Place.OLDER, Place.NEWER
RULES = Rules()

TABLE: dict[str, tuple[list[tuple[str, Place, Answer]], Side, str]] = {
    "nobody to ask": ([], Side.COMMIT, "no other release"),
    "nobody can run the case": ([("8.2", OLDER, NOTHING), ("11.0", NEWER, NOTHING)], Side.COMMIT, "could not be"),
    "all fail alike": ([("10.0.0", POINT, ALIKE), ("9.2", OLDER, ALIKE)], Side.COMMIT, "10.0.0 and 9.2 fail alike"),
    "the stable branch of the source": ([("10.0.2", POINT, PASSES)], Side.PINNED, "10.0.2 passes in the place of"),
    "a backport to several branches": (
        [("10.0.2", POINT, PASSES), ("10.1.4", NEWER, ALIKE)], Side.PINNED, "came between the two",
    ),
    "broken before, mended, broken again": (
        [("10.0.0", POINT, ALIKE), ("10.0.2", POINT, PASSES)], Side.PINNED, "10.0.2 passes",
    ),
    "a distribution's own patch": ([("v10.0.13", SAME, PASSES)], Side.PINNED, "another build"),
    "mended in the branch since": (
        [("10.0.0", POINT, ALIKE), ("10.0.14", LATER, PASSES)], Side.PINNED, "has been mended since",
    ),
    "mended, but the release before fails too": (
        [("9.2", OLDER, ALIKE), ("10.0.14", LATER, PASSES)], Side.UNSETTLED, "but 9.2 fails alike",
    ),
    "it alone fails": (
        [("9.2", OLDER, PASSES), ("11.0", NEWER, PASSES)], Side.PINNED, "alone fails: 9.2 and 11.0 pass",
    ),
    "an older point release says nothing, the release before passes": (
        [("10.0.2", POINT, NOTHING), ("9.2", OLDER, PASSES)], Side.PINNED, "alone fails: 9.2 passes",
    ),
    "since the first of the series": (
        [("10.0.0", POINT, ALIKE), ("9.2", OLDER, PASSES)], Side.UNSETTLED, "something came before",
    ),
    "since the series, and in later ones": (
        [("9.2", OLDER, PASSES), ("11.0", NEWER, ALIKE)], Side.UNSETTLED, "11.0 fails alike",
    ),
    "what is old is not loaded any more": (
        [("10.0.0", POINT, ALIKE), ("9.2", OLDER, ALIKE), ("11.0", NEWER, PASSES)], Side.COMMIT, "nothing passes",
    ),
    "only a later release passes": ([("11.0", NEWER, PASSES)], Side.UNSETTLED, "nothing older"),
    "another failure says nothing": (
        [("10.0.0", POINT, NOTHING), ("9.2", OLDER, ALIKE)], Side.COMMIT, "9.2 fails alike",
    ),
}  # fmt: skip


def siblings(rows: list[tuple[str, Place, Answer]]) -> list[Sibling]:
    return [Sibling(name, where, what, why="no such machine type") for name, where, what in rows]


@pytest.mark.parametrize("name", TABLE)
def test_what_the_answers_mean_together(name: str) -> None:
    rows, side, words = TABLE[name]
    found, why = settle("10.0.13", siblings(rows))
    assert found is side
    assert words in why and why == why.strip() and not why.endswith(".")


def test_every_combination_has_a_side_and_blames_only_where_nothing_older_passes() -> None:
    for first in Answer:
        for second in Answer:
            for third in Answer:
                rows = [("a", POINT, first), ("b", OLDER, second), ("c", LATER, third)]
                side, why = settle("p", siblings(rows))
                assert why
                if side is Side.COMMIT:
                    assert PASSES not in (first, second, third)


@pytest.mark.parametrize(
    ("pinned", "sibling", "where"),
    [
        ("10.0.13", "10.0.2", POINT),
        ("10.0.13", "10.0.13", SAME),
        ("10.0.2", "10.0.13", LATER),
        ("10.0.13", "9.2.4", OLDER),
        ("10.0.13", "10.1.0", NEWER),
        ("10.0.50", "10.0.13", OLDER),  # a tree on its way to 10.1 is no point release of 10.0
        ("10.0.2", "10.0.91", NEWER),
    ],
)
def test_where_a_sibling_stands(pinned: str, sibling: str, where: Place) -> None:
    one, other = numbers(pinned), numbers(sibling)
    assert one is not None and other is not None
    assert place(one, other) is where


def test_versions() -> None:
    assert numbers("10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)") == numbers("v10.0.13") == (10, 0, 13)
    assert numbers("2.12") == (2, 12, 0)
    assert numbers("unknown") is None


# -- one sibling ---------------------------------------------------------------------------------------------------


def runs(letters: str) -> list[Run]:
    return [run("1" * 40, letter) for letter in letters]


@pytest.mark.parametrize(
    ("pinned", "sibling", "what"),
    [
        ("B", "", None),
        ("B", "BB", None),
        ("B", "BBB", ALIKE),
        ("B", "GGG", None),
        ("B", "G" * 10, None),  # the pinned release ran once: it may have failed by accident
        ("B" * 10, "G" * 10, PASSES),
        ("B" * 10, "GGGGO", NOTHING),  # another failure
        ("B" * 10, "U", NOTHING),
        ("B" * 10, "III", None),  # the machine failed
        ("BG" * 5, "G" * 10, None),  # one that fails every other time might have passed so often
        ("BG" * 10, "G" * 20, PASSES),
        ("BGGG" * 5, "G" * 10, None),
        ("BGGG" * 50, "G" * 40, PASSES),
        ("BGGG" * 5, "GB" * 5, ALIKE),
        ("B" * 10, "GB" * 5, ALIKE),  # half as often is no proof
        ("B" * 30, "B" + "G" * 29, PASSES),
        ("B" + "G" * 199, "G" * 200, NOTHING),
    ],
)
def test_what_a_sibling_says(pinned: str, sibling: str, what: Answer | None) -> None:
    assert answer(runs(pinned), runs(sibling), SIGNATURE, RULES) is what


def test_a_pass_without_the_device_says_nothing() -> None:
    without = replace(LETTERS["G"], left_out=("virtio-net-pci (source: no such device)",))
    bare = [replace(r, observation=without) for r in runs("G" * 10)]
    assert answer(runs("B" * 10), bare, SIGNATURE, RULES) is NOTHING
    assert lacking(runs("B"), bare) == ("virtio-net-pci (source: no such device)",)
    pinned = [replace(r, observation=replace(r.observation, left_out=without.left_out)) for r in runs("B" * 10)]
    assert answer(pinned, bare, SIGNATURE, RULES) is PASSES


def test_a_failure_behind_the_device_is_no_pass() -> None:
    """It is good for a search, which knows the order of the stream; a sibling has a stream of its own."""
    later = replace(LETTERS["O"], loaded=(SIGNATURE.device or "",))
    assert later.outcome is Outcome.CRASH_DST
    assert answer(runs("B" * 10), [replace(r, observation=later) for r in runs("O" * 10)], SIGNATURE, RULES) is NOTHING


# -- how many are asked --------------------------------------------------------------------------------------------


def test_no_more_is_asked_than_can_change_the_side() -> None:
    assert open_to([], [POINT])
    assert not open_to(siblings([("10.0.2", POINT, PASSES)]), [LATER, OLDER, NEWER])
    assert open_to(siblings([("10.0.0", POINT, ALIKE)]), [OLDER])
    assert not open_to(siblings([("10.0.0", POINT, ALIKE), ("9.2", OLDER, ALIKE)]), [NEWER])
    assert not open_to(siblings([("9.2", OLDER, ALIKE)]), [])


# -- what follows --------------------------------------------------------------------------------------------------


def test_only_the_commits_own_side_introduced_it() -> None:
    test = SideTest(Side.COMMIT, "9.2 fails alike", "10.0.13", "source")
    assert attribution(test).by is By.INTRODUCED and attribution(test).why == "9.2 fails alike"
    for side in (Side.PINNED, Side.UNSETTLED):
        assert attribution(replace(test, side=side)).by is By.EXPOSED
    assert attribution(None).by is By.INTRODUCED


def test_a_search_of_the_branch_is_told_from_the_first_one() -> None:
    branch = Branch("v10.0.2", "1" * 40, "v10.0.13", "2" * 40)
    test = SideTest(Side.PINNED, "why", "v10.0.13", "source", branch=branch)
    assert comes_from(test, "1" * 40, "2" * 40)
    assert not comes_from(test, "1" * 40, "3" * 40)
    assert not comes_from(replace(test, branch=None), "1" * 40, "2" * 40)
    assert not comes_from(None, "1" * 40, "2" * 40)


def test_words_of_an_answer() -> None:
    passing = Sibling("v10.0.2", POINT, PASSES, 0, 10)
    assert said(passing, "source") == "v10.0.2 as the source passes (10 of 10)"
    assert said(replace(passing, bad=1, n=30), "source") == "v10.0.2 as the source fails far more rarely (1 of 30)"
    assert said(Sibling("v10.0.2", POINT, ALIKE, 3, 3), "source") == "v10.0.2 as the source fails alike (3 of 3)"
    quiet = Sibling("v8.2", OLDER, NOTHING, why="UNTESTABLE: no such machine type")
    assert said(quiet, "destination") == "v8.2 as the destination says nothing: UNTESTABLE: no such machine type"
