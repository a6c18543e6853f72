"""Whether what searches stated came out: of the times that they said 80 %, was it so in 80 %?

What is stated is the weight of the likeliest commit, after each step before the confirmation. What comes out is the
commit that runs confirmed; where the report was retracted or corrected later, it was wrong. The steps of one search
are not independent, so in each bin a search counts once, with the means of its steps there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from bot.model import Course, Sha

EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""Of the bins; a bin has its lower edge, the last one both."""
_Z = 1.96  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Searched:
    """A search that is over: after each step before the confirmation, how likely it called the likeliest commit, and
    whether it was right about that."""

    stated: tuple[tuple[float, bool], ...]

    @classmethod
    def of(cls, course: Course, commit: Sha, *, wrong: bool = False) -> Searched:
        """From what it believed, which commit was confirmed, and whether that turned out to be wrong."""
        rows = (row for row in course.rows if row.phase != "confirmation")
        return cls(tuple((row.share, not wrong and row.likeliest == commit) for row in rows))


@dataclass(frozen=True, slots=True)
class Bin:
    """What was stated between two edges, by so many searches. `stated` and `right` are means over them, `least` and
    `most` what `right` may be by chance (Wilson's interval, 95 %)."""

    low: float
    high: float
    searches: int
    stated: float
    right: float
    least: float
    most: float


def bins(searches: Iterable[Searched], edges: Sequence[float] = EDGES) -> tuple[Bin, ...]:
    """The bins in which anything was stated, lowest first."""
    found: dict[int, list[tuple[float, float]]] = {}
    for search in searches:
        own: dict[int, list[tuple[float, float]]] = {}
        for share, right in search.stated:
            own.setdefault(_bin(share, edges), []).append((share, float(right)))
        for at, pairs in own.items():
            found.setdefault(at, []).append(_mean(pairs))
    made = []
    for at, (low, high) in enumerate(pairwise(edges)):
        if at in found:
            n, (stated, came_out) = len(found[at]), _mean(found[at])
            least, most = _wilson(came_out, n)
            made.append(Bin(low, high, n, stated, came_out, least, most))
    return tuple(made)


def _bin(share: float, edges: Sequence[float]) -> int:
    return max(at for at, low in enumerate(edges[:-1]) if low <= max(share, edges[0]))


def _mean(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return fmean(stated for stated, _ in pairs), fmean(right for _, right in pairs)


def _wilson(part: float, n: int) -> tuple[float, float]:
    middle, spread = part + _Z**2 / (2 * n), _Z * math.sqrt(part * (1 - part) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
