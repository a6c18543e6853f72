"""A case that fails where it passed: what changed is no commit, but what the commit is built with or run against.

A run says something of a commit only under its setup and toolchain. Of a case that fails at a tip the last good commit
was perhaps good under others: with the release before as its baseline, or built by another compiler. It is run again
first. If it fails too, no commit between them is to blame.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby

from bot.core.verdict import FAILURES
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
    """A commit where a case passed, what it says today, and the run that passed last."""

    commit: Sha
    says: Says
    passed: Seen


def passed(seen: Iterable[Seen]) -> tuple[Sha, ...]:
    """Commits where a case passed, under any setup and toolchain: that of the newest run first."""
    return tuple(dict.fromkeys(run.commit for run in reversed(list(seen)) if run.outcome is Outcome.PASS))


def candidate(seen: Iterable[Seen], commit: Sha, setup: str, toolchain: str) -> Candidate | None:
    """What a commit where a case passed says under today's setup and toolchain; None: it was never good there.

    Where it also failed under the same setup and toolchain it is flaky.
    """
    grounds: dict[tuple[str, str], list[Seen]] = {}
    for run in seen:
        if run.commit == commit and run.outcome not in (Outcome.INFRA, Outcome.NOT_BUILT):
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
    return Candidate(commit, Says.BAD, last) if all(run.outcome in _BAD for run in today) else None


def _good(runs: Sequence[Seen]) -> bool:
    return bool(runs) and runs[-1].outcome is Outcome.PASS and not any(run.outcome in FAILURES for run in runs)


class Kind(StrEnum):
    """What changed between the run that passed and those that fail."""

    TOOLCHAIN = "toolchain"  # perhaps the setup as well
    BASELINE = "baseline"  # the release on the other side
    SETUP = "setup"  # what else a case is run with


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


def kind(before: Seen, setup: str, toolchain: str, releases: tuple[str, str] | None) -> tuple[Kind, str]:
    """What changed since a run that passed, `before`, and as a phrase. `releases`: the baseline's then and now; None:
    it has none, or that is not known."""
    parts: list[tuple[Kind, str]] = []
    if before.toolchain != toolchain:
        parts.append((Kind.TOOLCHAIN, f"toolchain: {before.toolchain or 'not known'} then, {toolchain} now"))
    if before.setup != setup:
        if releases is not None and releases[0] != releases[1]:
            parts.append((Kind.BASELINE, f"baseline: {releases[0]} then, {releases[1]} now"))
        else:
            parts.append((Kind.SETUP, "what the case is run with (its profile, options, or the baseline's binary)"))
    if not parts:
        return Kind.SETUP, "what was not recorded"
    return parts[0][0], "; ".join(text for _, text in parts)


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
