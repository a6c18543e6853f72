"""Static pages: what is open, where it fails, one page per regression with everything behind it. No JavaScript."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.core.matrix import machine_ranges
from bot.model import BuildStatus, Commit, Direction, Outcome, Report, ReportSettings, Run, Step, Verdict
from bot.report import data, figures, heat, picture, reasons, render, table, words
from bot.report.background import Background
from bot.report.deliver import write
from bot.report.safe import clean, line

_LOG_LIMIT = 20_000  # characters of one log on a page; the JSON has the whole


@dataclass(frozen=True, slots=True)
class Entry:
    """One regression for the pages. `opened` in seconds since the epoch; empty texts: there is none."""

    report: Report
    state: str = "open"
    opened: float | None = None
    eml: str = ""
    held: tuple[str, ...] = ()
    log: str = ""  # for `git bisect replay`


@dataclass(frozen=True, slots=True)
class Tip:
    """A watched branch: the commit that was tested last, its runs, and what is known beside them."""

    branch: str
    commit: Commit
    runs: tuple[Run, ...]
    background: Background

    @property
    def page(self) -> str:
        """The name of its heat map's file."""
        return f"matrix-{re.sub('[^A-Za-z0-9._-]', '_', self.branch)}.html"


@dataclass(frozen=True, slots=True)
class Cell:
    """How one group of machine types does in one column: a word, and what fails."""

    word: str
    what: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Machine types by pairs of sides, for one target and way to run them; types that do alike share a row."""

    target: str
    profile: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]

    @property
    def fails(self) -> bool:
        return any(_fails(cells) for _, cells in self.rows)


def site(
    out: Path,
    *,
    templates: Path,
    entries: Sequence[Entry],
    tips: Sequence[Tip],
    settings: ReportSettings,
    now: datetime,
    cycle: str = "",
    not_run: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write index.html, a heat map for each tip, and ID/index.html with report.json, mail.eml, bisect.log and
    search.svg beside it.

    Returns what it wrote. URLs stay the same from one call to the next. `cycle` says in a line how the last one went.
    """
    jinja = render.environment(templates)
    made = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    ordered = sorted(entries, key=lambda entry: (entry.state != "open", -(entry.opened or 0.0)))
    index = jinja.get_template("index.html.j2").render(
        entries=[_head(entry) for entry in ordered],
        tips=[(tip, _counts(tip), matrices(tip)) for tip in tips],
        cycle=cycle,
        not_run=[line(text) for text in not_run],
        made=made,
        owner=settings.owner,
    )
    written = [write(out / "index.html", index)]
    for tip in tips:
        heated = heat.page(tip.runs, tip.background, templates=templates, now=now, back="index.html")
        written.append(write(out / tip.page, heated))
    for entry in entries:
        folder = out / entry.report.regression.id
        drawn = picture.of_report(entry.report, templates)
        beside = {
            "report.json": data.dump(entry.report), "mail.eml": entry.eml, "bisect.log": entry.log, "search.svg": drawn
        }  # fmt: skip
        files = [name for name, text in beside.items() if text]
        written += [write(folder / name, beside[name]) for name in files]
        page = jinja.get_template("page.html.j2").render(
            **page_context(entry, settings), picture=drawn, files=files, made=made
        )
        written.append(write(folder / "index.html", page))
    return tuple(written)


def page_context(entry: Entry, settings: ReportSettings) -> dict[str, Any]:
    """What the page of one regression says."""
    report = entry.report
    own_id = f"<{report.regression.id}@{settings.domain or 'localhost'}>"
    head, _, body = entry.eml.replace("\r\n", "\n").partition("\n\n")
    return {
        **render.context(report, settings, own_id),
        "head": _head(entry),
        "table_rows": words.bad_end_rows(report, words.name(report.bad_name)),
        "steps": [_step(report, step) for step in report.steps],
        "logs": _logs(report),
        "held": entry.held,
        "mail": f"{head}\n\n{body}" if entry.eml else "",
        "advice": figures.advice(report),
        "weighed": reasons.weighed(report),
        "reproducer_text": clean(report.reproduction.text) if report.reproduction else "",
        "symptom_text": "\n".join(words.symptom(report, 40)),
    }


def _head(entry: Entry) -> dict[str, str]:
    """The few words that stand for a regression in a list."""
    report = entry.report
    opened = entry.opened
    return {
        "id": report.regression.id,
        "state": entry.state,
        "title": render.subject(report).removeprefix("[regression] "),
        "conclusion": figures.conclusion(report),
        "what_fails": words.what_fails(report),
        "signature": line(str(report.regression.signature)),
        "opened": datetime.fromtimestamp(opened, UTC).strftime("%Y-%m-%d") if opened is not None else "",
    }


def _step(report: Report, step: Step) -> dict[str, str]:
    """One row of the table of steps."""
    silent = (Outcome.INFRA, Outcome.NOT_BUILT, Outcome.UNTESTABLE)
    runs = [run for run in step.runs if run.case == report.case and run.outcome not in silent]
    bad = sum(words.word(report, run) is table.Word.FAIL for run in runs)
    built = [f"{b.kind}, {words.duration(b.seconds)}" for b in step.builds if b.status is BuildStatus.BUILT]
    reason = figures.skip_reason(report, step.commit.sha) if step.verdict is Verdict.SKIP else ""
    return {
        "why": step.why,
        "sha": step.commit.short,
        "subject": line(step.commit.subject),
        "verdict": step.verdict,
        "figures": f"{bad} of {len(runs)}" if runs else "",
        "build": "; ".join(dict.fromkeys(built)) or ("failed" if step.builds else ""),
        "reason": reason,
    }


def _logs(report: Report) -> list[tuple[str, str, str]]:
    """(where, name, text) of the failing run at the culprit or the bad end, and of a passing one beside it."""
    runs = [run for step in report.steps for run in step.runs if run.case == report.case]
    failing = words.failing_run(report)
    passing = next((run for run in reversed(runs) if run.outcome is Outcome.PASS), None)
    out = []
    for run in (failing, passing):
        if run is None:
            continue
        where = f"{run.outcome} on {run.commit[:12]}"
        argv = "\n\n".join(" ".join(args) for args in run.observation.argv)
        texts = [("command lines", argv), *((log.name, log.text) for log in run.observation.logs)]
        out += [(where, name, _cut(clean(text))) for name, text in texts if text.strip()]
    return out


def _cut(text: str) -> str:
    half = _LOG_LIMIT // 2
    if len(text) <= _LOG_LIMIT:
        return text
    return f"{text[:half]}\n[... {len(text) - _LOG_LIMIT} characters left out, see report.json ...]\n{text[-half:]}"


# -- the matrix ----------------------------------------------------------------------------------------------------


def _counts(tip: Tip) -> str:
    """`1204 cases: 1100 pass, 24 fail as expected, 80 cannot be tested`."""
    latest = {run.case: run for run in tip.runs}.values()
    expected = tip.background.expected
    count = Counter("expected" if run.case in expected else table.word(run, None) for run in latest)
    named = {
        table.Word.OK: "pass", table.Word.FAIL: "fail", "expected": "fail as expected",
        table.Word.UNTESTABLE: "cannot be tested", table.Word.TROUBLE: "gave no answer",
    }  # fmt: skip
    parts = [f"{count[kind]} {words_}" for kind, words_ in named.items() if count[kind]]
    return f"{words.plural(len(latest), 'case')}: {', '.join(parts) or 'none was run'}"


def matrices(tip: Tip) -> tuple[Matrix, ...]:
    """One matrix per target and way of a branch's runs (the latest of each case counts)."""
    latest = {run.case: run for run in tip.runs}
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in latest.values():
        groups.setdefault((run.case.target, table.way(run.case)), []).append(run)
    return tuple(_matrix(*key, runs, tip.background) for key, runs in sorted(groups.items()))


def _matrix(target: str, profile: str, runs: Sequence[Run], about: Background) -> Matrix:
    keys = sorted({heat.column(run.case) for run in runs}, key=_order)
    cells: dict[str, dict[heat.Column, Cell]] = {}
    for run in runs:
        cells.setdefault(run.case.machine, {})[heat.column(run.case)] = _cell(run, about)
    alike: dict[tuple[Cell, ...], list[str]] = {}
    for machine, given in cells.items():
        alike.setdefault(tuple(given.get(key, Cell("")) for key in keys), []).append(machine)
    rows = [(", ".join(machine_ranges(members, cells)), row) for row, members in alike.items()]
    rows.sort(key=lambda row: (not _fails(row[1]), row[0]))
    return Matrix(target, profile, tuple(heat.heading(key, about.names) for key in keys), tuple(rows))


def _order(key: heat.Column) -> tuple[object, ...]:
    return (Direction.SAME, Direction.FORWARD, Direction.BACKWARD).index(key[0]), table.natural(key[1])


def _cell(run: Run, about: Background) -> Cell:
    entry = about.expected.get(run.case)
    if entry is not None:
        return Cell("known", line(entry.id))
    word = table.word(run, None)
    return Cell(word, "" if word is table.Word.OK else line(str(run.signature or run.outcome), 60))


def _fails(row: tuple[Cell, ...]) -> bool:
    return any(cell.word == table.Word.FAIL for cell in row)
