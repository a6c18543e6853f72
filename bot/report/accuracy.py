"""The page about the bot itself: how its searches ended, what became of their reports, and whether what they stated
while they searched came out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.core import calibration
from bot.core.calibration import Bin, Searched
from bot.core.lifecycle import CORRECTED, State
from bot.model import FirstBad, FirstFixed, MergeConflict, Report
from bot.report import render
from bot.report.data import SCHEMA, finding_kind
from bot.report.reasons import percent
from bot.report.safe import line

ENOUGH = 20  # searches that named a commit, from which what they stated is compared with what came out
_SIZE, _LEFT, _TOP = 240, 48, 16  # pixels: the square of the plot, and what is beside and above it
WRONG = (str(State.RETRACTED), CORRECTED)
"""What a report became that blamed the wrong commit."""
_ENDINGS = {
    "first-bad": "a first bad commit, confirmed",
    "merge-conflict": "a merge whose parents are good, confirmed",
    "first-fixed": "a first good commit, confirmed",
    "suspects": "several suspects, for some could not be tested",
    "flaky": "flaky",
    "not-reproduced": "the bad end is not bad",
    "bad-at-good-end": "the good end is not good",
    "inconclusive": "inconclusive",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What of a search counts here. `state`: what became of its report, `CORRECTED` or a `State`. `stated`: after each
    step the weight of the likeliest commit, and whether that is the one that was confirmed, and was not wrong; None: it
    was not recorded."""

    ending: str
    state: str
    named: bool
    stated: tuple[tuple[float, bool], ...] | None = None


def judged(report: Report, became: str) -> Judged:
    """A search, as it is counted; `became`: what became of its report."""
    commit, course = _commit(report), report.course
    stated = None
    if commit and course is not None:
        stated = Searched.of(course, commit, wrong=became in WRONG).stated
    return Judged(finding_kind(report.finding), became, bool(commit), stated)


def page(searches: Sequence[tuple[Report, str]], **how: Any) -> tuple[str, str]:
    """The same of reports, and what became of them."""
    return of_judged([judged(report, became) for report, became in searches], **how)


def of_judged(
    searches: Sequence[Judged], *, templates: Path, now: datetime, twin: str, not_run: Sequence[str] = ()
) -> tuple[str, str]:
    """HTML, and the JSON beside it, whose file is called `twin`."""
    endings = Counter(search.ending for search in searches)
    named = [search for search in searches if search.named]
    states = Counter(search.state for search in named)
    stated = [Searched(search.stated) for search in named if search.stated is not None]
    found = calibration.bins(stated) if len(stated) >= ENOUGH else ()
    wrong = {kind: states[kind] for kind in WRONG}
    context: dict[str, Any] = {
        "searches": len(searches),
        "named": len(named),
        "stated": len(stated),
        "enough": ENOUGH,
        "endings": [(text, endings[kind]) for kind, text in _ENDINGS.items() if endings[kind]],
        "states": [(state, states[state]) for state in (*map(str, State), CORRECTED) if states[state]],
        "wrong": wrong,
        "bins": [_row(of) for of in found],
        "picture": _plot(found, templates) if found else "",
        "made": now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "files": [twin],
        "not_run": [line(text) for text in not_run],
    }
    html = render.environment(templates).get_template("accuracy.html.j2").render(context)
    data = {
        "schema": SCHEMA, "searches": len(searches), "endings": endings, "states": states, "wrong": wrong,
        "stated": len(stated), "calibration": [asdict(of) for of in found],
    }  # fmt: skip
    return html, json.dumps(data, indent=1, sort_keys=True) + "\n"


def _commit(report: Report) -> str:
    """The commit that was confirmed; "" if there is none."""
    finding = report.finding
    return finding.commit if isinstance(finding, FirstBad | FirstFixed | MergeConflict) else ""


def _row(of: Bin) -> dict[str, str]:
    return {
        "range": f"{100 * of.low:g} to {100 * of.high:g} %", "searches": str(of.searches), "stated": percent(of.stated),
        "right": percent(of.right), "chance": f"{100 * of.least:.0f} to {100 * of.most:.0f} %",
    }  # fmt: skip


def _plot(found: Sequence[Bin], templates: Path) -> str:
    def x(part: float) -> float:
        return round(_LEFT + _SIZE * part, 1)

    def y(part: float) -> float:
        return round(_TOP + _SIZE * (1 - part), 1)

    points = [
        {
            "x": x(of.stated), "y": y(of.right), "least": y(of.least), "most": y(of.most),
            "said": f"stated {percent(of.stated)}, right in {percent(of.right)} of {of.searches}",
        }
        for of in found
    ]  # fmt: skip
    ticks = [(f"{tick} %", x(tick / 100), y(tick / 100)) for tick in (0, 25, 50, 75, 100)]
    box = {"left": _LEFT, "top": _TOP, "right": _LEFT + _SIZE, "bottom": _TOP + _SIZE}
    template = render.environment(templates).get_template("accuracy.svg.j2")
    return template.render(points=points, ticks=ticks, **box, width=_LEFT + _SIZE + 24, height=_TOP + _SIZE + 48)
