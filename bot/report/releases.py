"""Releases that are baselines, or wait to be, as a person is told: lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bot.core.succession import Fate, Release, Trial
from bot.report.safe import line
from bot.report.words import when

_CASES = 5  # of one failure that are named


def lines(in_use: Mapping[str, Release], waiting: Mapping[str, Release]) -> Iterator[str]:
    """Where each baseline stands, and what waits, by the baselines' names: a line each."""
    for name, used in sorted(in_use.items()):
        by = f", by {used.person}" if used.person else ""
        yield f"baseline {line(name)}: {line(used.ref)} since {when(used.used or 0.0)}{line(by)}"
        if new := waiting.get(name):
            yield f"  {line(new.ref)} waits since {when(new.seen)}: {line(_waits(new), 400)}"


def _waits(new: Release) -> str:
    if new.person is not None:
        return f"not wanted by {new.person}: {new.said}"
    return new.said or "to be run against it"


def failures(made: Trial) -> Iterator[str]:
    """What fails between the two, a line each; what is expected is known."""
    for failure in made.failures:
        if failure.fate is not Fate.EXPECTED:
            more = f" and {len(failure.cases) - _CASES} more" if len(failure.cases) > _CASES else ""
            yield line(f"{failure.fate}: {failure.what}: {', '.join(failure.cases[:_CASES])}{more}", 600)


def advice(name: str, old: str, new: str) -> str:
    """What a person can do about a release that waits."""
    return (
        f"`bot baselines {name} --use {new} --why TEXT` takes it, `--use {old} --why TEXT` keeps {old} and asks no"
        " more; an entry in `expected` explains a failure; a later point release is tried by itself"
    )
