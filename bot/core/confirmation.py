"""What is run before anybody is blamed, and what is said when it does not hold: a wrong accusation is worse than none.

One suspect is left. It and its parents are run in turns until the parents' passes mean something: culprit k of n bad
with k >= 3 and n >= 10, each parent 0 of n bad, and n so large that a parent as bad as the culprit would have passed
every time with a probability (1 - k/n)^n below 0.001. Where k < n, k/n is a guess, made of a suspect that was picked
because it failed; so there the chance that all k failures fall on its side though both are equally bad has to be below
0.001 too, and wherever any runs contradicted each other. Both ends are repeated as well.

A good commit may show a signature by accident, too. So a parent that does so now and then is still compared if it is
far from as bad as the suspect (`separated`): one half as bad would have failed so rarely with a probability below
0.001, and Fisher's test says the same of both. That takes some runs more, and the figures of both are told.

The bad end is compared, too: where it fails far more rarely than the suspect, in whose runs there is luck, both are run
on until they agree or it is `Flaky`.

What may come instead:

- A parent in the range shows the signature: the runs contradict each other now, and `Bisection` weighs them. If they
  make the parent bad it goes on among older commits. Nobody has to be told; a verdict that rested on a lucky pass was
  corrected.
- A parent outside the range shows it in more than a quarter of its runs, or one in the range does and 200 runs did not
  settle which of the two it is: the suspect did not bring it. If that parent passes too it is `Flaky`, else
  `Inconclusive`: the failure is older than the good end and was cured there.
- The good end shows it half as often as the bad end, or more: `Flaky` (of the good end). The failure is older than the
  range.
- After 200 runs the numbers still do not suffice: `Flaky` (of the suspect): it may have been seen by accident.
- A parent cannot be tested: `Suspects` with the parent as skipped. Nothing was compared, so nobody is blamed; but what
  bounds the suspects is run as often as parent and culprit would have been.
- Suspect and parent are the same executable: `Inconclusive`. The commit did not change what was run.
- The suspect has no parent at all: `Inconclusive`.

A fix is confirmed by the same figures, with its parents as the ones that fail and itself as the one that passes.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bot.core.verdict import Count
from bot.model import (
    Confirmation,
    Finding,
    FirstBad,
    FirstFixed,
    Flaky,
    Inconclusive,
    MergeConflict,
    Question,
    Sha,
    Suspects,
    Tally,
    Verdict,
)

_UNLIKE = 0.01  # probability below which the bad end is not as bad as the suspect
_NOISE = 0.25  # share of its runs up to which a parent may fail and be compared


class Phase(StrEnum):
    """What a search is busy with."""

    ENDS = "ends"
    SEARCH = "search"
    CONFIRMATION = "confirmation"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of a search. Runs are counted per commit and only if they said good or bad."""

    min_runs: int = 10  # n of a confirmation, and how often an end is asked to show what it was given as
    max_runs: int = 200  # n beyond which an undecided confirmation is Flaky
    min_bad: int = 3  # k of a confirmation
    doubt: float = 0.001  # probability that a parent as bad as the culprit passed every time
    infra_retries: int = 3  # times that a commit is asked again when the machine failed
    sure: float = 0.8  # probability at which a commit that noise hides is confirmed
    max_skips: int = 50  # suspects that could not be tested after which the rest is not asked either

    def __post_init__(self) -> None:
        if not 1 <= self.min_bad <= self.min_runs <= self.max_runs:
            raise ValueError(f"of {self}: needs 1 <= min_bad <= min_runs <= max_runs")


@dataclass(frozen=True, slots=True)
class Want:
    """A commit to test `times` over, and why, as a phrase."""

    commit: Sha
    times: int
    why: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask next, most wanted first; empty in the search, where the choice costs time and is made on demand."""

    phase: Phase
    wants: tuple[Want, ...] = ()


def confirm(
    question: Question,
    suspect: Sha,
    parents: Sequence[Sha],
    counts: Mapping[Sha, Count],
    binaries: Mapping[Sha, frozenset[str]],
    rules: Rules,
    outside: Container[Sha] = (),
    noisy: bool = False,
) -> Finding | Ask:
    """The finding about the only suspect left, or what to run for it.

    `binaries` are what a commit was run as; `outside` are the commits that no search goes on to, if they are bad.
    `noisy`: some commit's runs contradict others, so a suspect that always failed may have done so by chance.
    """
    if not parents:
        is_ = "passes" if question.cured else "is bad"
        return Inconclusive(f"{suspect[:12]} {is_} and has no parent to compare it with")
    skipped = tuple(sha for sha in (suspect, *parents) if _count(counts, sha).verdict is Verdict.SKIP)
    if skipped:
        return Suspects((suspect,), skipped)
    unlike = _cured_parent if question.cured else _bad_parent
    for parent in parents:
        refused = unlike(suspect, parent, _count(counts, parent), rules, outside=parent in outside)
        if refused is not None:
            return refused
    wanted = _wanted(question, suspect, parents, counts, rules, noisy)
    if isinstance(wanted, Ask):
        stuck = next((w.commit for w in wanted.wants if _stuck(_count(counts, w.commit), rules)), None)
        return Inconclusive(f"{stuck[:12]} mostly fails in another way than the one asked about") if stuck else wanted
    if wanted is not None:
        return wanted
    return _conclude(question, suspect, parents, counts, binaries)


def separated(bad: Count, good: Count, rules: Rules) -> bool:
    """Whether a commit that shows the signature is good all the same: it does so far more rarely than a bad one.

    One half as bad as the bad one would have shown it so rarely with a probability below `rules.doubt`, and that chance
    alone divides the failures of both like this is no likelier (Fisher's exact test).
    """
    if not good.n or not bad.bad:
        return False
    half = bad.bad / bad.n / 2
    rarely = sum(math.comb(good.n, i) * half**i * (1 - half) ** (good.n - i) for i in range(good.bad + 1))
    return rarely < rules.doubt and _by_chance(bad, good) < rules.doubt


def _count(counts: Mapping[Sha, Count], sha: Sha) -> Count:
    return counts.get(sha, Count())


def _stuck(seen: Count, rules: Rules) -> bool:
    return seen.skip > max(rules.min_runs, seen.n)


def _bad_parent(suspect: Sha, parent: Sha, seen: Count, rules: Rules, *, outside: bool) -> Finding | Ask | None:
    """A parent that the search does not go on from shows the signature; None if it does not."""
    if not seen.bad or not (seen.n >= rules.max_runs or (outside and seen.bad > _NOISE * seen.n)):
        return None
    if seen.n < rules.min_runs:
        return Ask(Phase.CONFIRMATION, (Want(parent, rules.min_runs - seen.n, "confirm parent"),))
    if seen.good:
        return Flaky(parent, seen.bad, seen.n)
    return Inconclusive(
        f"{suspect[:12]} is bad, but so is its parent {parent[:12]}, which a good commit has in its history: "
        "the failure is older and was cured on one side"
    )


def _cured_parent(suspect: Sha, parent: Sha, seen: Count, rules: Rules, *, outside: bool) -> Finding | Ask | None:
    """The same of a fix: a parent that the broken end has in its history never shows the signature."""
    if seen.bad or not seen.n or not outside:
        return None
    if seen.n < rules.min_runs:
        return Ask(Phase.CONFIRMATION, (Want(parent, rules.min_runs - seen.n, "confirm parent"),))
    return Inconclusive(
        f"{suspect[:12]} passes, but so does its parent {parent[:12]}, which the broken end has in its history: "
        "the failure is younger than that; --first-parent searches the merges of the main line alone"
    )


def _wanted(
    question: Question, suspect: Sha, parents: Sequence[Sha], counts: Mapping[Sha, Count], rules: Rules, noisy: bool
) -> Ask | Flaky | None:
    """Runs still needed, from the commit with the fewest on, which interleaves them; None if there are enough.

    While a commit has fewer than any confirmation asks for, nothing else is asked: where several are tested at a time,
    a free slot would bring one run too many of a commit that has them, beside the run that ends it all.
    """
    wants: dict[Sha, str] = {}
    failing, passing = (parents, (suspect,)) if question.cured else ((suspect,), parents)
    alike = all(_alike(_count(counts, sha), _count(counts, question.failing)) for sha in failing)
    if not alike or not all(_enough(sha, passing, counts, rules, noisy) for sha in failing):
        found = "confirm fix" if question.cured else "confirm culprit"
        wants = dict.fromkeys(parents, "confirm parent") | {suspect: found}
        wants |= {} if alike else {question.failing: f"confirm {question.role(question.failing)}"}
        wants = {sha: why for sha, why in wants.items() if _count(counts, sha).n < rules.max_runs}
        if not wants:
            rarest = min(failing, key=lambda sha: _count(counts, sha).bad)
            return Flaky(rarest, _count(counts, rarest).bad, _count(counts, rarest).n)
    for end in (question.good, question.bad):
        if _count(counts, end).n < rules.min_runs:
            wants.setdefault(end, f"confirm {question.role(end)}")
    short = [sha for sha in wants if _count(counts, sha).n < rules.min_runs]
    fewest = sorted(short or wants, key=lambda sha: _count(counts, sha).n)
    return Ask(Phase.CONFIRMATION, tuple(Want(sha, 1, wants[sha]) for sha in fewest)) if wants else None


def _enough(failing: Sha, passing: Sequence[Sha], counts: Mapping[Sha, Count], rules: Rules, noisy: bool) -> bool:
    bad = _count(counts, failing)
    if bad.n < rules.min_runs or bad.bad < rules.min_bad:
        return False
    tried = [_count(counts, sha) for sha in passing]
    return all(seen.n >= rules.min_runs and innocent(bad, seen, rules, noisy=noisy) for seen in tried)


def _alike(culprit: Count, end: Count) -> bool:
    """Whether the bad end is about as bad as the suspect: what the suspect brought is still there.

    Of many good commits that fail by accident the search finds the one that did so most; its luck is not the bad end's.
    """
    return not culprit.good or not end.n or _by_chance(culprit, end) >= _UNLIKE


def innocent(culprit: Count, parent: Count, rules: Rules, *, noisy: bool = False) -> bool:
    """Whether a parent that is as bad as the culprit would hardly have shown what it did."""
    if parent.bad:
        return separated(culprit, parent, rules)
    passes = culprit.good / culprit.n
    guessed = passes > 0 or noisy
    return passes**parent.n < rules.doubt and (not guessed or _by_chance(culprit, parent) < rules.doubt)


def _by_chance(culprit: Count, parent: Count) -> float:
    """Probability that so few failures fall on the runs of a parent if it fails as often (Fisher's exact test)."""
    runs, failures = culprit.n + parent.n, culprit.bad + parent.bad
    ways = sum(math.comb(parent.n, i) * math.comb(culprit.n, failures - i) for i in range(parent.bad + 1))
    return ways / math.comb(runs, failures)


def _conclude(
    question: Question,
    suspect: Sha,
    parents: Sequence[Sha],
    counts: Mapping[Sha, Count],
    binaries: Mapping[Sha, frozenset[str]],
) -> Finding:
    """The numbers hold: who is it, and did the commit change what was run?"""
    none = frozenset[str]()
    ours = binaries.get(suspect, none)
    same = next((parent for parent in parents if ours & binaries.get(parent, none)), None)
    if same is not None:
        new, old = ("good", "bad") if question.cured else ("bad", "good")
        return Inconclusive(
            f"{suspect[:12]} is {new} and its parent {same[:12]} is {old}, but their executables are the same: "
            "the difference is in a file that is read at run time, or outside the commit"
        )

    def tally(sha: Sha) -> Tally:
        return Tally(sha, _count(counts, sha).bad, _count(counts, sha).n)

    confirmation = Confirmation(
        parents=tuple(tally(parent) for parent in parents),
        culprit=tally(suspect),
        good_end=tally(question.passing),
        bad_end=tally(question.failing),
        binary_differs=True if ours and binaries.get(parents[0]) else None,
    )
    if question.cured:
        return FirstFixed(suspect, confirmation)
    return FirstBad(suspect, confirmation) if len(parents) == 1 else MergeConflict(suspect, confirmation)
