"""The weights of a search before its first probe: patches, words of the failure, names in which the ends differ.

All of it is evidence and none of it is needed: what cannot be had is told and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bot.core import evidence
from bot.core.closure import Closure, unread
from bot.core.dag import Dag
from bot.core.ends import Nearness, Sharpened, differences, names, sharpen
from bot.core.evidence import Failure
from bot.core.patch import Patch
from bot.core.reach import reaches
from bot.core.reasons import explain, leading
from bot.core.signature import is_warning
from bot.errors import InfraError, UserError
from bot.host import diffs
from bot.model import Build, Difference, Inspect, Inspection, Question, Run, Sha, Signature, Traits, Weight
from bot.pipeline.bench import Bench
from bot.report.safe import line

_SHOWN = 4  # names in a line of progress

LookAt = Callable[[Inspect], Iterator[Build | Inspection]]


@dataclass(slots=True)
class Weighing:
    """What moved the weights of a search; filled when the search asks for them."""

    bench: Bench
    dag: Dag
    question: Question
    look_at: LookAt | None  # None: there is no QEMU to look at
    symptom: str = ""  # the log that a person gave; without one, what the bad end prints
    failure: Failure = field(default_factory=Failure)
    sharp: Sharpened | None = None  # None: nothing was weighed
    unread: frozenset[Sha] = frozenset()  # commits that cannot reach the binary, as builds recorded

    def __call__(self, failing: Run) -> Mapping[Sha, float] | None:
        """How likely each commit of the range is the one that brought a failure of the bad end; None: nothing known."""
        bench = self.bench
        level = bench.config.bisect.evidence
        patches = self._patches() if level != "none" else None
        if patches is None:
            return None
        target = failing.case.target if self.look_at else None  # a command of the user's may test anything
        self.failure = Failure(without_warnings(self.symptom or symptom(failing)), target)
        self.unread = self._unread(patches, target)
        self.sharp = Sharpened(evidence.weigh(patches, self.failure, unread=self.unread).weights, {})
        ends = (self.question.good, self.question.bad) if level == "all" else ()
        found = differences(*map(self._traits, ends)) if ends else ()
        if found:
            self.sharp = sharpen(self.sharp.weights, patches, names(found, failing.signature))
            bench.progress.say(_said(found, failing.signature, self.sharp.weights, self.sharp.names))
        return self.sharp.weights

    def _patches(self) -> dict[Sha, Patch] | None:
        """What is read of each commit: by the second call from the disk. None: it cannot be read, which is told."""
        bench = self.bench
        bench.progress.work(f"reading the diffs of {len(self.dag)} commits")
        try:
            read = diffs.read(bench.repository, self.dag.commits, bench.work / "diffs")
        except InfraError as error:
            bench.progress.say(f"no evidence from patches: {error}")
            return None
        return {sha: read.get(sha, Patch()) for sha in self.dag.commits}

    def _unread(self, patches: Mapping[Sha, Patch], target: str | None) -> frozenset[Sha]:
        """Commits of which neither end's build read a source; none where a build did not record what it read."""
        bench, ends = self.bench, (self.question.good, self.question.bad)
        read = [bench.rig.builder.closure(sha, target) for sha in ends] if target else []
        known = [paths for paths in read if paths is not None]
        if target is None or len(known) < len(ends):
            return frozenset()
        good, bad = (Closure(bench.repository.tree(sha), paths) for sha, paths in zip(ends, known, strict=True))
        found = frozenset(unread(patches, (good, bad), lambda path: not reaches(path, target)))
        bench.progress.say(f"the ends' builds read no source of {len(found)} of {len(patches)} commits")
        return found

    def _traits(self, sha: Sha) -> Traits:
        """What an end looks like; nothing if it cannot be looked at."""
        if self.look_at is None:
            return Traits()
        try:
            for fact in self.look_at(Inspect(sha, self.question.case)):
                if isinstance(fact, Inspection):
                    return fact.traits
                self.bench.keep(fact)
        except (UserError, InfraError) as error:
            self.bench.progress.say(f"{sha[:12]} is not compared with the other end: {error}")
        return Traits()

    def explain(self, found: Iterable[Sha]) -> tuple[Weight, ...]:
        """Why the likeliest commits, and those that were found, weighed what they did before the first probe."""
        patches = self._patches() if self.sharp is not None else None
        if self.sharp is None or patches is None:
            return ()
        return explain(patches, self.failure, self.sharp, leading(self.sharp.weights, found), self.unread)


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


def without_warnings(log: str) -> str:
    """A log without warnings, for runs that pass print them too; the whole of it if there is nothing else."""
    telling = [said for said in log.splitlines() if not is_warning(said)]
    return "\n".join(telling) if any(map(str.strip, telling)) else log


def symptom(run: Run) -> str:
    """What the failing side printed, verbatim: the destination's words, else the source's, else the message."""
    logs = {log.name: log.text for log in run.observation.logs}
    for name in ("destination.stderr", "source.stderr", "output"):
        if logs.get(name, "").strip():
            return logs[name].strip()
    return run.observation.message
