"""What noisy runs say together: how likely each commit is the first bad one, and that there is none.

A run of a bad commit may pass (a miss), and a run of a good one may show the signature (a false failure). How often,
nobody knows: both rates are unknowns beside the culprit, a small grid of each with most of the prior at 0, and what is
not asked about is summed out. A commit may also say the contrary of the truth every time, as one that holds an older
failure that was cured before the range's own came: then it costs its hypothesis a factor and no more, however often it
is run. Not so the suspect itself and its parents: what hides there could not be confirmed, and one that is as bad as
its child comes before it. The last hypothesis is a flake: every commit fails at one rate, and nobody brought it.

Commits that the same tested ones hold cannot be told apart, so likelihoods are worked out for each such class, of which
there are about as many as tested commits, and not for each of thousands of commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bot.core.dag import Dag, Floats, Mask
from bot.core.verdict import Count
from bot.model import Sha

_MISSES = np.array([0.0, 0.01, 0.03, 0.06, 0.12, 0.25, 0.5, 0.7, 0.85, 0.95])
_FALSE = np.array([0.0, 0.01, 0.03, 0.06, 0.12, 0.25])
_NONE = 0.85  # of the prior, for each kind of noise, at a rate of 0
_FALLING = 0.7  # how much less likely each rate is than the next lower one
_FLAKE = 0.02  # prior of a flake
_FLAKES = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.98])  # its rates
_CURED = 1e-3  # chance that a commit without the culprit fails all the same every time
_NEVER = -1e6  # log of 0, that can be subtracted
_MASKED = 1e-4  # chance that one that has it, but the first bad one itself, never does


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """A posterior. Arrays are by position in the range."""

    weights: Floats  # that the commit is the first bad one; with `flake` they sum to 1
    flake: float  # that there is none
    below: Floats  # that the commit has it: `weights` summed over its history
    _tested: tuple[Sha, ...]
    _fails: Mask  # by class and commit tested: whether a culprit of the class makes it bad
    _of: npt.NDArray[np.int64]  # class by position
    _rates: _Rates
    _normal: Floats  # by class: posterior of the rates
    _rate: float  # mean rate of a flake
    _cured: bool  # the culprit is a fix: what has it is good, all else is bad
    _memo: dict[Sha, float] = field(default_factory=dict)

    def has(self, dag: Dag, sha: Sha) -> float:
        """How likely a commit of the range has the culprit in its history, if there is one at all."""
        return float(self.below[dag.position(sha)]) / max(1.0 - self.flake, 1e-300)

    def information(self, dag: Dag) -> Floats:
        """By position: bits that a run of a commit which was never run tells of who is the first bad one."""
        bad = (self._normal @ (1 - self._rates.misses))[self._of]
        good = (self._normal @ self._rates.false)[self._of]
        has, has_not = (good, bad) if self._cured else (bad, good)  # by culprit: how often runs of what has it fail
        weights, rest = self.weights, self.weights * has_not
        often = dag.below(weights * has - rest) + rest.sum() + self.flake * self._rate
        doubt = dag.below(weights * (entropy(has) - entropy(has_not))) + (weights * entropy(has_not)).sum()
        found: Floats = np.maximum(entropy(often) - doubt - self.flake * entropy(np.array(self._rate)), 0.0)
        return found

    def again(self) -> Mapping[Sha, float]:
        """Bits that one run more tells, of each commit that was run."""
        if not self._memo and self._tested:
            mass = np.bincount(self._of, self.weights, len(self._fails))
            fails = self._rates.next(self._fails, self._normal)  # by class and commit
            rate = np.array(self._rate)
            doubt = mass @ entropy(fails) + self.flake * entropy(rate)
            bits = np.maximum(entropy(mass @ fails + self.flake * rate) - doubt, 0.0)
            self._memo.update(zip(self._tested, bits.tolist(), strict=True))
        return self._memo

    @property
    def best(self) -> int:
        """The position of the likeliest commit."""
        return int(np.argmax(self.weights))

    @property
    def confidence(self) -> float:
        """How likely the likeliest commit is the first bad one, if there is any."""
        return float(self.weights[self.best]) / max(1.0 - self.flake, 1e-300)


def believe(dag: Dag, prior: Floats, counts: Mapping[Sha, Count], *, cured: bool = False) -> Belief:
    """The posterior after runs. `prior` is by position; `counts` are of commits of the range, and of older ones.

    Those are good; with `cured` they are bad, and the culprit is the commit that made the others good. It depends on
    the counts alone, not on their order.
    """
    shas = sorted(sha for sha, seen in counts.items() if seen.n)
    holds = np.array([dag.history(s) if s in dag else np.zeros(len(dag), np.bool_) for s in shas], np.bool_)
    first, of = _classes(holds.reshape(len(shas), len(dag)))
    held = holds[:, first].T if shas else np.zeros((len(first), 0), np.bool_)
    fails = ~held if cured else held
    seen = [counts[sha] for sha in shas]
    rates = _Rates.of(seen)
    likely = fails @ (rates.if_bad - rates.if_good) + rates.if_good.sum(axis=0) + rates.prior  # by class and rates
    flake = rates.flake
    top = max(float(likely.max()), float(flake.max()))
    joint, other = np.exp(likely - top), np.exp(flake - top) * _FLAKE
    share = prior / prior.sum() * (1 - _FLAKE)
    weights: Floats = share * joint.sum(axis=1)[of]
    place = {sha: i for i, sha in enumerate(shas)}
    sides = rates.bad - rates.if_bad, rates.good - rates.if_good
    new, old = reversed(sides) if cured else sides
    for sha, i in ((sha, i) for sha, i in place.items() if sha in dag):
        shown = likely[of[dag.position(sha)]] + new[i]
        for j in (place[parent] for parent in dag.parents[sha] if parent in place and parent in dag):
            shown = shown + old[j]
        weights[dag.position(sha)] = share[dag.position(sha)] * float(np.exp(shown - top).sum())
    whole = float(weights.sum() + other.sum())
    weights /= whole
    rate = float((other * _FLAKES).sum() / other.sum()) if other.sum() else 0.0
    normal = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
    flaky = float(other.sum() / whole)
    return Belief(weights, flaky, dag.below(weights), tuple(shas), fails, of, rates, normal, rate, cured)


@dataclass(frozen=True, slots=True, eq=False)
class _Rates:
    """Likelihoods as logs over the grid of (miss, false failure), for each commit tested."""

    misses: Floats
    false: Floats
    prior: Floats
    bad: Floats  # by commit and rates: of its runs if they are those of a bad commit
    good: Floats  # the same if those of a good one
    if_bad: Floats  # if it is bad, and says the contrary every time now and then
    if_good: Floats  # the same if it is good
    flake: Floats  # by rate: of all runs, if all is a flake

    @classmethod
    def of(cls, seen: Sequence[Count]) -> _Rates:
        misses, false = (a.ravel() for a in np.meshgrid(_MISSES, _FALSE, indexing="ij"))
        prior = np.log(np.outer(_spread(len(_MISSES)), _spread(len(_FALSE))).ravel())
        bads, goods = np.array([c.bad for c in seen]), np.array([c.good for c in seen])
        bad = _times(goods, misses) + _times(bads, 1 - misses)
        good = _times(bads, false) + _times(goods, 1 - false)
        flake = (_times(bads, _FLAKES) + _times(goods, 1 - _FLAKES)).sum(axis=0) - np.log(len(_FLAKES))
        if_bad = np.logaddexp(np.log1p(-_MASKED) + bad, np.log(_MASKED) + good)
        if_good = np.logaddexp(np.log1p(-_CURED) + good, np.log(_CURED) + bad)
        return cls(
            misses,
            false,
            prior,
            np.maximum(bad, _NEVER),
            np.maximum(good, _NEVER),
            np.maximum(if_bad, _NEVER),
            np.maximum(if_good, _NEVER),
            flake,
        )

    def next(self, failing: Mask, normal: Floats) -> Floats:
        """By class and commit tested: how likely the next run of it fails; `failing` says which the class makes bad."""
        bad = np.clip(np.exp(np.log1p(-_MASKED) + self.bad - self.if_bad), 0.0, 1.0)  # that it fails as bad ones do
        good = np.clip(np.exp(np.log(_CURED) + self.bad - self.if_good), 0.0, 1.0)
        fails = [normal @ (is_bad * (1 - self.misses) + (1 - is_bad) * self.false).T for is_bad in (bad, good)]
        found: Floats = np.where(failing, *fails)
        return found


def _spread(n: int) -> Floats:
    """The prior of a grid of n rates of which the first is 0: each of the others less likely than the one before."""
    falling = _FALLING ** np.arange(n - 1)
    return np.array([_NONE, *((1 - _NONE) * falling / falling.sum())])


def _times(counts: npt.NDArray[np.int64], rates: Floats) -> Floats:
    """log(rate^count) by count and rate, with 0^0 = 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(counts[:, None] > 0, counts[:, None] * np.log(rates)[None], 0.0)
    return found


def _classes(holds: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """One commit of each class, and the class of each commit; `holds` is by tested commit and position."""
    marks = np.random.default_rng(1).integers(1, 2**63, len(holds), np.uint64)  # the same ones every time
    codes = np.zeros(holds.shape[1], np.uint64)
    for mark, mask in zip(marks, holds, strict=True):
        codes[mask] += mark  # wraps; that two classes get one sum is as good as impossible
    _, first, of = np.unique(codes, return_index=True, return_inverse=True)
    return first, of.reshape(-1)


def entropy(p: Floats) -> Floats:
    """Bits that a coin tells which falls on one side with these chances."""
    q = np.clip(p, 1e-15, 1 - 1e-15)
    found: Floats = -(q * np.log2(q) + (1 - q) * np.log2(1 - q))
    return found
