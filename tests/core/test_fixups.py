"""What is offered for a commit that cannot be tested, and when it counts."""

from __future__ import annotations

import pytest

from bot.core.fixups import Offer, neutral, related, sets
from bot.model import Verdict

GOOD, BAD, SKIP = Verdict.GOOD, Verdict.BAD, Verdict.SKIP

BUILD = Offer("1" * 40, "hw/net: include qemu/iov.h\n\niov_from_buf is not declared", ("hw/net/e1000.c",))
OTHER = Offer("2" * 40, "ui/vnc: do not leak the palette", ("ui/vnc.c",))
DOCS = Offer("3" * 40, "docs: spelling", ("docs/about.rst",))
WORDS = Offer("4" * 40, "migration: iov_from_buf again", ("migration/ram.c",))
SAID = "../hw/net/e1000.c:12:5: error: implicit declaration of function 'iov_from_buf'"


def test_the_file_and_the_words_of_the_failure_choose() -> None:
    assert related(SAID, [DOCS, OTHER, WORDS, BUILD]) == (BUILD, WORDS)
    assert related(SAID, [DOCS, OTHER]) == ()
    assert related("", [BUILD, OTHER]) == () == related(SAID, [])
    assert related(SAID, [BUILD, WORDS], most=1) == (BUILD,)


def test_words_that_every_offer_has_choose_nothing() -> None:
    alike = [Offer(str(i) * 40, "error: implicit declaration", (f"x{i}/none",)) for i in range(4)]
    assert related("error: implicit declaration", alike) == ()


def test_the_smallest_sets_come_first() -> None:
    assert list(sets([BUILD, WORDS, OTHER])) == [
        (BUILD,), (WORDS,), (OTHER,), (BUILD, WORDS), (BUILD, OTHER), (WORDS, OTHER)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "good", "counts"),
    [
        ([BAD], [GOOD], True),
        ([BAD, BAD], [GOOD, GOOD], True),
        ([GOOD], [GOOD], False),  # the cure itself
        ([BAD], [BAD], False),  # it brings the failure
        ([SKIP], [GOOD], False),
        ([BAD], [SKIP], False),
        ([BAD, GOOD], [GOOD], False),
        ([BAD], [None], False),
        ([], [GOOD], False),
        ([BAD], [], False),
    ],
)
def test_only_what_is_neutral_counts(bad: list[Verdict], good: list[Verdict], counts: bool) -> None:
    assert neutral(bad, good) is counts
