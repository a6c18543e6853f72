"""What later history offers for a commit that cannot be tested as it is: fixes of what was broken at that point.

A fixup counts only if it is shown to be neutral: the cure of the regression itself looks the same (d96c4d5f19 has
`Fixes: 900c0ba373`, which is an ancestor of the first bad commit, and cures it). So what is offered here is only tried.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from bot.model import Sha, Verdict

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")
_PATH = re.compile(
    r"[\w./+-]+\.(?:c|h|inc|py|json|build|decode|mak|hx|S|sh)\b|[\w./+-]*(?:Kconfig|Makefile[\w.]*|configure)\b"
)
_FILE = 3.0  # times a rare word: a file that the failure names says most


@dataclass(frozen=True, slots=True)
class Offer:
    """A commit that says it fixes something: its message, and what it touches."""

    commit: Sha
    message: str
    paths: tuple[str, ...] = ()
    broken: Sha | None = None  # the commit that it mends, if that is known


def related(said: str, offers: Sequence[Offer], most: int = 6) -> tuple[Offer, ...]:
    """The offers that have files or rare words in common with what a failed build or start said, best first.

    One that has nothing in common is not among them: picking it would only change what is tested.
    """
    words = [_words(f"{offer.message} {' '.join(offer.paths)}") for offer in offers]
    common = Counter(word for found in words for word in found)
    asked, files = _words(said), {path.rpartition("/")[2] for path in _PATH.findall(said)}
    scores: list[tuple[float, int]] = []
    for i, offer in enumerate(offers):
        touched = files & {path.rpartition("/")[2] for path in offer.paths}
        rare = sum(math.log((1 + len(offers)) / common[word]) for word in words[i] & asked)
        score = _FILE * len(touched) * math.log(1 + len(offers)) + rare
        if touched or rare > math.log(2):
            scores.append((-score, i))
    return tuple(offers[i] for _, i in sorted(scores)[:most])


def sets(offers: Sequence[Offer], most: int = 2) -> Iterator[tuple[Offer, ...]]:
    """What to try, the smallest sets first; of each size those of the best offers."""
    for size in range(1, most + 1):
        yield from combinations(offers, size)


def neutral(bad: Iterable[Verdict | None], good: Iterable[Verdict | None]) -> bool:
    """Whether a fixup leaves the answer as it is, by what runs say with it on the nearest bad and on the nearest good.

    A commit that cannot be tested with it proves nothing.
    """
    with_bad, with_good = list(bad), list(good)
    return bool(with_bad and with_good) and set(with_bad) == {Verdict.BAD} and set(with_good) == {Verdict.GOOD}


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text))
