"""Static pages: what is open, where it fails, one page per regression with everything behind it. No JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.core.matrix import machine_ranges
from bot.model import BuildStatus, Case, Commit, Direction, Outcome, Report, ReportSettings, Run, Step, Verdict
from bot.report import data, figures, render, table, words
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
    """A watched branch: the commit that was tested last and its runs. `names` is what readers call each baseline."""

    branch: str
    commit: Commit
    runs: tuple[Run, ...]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """How one group of machine types does in one column: a word, and what fails."""

    word: str
    what: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Machine types by pairs of sides, for one target and profile; types that do alike share a row."""

    target: str
    profile: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


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
    """Write index.html and ID/index.html with report.json, mail.eml and bisect.log beside it; returns what it wrote.

    URLs stay the same from one call to the next. `cycle` says in a line how the last one went.
    """
    jinja = render.environment(templates)
    made = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    ordered = sorted(entries, key=lambda entry: (entry.state != "open", -(entry.opened or 0.0)))
    index = jinja.get_template("index.html.j2").render(
        entries=[_head(entry) for entry in ordered],
        tips=[(tip, matrices(tip)) for tip in tips],
        cycle=cycle,
        not_run=[line(text) for text in not_run],
        made=made,
        owner=settings.owner,
    )
    written = [write(out / "index.html", index)]
    for entry in entries:
        folder = out / entry.report.regression.id
        beside = {"report.json": data.dump(entry.report), "mail.eml": entry.eml, "bisect.log": entry.log}
        files = [name for name, text in beside.items() if text]
        written += [write(folder / name, beside[name]) for name in files]
        page = jinja.get_template("page.html.j2").render(**page_context(entry, settings), files=files, made=made)
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


def matrices(tip: Tip) -> tuple[Matrix, ...]:
    """One matrix per target and profile of a branch's runs (the latest of each case counts)."""
    latest = {run.case: run for run in tip.runs}
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in latest.values():
        groups.setdefault((run.case.target, run.case.profile), []).append(run)
    return tuple(_matrix(*key, runs, tip.names) for key, runs in sorted(groups.items()))


def _matrix(target: str, profile: str, runs: Sequence[Run], names: Mapping[str, str]) -> Matrix:
    keys = sorted({_column(run.case) for run in runs}, key=lambda key: (_ORDER.index(key[0]), table.natural(key[1])))
    cells: dict[str, dict[tuple[Direction, str], Cell]] = {}
    for run in runs:
        cells.setdefault(run.case.machine, {})[_column(run.case)] = _cell(run)
    alike: dict[tuple[Cell, ...], list[str]] = {}
    for machine, given in cells.items():
        alike.setdefault(tuple(given.get(key, Cell("")) for key in keys), []).append(machine)
    rows = [(", ".join(machine_ranges(members, cells)), row) for row, members in alike.items()]
    rows.sort(key=lambda row: (not _fails(row[1]), row[0]))
    return Matrix(target, profile, tuple(_title(key, names) for key in keys), tuple(rows))


_ORDER = (Direction.SAME, Direction.FORWARD, Direction.BACKWARD)


def _column(case: Case) -> tuple[Direction, str]:
    return case.direction, case.baseline or ""


def _title(key: tuple[Direction, str], names: Mapping[str, str]) -> str:
    direction, baseline = key
    if direction is Direction.SAME:
        return "to itself"
    called = table.label(names, baseline)
    return f"from {called}" if direction is Direction.FORWARD else f"to {called}"


def _cell(run: Run) -> Cell:
    word = table.word(run, None)
    return Cell(word, "" if word is table.Word.OK else line(str(run.signature or run.outcome), 60))


def _fails(row: tuple[Cell, ...]) -> bool:
    return any(cell.word == table.Word.FAIL for cell in row)
