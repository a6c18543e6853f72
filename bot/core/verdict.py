"""From runs to verdicts: what a bisection hears when a commit was run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from bot.model import Outcome, Run, Signature, Verdict

FAILURES = frozenset(
    {
        Outcome.FAIL_DST,
        Outcome.FAIL_SRC,
        Outcome.CRASH_SRC,
        Outcome.CRASH_DST,
        Outcome.HANG,
        Outcome.SILENT,
        Outcome.FAIL_START,
        Outcome.TYPE_GONE,
    }
)
"""Outcomes in which the case ran and QEMU did wrong."""

NO_ANSWER = frozenset({Outcome.INFRA, Outcome.NOT_BUILT})
"""Outcomes that say nothing of a case for ever: what they met may have been mended since."""


def answers(runs: Iterable[Run]) -> list[Run]:
    """The runs that need not be run again.

    Not those that the machine failed; nor those of commits that did not build: the builder remembers that by recipe and
    toolchain, which may have been mended since, and answers from its cache if not.
    """
    return [run for run in runs if run.outcome not in NO_ANSWER]


def failed(run: Run) -> bool:
    """Whether a run shows a failure that a search can be about.

    Among them a start that failed where the smoke, which knows no history, could only say UNTESTABLE: if the good end
    does start, it is one.
    """
    if run.outcome is Outcome.UNTESTABLE:
        return run.signature is not None and run.signature.klass == "start"
    return run.outcome in FAILURES


def needed(runs: Iterable[Run], signature: Signature | None) -> frozenset[str]:
    """The devices that a failure is about: those that fail when each is plugged alone, of runs with this signature.

    A commit that cannot start one of them passes without it, which says nothing of the failure: c8557f1b48 alone on
    stable-4.0 sets a property that 4.0 does not have, so that a pcie-root-port, which it is to mend, does not start.
    """
    if signature is None:
        return frozenset()
    alike = (run for run in runs if run.signature is not None and run.signature.key == signature.key)
    return frozenset(device.partition(",")[0] for run in alike for device in run.observation.blamed)


def judge(run: Run, signature: Signature | None, needed: Collection[str] = ()) -> Verdict | None:
    """What one run says about its commit; None if it says nothing (the machine failed us).

    Bad means *this* signature; any other failure is neither good nor bad, so the commit is skipped, unless what the
    signature is about had been loaded before it: that far the migration was good. A start that fails
    with the very signature asked about is bad even where the smoke, which knows no history, calls it UNTESTABLE.
    Without a signature (a user's own command gave none) every failure is bad. A pass without a device that is `needed`
    is neither.
    """
    if run.outcome is Outcome.INFRA:
        return None
    if run.outcome is Outcome.PASS:
        return Verdict.GOOD if passed(run, needed) else Verdict.SKIP
    if signature is None:
        return Verdict.BAD if run.outcome in FAILURES else Verdict.SKIP
    if run.outcome is Outcome.NOT_BUILT:
        return Verdict.SKIP
    if run.signature is not None and run.signature.key == signature.key:
        return Verdict.BAD
    return Verdict.GOOD if signature.device in run.observation.loaded else Verdict.SKIP


def passed(run: Run, needed: Collection[str] = ()) -> bool:
    """Whether a case passes with all the devices that are needed."""
    left_out = (text.partition(" (")[0] for text in run.observation.left_out)
    return run.outcome is Outcome.PASS and not any(name in needed for name in left_out)


@dataclass(frozen=True, slots=True)
class Count:
    """How often the runs of one commit said what."""

    good: int = 0
    bad: int = 0
    skip: int = 0
    infra: int = 0

    @property
    def n(self) -> int:
        """Runs that said good or bad: the n of "k of n"."""
        return self.good + self.bad

    @property
    def verdict(self) -> Verdict | None:
        """Bad if it ever showed the signature, however often it passed; None if nothing was learnt.

        A failure that is there sometimes is there: a pass beside it says how often, not whether. That a run shows the
        signature by accident is for the confirmation to find out.
        """
        if self.bad:
            return Verdict.BAD
        if self.good:
            return Verdict.GOOD
        return Verdict.SKIP if self.skip else None

    def plus(self, verdict: Verdict | None) -> Count:
        if verdict is Verdict.GOOD:
            return replace(self, good=self.good + 1)
        if verdict is Verdict.BAD:
            return replace(self, bad=self.bad + 1)
        if verdict is Verdict.SKIP:
            return replace(self, skip=self.skip + 1)
        return replace(self, infra=self.infra + 1)


def count(runs: Iterable[Run], signature: Signature | None, needed: Collection[str] = ()) -> Count:
    """The runs of one commit, counted."""
    total = Count()
    for run in runs:
        total = total.plus(judge(run, signature, needed))
    return total
