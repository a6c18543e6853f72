"""Whether runs show that a commit cured a failure, and what holds the mails that follow a report.

The rules are those of a confirmation turned round: each parent fails, the fix and the branch's tip pass, so often that
luck is no explanation. A follow-up goes to people who were told of the failure, so less is asked than for a report.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bot.core.gate import MIN_BAD, MIN_RUNS, Hold, Kind
from bot.core.lifecycle import Cured, Expired, Surveyed, Wanted
from bot.model import RevertOutcome, Tally

DOUBT = 0.001  # probability with which a commit that has the failure may look as if it had not


def times(failing: Tally | None, least: int, most: int) -> int:
    """How often a commit has to pass to be believed, where `failing` is what the failure's own commit showed.

    Never less than `least`, nor more than `most`, which may not suffice for a failure that is rare.
    """
    if failing is None or not 0 < failing.bad < failing.n:
        return least
    return min(max(least, math.ceil(math.log(DOUBT) / math.log(1 - failing.bad / failing.n))), most)


def not_shown(parents: tuple[Tally, ...], fix: Tally, tip: Tally) -> str | None:
    """Why runs do not show that `fix` cured it, as a phrase; None: they do."""
    if not parents:
        return "it has no parent that fails"
    passing = next((tally for tally in parents if not tally.bad), None)
    if passing is not None:
        told = f"passes {passing.n} of {passing.n}" if passing.n else "could not be run"
        return f"its parent {passing.commit[:12]} {told}"
    for tally, what in ((fix, "it"), (tip, f"{tip.commit[:12]}, which has it,")):
        if tally.bad:
            return f"{what} fails {tally.bad} of {tally.n}"
        if not tally.n:
            return f"{what} could not be run"
    chance = max(_chance(parents, tally) for tally in (fix, tip))
    return f"that it passes may be luck, with probability {chance:.2g}" if chance >= DOUBT else None


def _chance(parents: tuple[Tally, ...], passing: Tally) -> float:
    """Probability that a commit as bad as the parent that failed least passes every time."""
    return float((1 - min(tally.bad / tally.n for tally in parents)) ** passing.n)


# -- the gate of follow-ups ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One condition. `why` gives the phrase that says what is amiss, or None if the condition is met."""

    name: str
    kinds: frozenset[Kind]
    why: Callable[[Wanted], str | None]


def gate(wanted: Wanted, *, approved: bool) -> tuple[Hold, ...]:
    """What holds a follow-up, in the order of the table, and a person's approval last; empty: it may go out."""
    found = ((row.name, row.why(wanted)) for row in TABLE if wanted.kind in row.kinds)
    approval = () if approved else (Hold("approval", "not approved by a person"),)
    return (*(Hold(name, why) for name, why in found if why), *approval)


def _parent(wanted: Wanted) -> str | None:
    if not isinstance(wanted.event, Cured):
        return "no fix was run"
    few = next((tally for tally in wanted.event.parents if tally.bad < MIN_BAD), None)
    return f"{few.commit[:12]} failed {few.bad} of {few.n}; {MIN_BAD} is the least" if few else None


def _fix(wanted: Wanted) -> str | None:
    if not isinstance(wanted.event, Cured):
        return "no fix was run"
    why = not_shown(wanted.event.parents, wanted.event.fix, wanted.event.tip)
    if why is None and wanted.event.fix.n < MIN_RUNS:
        return f"{wanted.event.commit[:12]} was run {wanted.event.fix.n} times, not {MIN_RUNS}"
    return why


def _branches(wanted: Wanted) -> str | None:
    if not isinstance(wanted.event, Surveyed):
        return "no stable branch was run"
    tallies = [standing.runs for standing in wanted.event.branches if standing.culprit is not None]
    if any(tally is None or not tally.n for tally in tallies):
        return "not every branch that has the culprit could be run"
    mixed = next((tally for tally in tallies if tally and 0 < tally.bad < tally.n), None)
    return f"{mixed.commit[:12]} failed only {mixed.bad} of {mixed.n}" if mixed else None


def _pick(wanted: Wanted) -> str | None:
    if not isinstance(wanted.event, Surveyed):
        return None
    without = [s for s in wanted.event.branches if not s.settled and s.fix is None]
    wrong = next((s for s in without if s.pick is RevertOutcome.STILL_BAD), None)
    return f"{wrong.branch} still fails with the fix picked onto it" if wrong else None


def _still(wanted: Wanted) -> str | None:
    asked = wanted.event
    return None if isinstance(asked, Expired) and asked.tip is not None else "not seen to fail since"


TABLE = (
    Row("parent", frozenset({Kind.FIXED}), _parent),
    Row("fix", frozenset({Kind.FIXED}), _fix),
    Row("branches", frozenset({Kind.STABLE, Kind.PICKED}), _branches),
    Row("pick", frozenset({Kind.STABLE}), _pick),
    Row("still", frozenset({Kind.EXPIRED}), _still),
)
"""Rows are conditions, `kinds` are the columns they stand in."""
