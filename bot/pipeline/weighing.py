"""The weights of a search before its first probe: patches, words of the failure, names in which the ends differ.

All of it is evidence and none of it is needed: what cannot be had is told and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bot.core import evidence
from bot.core.bisection import Bisection
from bot.core.ends import Nearness, differences, names, sharpen
from bot.core.evidence import Failure
from bot.errors import InfraError, Stopped, UserError
from bot.host import diffs
from bot.model import Build, Difference, Inspect, Inspection, Run, Sha, Signature, Traits
from bot.pipeline.bench import Bench
from bot.report.safe import line

_SHOWN = 4  # names in a line of progress

LookAt = Callable[[Inspect], Iterator[Build | Inspection]]


@dataclass(slots=True)
class Weighing:
    """What moved the weights of a search; filled when the search asks for them."""

    bench: Bench
    look_at: LookAt | None  # None: there is no QEMU to look at
    symptom: Callable[[Run], str]
    weights: Mapping[Sha, float] = field(default_factory=dict)
    differing: Mapping[Sha, tuple[str, ...]] = field(default_factory=dict)

    def __call__(self, state: Bisection) -> Mapping[Sha, float] | None:
        """The prior of a search whose ends were run."""
        question, bench = state.question, self.bench
        bad = next((run for run in state.runs if run.commit == question.bad and run.signature is not None), None)
        try:
            patches = diffs.read(bench.repository, state.dag.commits, bench.work / "diffs")
        except InfraError as error:
            bench.progress.say(f"the patches of the range are not looked at: {error}")
            return None
        failure = Failure(self.symptom(bad) if bad else "", question.case.target)
        self.weights = evidence.weigh(patches, failure).weights
        found = self._compared(question.good, question.bad, state)
        if found:
            sharp = sharpen(self.weights, patches, names(found, state.signature))
            self.weights, self.differing = sharp.weights, sharp.names
            bench.progress.say(_said(found, state.signature, self.weights, self.differing))
        return self.weights

    def _compared(self, good: Sha, bad: Sha, state: Bisection) -> tuple[Difference, ...]:
        """In what the binaries of the two ends differ; nothing where one cannot be looked at."""
        seen = [self._traits(sha, state) for sha in (good, bad)]
        return differences(*seen)

    def _traits(self, sha: Sha, state: Bisection) -> Traits:
        if self.look_at is None:
            return Traits()
        try:
            for fact in self.look_at(Inspect(sha, state.question.case)):
                if isinstance(fact, Inspection):
                    return fact.traits
                self.bench.keep(fact)
        except Stopped:
            raise
        except (UserError, InfraError) as error:
            self.bench.progress.say(f"{sha[:12]} is not compared with the other end: {error}")
        return Traits()

    def moved(self, sha: Sha) -> tuple[str, ...]:
        """What speaks for a commit, as phrases."""
        its = self.differing.get(sha, ())
        others = len(self.weights)
        return tuple(
            f"the ends differ in {line(name)}, which {_count(sum(name in held for held in self.differing.values()))} "
            f"of {others} has in its changed lines"
            for name in its
        )


def _said(
    found: tuple[Difference, ...],
    signature: Signature | None,
    weights: Mapping[Sha, float],
    held: Mapping[Sha, tuple[str, ...]],
) -> str:
    near = [name for name, nearness in names(found, signature).items() if nearness <= Nearness.NAMED]
    shown = line(", ".join(near[:_SHOWN])) + (f" and {len(near) - _SHOWN} more" if len(near) > _SHOWN else "")
    text = f"the ends differ in {len(found)} things" + (f", near the failure in {shown}" if near else "")
    if not held:
        return f"{text}; no commit of the range has one in its changed lines"
    best = max(held, key=lambda sha: weights[sha])
    return f"{text}; likeliest of {len(held)} commits with one of them is {best[:12]} ({weights[best]:.0%})"


def _count(commits: int) -> str:
    return "1 commit" if commits == 1 else f"each of {commits} commits"
