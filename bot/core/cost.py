"""What an incremental build will take, from those that this machine has done: the farther, the longer, up to a point.

One commit in one file takes seconds, and a hundred commits away nearly all is compiled again. What lies between two
commits is what one of them has in its history and the other has not.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bot.core.dag import Dag, Floats
from bot.model import Sha

_LEAST = 0.1  # seconds: a build that took less is taken as this long


def between(dag: Dag, built: Sha, sizes: Floats) -> Floats:
    """By position: the sum of `sizes` over what lies between a commit that was built and this one.

    `sizes` is by position: the paths that a commit changes, or 1. A commit outside the range is taken for its good end.
    """
    here = np.where(dag.history(built), sizes, 0.0) if built in dag else np.zeros(len(dag))
    found: Floats = dag.below(sizes) + here.sum() - 2 * dag.below(here)
    return np.maximum(found, 0.0)


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds by distance: a power of it, within what was measured."""

    base: float
    power: float
    least: float
    most: float

    def seconds(self, distance: Floats) -> Floats:
        """What builds at these distances will take."""
        found: Floats = np.exp(self.base + self.power * np.log1p(distance))
        return np.clip(found, self.least, self.most)


def fitted(builds: Sequence[tuple[float, float]]) -> Line:
    """The line through (distance, seconds) of builds: medians, so that one slow build does not move it.

    It never falls with the distance. Raises `ValueError` if there is no build.
    """
    if not builds:
        raise ValueError("no build to learn from")
    points = [(float(np.log1p(far)), float(np.log(max(seconds, _LEAST)))) for far, seconds in builds]
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2]
    power = max(statistics.median(slopes), 0.0) if slopes else 0.0
    base = statistics.median(y - power * x for x, y in points)
    taken = [max(seconds, _LEAST) for _, seconds in builds]
    return Line(base, power, min(taken), max(taken))
