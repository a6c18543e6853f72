"""The picture of what became of a regression as SVG: its states as a band, and below it what happened when.

Drawn as the picture of a search is (`picture.py`): places are per cent of the width, texts are not. Distances are
square roots of the time between, so that an hour is seen beside a year; each row says its day.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from bot.core.lifecycle import (
    Accepted,
    Claimed,
    Corrected,
    Cured,
    Disputed,
    Event,
    Expired,
    Offered,
    Partly,
    Record,
    Refuted,
    Reopened,
    Retracted,
    State,
    Stuck,
    Surveyed,
    Tried,
    Unnamed,
    replay,
)
from bot.model import Commit, Report
from bot.report.render import environment
from bot.report.safe import xml_line
from bot.report.story import told

_MOST = 24  # rows; of more, some in the middle are left out
_FIRST = 4  # of those, from the beginning
_BAND, _ROW = 34, 36  # pixels: where the band is, from row to row
_LETTER = 7.5  # pixels, at most, of a letter of the legend
_WIDE = 310  # pixels of the legend that fit on a telephone
_LABEL = 34  # characters of a row, beside its day

_STYLES = {
    State.OPEN: "bad", State.REOPENED: "bad", State.POSTED: "skip", State.FIXED: "good", State.STABLE: "best",
    State.ACCEPTED: "bar", State.RETRACTED: "none",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: a commit came to be, or the bot noted an event. `style` is a class of the template."""

    at: float
    shape: str  # "commit", "event"
    style: str
    label: str
    told: str


def moments(report: Report, record: Record, opened: float, fix: Commit | None = None) -> tuple[Moment, ...]:
    """What happened, oldest first. `fix` is the commit that the record calls so, if it is known."""
    found = [_commit(report.culprit, "bad", "first bad commit"), _commit(fix, "good", "fix")]
    at = f"found at {report.bad.sha[:12]}"
    happened = [Moment(opened, "event", "bad", at, at)]
    happened += [Moment(h.at, "event", *_label(h.event), xml_line(told(h.event))) for h in record.history]
    return tuple(sorted((*filter(None, found), *happened), key=lambda moment: moment.at))


def draw(
    report: Report, record: Record, opened: float, now: float, templates: Path, fix: Commit | None = None
) -> str:  # fmt: skip
    """An `<svg>` element that is a whole file as well; times in seconds since the epoch."""
    every = moments(report, record, opened, fix)
    shown = every if len(every) <= _MOST else (*every[:_FIRST], *every[_FIRST - _MOST :])
    scale = _Scale([*(moment.at for moment in shown), opened, now])
    legend, top = _legend(record, opened, now)
    left_out = f", {len(every) - len(shown)} left out" if len(every) > len(shown) else ""
    context: dict[str, Any] = {
        "title": f"{record.state}, found {_day(opened)}{left_out}",
        "band": _BAND,
        "spans": [
            (style, f"{scale(start):.2f}%", f"{max(scale(end) - scale(start), 0.4):.2f}%", name)
            for style, start, end, name in _states(record, opened, now)
        ],
        "legend": legend,
        "rows": [
            {
                "y": top + _ROW * i, "x": f"{scale(moment.at):.2f}%", "day": _day(moment.at), "style": moment.style,
                "shape": moment.shape, "label": xml_line(moment.label, _LABEL),
                "said": f"{_day(moment.at)}: {moment.told}",
            }
            for i, moment in enumerate(shown)
        ],
        "height": top + _ROW * len(shown) - 10,
    }  # fmt: skip
    return environment(templates).get_template("timeline.svg.j2").render(**context)


class _Scale:
    """Seconds to per cent of the width."""

    def __init__(self, times: Sequence[float]) -> None:
        ordered = sorted(set(times))
        places = [0.0]
        for before, after in pairwise(ordered):
            places.append(places[-1] + math.sqrt(after - before))
        self._places = {at: 2 + 96 * place / (places[-1] or 1.0) for at, place in zip(ordered, places, strict=True)}
        self._ordered = ordered

    def __call__(self, at: float) -> float:
        """The place of a time, or of the last one before it that is drawn."""
        return self._places[max((known for known in self._ordered if known <= at), default=self._ordered[0])]


def _states(record: Record, opened: float, now: float) -> list[tuple[str, float, float, State]]:
    """(style, from, to, state) of each time between two events."""
    history = record.history
    times = [opened, *(happened.at for happened in history), max([now, opened, *(h.at for h in history)])]
    states = [replay(history[:i]).state for i in range(len(history) + 1)]
    return [(_STYLES[s], a, b, s) for s, (a, b) in zip(states, pairwise(times), strict=True) if b > a]


def _legend(record: Record, opened: float, now: float) -> tuple[list[tuple[str, int, int, str]], int]:
    """(style, x, y, name) of each state that was, in as many lines as a telephone needs, and where rows begin."""
    x, y = 0.0, _BAND + 26
    placed = []
    for style, name in dict.fromkeys((style, str(name)) for style, _, _, name in _states(record, opened, now)):
        width = 32 + _LETTER * len(name)
        if x and x + width > _WIDE:
            x, y = 0.0, y + 18
        placed.append((style, round(x), y, name))
        x += width
    return placed, y + 28


def _commit(commit: Commit | None, style: str, what: str) -> Moment | None:
    """Nothing for a commit whose date cannot be read."""
    try:
        date = datetime.fromisoformat(commit.committed) if commit else None
    except ValueError:
        return None
    if commit is None or date is None:
        return None
    at = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    label = f"{what} {commit.sha[:12]}"
    return Moment(at, "commit", style, label, f"{label} was committed: {xml_line(commit.subject, 100)}")


def _label(event: Event) -> tuple[str, str]:
    """A style and a few words."""
    match event:
        case Claimed():
            return "skip", f"{event.commit[:12]} says it cures it"
        case Offered():
            return "skip", "a patch is on a list"
        case Refuted():
            return "bad", f"{event.commit[:12]} does not cure it"
        case Cured():
            return "good", f"fixed by {event.commit[:12]}"
        case Unnamed():
            return "skip", f"passes at {event.tip.commit[:12]}"
        case Partly():
            passing, every = len(event.passing), len(event.passing) + len(event.failing)
            return ("skip", f"{passing} of {every} cases pass") if passing else ("bad", "all cases fail again")
        case Stuck():
            return ("bar", "not run any more") if event.why else ("bar", "run again")
        case Surveyed():
            waiting = sum(not branch.settled for branch in event.branches)
            return ("skip", f"stable branches: {waiting} to mend") if waiting else ("best", "stable branches: all well")
        case Reopened():
            return "bad", f"fails again at {event.tip[:12]}"
        case Accepted():
            return "bar", f"accepted until {event.until}"
        case Expired():
            return "bad", f"was accepted until {event.until}"
        case Disputed():
            return "bar", f"{event.commit[:12]} brings it, too" if event.brings else f"{event.commit[:12]} is not it"
        case Tried():
            return "skip", "a posted patch was tried"
        case Corrected():
            return "bad", f"brought by {event.commit[:12]} instead"
        case Retracted():
            return "none", "the report is retracted"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
