"""Which commit to test next: the one whose answer, good or bad, leaves the least for what it costs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.core.belief import entropy
from bot.core.dag import Commits, Dag, Mask
from bot.model import Sha

Floats = npt.NDArray[np.float64]

_ASKED = 0.25  # bits that it is worth to test now what would have to be tested in the end
_HEAVY = 2.0  # information of a suspect with more than half of the weight: more than any cut has
_EVEN = 0.1  # how far from a half of the weight is called a half
Cost = Callable[[Sha], float]
"""What a test of a commit takes, in any unit, more than 0."""

_ROOM = 0.75  # of what the rest of the budget could halve down to one, if every cut were even; of many suspects
_SURE = 1024  # suspects up to which it is worked out whether the rest of the budget is enough
_TRIED = 16  # best probes for which that is done, of more suspects than 256 fewer: each takes time as they are many


def choose(
    dag: Dag,
    suspects: Commits,
    tested: Commits,
    skipped: Commits,
    weights: Floats | None = None,
    k: int = 1,
    budget: int | None = None,
    cost: Cost | None = None,
    running: Collection[Sha] = (),
) -> tuple[Sha, ...]:
    """At most k untested suspects that together cut the suspects into the most even parts, the best single one first.

    `tested` are the commits with any verdict, `skipped` those of them that could not be tested; `weights` is by
    position in `dag` (None: all the same). If tests differ in `cost`, a cut counts by the bits that it tells for what
    it costs. With weights or such costs a `budget` of probes is kept to, if the graph lets it: the first one leaves on
    either side no more suspects than the rest of the budget can halve down to one, and of few suspects only those that
    it does halve down, in view of how merges divide them. What is `running` cuts the suspects first, as if it had been
    chosen here.
    """
    parts, probes = [suspects], list[Sha]()
    for sha in running:
        tested |= dag.bit(sha) if sha in dag else 0
        parts = [side for part in parts for side in _sides(dag, part, sha) if side & ~tested]
        budget = None if budget is None else budget - 1
    while parts and len(probes) < k:
        part = parts.pop(max(range(len(parts)), key=lambda i: _weight(dag, parts[i], weights)))
        probe = _best(dag, part, tested, skipped, weights, budget, cost)
        if probe is not None:
            probes.append(probe)
            tested |= dag.bit(probe)
            parts += [side for side in _sides(dag, part, probe) if side & ~tested]
            budget = None if budget is None else budget - 1
    return tuple(probes)


def _sides(dag: Dag, part: Commits, probe: Sha) -> tuple[Commits, Commits]:
    """What of a part is in the history of a probe, and what is not."""
    older = part & dag.ancestors(probe) if probe in dag else 0
    return older, part & ~older


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
    """The untested commit of a part with the most information, times its chance to run.

    Where costs differ the information is divided by what it costs. A commit that has more than half of the weight
    comes first, whatever it costs: if it is the first bad one it has to be run in any case, as its parent has, and a
    probe between would be one more.
    """
    positions, information, below = _cuts(dag, part, weights)
    out = np.isin(positions, dag.positions(part & tested))
    if out.all():
        return None
    costs = _costs(dag, positions, ~out, cost)
    if costs is not None:
        whole = _weight(dag, part, weights)
        bits = information if weights is not None else entropy(below / whole)
        information = np.where(bits >= _HEAVY, _HEAVY / costs.min(), bits / costs)
    even = information
    capped = budget is not None and (weights is not None or costs is not None)
    if budget is not None and capped:
        number = dag.weigh(part)[1]
        even = np.minimum(number, len(number) - number)
        information = _within(information, number, budget)
    ways = runs(np.flatnonzero(np.isin(positions, dag.positions(part & skipped))), len(positions))
    best, fallback = (np.where(out, -1.0, worth * ways) for worth in (information, even))
    tried = min(_TRIED, 4 * _SURE // len(positions))
    order = [*np.argsort(-best, kind="stable")[: max(tried, 1)].tolist(), int(np.argmax(fallback))]
    if budget is None or not capped or len(positions) > _SURE:
        return dag.commits[int(positions[order[0]])]
    halving = _Halving.of(dag, part)
    chosen = next((i for i in order if best[i] > 0 and halving.enough(i, budget)), order[-1])
    return dag.commits[int(positions[chosen])]


@dataclass(frozen=True, slots=True)
class _Halving:
    """What even cuts alone, as git chooses them, need for some suspects; by their number among these."""

    reach: tuple[Commits, ...]  # the suspects in the history of each

    @classmethod
    def of(cls, dag: Dag, part: Commits) -> _Halving:
        """No path between two suspects leaves them: what a good or a bad commit rules out is whole histories."""
        place = {sha: i for i, sha in enumerate(dag.names(part))}
        reach: list[Commits] = []
        for i, sha in enumerate(place):
            mine = 1 << i
            for parent in dag.parents[sha]:
                mine |= reach[place[parent]] if parent in place else 0
            reach.append(mine)
        return cls(tuple(reach))

    def enough(self, probe: int, budget: int) -> bool:
        """Whether a budget that pays for this probe, too, leads to one suspect whatever the answers are."""
        return self._cut(list(range(len(self.reach))), probe, budget)

    def _cut(self, part: list[int], probe: int, budget: int) -> bool:
        older = self.reach[probe]
        sides = ([i for i in part if older >> i & 1], [i for i in part if not older >> i & 1])
        return all(self._halved(side, budget - 1) for side in sides)

    def _halved(self, part: list[int], budget: int) -> bool:
        n = len(part)
        if n <= budget + 1:
            return True  # each probe rules out one at least
        if n > 2**budget:
            return False
        suspects = sum(1 << i for i in part)
        below = [(self.reach[i] & suspects).bit_count() for i in part]
        most_even = max(range(n), key=lambda i: min(below[i], n - below[i]))
        return self._cut(part, part[most_even], budget)


def _cuts(dag: Dag, part: Commits, weights: Floats | None) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
    """Of each suspect: position, information, and the weight of the suspects in its history.

    Without weights the information is the smaller side of the cut, which is git's choice. With weights it is the bits
    of the cut, and something for a commit that has to be tested in any case if one of the likely suspects is the first
    bad one: nobody is before it is bad and its parents are good. So of many cuts that part the weight alike, as those
    between two likely suspects do, the one at the likelier of the two is chosen. Above all comes a suspect that has
    more than half of the weight.
    """
    positions, below = dag.weigh(part, weights)
    whole = _weight(dag, part, weights)
    if weights is None:
        return positions, np.minimum(below, whole - below), below
    share = 1.0 / max(whole, 1e-300)
    bits = entropy(below * share) + _ASKED * dag.asked(part, weights)[positions] * share
    return positions, np.where(weights[positions] > whole / 2, _HEAVY, bits), below


def purpose(dag: Dag, suspects: Commits, probe: Sha, weights: Floats | None, budget: int) -> str:
    """What a probe does to the suspects, as a phrase: "likeliest, 68 %", "halves the weight", "midpoint"."""
    whole = _weight(dag, suspects, weights)
    if weights is None or not whole or not suspects & dag.bit(probe):
        return "midpoint"
    own = float(weights[dag.position(probe)]) / whole
    if own > 0.5:
        return f"likeliest, {own:.0%}".replace("%", " %")
    positions, information, below = _cuts(dag, suspects, weights)
    part = float(below[np.searchsorted(positions, dag.position(probe))]) / whole
    even = abs(part - 0.5) <= _EVEN
    cut = "halves the weight" if even else f"parts the weight {100 * part:.0f} to {100 - 100 * part:.0f}"
    best = int(np.argmax(information))
    held = positions[best] != dag.position(probe) and not _enough(dag, suspects, best, budget)
    return f"{cut}, to keep within the cap" if held else cut


def _enough(dag: Dag, suspects: Commits, probe: int, budget: int) -> bool:
    """Whether the cap allows a probe, given by its number among the suspects."""
    number = dag.weigh(suspects)[1]
    sure = len(number) > _SURE or _Halving.of(dag, suspects).enough(probe, budget)
    return sure and bool(_kept(number, budget)[probe])


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

    `below` is the number of suspects in the history of each. Where it is not worked out how merges divide them, some
    room is kept, for merges make uneven cuts.
    """
    n, kept = len(below), _kept(below, budget)
    return np.where(kept, information + 1e-12, 0.0) if kept[: n - 1].any() else n - np.maximum(below, n - below)


def _kept(below: Floats, budget: int) -> npt.NDArray[np.bool_]:
    """Which probes leave no more suspects on either side than the rest of the budget can halve down to one."""
    room = 1.0 if len(below) <= _SURE else _ROOM
    found: npt.NDArray[np.bool_] = np.maximum(below, len(below) - below) <= room * 2.0 ** (budget - 1)
    return found


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
