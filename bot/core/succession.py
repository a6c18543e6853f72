"""A new point release takes its predecessor's place as baseline once both ran against each other.

The new one may be the broken one. A failure between the two that nothing explains keeps the predecessor, and a person
is asked. It may also be the predecessor that is broken and the new one that mends it: then the tip of the branch, as a
third, fails with the one and passes with the other, and nothing is in the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.core.sides import numbers
from bot.core.verdict import FAILURES
from bot.model import Case, Outcome, Run, Sha


class Fate(StrEnum):
    """What a failure between two releases is taken for."""

    EXPECTED = "expected"  # by an entry of the configuration
    MENDED = "mended"  # the predecessor is at fault: the tip fails with it, and passes with the new one
    ALIKE = "alike"  # the tip fails in this way with either
    OPEN = "unexplained"

    @property
    def keeps(self) -> bool:
        """Whether the predecessor stays for it."""
        return self is Fate.OPEN


@dataclass(frozen=True, slots=True)
class Failure:
    """Cases (ids) that fail alike between the two."""

    what: str
    fate: Fate
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of running a release against its predecessor. `missing`: why a target could not be run, in phrases."""

    cases: int = 0
    passed: int = 0
    flaky: int = 0
    failures: tuple[Failure, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def clear(self) -> bool:
        """Whether the release may take its predecessor's place."""
        return not self.missing and not any(failure.fate.keeps for failure in self.failures)

    @property
    def said(self) -> str:
        """It in a phrase."""
        if not self.cases and not self.missing:
            return "no case runs between the two"
        parts = [f"{self.passed} of {self.cases} cases between the two pass"]
        count = Counter(dict.fromkeys(Fate, 0))
        for failure in self.failures:
            count[failure.fate] += len(failure.cases)
        words = {
            Fate.OPEN: "fail, and nothing explains it",
            Fate.MENDED: "fail for the predecessor, which fails with the tip too, where the new one passes",
            Fate.ALIKE: "fail as the tip does with either",
            Fate.EXPECTED: "fail as expected",
        }
        parts += [f"{count[fate]} {words[fate]}" for fate in words if count[fate]]
        parts += [f"{self.flaky} come and go"] if self.flaky else []
        return "; ".join([*parts, *self.missing])


@dataclass(frozen=True, slots=True)
class Release:
    """A point release as the baseline `baseline`. Times in seconds since the epoch.

    `used` None: it waits to be; with `held` for a person. `person` is who decided, None: runs did.
    """

    baseline: str
    ref: str
    sha: Sha
    seen: float
    used: float | None = None
    person: str | None = None
    said: str = ""
    held: bool = False
    trial: Trial = Trial()


class Step(StrEnum):
    """What is to be done about a baseline."""

    FIRST = "first"  # nothing is in use: the newest is, at once
    NOTHING = "nothing"
    REFUSED = "refused"  # a person decided that the newest is not used
    SEE = "see"  # there is a new one
    TRY = "try"  # one waits for its trial, or for what follows from that


def step(used: Release | None, waiting: Release | None, newest: str) -> Step:
    """What is to be done, given the newest release of the series."""
    if used is None:
        return Step.FIRST
    if (numbers(newest) or ()) <= (numbers(used.ref) or ()):
        return Step.NOTHING
    if waiting is None or waiting.ref != newest:
        return Step.SEE
    return Step.REFUSED if waiting.person is not None else Step.TRY


def failing(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs between two releases that keep one from taking the other's place, unless they are explained."""
    return tuple(run for run in runs if run.outcome in FAILURES and not run.flaky)


def fate(run: Run, expected: bool, before: Run | None, after: Run | None) -> Fate:
    """What a failing run is taken for; `before` and `after` are the case at the tip with the predecessor, with the new
    release."""
    if expected:
        return Fate.EXPECTED
    if before is None or after is None or before.flaky or after.flaky or before.outcome not in FAILURES:
        return Fate.OPEN
    if after.outcome is Outcome.PASS:
        return Fate.MENDED
    keys = {one.signature.key if one.signature else None for one in (run, before, after)}
    return Fate.ALIKE if after.outcome in FAILURES and len(keys) == 1 and None not in keys else Fate.OPEN


def trial(
    runs: Iterable[Run],
    expected: Callable[[Case], bool],
    before: Mapping[Case, Run],
    after: Mapping[Case, Run],
    missing: Iterable[str] = (),
) -> Trial:
    """What came of the runs between two releases."""
    runs = list(runs)
    groups: dict[tuple[str, Fate], list[str]] = {}
    for run in failing(runs):
        what = str(run.signature) if run.signature else str(run.outcome)
        mine = fate(run, expected(run.case), before.get(run.case), after.get(run.case))
        groups.setdefault((what, mine), []).append(run.case.id)
    return Trial(
        cases=len(runs),
        passed=sum(run.outcome is Outcome.PASS for run in runs),
        flaky=sum(run.flaky for run in runs),
        failures=tuple(Failure(what, mine, tuple(cases)) for (what, mine), cases in groups.items()),
        missing=tuple(missing),
    )
