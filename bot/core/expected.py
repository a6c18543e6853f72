"""Failures that are known and no news: which entry explains a run, and which entries have done their time.

An entry says which cases it is for, on which releases of either side, and how they fail (`model.Expected`). It is data
with an owner and an end, so that nothing stays ignored for ever: it ends with a date or with the commit that mends it,
and it is told when all that it is for passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from bot.core.matrix import previous_release, release
from bot.core.verdict import failed
from bot.model import Expected, Outcome, Run

Contains = Callable[[str], bool | None]
"""Whether the commit under test contains a commit; None: it is not known, of an installed binary."""

_BOUND = re.compile(r"(?P<sign>[<>]=?|)\s*(?P<version>\d+(?:\.\d+){0,2}|previous)")
_CONDITION = "conditions on a release with commas between them, such as >=9.2 or <=9.1,>=8.0 or 10.0.13 or <previous"


class Ending(Protocol):
    """What has an end: a date (ISO 8601, the last day, month or year it holds) or a commit, or neither."""

    @property
    def expires(self) -> str | None: ...
    @property
    def until(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Bound:
    """One part of a condition on a release. `numbers` is None for `previous`: the release before the other side's."""

    sign: str
    numbers: tuple[int, ...] | None

    def holds(self, version: tuple[int, ...], other: tuple[int, ...]) -> bool:
        """Whether a side's version fits, beside the other side's. Only as many numbers as the bound has are compared.

        So 9.1.3 is `<=9.1`, and 10.0.13 is `10.0`.
        """
        bound = previous_release((other[0], other[1])) if self.numbers is None else self.numbers
        have = version[: len(bound)]
        match self.sign:
            case ">=":
                return have >= bound
            case "<=":
                return have <= bound
            case ">":
                return have > bound
            case "<":
                return have < bound
        return have == bound


def versions(condition: str) -> tuple[Bound, ...]:
    """The parts of a condition on a release; all must hold, none is no condition.

    Raises `ValueError` that says what is wrong and what may be written.
    """
    found = []
    for part in condition.split(",") if condition.strip() else ():
        match = _BOUND.fullmatch(part.strip())
        if match is None:
            raise ValueError(f'holds "{part.strip()}", must be {_CONDITION}')
        word = match["version"]
        found.append(Bound(match["sign"], None if word == "previous" else tuple(map(int, word.split(".")))))
    return tuple(found)


def find(entries: Iterable[Expected], run: Run, *, today: str, contains: Contains) -> Expected | None:
    """The first entry that explains a failing run; None if it does not fail, or is news.

    `today` is a date, YYYY-MM-DD. A condition on a release that was not observed does not hold.
    """
    if not failed(run):
        return None
    klass, device = (run.signature.klass, run.signature.device) if run.signature else (None, None)
    for entry in entries:
        fails_so = _fits(entry.classes, klass) and _fits(entry.devices, device)
        if fails_so and _is_for(entry, run) and not ended(entry, today=today, contains=contains):
            return entry
    return None


def passed(entries: Iterable[Expected], runs: Iterable[Run], *, today: str, contains: Contains) -> tuple[Expected, ...]:
    """Entries that are no longer needed: of the runs that they are for there is one, and all pass.

    Only a whole sweep can tell: an entry is for all profiles that it does not leave out, and may be needed by those
    that were not run.
    """
    ran = list(runs)
    found = []
    for entry in entries:
        mine = [run for run in ran if _is_for(entry, run)]
        if mine and all(r.outcome is Outcome.PASS for r in mine) and not ended(entry, today=today, contains=contains):
            found.append(entry)
    return tuple(found)


def expired(entries: Iterable[Expected], today: str) -> tuple[Expected, ...]:
    """Entries whose date has passed: somebody has to look again."""
    return tuple(entry for entry in entries if _over(entry, today))


def ended(entry: Ending, *, today: str, contains: Contains) -> bool:
    """Whether an entry no longer holds: its date has passed, or the commit under test contains the one that ends it."""
    return _over(entry, today) or (entry.until is not None and contains(entry.until) is True)


def _over(entry: Ending, today: str) -> bool:
    return entry.expires is not None and today[: len(entry.expires)] > entry.expires


def _is_for(entry: Expected, run: Run) -> bool:
    """Whether an entry is about a case on these releases, however it went."""
    case = run.case
    return (
        (_fits(entry.targets, case.target) or _fits(entry.targets, case.arch))
        and _fits(entry.machines, case.machine)
        and _fits(entry.profiles, case.profile)
        and _fits(entry.methods, case.method)
        and case.direction in entry.directions
        and _fits(entry.accels, case.accel.partition(",")[0])
        and _releases_fit(entry, run.observation.releases)
    )


def _releases_fit(entry: Expected, releases: tuple[str, ...]) -> bool:
    source, destination = versions(entry.source), versions(entry.destination)
    if not source and not destination:
        return True
    numbers = [_numbers(text) for text in releases]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return False
    of, to = numbers[0], numbers[1]
    return all(bound.holds(of, to) for bound in source) and all(bound.holds(to, of) for bound in destination)


def _numbers(version: str) -> tuple[int, ...] | None:
    """Major, minor and micro of a query-version text; a development tree counts as the release it leads to."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None:
        return None
    given = tuple(int(number or 0) for number in match.groups())
    return given if given[:2] == release(version) else (*release(version), 0)


def _fits(patterns: Iterable[str], value: str | None) -> bool:
    return any(pattern == "*" if value is None else fnmatchcase(value, pattern) for pattern in patterns)
