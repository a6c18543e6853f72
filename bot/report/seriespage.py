"""The page of a posted series that breaks something: what was posted, what was run, and which patch it fails since.

A series that went to none of the lists has none, as the answer to it goes to its author alone: what its author did not
show to everybody is not shown to everybody here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.core.matrix import machine_ranges
from bot.core.outbox import Item, State
from bot.model import Case, Direction, Report, ReportSettings, Run, SeriesReport
from bot.report import data, figures, people, posted, render, table, words
from bot.report.page import Made, run_logs, step_row
from bot.report.safe import clean, line, message_id
from bot.report.table import Word

_STANDS = {
    State.QUEUED: "It waits to be sent.",
    State.SENDING: "It is being sent.",
    State.SENT: "It was sent.",
    State.REFUSED: "It was not taken by the mail server.",
    State.UNKNOWN: "It may have gone out: the mail server's answer was lost.",
}
_PERSON = "person"  # what a hold of somebody who gave a reason is called


@dataclass(frozen=True, slots=True)
class Entry:
    """One series for the pages. `found` in seconds since the epoch, `mail` says where the answer `eml` stands."""

    report: SeriesReport
    found: float
    eml: str = ""
    mail: str = ""


def stands(item: Item | None) -> str:
    """Where an answer stands. Why a person holds it is for whoever runs the bot."""
    if item is None:
        return ""
    if item.state is State.HELD:
        held = ["a person" if text.startswith(f"{_PERSON}:") else text for text in item.held]
        return f"Held back by: {line('; '.join(held))}."
    return "It went to the operator, for a trial." if item.test and item.state is State.SENT else _STANDS[item.state]


def page(entry: Entry, settings: ReportSettings, *, templates: Path, now: datetime) -> Made | None:
    """All files of a series: its page, report.json and mail.eml; None if it was not posted where everybody reads."""
    report = entry.report
    if not _there(report, settings):
        return None
    texts = {"report.json": data.dump_series(report), "mail.eml": entry.eml}
    texts = {name: text for name, text in texts.items() if text}
    head = _head(entry, settings)
    html = render.environment(templates).get_template("series.html.j2").render(
        **_context(entry, settings), head=head, files=list(texts),
        made=now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip
    return Made({"index.html": html, **texts}, head, ())


def _context(entry: Entry, settings: ReportSettings) -> dict[str, Any]:
    """What the page says beside its head."""
    report, answered = entry.report, message_id(entry.report.origin.message_id)
    shown = posted.context(report, settings, "")
    head, _, body = entry.eml.replace("\r\n", "\n").partition("\n\n")
    reproduction = posted.leading(report).reproduction
    return {
        **shown,
        "answered": (answered or "").strip("<>"),
        "archive": people.archive(replace(settings, lists=_there(report, settings)), answered) if answered else None,
        "base": words.cite(report.base),
        "revision": words.name(report.posted.revision),
        "counts": _counts(report),
        "cases": rows(report),
        "subject": line(report.posted.subject, words.SUBJECT),
        "untold": [line(text) for text in report.untold],
        "searches": [_search(report, one) for one in report.reports],
        "legend": table.legend((*report.compared, *report.others), posted.called(report)),
        "logs": [log for one in report.reports for log in run_logs(one, [(one.bad.sha, line(one.case.machine))])],
        "mail": f"{head}\n\n{body}" if entry.eml else "",
        "stands": entry.mail,
        "reproducer_text": clean(reproduction.text) if reproduction else "",
    }


def _there(report: SeriesReport, settings: ReportSettings) -> tuple[str, ...]:
    return tuple(found.addr_spec for found in posted.lists(report, settings))


def _head(entry: Entry, settings: ReportSettings) -> dict[str, Any]:
    """The few words that stand for a series in a list."""
    report, found = entry.report, datetime.fromtimestamp(entry.found, UTC)
    sender = posted.author(report, settings)
    cases = [case for one in report.reports for case in one.regression.cases]
    return {
        "id": report.id,
        "found": entry.found,
        "day": found.strftime("%Y-%m-%d"),
        "title": line(report.origin.subject or report.posted.subject, words.SUBJECT),
        "author": line(sender.display_name or sender.username) if sender else "",
        "count": len(report.patches),
        "breaks": posted.breaks(report),
        "patches": [{"patch": patch.what, "machines": patch.machines} for patch in posted.patches(report)],
        "message_id": line(report.origin.message_id),
        "base": report.posted.base,
        "commit": report.posted.commit,
        "targets": sorted({line(case.target) for case in cases}),
        "profiles": sorted({line(table.way(case)) for case in cases}),
        "machines": sorted({line(case.machine) for case in cases}, key=table.natural),
    }


# -- the cases -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """Machine types that did alike, on the base and with the series. A word is that of a table, "" for not run."""

    base: tuple[str, str]  # word, and what fails
    series: tuple[str, str]
    pair: str
    machines: str
    way: str


def rows(report: SeriesReport) -> list[Row]:
    """Every case that was run, folded: what the series breaks first, then what fails otherwise, then the rest."""
    base = {run.case: run for run in report.compared if run.commit == report.posted.base}
    told = {case for one in report.reports for case in one.regression.cases}
    groups: dict[tuple[Any, ...], list[Case]] = {}
    ran: dict[str, set[str]] = {}
    for run in _with_series(report):
        case = run.case
        ran.setdefault(case.target, set()).add(case.machine)
        results = (_result(base.get(case), report), _result(run, report))
        rank = 0 if case in told else 1 if results[1][0] not in (Word.OK, Word.UNTESTABLE) else 2
        key = (rank, case.target, table.way(case), case.direction, case.baseline or "", *results)
        groups.setdefault(key, []).append(case)
    many, called = len(ran) > 1, posted.called(report)
    found = []
    for key in sorted(groups, key=_order):
        cases, (_, target, way, *_, before, after) = groups[key], key
        types = sorted({case.machine for case in cases})
        ranges = ", ".join(machine_ranges(types, sorted(ran[target])))
        where = f"{target.removesuffix('-softmmu')}: {ranges}" if many else ranges
        pair = " -> ".join(table.sides(cases[0], "commit", called))
        found.append(Row(before, after, line(pair), line(where), line(way)))
    return found


def _order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    rank, target, way, direction, baseline, before, after = key
    place = (Direction.FORWARD, Direction.BACKWARD, Direction.SAME).index(direction)
    return rank, target, way, not baseline, table.natural(baseline), place, after, before


def _with_series(report: SeriesReport) -> list[Run]:
    """The last answer of each case with the series."""
    return [*(run for run in report.compared if run.commit == report.posted.commit), *report.others]


def _result(run: Run | None, report: SeriesReport) -> tuple[str, str]:
    """A word, and what fails; of a base that was not run neither."""
    if run is None:
        return "", ""
    word = table.word(run, None)
    if word is Word.FAIL and run.case in report.expected:
        return "known", line(table.what(run))
    return str(word), line(table.what(run)) if word in (Word.FAIL, Word.FLAKY) else ""


def _counts(report: SeriesReport) -> str:
    """`30 cases with the series: 15 pass, 15 fail; 30 of them run on the base, too`."""
    runs = _with_series(report)
    count = Counter(_result(run, report)[0] for run in runs)
    named = {
        Word.OK: "pass", Word.FAIL: "fail", Word.FLAKY: "flaky", "known": "fail as expected",
        Word.UNTESTABLE: "cannot be tested", Word.TROUBLE: "gave no answer",
    }  # fmt: skip
    parts = [f"{count[kind]} {said}" for kind, said in named.items() if count[kind]]
    both = sum(run.commit == report.posted.base for run in report.compared)
    return f"{words.plural(len(runs), 'case')} with the series: {', '.join(parts)}; {both} of them run on the base, too"


# -- the searches --------------------------------------------------------------------------------------------------


def _search(report: SeriesReport, one: Report) -> dict[str, Any]:
    """What one search did: its case, how it ended, each step with the patch that was tried."""
    case, patches = one.case, {patch.sha: i for i, patch in enumerate(report.patches, 1)}
    pair = " -> ".join(table.sides(case, "commit", posted.called(report)))
    about = ", ".join(filter(None, (case.machine, pair, words.with_what(one))))
    steps = [
        {**step_row(one, step, {}), "place": _place(patches.get(step.commit.sha), len(patches))} for step in one.steps
    ]
    return {
        "case": line(about),
        "conclusion": posted.first_failing(report, posted.named(one), [one]).head,
        "builds": figures.builds(one),
        "tallies": figures.tallies(one),
        "steps": steps,
    }


def _place(number: int | None, count: int) -> str:
    return "base" if number is None else f"{number}/{count}"
