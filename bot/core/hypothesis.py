"""Whether another commit than the one that was reported brought a failure: what somebody says, held against runs.

The figures are those of a confirmation: the commit fails, each of its parents passes every time, and luck explains
neither. Two commits can both have brought a failure. Then their places in the history say which of them it fails by
today.
"""

from __future__ import annotations

from enum import StrEnum

from bot.core.confirmation import Rules, innocent
from bot.core.verdict import Count
from bot.model import Tally


class Place(StrEnum):
    """Where a commit that brings the failure is, seen from the one that was reported."""

    LATER = "later"  # it has that one in its history, where the failure was gone again
    EARLIER = "earlier"  # that one has it in its history, where the failure was gone again
    BESIDE = "beside"  # neither has the other


def place(*, has: bool, had: bool) -> Place:
    """Of a commit that `has` the reported one in its history, or `had`: the reported one has it."""
    return Place.LATER if has else Place.EARLIER if had else Place.BESIDE


def not_shown(commit: Tally, parents: tuple[Tally, ...], rules: Rules, *, rare: bool) -> str | None:
    """Why runs do not show that a commit brought the failure, as a phrase; None: they do.

    `rare`: the failure is not there every time where it was reported, so it need not be here.
    """
    if not commit.n:
        return "it could not be run"
    if not commit.bad:
        return f"it passes {commit.n} of {commit.n}"
    fails = f"it fails {often(commit)}"
    if commit.bad < (rules.min_bad if rare else commit.n):
        return f"it fails only {often(commit)}"
    if not parents:
        return f"{fails}, and it has no parent to compare it with"
    for parent in parents:
        if not parent.n:
            return f"{fails}, but its parent {parent.commit[:12]} could not be run"
        if parent.bad:
            return f"{fails}, and so does its parent {parent.commit[:12]}, {often(parent)}"
    few = next((tally for tally in (commit, *parents) if tally.n < rules.min_runs), None)
    if few is not None:
        told = f"there are fewer than {rules.min_runs} runs that say something"
        return f"{figures(commit, parents)}; of {few.commit[:12]} {told}"
    seen = Count(good=commit.n - commit.bad, bad=commit.bad)
    if not all(innocent(seen, Count(good=parent.n), rules) for parent in parents):
        return f"{figures(commit, parents)}, which may be luck"
    return None


def figures(commit: Tally, parents: tuple[Tally, ...]) -> str:
    """`it fails 10 of 10, its parent 0123456789ab 0 of 10`."""
    each = (f"its parent {parent.commit[:12]} {often(parent)}" for parent in parents)
    return ", ".join((f"it fails {often(commit)}", *each))


def often(tally: Tally) -> str:
    return f"{tally.bad} of {tally.n}"
