"""What weighs for and against a commit before the first probe, in words that a maintainer understands.

The same figures as the search's: the factors of a commit's reasons, multiplied, are to those of another as their
weights are (`core.evidence`; but for the part that is spread evenly). Several pieces of evidence are about one word of
the failure, and one word hides another; so words are looked at one after another, the rarest first, and each is told
with what it adds to those before it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from bot.core.ends import Sharpened
from bot.core.evidence import LATE, PLACES, SIZES, UNREACHED, Failure, Matches, Prior, of_words, weigh
from bot.core.learnt import FACTORS
from bot.core.patch import Patch
from bot.model import Reason, Sha, Weight

LEADING = 10  # commits that are explained whatever was found
_MOST = 8  # reasons of a commit that are told one by one
_SMALL = math.log(1.1)  # what moves a weight less is told with the rest
_NAMES = 3  # names of the ends that are spelled out
_WHERE = dict(zip(PLACES, ("paths", "changed lines", "context lines", "message"), strict=True))
_UNREAD = "the builds of both ends read no source of it"
_PLAIN = {
    UNREACHED: "it has no part of the binary, by its paths",
    LATE: "it is late in the range",
    "build system": "it touches the build system",
    "a header alone": "it touches headers alone",
    "no source": "it touches no C source",
    "one file": "it touches one file alone",
    "over 10 files": "it touches over 10 files",
}


def leading(weights: Mapping[Sha, float], named: Iterable[Sha]) -> tuple[Sha, ...]:
    """The heaviest commits of a range, and the heaviest of those named: both as far as they are explained."""
    found = dict.fromkeys(_heaviest(weights, weights)) | dict.fromkeys(_heaviest(weights, set(named) & weights.keys()))
    return tuple(sorted(found, key=lambda sha: (-weights[sha], sha)))


def _heaviest(weights: Mapping[Sha, float], among: Iterable[Sha]) -> list[Sha]:
    return sorted(among, key=lambda sha: (-weights[sha], sha))[:LEADING]


def explain(
    patches: Mapping[Sha, Patch], failure: Failure, sharp: Sharpened, shas: Iterable[Sha], unread: Collection[Sha] = ()
) -> tuple[Weight, ...]:
    """Rank, share and reasons of commits, in the order given. `sharp` are the weights that the search had."""
    prior = weigh(patches, failure, unread=unread)
    matches = Matches.of(tuple(patches.values()), failure.text)
    before, whole = prior.weights, sum(sharp.weights.values())
    found = []
    for sha in shas:
        own, i = sharp.weights[sha], prior.commits.index(sha)
        if own:
            reasons = _told([*_ends(sha, before, sharp), *_words(matches, i), *_plain(prior, i)])
        else:
            reasons = (Reason(_UNREAD, 0.0),)
        rank = 1 + sum(weight > own for weight in sharp.weights.values())
        found.append(Weight(sha, rank, _rounded(own / whole), reasons))
    return tuple(found)


def _told(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """What moved a weight most first; small things as one, so that the factors still make up the whole."""
    ordered = sorted(reasons, key=lambda reason: -abs(math.log(reason.factor)))
    main = [reason for reason in ordered[:_MOST] if abs(math.log(reason.factor)) >= _SMALL]
    rest = ordered[len(main) :]
    if len(rest) > 1:
        rest = [Reason(f"{len(rest)} smaller things together", math.prod(reason.factor for reason in rest))]
    return tuple(Reason(reason.text, _rounded(reason.factor)) for reason in (*main, *rest))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


# -- by kind of evidence --------------------------------------------------------------------------------------------


def _ends(sha: Sha, before: Mapping[Sha, float], sharp: Sharpened) -> Iterator[Reason]:
    """What the comparison of the two end binaries did to a weight."""
    if not sharp.names or not before[sha]:
        return
    factor = sharp.weights[sha] / before[sha]
    its = sharp.names.get(sha, ())
    if not its:
        yield Reason("none of the names in which the two end binaries differ is in its changed lines", factor)
        return
    held = [sum(name in others for others in sharp.names.values()) for name in its[:_NAMES]]
    told = [f"`{name}` ({_share(n, len(before))})" for name, n in zip(its, held, strict=False)]
    told += [f"{len(its) - _NAMES} more names"] if len(its) > _NAMES else []
    yield Reason(f"its changed lines have {_listed(told)}, in which the two end binaries differ", factor)


def _words(matches: Matches, commit: int) -> Iterator[Reason]:
    """What each word of the failure that a commit has adds to those that are rarer."""
    held = np.array([matches.has[place][:, commit] for place in PLACES])
    its = [i for i in np.lexsort((matches.kinds, -matches.rarity)).tolist() if held[:, i].any()]
    holders = np.logical_or.reduce(list(matches.has.values())).sum(axis=1).tolist()
    of, before = len(matches), 0.0
    for rank, i in enumerate(its, 1):
        names, values = matches.only(its[:rank], commit).features()
        after = float(values[0] @ np.array([FACTORS.get(name, 0.0) for name in names]))
        where = _listed([_WHERE[place] for place, here in zip(PLACES, held[:, i], strict=True) if here])
        if after != before:
            text = f"the failure's `{matches.words[i]}` is in its {where} ({_share(holders[i], of)})"
            yield Reason(text, math.exp(after - before))
        before = after


def _plain(prior: Prior, commit: int) -> Iterator[Reason]:
    """What is said of any failure: size, parts of the tree, verbs, place in the range."""
    sized = [name in SIZES for name in prior.reasons]
    sizes = prior.scores[:, sized].sum(axis=1)
    usual = float(sizes.mean())
    yield Reason(f"it is a {'large' if sizes[commit] > usual else 'small'} patch", math.exp(sizes[commit] - usual))
    for name, score in zip(prior.reasons, prior.scores[commit].tolist(), strict=True):
        if score and not of_words(name) and name not in SIZES:
            yield Reason(_phrase(name), math.exp(score))


def _phrase(name: str) -> str:
    if name in _PLAIN:
        return _PLAIN[name]
    kind, _, what = name.partition(" ")
    if kind == "in":
        return f"it touches {what}/"
    return f"its message says `{what}`" if kind == "says" else f"it is {name}"


def _share(commits: int, of: int) -> str:
    return f"in {commits:,} of {of:,} commits"


def _listed(texts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))
