"""A case that fails where it passed: what changed is no commit, but what the commit is built with or run against.

A run says something of a commit only under its setup and toolchain. Of a case that fails at a tip the last good commit
was perhaps good under others: with the release before as its baseline, or built by another compiler. It is run again
first. If it fails too, no commit between them is to blame.

What is to blame is what differs between a run there that passed and one that fails. Where both setup and toolchain do,
a third run under one of each tells them apart (`open_question`); else it is said that both changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby

from bot.core.verdict import FAILURES, NO_ANSWER
from bot.model import Outcome, Sha

_BAD = FAILURES | {Outcome.UNTESTABLE}  # that it cannot be tested any more is no answer of the commit's either


@dataclass(frozen=True, slots=True)
class Seen:
    """One recorded run of a case. `at` is seconds since the epoch."""

    commit: Sha
    setup: str
    toolchain: str  # "": not known
    outcome: Outcome
    at: float = 0.0


class Says(StrEnum):
    """What a commit that was good once says today."""

    GOOD = "good"
    STALE = "stale"  # it was good, and was not run under today's setup and toolchain
    BAD = "bad"  # it fails under them


@dataclass(frozen=True, slots=True)
class Candidate:
    """A commit where a case passed, what it says today, and the run that passed last.

    Where it fails today, `failed` is a run that does, and `passed` one that passed, which differ in what is to blame:
    if such runs are there in one of setup and toolchain, else in both.
    """

    commit: Sha
    says: Says
    passed: Seen
    failed: Seen | None = None

    @property
    def open_question(self) -> bool:
        """Whether setup and toolchain changed together, so that either may be to blame."""
        before, now = self.passed, self.failed
        return now is not None and before.setup != now.setup and before.toolchain != now.toolchain


def passed(seen: Iterable[Seen]) -> tuple[Sha, ...]:
    """Commits where a case passed, under any setup and toolchain: that of the newest run first."""
    return tuple(dict.fromkeys(run.commit for run in reversed(list(seen)) if run.outcome is Outcome.PASS))


def candidate(seen: Iterable[Seen], commit: Sha, setup: str, toolchain: str) -> Candidate | None:
    """What a commit where a case passed says under today's setup and toolchain; None: it was never good there.

    Where it also failed under the same setup and toolchain it is flaky.
    """
    grounds: dict[tuple[str, str], list[Seen]] = {}
    for run in seen:
        if run.commit == commit and run.outcome not in NO_ANSWER:
            grounds.setdefault((run.setup, run.toolchain), []).append(run)
    today = grounds.pop((setup, toolchain), [])
    if _good(today):
        return Candidate(commit, Says.GOOD, today[-1])
    good = [runs[-1] for runs in grounds.values() if _good(runs)]
    if not good:
        return None
    last = max(good, key=lambda run: run.at)
    if not today:
        return Candidate(commit, Says.STALE, last)
    if not _bad(today):
        return None
    failed = today[-1]
    fails = [failed, *(runs[-1] for runs in grounds.values() if _bad(runs))]
    pairs = [(before, now) for now in fails for before in good if _only(before, now, failed)]
    before, now = max(pairs, key=lambda pair: pair[0].at, default=(last, failed))
    return Candidate(commit, Says.BAD, before, now)


def _only(before: Seen, now: Seen, today: Seen) -> bool:
    """Whether two runs differ in one of setup and toolchain alone, and the later one has today's."""
    if before.setup == now.setup:
        return before.toolchain != now.toolchain == today.toolchain
    return before.toolchain == now.toolchain and now.setup == today.setup


def asked(seen: Iterable[Seen], commit: Sha, setup: str, toolchain: str) -> bool:
    """Whether a commit was run under a setup and toolchain, with an answer."""
    return any(
        (run.commit, run.setup, run.toolchain) == (commit, setup, toolchain) and run.outcome not in NO_ANSWER
        for run in seen
    )


def _bad(runs: Sequence[Seen]) -> bool:
    return bool(runs) and all(run.outcome in _BAD for run in runs)


def _good(runs: Sequence[Seen]) -> bool:
    return bool(runs) and runs[-1].outcome is Outcome.PASS and not any(run.outcome in FAILURES for run in runs)


class Kind(StrEnum):
    """What changed between the run that passed and those that fail."""

    TOOLCHAIN = "toolchain"
    BASELINE = "baseline"  # the release on the other side
    SETUP = "setup"  # what else a case is run with, perhaps the baseline as well
    BOTH = "both"  # toolchain and setup, and no run tells which of them it is


@dataclass(frozen=True, slots=True)
class Drift:
    """Cases that fail at a branch's tip, with one signature, and at the commit where they were good, too."""

    branch: str
    kind: Kind
    signature: str  # Signature as a text
    signature_key: str
    good: Sha  # where they passed
    tip: Sha
    cases: tuple[str, ...]  # Case.id
    changed: str  # what, as a phrase

    @property
    def key(self) -> str:
        """What it is known by from tip to tip."""
        return "/".join((self.branch, self.signature_key, self.good, self.changed))

    @property
    def said(self) -> str:
        """It in a line."""
        number = f"{len(self.cases)} case{'s' if len(self.cases) > 1 else ''}"
        return (
            f"{self.branch}: {self.signature}: {number} at {self.tip[:12]} fail, and so they do at {self.good[:12]}, "
            f"where they passed: {self.changed}; no commit is to blame"
        )


@dataclass(frozen=True, slots=True)
class Releases:
    """What a case's baseline was and is. `alone`: nothing else of the setup changed with it."""

    then: str
    now: str
    alone: bool = True


def kind(before: Seen, now: Seen, releases: Releases | None) -> tuple[Kind, str]:
    """What changed between a run that passed and one that fails, and as a phrase. `releases` None: the baseline is as
    it was, there is none, or that is not known."""
    parts: list[tuple[Kind, str]] = []
    if before.toolchain != now.toolchain:
        parts.append((Kind.TOOLCHAIN, f"toolchain: {before.toolchain or 'not known'} then, {now.toolchain} now"))
    if before.setup != now.setup:
        parts.append(_setup(releases))
    if not parts:
        return Kind.SETUP, "what was not recorded"
    if len(parts) == 1:
        return parts[0]
    return Kind.BOTH, f"{'; '.join(text for _, text in parts)}; both changed, and no run tells which of them it is"


def _setup(releases: Releases | None) -> tuple[Kind, str]:
    rest = "what the case is run with (its profile, options, or the baseline's binary)"
    if releases is None:
        return Kind.SETUP, rest
    changed = f"baseline: {releases.then} then, {releases.now} now"
    return (Kind.BASELINE, changed) if releases.alone else (Kind.SETUP, f"{changed}; and {rest}")


def changes(
    there: Iterable[Drift], found: Iterable[Drift], ran: Collection[str]
) -> tuple[tuple[Drift, ...], tuple[Drift, ...]]:
    """(those that begin or have other cases now, those that are over), given those that are known of a branch, those
    that its tip shows, and the cases that were run there. A sweep that runs none of a drift's cases tells nothing of
    it; those that it does not run are taken to be as they were."""
    now = {drift.key: drift for drift in found}
    begin, over = [], []
    known = {drift.key: drift for drift in there}
    for key, drift in known.items():
        left = [case for case in drift.cases if case not in ran]
        cases = tuple(sorted({*left, *(now[key].cases if key in now else ())}))
        if not cases:
            over.append(drift)
        elif cases != tuple(sorted(drift.cases)):
            begin.append(replace(now.get(key, drift), cases=cases))
    begin += [drift for key, drift in now.items() if key not in known]
    return tuple(begin), tuple(over)


def grouped(found: Iterable[Drift]) -> Iterator[Drift]:
    """Those of one key as one."""
    ordered = sorted(found, key=lambda drift: drift.key)
    for _, group in groupby(ordered, key=lambda drift: drift.key):
        members = list(group)
        yield replace(members[0], cases=tuple(sorted({case for drift in members for case in drift.cases})))
