"""A commit that does not build, or cannot run the case, is tried again with what later history offers for it.

Fixups of the configuration first, then commits with a `Fixes:` of one of its ancestors that have files or words in
common with what failed. The smallest set that makes it testable is used, but only if it is neutral: with it the nearest
commit known to be bad is bad, with the same signature, and the nearest known to be good is good (or the commit that it
mends, where that came later and it does not apply before). Else the commit stays skipped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bot.bisect.crew import Perform
from bot.core import trailers
from bot.core.dag import Dag
from bot.core.fixups import Offer, neutral, related, sets
from bot.core.verdict import count, failed, judge
from bot.errors import UserError
from bot.host.picks import Conflict, Pick, compose
from bot.model import Build, Outcome, Question, Run, Sha, Signature, Test, Verdict
from bot.pipeline.bench import Bench

_MOST = 4  # sets that are built for one commit; each costs a build, and up to two more to show that it is neutral
_UNTESTED = (Outcome.NOT_BUILT, Outcome.UNTESTABLE)


@dataclass(slots=True)
class Mending:
    """A `perform` for one search, around another; it may be called in several threads.

    One commit is mended at a time, for what is found out then serves the next. What is recorded meanwhile is read from
    the store, each time over a connection of its own.
    """

    bench: Bench
    question: Question
    dag: Dag
    setup: str
    perform: Perform
    skip: frozenset[Sha] = frozenset()
    _used: dict[Sha, tuple[Sha, ...]] = field(default_factory=dict)  # by commit: what it is tested with
    _neutral: dict[tuple[Sha, ...], bool] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, job: Test, stop: threading.Event) -> Iterator[Build | Run]:
        picks = self._used.get(job.commit) or self._recorded(job.commit)
        if picks:
            composed = self._compose(job.commit, picks)
            if composed is not None:
                yield from self._with(job, composed, picks, stop)
                return
        untested: Run | None = None
        for fact in self.perform(job, stop):
            yield fact
            if isinstance(fact, Run) and fact.case == self.question.case and self._cannot(fact):
                untested = fact
        if untested is not None and job.commit in self.dag and job.commit != self.question.bad:
            with self._turn:
                facts = self._mend(job, untested, stop)
            yield from facts

    def _recorded(self, commit: Sha) -> tuple[Sha, ...]:
        runs = self.bench.store.runs(commit=commit, cases=[self.question.case], setups=[self.setup], logs=False)
        return next((run.fixups for run in runs if run.fixups), ())

    def _cannot(self, run: Run) -> bool:
        return run.outcome in _UNTESTED and judge(run, self._signature()) is Verdict.SKIP

    # -- trying ----------------------------------------------------------------------------------------------------

    def _mend(self, job: Test, untested: Run, stop: threading.Event) -> list[Build | Run]:
        """What the commit says with the first set that makes it testable and is neutral; nothing if there is none."""
        offers = self._offers(job.commit, untested.observation.message)
        tried = 0
        for chosen in sets(offers):
            picks = tuple(offer.commit for offer in chosen)
            if tried == _MOST or self._neutral.get(picks) is False:
                continue
            composed = self._compose(job.commit, picks)
            if composed is None:
                continue
            tried += 1
            self.bench.progress.say(f"{job.commit[:12]}: trying with {_names(chosen)}")
            facts = list(self._with(job, composed, picks, stop))
            if any(self._cannot(fact) for fact in facts if isinstance(fact, Run)):
                continue
            if self._is_neutral(chosen, stop):
                self._used[job.commit] = picks
                return facts
            self.bench.progress.say(
                f"{_names(chosen)} may change the answer, so {job.commit[:12]} stays skipped with it"
            )
        return []

    def _with(self, job: Test, composed: Sha, picks: tuple[Sha, ...], stop: threading.Event) -> Iterator[Build | Run]:
        for fact in self.perform(replace(job, commit=composed), stop):
            yield replace(fact, commit=job.commit, fixups=picks) if isinstance(fact, Run) else fact

    def _compose(self, commit: Sha, picks: tuple[Sha, ...]) -> Sha | None:
        composed = compose(self.bench.repository, commit, [Pick(pick) for pick in picks])
        return None if isinstance(composed, Conflict) else composed

    def _offers(self, commit: Sha, said: str) -> tuple[Offer, ...]:
        """What could help, best first: configured ones that the commit has not, then those that later history names."""
        repository = self.bench.repository
        found = []
        for fixup in self.bench.config.build.fixups:
            try:
                sha = repository.resolve(fixup.commit)
                since = repository.resolve(fixup.since) if fixup.since else None
            except UserError as error:
                self.bench.progress.say(f"build.fixups {fixup.commit}: {error}; it is not tried")
                continue
            if not repository.is_ancestor(sha, commit) and (since is None or repository.is_ancestor(since, commit)):
                found.append(Offer(sha, fixup.why, broken=since))
        tips = dict.fromkeys([self.question.bad, *repository.branches().values()])
        later = dict(repository.fixes_since(commit, tips))
        messages = {c.sha: f"{c.subject}\n\n{c.body}" for c in repository.commits(later)}
        offers = related(said, [Offer(sha, messages[sha], paths) for sha, paths in later.items()])
        mending = (replace(offer, broken=self._broken(offer, commit)) for offer in offers)
        return (*found, *(offer for offer in mending if offer.broken))

    def _broken(self, offer: Offer, commit: Sha) -> Sha | None:
        """The ancestor of a commit that an offer says it fixes."""
        repository = self.bench.repository
        for claim in trailers.fixes(offer.message):
            if claim.sha is None:
                continue
            try:
                sha = repository.resolve(claim.sha)
            except UserError:
                continue  # an id that this clone does not have
            if repository.is_ancestor(sha, commit):
                return sha
        return None

    # -- neutral ---------------------------------------------------------------------------------------------------

    def _is_neutral(self, chosen: tuple[Offer, ...], stop: threading.Event) -> bool:
        picks = tuple(offer.commit for offer in chosen)
        if picks not in self._neutral:
            bad, good = self._nearest()
            with_bad = self._verdicts(bad, picks, stop) if bad else []
            mended = (offer.broken for offer in chosen if offer.broken and offer.broken in self.dag)
            with_good = next(filter(None, (self._verdicts(sha, picks, stop) for sha in (good, *mended))), [])
            self._neutral[picks] = neutral(with_bad, with_good)
        return self._neutral[picks]

    def _nearest(self) -> tuple[Sha | None, Sha]:
        """The oldest commit known to be bad and the newest known to be good: they lie next to the suspects.

        Of a search for a fix it is the newest bad one and the oldest good one.
        """
        runs: dict[Sha, list[Run]] = {}
        for run in self._runs():
            runs.setdefault(run.commit, []).append(run)
        signature = self._signature()
        verdicts = {sha: count(its, signature).verdict for sha, its in runs.items()}
        place = {sha: i for i, sha in enumerate(self.dag.commits)}
        bad = [sha for sha, verdict in verdicts.items() if verdict is Verdict.BAD and sha in place]
        good = [sha for sha, verdict in verdicts.items() if verdict is Verdict.GOOD and sha in place]
        if self.question.cured:
            broken = max(bad, key=place.__getitem__, default=self.question.failing)
            return broken, min(good, key=place.__getitem__, default=self.question.passing)
        newest = max(good, key=place.__getitem__, default=self.question.passing)
        return min(bad, key=place.__getitem__, default=None), newest

    def _runs(self) -> list[Run]:
        return [
            run
            for run in self.bench.store.runs(cases=[self.question.case], setups=[self.setup], logs=False)
            if not run.fixups and run.commit not in self.skip
        ]

    def _verdicts(self, commit: Sha, picks: tuple[Sha, ...], stop: threading.Event) -> list[Verdict | None]:
        """What runs of a commit say with the picks; none where they do not apply."""
        composed = self._compose(commit, picks)
        if composed is None:
            return []
        facts = list(self.perform(Test(composed, (self.question.case,)), stop))
        for fact in facts:
            self.bench.keep(fact)
        return [judge(fact, self._signature()) for fact in facts if isinstance(fact, Run)]

    def _signature(self) -> Signature | None:
        if self.question.signature is not None:
            return self.question.signature
        bad = [(run.at, run.signature) for run in self._runs() if run.commit == self.question.failing and failed(run)]
        known = [(at, signature) for at, signature in bad if signature is not None]
        return min(known, key=lambda one: one[0])[1] if known else None


def _names(chosen: tuple[Offer, ...]) -> str:
    return ", ".join(f'{offer.commit[:12]} ("{offer.message.partition(chr(10))[0]}")' for offer in chosen)
