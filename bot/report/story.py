"""What happened to a regression, as a person is told: one line an event."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bot.core.hypothesis import figures
from bot.core.lifecycle import (
    Accepted,
    Claimed,
    Corrected,
    Cured,
    Disputed,
    Event,
    Expired,
    Happened,
    Offered,
    Partly,
    Refuted,
    Reopened,
    Retracted,
    Standing,
    Stuck,
    Surveyed,
    Tried,
    Unnamed,
    Way,
)
from bot.report.safe import line

_NAMED = 3  # cases of an event


def lines(history: Iterable[Happened]) -> list[tuple[str, str]]:
    """(when, what) of each event, oldest first; times are UTC."""
    return [(when(happened.at), told(happened.event)) for happened in history]


def when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def told(event: Event) -> str:
    """An event in a line, without control bytes."""
    match event:
        case Claimed():
            text = f"{event.commit[:12]} says that it cures it ({event.how})"
        case Offered():
            text = f"a patch on a list says that it cures it: <{event.mail}> ({event.how})"
        case Refuted():
            text = f"{event.commit[:12]} is not shown to cure it: {event.why}"
        case Cured():
            how = "as it says" if event.way is Way.NAMED else "found by a search"
            bad = ", ".join(f"{tally.bad} of {tally.n}" for tally in event.parents)
            text = (
                f"fixed by {event.commit[:12]}, {how}: fails {bad} before it, {event.fix.bad} of {event.fix.n} with "
                f"it, {event.tip.bad} of {event.tip.n} at the tip {event.tip.commit[:12]}"
            )
            if event.guests is not None:
                runs = event.guests.runs
                text += f"; guests of {event.guests.release}: {runs.bad} of {runs.n} fail"
        case Unnamed():
            text = f"passes at {event.tip.commit[:12]}; no fix was found: {event.why}"
        case Partly():
            still = f"{_cases(event.failing)} {'fails' if len(event.failing) == 1 else 'fail'}"
            verb = "passes" if len(event.passing) == 1 else "pass"
            passing = f"{_cases(event.passing)} {verb}, " if event.passing else "none passes any more, "
            text = f"at {event.tip[:12]} {passing}{still}{' still' if event.passing else ''}"
        case Stuck() if event.why:
            text = f"at {event.tip[:12]} none of its cases can be run any more: {event.why}"
        case Stuck():
            text = f"its cases are run again, at {event.tip[:12]}"
        case Surveyed():
            text = "; ".join(_branch(standing) for standing in event.branches)
        case Reopened():
            text = f"fails again: good at {event.good[:12]}, bad at {event.tip[:12]}"
        case Accepted():
            text = f"accepted until {event.until} by {event.by}; {event.owner} is asked again then: {event.why}"
        case Expired():
            at = f"; it still fails at {event.tip[:12]}" if event.tip else ""
            text = f"the day has passed until which it was accepted ({event.until}, {event.owner}){at}"
        case Retracted():
            text = f"retracted by {event.by}: {event.why}"
        case Disputed():
            text = f"{event.by} says that {event.commit[:12]} brought it; the report stands, for {event.why}"
        case Tried():
            text = f"<{event.mail}> was tried, as {event.by} asked: {event.said}"
        case Corrected():
            was = f", and not {event.instead[:12]}" if event.instead else ""
            shown = figures(event.culprit, event.parents)
            text = f"{event.commit[:12]} brought it{was}, as {event.by} says: {shown}; it is searched anew"
    return line(text, 600)


def _cases(cases: tuple[str, ...]) -> str:
    """`2 cases (a, b)`: some are named."""
    named = ", ".join(cases[:_NAMED]) + (", ..." if len(cases) > _NAMED else "")
    return f"{len(cases)} case{'s' if len(cases) > 1 else ''} ({named})"


def _branch(standing: Standing) -> str:
    name, runs = standing.branch, standing.runs
    if standing.culprit is None:
        return f"{name} has not got it"
    fails = "could not be run" if runs is None or not runs.n else f"fails {runs.bad} of {runs.n}"
    if standing.fix is not None:
        return f"{name} has the fix as {standing.fix[:12]}, {fails}"
    more = f" with {len(standing.before)} before it" if standing.before else ""
    return f"{name} {fails}" + (f", a pick of the fix{more}: {standing.pick}" if standing.broken else "")
