"""Which commit to test next: the one whose answer, good or bad, leaves the least for what it costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bot.core.belief import entropy
from bot.core.dag import Commits, Dag, Mask
from bot.model import Sha

Floats = npt.NDArray[np.float64]

Cost = Callable[[Sha], float]
"""What a test of a commit takes, in any unit, more than 0."""

_ROOM = 0.75  # of what the rest of the budget could halve down to one, if every cut were even


def choose(
    dag: Dag,
    suspects: Commits,
    tested: Commits,
    skipped: Commits,
    weights: Floats | None = None,
    k: int = 1,
    budget: int | None = None,
    cost: Cost | None = None,
) -> tuple[Sha, ...]:
    """At most k untested suspects that together cut the suspects into the most even parts, the best single one first.

    `tested` are the commits with any verdict, `skipped` those of them that could not be tested; `weights` is by
    position in `dag` (None: all the same). If tests differ in `cost`, a cut counts by the bits that it tells for what
    it costs. With weights or such costs a `budget` of probes is kept to, if the graph lets it: the first one leaves on
    either side no more suspects than the rest of the budget can halve down to one.
    """
    parts, probes = [suspects], list[Sha]()
    while parts and len(probes) < k:
        part = parts.pop(max(range(len(parts)), key=lambda i: _weight(dag, parts[i], weights)))
        probe = _best(dag, part, tested, skipped, weights, budget, cost)
        if probe is not None:
            probes.append(probe)
            tested |= dag.bit(probe)
            older = part & dag.ancestors(probe)
            parts += [p for p in (older, part & ~older) if p & ~tested]
            budget = None if budget is None else budget - 1
    return tuple(probes)


def _weight(dag: Dag, part: Commits, weights: Floats | None) -> float:
    return float(part.bit_count() if weights is None else weights[dag.positions(part)].sum())


def _best(
    dag: Dag,
    part: Commits,
    tested: Commits,
    skipped: Commits,
    weights: Floats | None,
    budget: int | None,
    cost: Cost | None,
) -> Sha | None:
    """The untested commit of a part with the most information: the smaller side of its cut, times its chance to run.

    Where costs differ it is the bits of the cut, divided by what it costs. A commit that has more than half of the
    weight comes first, whatever it costs: if it is the first bad one it has to be run in any case, as its parent has,
    and a probe between would be one more.
    """
    positions, below = dag.weigh(part, weights)
    whole = _weight(dag, part, weights)
    information, most = np.minimum(below, whole - below), whole
    untested = ~np.isin(positions, dag.positions(part & tested))
    costs = _costs(dag, positions, untested, cost)
    if costs is not None:
        information, most = entropy(information / max(whole, 1e-300)) / costs, 2.0 / costs.min()
    if weights is not None:
        information = np.where(weights[positions] > whole / 2, most, information)
    if budget is not None and (weights is not None or costs is not None):
        information = _within(information, dag.weigh(part)[1], budget)
    information *= runs(np.flatnonzero(np.isin(positions, dag.positions(part & skipped))), len(positions))
    information[~untested] = -1.0
    best = int(np.argmax(information))
    return dag.commits[int(positions[best])] if information[best] >= 0 else None


def _costs(dag: Dag, positions: npt.NDArray[np.intp], untested: Mask, cost: Cost | None) -> Floats | None:
    """What a test of each costs, those not in question as much as any; None if it is the same for all."""
    if cost is None or not untested.any():
        return None
    found = np.ones(len(positions))
    found[untested] = [cost(dag.commits[i]) for i in positions[untested].tolist()]
    found[~untested] = found[untested].max()
    return found if np.ptp(found) > 0 else None


def _within(information: Floats, below: Floats, budget: int) -> Floats:
    """The information of probes that keep to the budget; if there is none, how evenly each cuts the suspects.

    `below` is the number of suspects in the history of each. Some room is kept, for merges make uneven cuts.
    """
    n = len(below)
    larger = np.maximum(below, n - below)
    kept = larger <= _ROOM * 2.0 ** (budget - 1)
    return np.where(kept, information + 1e-12, 0.0) if kept[: n - 1].any() else n - larger


def runs(skips: npt.NDArray[np.intp], n: int) -> Floats:
    """A guess for each of n neighbouring commits whether it can be tested, given the places of those that could not.

    What breaks a commit breaks its neighbours: the chance grows with the distance to the nearest skip, measured by
    how far the skips reach already. So each skip leads about twice as far away, and a broken window of any length is
    left after few of them, as `git bisect` does by chance (its `skip_away`).
    """
    if not len(skips):
        return np.ones(n)
    here = np.arange(n)
    after = np.searchsorted(skips, here)
    left = here - skips[np.maximum(after - 1, 0)]
    right = skips[np.minimum(after, len(skips) - 1)] - here
    distance = np.minimum(np.abs(left), np.abs(right)).astype(np.float64)
    reach = float(skips[-1] - skips[0] + 1)
    chance: Floats = distance / (distance + reach)
    return chance
