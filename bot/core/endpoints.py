"""The ends of a range before it is searched: one has to fail, the other to pass, and so has a merge base of both.

An end is asked as often as a confirmation asks before it is said not to be what it was given as; what noise may have
done is looked at in the same way (`core.confirmation.separated`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.core.confirmation import Ask, Phase, Rules, Want, separated
from bot.core.verdict import Count, judge
from bot.model import (
    BadAtGoodEnd,
    Finding,
    Flaky,
    Inconclusive,
    NotReproduced,
    Outcome,
    Question,
    Run,
    Sha,
    Signature,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What is known of the ends of a question. `merge_base` is of both, if the older is no ancestor of the newer."""

    question: Question
    rules: Rules
    counts: Mapping[Sha, Count]
    runs: Sequence[Run]
    signature: Signature | None
    merge_base: Sha | None

    def decide(self) -> Finding | Ask | None:
        """Whether the ends are what they were given as: a finding, what to ask, or None when they are."""
        found = [self._failing_end(), self._passing_end()] + ([self._base(self.merge_base)] if self.merge_base else [])
        ended = next((f for f in found if f is not None and not isinstance(f, Want)), None)
        wants = tuple(f for f in found if isinstance(f, Want))
        # while the failing end has not failed there may be no signature, so nothing else can be called bad
        if isinstance(found[0], Want) or ended is None:
            return Ask(Phase.ENDS, wants) if wants else None
        return ended

    def _failing_end(self) -> Finding | Want | None:
        end, seen = self.question.failing, self._count(self.question.failing)
        if seen.bad:
            return None
        if (gone := self._untestable(end)) is not None:
            return gone
        tried = seen.n + seen.skip
        if tried >= self.rules.min_runs:
            return NotReproduced(end, self._outcomes(end))
        return Want(end, self.rules.min_runs - tried if tried else 1, self.question.role(end))

    def _passing_end(self) -> Finding | Want | None:
        end, seen = self.question.passing, self._count(self.question.passing)
        if seen.n:
            return self._quiet(end, self.question.role(end))
        if (gone := self._untestable(end)) is not None:
            return gone
        if seen.skip >= self.rules.min_runs:
            return BadAtGoodEnd(end, self._outcomes(end)[-1])
        return Want(end, self.rules.min_runs - seen.skip if seen.skip else 1, self.question.role(end))

    def _base(self, base: Sha) -> Finding | Want | None:
        """Good was no ancestor of bad. A merge base that cannot be tested does not stop the search, as with git.

        One of a search for a fix has to fail: a failure that is younger was never on the newer end's side.
        """
        seen = self._count(base)
        if self.question.cured and seen.good and not seen.bad:
            more = self.rules.min_runs - seen.n
            return Want(base, more, "merge base") if more > 0 else NotReproduced(base, self._outcomes(base))
        if seen.n:
            return None if self.question.cured else self._quiet(base, "merge base")
        return Want(base, 1, "merge base") if seen.verdict is None else None

    def _quiet(self, end: Sha, name: str) -> Finding | Want | None:
        """A commit that must be good and was run: None if it is, but for what noise may have done."""
        failing = self.question.failing
        seen, worst = self._count(end), self._count(failing)
        if not seen.bad or separated(worst, seen, self.rules):
            return None
        if seen.n < self.rules.min_runs:
            return Want(end, 1, name)
        if not seen.good:
            return BadAtGoodEnd(end, self._shown(end), end == self.merge_base)
        if seen.n < self.rules.max_runs and seen.bad / seen.n < worst.bad / worst.n / 2:
            short = worst.n < seen.n
            return Want(failing, 1, self.question.role(failing)) if short else Want(end, 1, name)
        return Flaky(end, seen.bad, seen.n)

    def _untestable(self, end: Sha) -> Inconclusive | None:
        outcomes = set(self._outcomes(end))
        if not outcomes or not outcomes <= {Outcome.NOT_BUILT, Outcome.UNTESTABLE}:
            return None
        what = "does not build" if Outcome.NOT_BUILT in outcomes else "cannot run the case"
        said = next((r.observation.message for r in self.runs if r.commit == end and r.observation.message), "")
        return Inconclusive(f"the {self.question.role(end)} {end[:12]} {what}" + (f": {said}" if said else ""))

    def _count(self, sha: Sha) -> Count:
        return self.counts.get(sha, Count())

    def _outcomes(self, sha: Sha) -> tuple[Outcome, ...]:
        """Of a commit's runs, as they came; what the machine failed to run is not one."""
        return tuple(r.outcome for r in self.runs if r.commit == sha and r.outcome is not Outcome.INFRA)

    def _shown(self, sha: Sha) -> Outcome:
        """The outcome of a commit's run that showed the signature."""
        bad = Verdict.BAD
        return next(r.outcome for r in self.runs if r.commit == sha and judge(r, self.signature) is bad)
