"""The search as a fold over recorded runs: `observe` takes a run, `next_jobs` says what to ask, `finding` how it ended.

Nothing is remembered but the runs, and everything is computed from the set of them: replayed in any order they give
the same verdicts, suspects and finding, so resuming, replaying a log and testing are one piece of code. Runs that were
recorded before the search (the watch's at the tip) count like any other and are not asked again.

The phases: the bad end (whose failure becomes the signature, if none was given), the good end, the merge base if good
is no ancestor of bad (as git bisect does), the search, the confirmation (`core.confirmation`).

While the runs agree with one first bad commit and no noise at all, each is taken at its word and the next probe halves
what is left: the search is that of `git bisect`, with weights. Once they contradict each other (a commit gave both
answers, or a good one has a bad one in its history) they are weighed instead (`core.belief`): a commit is bad if that
is about as likely as not, the next run is the one that tells most for what it costs, and a commit is confirmed when it
is likely enough. So what was taken for good too early becomes open again by itself.

A search for a fix is the same with the sides changed: the older end fails, the newer one passes, and what is searched
is in the history of every good commit and of no bad one. Good and bad keep their meaning.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bot.core.belief import Belief, believe
from bot.core.confirmation import Ask, Phase, Rules, Want, confirm
from bot.core.dag import Commits, Dag, Floats
from bot.core.endpoints import Endpoints
from bot.core.probe import Cost, choose, purpose, runs
from bot.core.verdict import FAILURES, Count, count, failed, judge, needed
from bot.model import (
    Finding,
    Flaky,
    Inconclusive,
    Outcome,
    Question,
    Run,
    Sha,
    Signature,
    Suspects,
    Test,
    Verdict,
)

_NEAREST = 64  # commits never run that are compared by what they cost
_HAS = 0.4  # probability from which a commit has the culprit; below a half, for two may have brought it independently
_NOTHING = 1e-3  # bits: what tells less than that tells nothing
_LEAST = 1e-6  # of the greatest weight: what a commit has at least, for evidence may mislead

SPARE = 2
"""Probes beyond ceil(log2 N) that a search may spend on evidence that misleads it."""


@dataclass(frozen=True, slots=True, eq=False)
class Bisection:
    """The state of a search. Made by `start`; each `observe` returns the next state and leaves this one as it is."""

    question: Question
    dag: Dag
    rules: Rules
    merge_base: Sha | None = None
    prior: Mapping[Sha, float] | None = None  # weight of each commit as the first bad one; None: all the same
    runs: tuple[Run, ...] = ()  # of the question's case, as they came
    signature: Signature | None = None  # what bad means: the question's, else that of the bad end's earliest failure
    devices: frozenset[str] = frozenset()  # that the failure is about
    counts: Mapping[Sha, Count] = field(default_factory=dict)
    belief: Belief | None = None  # once the runs contradict each other
    _suspects: Commits = 0

    @classmethod
    def start(
        cls,
        question: Question,
        dag: Dag,
        *,
        merge_base: Sha | None = None,
        rules: Rules | None = None,
        prior: Mapping[Sha, float] | None = None,
    ) -> Bisection:
        """Nothing run yet. `dag` holds what bad has and good has not; `merge_base` is of both, given if it is not good.

        Raises `ValueError` if `dag` is anything else, as good..bad of another question.
        """
        everything = dag.ancestors(question.bad) if question.bad in dag else 0
        if everything.bit_count() < len(dag) or question.good in dag:
            raise ValueError(f"the range is not {question.good}..{question.bad}: give what bad has and good has not")
        base = None if merge_base == question.good else merge_base
        return cls(question, dag, rules or Rules(), base, prior, signature=question.signature, _suspects=everything)

    def weighted(self, prior: Mapping[Sha, float]) -> Bisection:
        """The state with weights for the commits: how likely each is the first bad one, before any run."""
        return _weighed(replace(self, prior=prior))

    # -- what came in --------------------------------------------------------------------------------------------

    def observe(self, run: Run) -> Bisection:
        """The state with one run more; a run of another case changes nothing."""
        if run.case != self.question.case:
            return self
        runs = (*self.runs, run)
        signature = self._learn(run, runs)
        devices = self.devices | needed([run], signature) if signature == self.signature else needed(runs, signature)
        same = (signature, devices) == (self.signature, self.devices)
        if same:
            counts = {**self.counts, run.commit: self.count(run.commit).plus(judge(run, signature, devices))}
        else:
            shas = dict.fromkeys(r.commit for r in runs)
            counts = {sha: count((r for r in runs if r.commit == sha), signature, devices) for sha in shas}
        state = replace(self, runs=runs, signature=signature, devices=devices, counts=counts)
        same = same and self.belief is None
        if same and state.verdict(run.commit) is self.verdict(run.commit) and not _mixed(state.count(run.commit)):
            return state
        return _weighed(state)

    def _learn(self, run: Run, runs: Iterable[Run]) -> Signature | None:
        """The earliest failure of the failing end names the signature, unless the question did."""
        end = self.question.failing
        if self.question.signature is not None or run.commit != end:
            return self.signature
        seen = [(r.at, s.key, s) for r in runs if r.commit == end and failed(r) and (s := r.signature)]
        return min(seen, key=lambda known: known[:2])[2] if seen else None

    # -- what is known -------------------------------------------------------------------------------------------

    def count(self, sha: Sha) -> Count:
        """How often the runs of a commit said what."""
        return self.counts.get(sha, Count())

    def verdict(self, sha: Sha) -> Verdict | None:
        """What the runs say of a commit; None if it was not run. Runs that contradict each other are weighed."""
        seen = self.count(sha)
        if not seen.n or self.belief is None or sha == self.question.failing:
            return seen.verdict
        if sha in self.dag:
            return self.new if self.belief.has(self.dag, sha) >= _HAS else self.old
        if self.question.cured:
            return seen.verdict
        return Verdict.BAD if seen.bad > seen.good else Verdict.GOOD

    @property
    def confidence(self) -> float:
        """How likely the likeliest commit is the first bad one, in view of all that noise may have done."""
        return (self.belief or self._believe()).confidence

    @property
    def suspect(self) -> Sha:
        """The likeliest first bad commit."""
        return self.dag.commits[self.belief.best] if self.belief else self.suspects[0]

    def _believe(self) -> Belief:
        outside = self.dag.outside | {self.question.good, self.merge_base}
        counts = {sha: seen for sha, seen in self.counts.items() if sha in self.dag or sha in outside}
        return believe(self.dag, self._weights, counts, cured=self.question.cured)

    @property
    def _weights(self) -> Floats:
        """The prior by position; no commit is without any weight, or runs could not bring it back."""
        if self.prior is None:
            return np.ones(len(self.dag))
        found = np.fromiter((self.prior.get(s, 1.0) for s in self.dag.commits), np.float64, len(self.dag))
        return np.maximum(found, _LEAST * (found.max() or 1.0))

    @property
    def suspects(self) -> tuple[Sha, ...]:
        """The commits that can still be the one that is searched, oldest first; skipped ones are among them."""
        return self.dag.names(self._suspects)

    @property
    def skipped(self) -> tuple[Sha, ...]:
        """Suspects that could not be tested, oldest first."""
        return self.dag.names(self._suspects & self._with(Verdict.SKIP))

    def open(self, sha: Sha) -> bool:
        """Whether a commit that was not run may be good or bad: some suspects are in its history, and some are not."""
        if sha not in self.dag or self.verdict(sha) is not None:
            return False
        return (self.dag.ancestors(sha) & self._suspects) not in (0, self._suspects)

    @property
    def other_failures(self) -> tuple[Run, ...]:
        """Runs that failed in another way than asked about: reported beside the finding."""
        skip = Verdict.SKIP
        return tuple(r for r in self.runs if r.outcome in FAILURES and judge(r, self.signature) is skip)

    @property
    def remaining(self) -> int:
        """About how many commits there are still to ask before the confirmation."""
        decided = self._decide()
        if not isinstance(decided, Ask) or decided.phase is Phase.CONFIRMATION:
            return 0
        return len(decided.wants) + math.ceil(math.log2(self._suspects.bit_count()))

    @property
    def phase(self) -> Phase:
        """What the search is busy with."""
        decided = self._decide()
        return decided.phase if isinstance(decided, Ask) else Phase.DONE

    @property
    def finding(self) -> Finding | None:
        """How the search ended; None while there is something to ask."""
        decided = self._decide()
        return None if isinstance(decided, Ask) else decided

    def needless(self, sha: Sha) -> bool:
        """Whether a test of a commit that goes on has lost its use: others have answered meanwhile what it would.

        Never once runs are weighed, for then each of them tells something.
        """
        decided = self._decide()
        if not isinstance(decided, Ask):
            return True
        if decided.wants:
            return all(want.commit != sha for want in decided.wants)
        if self.belief is not None or self.count(sha).n or sha not in self.dag:
            return False
        return (self.dag.ancestors(sha) & self._suspects) in (0, self._suspects)

    @property
    def host(self) -> str | None:
        """The host on which the suspect and its parents are compared; None: none of them was run.

        What one host builds and runs differs from another's, so runs of several are no comparison. It is the one that
        ran one of them, or an end, last: what is asked next is asked there, and starts over on another if it is lost.
        """
        shas = {self.suspect, *self.dag.parents[self.suspect], self.question.good, self.question.bad}
        return max(((run.at, run.host) for run in self.runs if run.commit in shas), default=(0.0, None))[1]

    def _counts_on(self, host: str | None) -> Mapping[Sha, Count]:
        if all(run.host == host for run in self.runs):
            return self.counts
        runs: dict[Sha, list[Run]] = {}
        for run in self.runs:
            if run.host == host:
                runs.setdefault(run.commit, []).append(run)
        return {sha: count(its, self.signature, self.devices) for sha, its in runs.items()}

    def why(self, sha: Sha, *, beside: bool = False) -> str:
        """Why this state asks about a commit, as a phrase: "bad end", "midpoint", "likeliest, 68 %", "once more"...

        `beside` others, a probe halves what they leave.
        """
        decided = self._decide()
        wants = decided.wants if isinstance(decided, Ask) else ()
        role = next((want.why for want in wants if want.commit == sha), None)
        if role is None and self.count(sha).n:
            return "once more"
        if role is not None or self.belief is not None:
            return role or "tells most for its cost"
        cut = purpose(self.dag, self._suspects, sha, None if self.prior is None else self._weights, self._budget)
        cut = "midpoint of a part" if beside and cut == "midpoint" else cut
        return f"{cut}, away from skipped commits" if self.skipped else cut

    @property
    def new(self) -> Verdict:
        """The verdict of commits that have the one that is searched."""
        return Verdict.GOOD if self.question.cured else Verdict.BAD

    @property
    def old(self) -> Verdict:
        """The verdict of the others."""
        return Verdict.BAD if self.question.cured else Verdict.GOOD

    def _with(self, verdict: Verdict) -> Commits:
        return _union(self.dag.bit(sha) for sha in self.counts if sha in self.dag and self.verdict(sha) is verdict)

    # -- what to do ----------------------------------------------------------------------------------------------

    def next_jobs(self, k: int = 1, cost: Cost | None = None, running: Collection[Sha] = ()) -> tuple[Test, ...]:
        """At most k tests that are worth most now, the best one first; none if the search has ended.

        `cost` says what a test of a commit takes now, in any unit: little for one that is built, more the more has to
        be built. None: all the same. Commits that are `running` are not asked again; what is asked beside them tells
        more whatever they say.
        """
        decided = self._decide()
        if not isinstance(decided, Ask):
            return ()
        wants = decided.wants or tuple(Want(sha, 1, "") for sha in self._probes(k, cost or _same, running))
        free = [want for want in wants if want.commit not in running]
        confirming = decided.phase is Phase.CONFIRMATION
        host = self.host if confirming else None
        case = (self.question.case,)
        return tuple(Test(want.commit, case, want.times, own=confirming, host=host) for want in free[:k])

    def _probes(self, k: int, cost: Cost, running: Collection[Sha]) -> tuple[Sha, ...]:
        if self.belief is not None:
            telling = self._telling(self.belief, cost).items()
            told = {sha: bits for sha, bits in telling if bits > 0 and sha not in running}
            return tuple(sorted(told, key=lambda sha: (-told[sha] / cost(sha), self.dag.position(sha)))[:k])
        skipped = self._with(Verdict.SKIP)
        tested = skipped | self._with(Verdict.GOOD) | self._with(Verdict.BAD)
        weights = None if self.prior is None else self._weights
        chosen = choose(self.dag, self._suspects, tested, skipped, weights, k, self._budget, cost, running)
        return (*self._doubts(chosen[0], cost), *chosen) if chosen and cost is not _same else chosen

    @property
    def _budget(self) -> int:
        """Probes that are left to a search with weights."""
        answered = (self._with(Verdict.GOOD) | self._with(Verdict.BAD)) & ~self.dag.bit(self.question.bad)
        return math.ceil(math.log2(len(self.dag))) + SPARE - answered.bit_count()

    def _doubts(self, probe: Sha, cost: Cost) -> tuple[Sha, ...]:
        """The commit, if any, of which one run more tells more for what it costs than the next probe would.

        Nothing contradicts its runs so far. But after a pass by luck all that follows is bad, and the longer it is, the
        less likely: to ask again is cheaper than to find out in the end.
        """
        belief = self._believe()
        again = {s: bits for s, bits in belief.again().items() if s in self.dag and not self._stuck(s)}
        told = {s: bits / cost(s) for s, bits in again.items() if bits >= _NOTHING}
        best = max(told, key=lambda sha: (told[sha], sha), default=None)
        next_one = belief.information(self.dag)[self.dag.position(probe)] / cost(probe)
        return (best,) if best is not None and told[best] > next_one else ()

    def _telling(self, belief: Belief, cost: Cost | None = None) -> dict[Sha, float]:
        """Bits that one run more of a commit tells: of those that have been run, and of the best (for their cost) of
        those that have not, beside and away from skipped ones."""
        found = {sha: bits for sha, bits in belief.again().items() if sha in self.dag and not self._stuck(sha)}
        fresh = belief.information(self.dag)
        skips = np.sort([self.dag.position(s) for s, c in self.counts.items() if not c.n and c.skip and s in self.dag])
        fresh *= runs(skips.astype(np.intp), len(fresh))
        fresh[[self.dag.position(sha) for sha in self.counts if sha in self.dag]] = 0.0
        worth = fresh if cost is None or cost is _same else fresh / [cost(sha) for sha in self.dag.commits]
        for position in np.argsort(-worth, kind="stable")[:_NEAREST].tolist():
            found.setdefault(self.dag.commits[position], float(fresh[position]))
        return found

    def _stuck(self, sha: Sha) -> bool:
        """Whether a commit mostly says neither good nor bad."""
        seen = self.count(sha)
        return seen.skip > max(self.rules.min_runs, seen.n)

    def _decide(self) -> Finding | Ask:
        """How it ended, or what to ask next."""
        decided = self._endpoints.decide() or self._narrow() or self._confirm()
        asked = decided.wants[:1] if isinstance(decided, Ask) else ()
        failed = next((want.commit for want in asked if self._failed(want.commit)), None)
        return self._trouble(failed) if failed else decided

    @property
    def _endpoints(self) -> Endpoints:
        return Endpoints(self.question, self.rules, self.counts, self.runs, self.signature, self.merge_base)

    def _narrow(self) -> Finding | Ask | None:
        """The search itself: None when one suspect is left, or one is likely enough."""
        if self.belief is None:
            if self._suspects.bit_count() == 1:
                return None
        elif self.belief.confidence >= self.rules.sure or self.belief.flake >= self.rules.sure:
            return None
        skipped = self._suspects & self._with(Verdict.SKIP)
        untested = self._suspects & ~skipped & ~self._with(self.new)
        if skipped.bit_count() >= self.rules.max_skips:
            return self._bounded(skipped)
        if self.belief is not None:
            if max(self._telling(self.belief).values(), default=0.0) < _NOTHING:
                return self._bounded(skipped) if skipped else None
        elif not untested:
            return self._bounded(skipped)
        failing = (s for s in self.counts if self._failed(s) and s in self.dag)
        failed = next((s for s in failing if self.dag.bit(s) & untested), None)
        return self._trouble(failed) if failed else Ask(Phase.SEARCH)

    def _bounded(self, skipped: Commits) -> Finding | Ask:
        """Suspects, once what bounds them was run as often as a confirmation asks: one lucky pass may hide another."""
        return self._bounds() or Suspects(self.suspects, self.dag.names(skipped))

    def _bounds(self) -> Ask | None:
        """Runs that are due of the oldest commits that have all suspects in their history, and of the newest of those
        without any that clear others of that history; None if there are enough."""
        whole = (s for s in self.dag.names(self._with(self.new)) if not self._suspects & ~self.dag.ancestors(s))
        first = self.dag.oldest(_union(map(self.dag.bit, whole)))
        below = _union(map(self.dag.ancestors, first))
        clear = (s for s in self.dag.names(self._with(self.old)) if self.dag.ancestors(s) & below)
        base = self.merge_base
        end = base if base is not None and self.verdict(base) is self.old else self.question.good
        last = self.dag.newest(_union(map(self.dag.bit, clear))) or (end,)
        due = [s for s in (*first, *last) if self.count(s).n < self.rules.min_runs and not self._stuck(s)]
        wants = tuple(Want(s, 1, "confirm bound") for s in sorted(due, key=lambda s: self.count(s).n))
        return Ask(Phase.CONFIRMATION, wants) if wants else None

    def _confirm(self) -> Finding | Ask:
        suspect = self.suspect
        parents = self.dag.parents[suspect]
        shas = (suspect, *parents)
        host = self.host
        runs = [run for run in self.runs if run.host == host and run.binary]
        binaries = {sha: frozenset(run.binary for run in runs if run.commit == sha and run.binary) for sha in shas}
        counts, noisy = self._counts_on(host), self.belief is not None
        found = confirm(self.question, suspect, parents, counts, binaries, self.rules, self.dag.outside, noisy)
        if isinstance(found, Flaky):  # of that host's runs there may be none that is bad
            seen = self.count(found.commit)
            return Flaky(found.commit, seen.bad, seen.n)
        return self._bounds() or found if isinstance(found, Suspects) else found

    def _failed(self, sha: Sha) -> bool:
        return self.count(sha).infra > self.rules.infra_retries

    def _trouble(self, sha: Sha) -> Inconclusive:
        """A question that the machine failed to answer too often is not asked again."""
        infra = [r.observation.message for r in self.runs if r.commit == sha and r.outcome is Outcome.INFRA]
        said = f": {infra[-1]}" if infra[-1] else ""
        return Inconclusive(f"the machine failed {len(infra)} times to test {sha[:12]}{said}")


def _same(_: Sha) -> float:
    return 1.0


def _mixed(seen: Count) -> bool:
    return seen.good > 0 and seen.bad > 0


def _weighed(state: Bisection) -> Bisection:
    """The state with its suspects, and with a belief if no first bad commit explains every run without noise."""
    plain = replace(state, belief=None)
    if any(map(_mixed, state.counts.values())) or not _agree(plain):
        plain = replace(plain, belief=plain._believe())
    return replace(plain, _suspects=_suspects(plain))


def _agree(state: Bisection) -> bool:
    """Whether one commit can explain every run: it is in the history of all bad ones and of no good one.

    A fix is in that of all good ones and of no bad one.
    """
    dag, end, cured = state.dag, state.question.bad, state.question.cured
    left = dag.ancestors(end)
    for sha, seen in state.counts.items():
        if sha in dag and seen.n and sha != end:
            left &= dag.ancestors(sha) if bool(seen.bad) is not cured else ~dag.ancestors(sha)
    return bool(left)


def _union(sets: Iterable[Commits]) -> Commits:
    total = 0
    for commits in sets:
        total |= commits
    return total


def _suspects(state: Bisection) -> Commits:
    """What is in the history of every bad commit and of no good one; of a fix, of every good one and of no bad one.

    A bad commit that a good one has in its history is of an older failure that was cured since; it narrows nothing.
    Bad commits without a common suspect brought the failure independently: the set with the likeliest commit counts,
    else the smallest, then those that agree with it, so that the answer is a first bad commit whichever way the runs
    came.
    """
    dag, bad = state.dag, state.question.bad
    inside = [(sha, state.verdict(sha)) for sha in state.counts if sha in dag and sha != bad]
    found = left = dag.ancestors(bad) & ~_union(dag.ancestors(s) for s, verdict in inside if verdict is state.old)
    best = 0 if state.belief is None else 1 << state.belief.best
    for commits in sorted(
        (dag.ancestors(s) & left for s, verdict in inside if verdict is state.new),
        key=lambda commits: (not commits & best, commits.bit_count(), commits),
    ):
        found = found & commits or found
    return found
