"""Which mails are the patches of one series: subjects as they are written, and what is missing or mixed."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.series import NotASeries, Piece, Subject, members, order, subject


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[PATCH] hw/foo: mend", Subject("hw/foo: mend")),
        ("[PATCH 02/17] hw/foo: mend", Subject("hw/foo: mend", 1, 2, 17)),
        ("[PATCH v3 0/5] foo: a series", Subject("foo: a series", 3, 0, 5)),
        ("[PATCHv2 1/2] a", Subject("a", 2, 1, 2)),
        ("[RFC PATCH 1/2] a", Subject("a", 1, 1, 2)),
        ("[RFC v4 1/2] a", Subject("a", 4, 1, 2)),
        ("[PATCH for-8.0 v2 1/2] a", Subject("a", 2, 1, 2)),
        ("[PATCH-for-v7.2 1/2] a", Subject("a", 1, 1, 2)),
        ("[PULL 12/34] a", Subject("a", 1, 12, 34)),
        ("[Qemu-devel] [PATCH v2 1/2] a", Subject("a", 2, 1, 2)),
        ("[PATCH 1/2] [v2] a", Subject("a", 2, 1, 2)),
        ("[PATCH 1/2] hw: move v3 to 2/3 of it", Subject("hw: move v3 to 2/3 of it", 1, 1, 2)),
        ("Re: [PATCH v2 1/2] a", Subject("a", 2, 1, 2, reply=True)),
        ("[Qemu-devel] Re: [PATCH] a", Subject("a", reply=True)),
        ("AW: RE: a", Subject("a", reply=True)),
        ("Reset: a", Subject("Reset: a")),
        ("", Subject("")),
        ("[PATCH 1/2]", Subject("", 1, 1, 2)),
    ],
)  # fmt: skip
def test_subjects_as_they_are_written(text: str, found: Subject) -> None:
    assert subject(text) == found


def mails(*texts: str) -> list[tuple[Subject, bool]]:
    """All with a patch but the cover letters, and those that end in `-`."""
    found = [(subject(text.removesuffix("-")), not text.endswith("-")) for text in texts]
    return [(mail, holds and mail.number != 0) for mail, holds in found]


@given(st.integers(1, 60), st.integers(1, 9), st.booleans(), st.randoms(use_true_random=False))
def test_any_shuffling_is_undone(total: int, version: int, cover: bool, chance: random.Random) -> None:
    texts = [f"[PATCH v{version} {n}/{total}] change {n}" for n in range(0 if cover else 1, total + 1)]
    texts += [f"Re: {text}" for text in texts[:3]] + ["Re: something else"]
    chance.shuffle(texts)
    found = order(mails(*texts))
    assert [texts[i].rpartition(" ")[2] for i in found.patches] == [str(n) for n in range(1, total + 1)]
    assert (found.cover is not None) == cover
    assert all(texts[i].startswith("Re:") for i in found.replies)


def test_patches_without_a_place_stay_as_they_are() -> None:
    assert order(mails("[PATCH] b", "[PATCH] a", "an announcement-")).patches == (0, 1)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "there is no patch in it"),
        (["[PATCH 0/2] a", "hello-"], "there is no patch in it"),
        (["Re: [PATCH] a"], "there is no patch in it; there is one in a reply, but replies are not taken"),
        (["[PATCH 1/2] a", "[PATCH 2/2] b-"], 'there is no patch in 2/2 "b"'),
        (["[PATCH 1/4] a", "[PATCH 3/4] c"], "2/4, 4/4 missing; a series is tested whole"),
        (["[PATCH 3/20] c"], "1/20, 2/20, 4/20, 5/20, 6/20, 7/20, 8/20, 9/20 and 11 more missing"),
        (["[PATCH 1/1] a", "[PATCH 1/1] b"], '1/1 is there twice: 1/1 "a" and 1/1 "b"'),
        (["[PATCH 1/2] a", "[PATCH 2/2] b", "[PATCH 3/2] c"], '3/2 "c" is beyond the end'),
        (["[PATCH 1/1] a", "[PATCH v2 1/1] a"], 'versions 1 and 2 in it: 1/1 "a" and v2 1/1 "a"; give one of them'),
        (["[PATCH v2] a", "[PATCH v3] a"], 'versions 2 and 3 in it: v2 patch "a" and v3 patch "a"'),
        (["[PATCH 0/2] x", "[PATCH v2 1/1] a"], 'versions 1 and 2 in it: 0/2 "x" and v2 1/1 "a"'),
        (["[PATCH 1/1] a", "[PATCH 1/2] b", "[PATCH 2/2] c"], 'more than one series in it: 1/1 "a" and 1/2 "b"'),
        (["[PATCH 1/1] a", "[PATCH] b"], 'more than one series in it: 1/1 "a" and patch "b"'),
    ],
)
def test_what_is_no_series_is_named(texts: Sequence[str], said: str) -> None:
    with pytest.raises(NotASeries, match=re.escape(said)):
        order(mails(*texts))


@given(st.text(max_size=300))
def test_any_text_is_a_subject(text: str) -> None:
    found = subject(text)
    assert found.text in text
    assert (found.number is None) == (found.total is None)


# -- which mails are of a series -----------------------------------------------------------------------------------


def piece(number: int | None, of: str = "a", *, refers: Sequence[str] = (), version: int = 1, total: int = 3,
          sender: str = "ann", reply: bool = False) -> Piece:  # fmt: skip
    found = Subject("x", version, number, None if number is None else total, reply)
    return Piece(f"{number}.{of}", frozenset(refers), sender, found)


COVERED = [piece(0), *(piece(n, refers=["0.a"]) for n in (1, 2, 3))]
CHAINED = [piece(1), piece(2, refers=["1.a"]), piece(3, refers=["1.a", "2.a"])]
OTHERS = [
    piece(0, "v2", version=2, refers=["0.a"]),
    piece(1, "v2", version=2, refers=["0.v2", "0.a"]),
    piece(2, "r", refers=["0.a"], reply=True),
    piece(2, "m", refers=["0.a"], sender="mallory"),
    piece(1, "t", refers=["0.a"], total=4),
    piece(None, "lone", refers=["0.a"]),
    piece(1, "b", refers=["0.b"]),
    piece(0, "b"),
]


@given(st.sampled_from([COVERED, CHAINED]), st.integers(0, 3), st.randoms(use_true_random=False), st.booleans())
def test_a_series_is_found_from_each_of_its_mails(
    series: list[Piece], which: int, rng: random.Random, twice: bool
) -> None:
    asked = series[which % len(series)]
    there = [*series * (1 + twice), *OTHERS]
    rng.shuffle(there)
    found = members(asked, there)
    assert found[0] == asked and sorted(found, key=str) == sorted(series, key=str)


def test_two_series_below_one_mail_are_kept_apart() -> None:
    """Both answer the same discussion."""
    one = [piece(n, refers=["talk"] if n == 0 else ["talk", "0.a"]) for n in range(4)]
    two = [piece(n, "b", refers=["talk"] if n == 0 else ["talk", "0.b"]) for n in range(4)]
    for asked in one:
        assert set(members(asked, [*two, *one])) == set(one)


def test_a_patch_of_no_series_is_alone() -> None:
    lone = piece(None, "lone", refers=["0.a"])
    assert members(lone, COVERED) == (lone,)
