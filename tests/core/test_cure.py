"""Whether runs show a cure, and what holds a follow-up."""

from __future__ import annotations

import pytest

from bot.core.cure import gate, not_shown, times
from bot.core.gate import Kind
from bot.core.lifecycle import Cured, Expired, Retracted, Standing, Surveyed, Wanted, Way
from bot.model import RevertOutcome, Tally

PARENT, FIX, TIP, CULPRIT = (digit * 40 for digit in "1234")


def tally(commit: str, bad: int, n: int = 10) -> Tally:
    return Tally(commit, bad, n)


@pytest.mark.parametrize(
    ("parents", "fix", "tip", "why"),
    [
        ((tally(PARENT, 10),), tally(FIX, 0), tally(TIP, 0), None),
        ((tally(PARENT, 3, 3),), tally(FIX, 0, 3), tally(TIP, 0, 3), None),
        ((), tally(FIX, 0), tally(TIP, 0), "it has no parent that fails"),
        ((tally(PARENT, 0),), tally(FIX, 0), tally(TIP, 0), f"its parent {PARENT[:12]} passes 10 of 10"),
        ((tally(PARENT, 0, 0),), tally(FIX, 0), tally(TIP, 0), f"its parent {PARENT[:12]} could not be run"),
        ((tally(PARENT, 10), tally(TIP, 0)), tally(FIX, 0), tally(TIP, 0), f"its parent {TIP[:12]} passes 10 of 10"),
        ((tally(PARENT, 10),), tally(FIX, 1), tally(TIP, 0), "it fails 1 of 10"),
        ((tally(PARENT, 10),), tally(FIX, 0), tally(TIP, 4), f"{TIP[:12]}, which has it, fails 4 of 10"),
        ((tally(PARENT, 10),), tally(FIX, 0, 0), tally(TIP, 0), "it could not be run"),
        ((tally(PARENT, 3),), tally(FIX, 0), tally(TIP, 0), "may be luck, with probability 0.028"),
        ((tally(PARENT, 5),), tally(FIX, 0), tally(TIP, 0), None),
    ],
    ids=["all", "few-but-certain", "root", "parent-passes", "parent-unknown", "one-parent", "fails", "tip-fails",
         "not-run", "luck", "half"],
)  # fmt: skip
def test_what_runs_show(parents: tuple[Tally, ...], fix: Tally, tip: Tally, why: str | None) -> None:
    found = not_shown(parents, fix, tip)
    assert (found is None) if why is None else (found is not None and why in found)


@pytest.mark.parametrize(
    ("failing", "asked"), [(None, 3), (tally(CULPRIT, 10), 3), (tally(CULPRIT, 5), 10), (tally(CULPRIT, 1, 100), 200)]
)
def test_a_failure_that_is_not_always_there_takes_more_runs(failing: Tally | None, asked: int) -> None:
    assert times(failing, 3, 200) == asked


def fixed(bad: int = 10, n: int = 10) -> Wanted:
    cure = Cured(FIX, Way.NAMED, (tally(PARENT, bad, max(bad, n)),), tally(FIX, 0, n), tally(TIP, 0, n))
    return Wanted(Kind.FIXED, 2, cure)


def surveyed(kind: Kind, *standings: Standing) -> Wanted:
    return Wanted(kind, 3, Surveyed(standings))


BROKEN = Standing("stable-8.0", CULPRIT, None, tally(TIP, 10), RevertOutcome.OK)


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        (fixed(), []),
        (fixed(2, 2), ["parent", "fix"]),
        (fixed(3, 3), ["fix"]),
        (fixed(5, 5), ["fix"]),
        (surveyed(Kind.STABLE, BROKEN), []),
        (surveyed(Kind.STABLE, Standing("stable-8.0", CULPRIT, None, tally(TIP, 4), RevertOutcome.OK)), ["branches"]),
        (surveyed(Kind.STABLE, BROKEN, Standing("stable-8.1", CULPRIT, None)), ["branches"]),
        (surveyed(Kind.STABLE, Standing("s", CULPRIT, None, tally(TIP, 10), RevertOutcome.STILL_BAD)), ["pick"]),
        (surveyed(Kind.STABLE, Standing("s", CULPRIT, None, tally(TIP, 10), RevertOutcome.CONFLICT)), []),
        (surveyed(Kind.PICKED, Standing("s", CULPRIT, FIX, tally(TIP, 0))), []),
        (Wanted(Kind.EXPIRED, 2, Expired("Ann", "2026-12-31", "why", TIP)), []),
        (Wanted(Kind.EXPIRED, 2, Expired("Ann", "2026-12-31", "why")), ["still"]),
        (Wanted(Kind.RETRACT, 2, Retracted("random", "bob")), []),
    ],
    ids=["fixed", "two", "three", "five", "missing", "now-and-then", "unknown", "useless", "conflict", "picked",
         "expired", "not-run", "retract"],
)  # fmt: skip
def test_what_holds_a_follow_up(wanted: Wanted, held: list[str]) -> None:
    assert [hold.name for hold in gate(wanted, approved=True)] == held
    assert [hold.name for hold in gate(wanted, approved=False)] == [*held, "approval"]
