"""The page of one regression: all that was found about it, what became of it, and how to see it oneself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.core.lifecycle import Record, State
from bot.model import (
    BuildStatus,
    Commit,
    FirstBad,
    FirstFixed,
    MergeConflict,
    Outcome,
    Report,
    ReportSettings,
    Run,
    Sha,
    Step,
    Verdict,
)
from bot.report import buildlog, data, figures, picture, reasons, render, story, table, timeline, words
from bot.report.memory import digest
from bot.report.safe import clean, line

_LOG_LIMIT = 20_000  # characters of one log on a page; the JSON has the whole
_BUILDS = 12  # steps whose build failed that have a page of its log
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One regression for the pages. `opened` in seconds since the epoch; empty texts: there is none."""

    report: Report
    record: Record = field(default_factory=Record)
    opened: float | None = None
    eml: str = ""
    held: tuple[str, ...] = ()
    log: str = ""  # for `git bisect replay`
    fix: Commit | None = None  # of the record, if there is a clone to ask
    past: str = ""  # where the history of its case is, below the index
    earlier: tuple[tuple[Report, str], ...] = ()  # reports until a new search, and what became of each
    searching: bool = False  # the new search is not done: the report is the last of `earlier`

    @property
    def digest(self) -> str:
        """Of all that it holds."""
        reports = [data.dump(self.report), *(data.dump(report) + became for report, became in self.earlier)]
        return digest(*reports, self.opened, self.eml, self.held, self.log, self.fix, self.past, self.searching)


@dataclass(frozen=True, slots=True)
class Made:
    """What was written for a regression, and what the pages above say of it, as values that JSON has."""

    texts: Mapping[str, str]  # by the names of its files
    head: dict[str, Any]
    builds: Sequence[tuple[Sha, str]]  # whose logs it leads to


def page(
    entry: Entry, settings: ReportSettings, builds: buildlog.Builds, *, templates: Path, now: datetime
) -> Made:  # fmt: skip
    """All files of a regression: its page, report.json, mail.eml, bisect.log, search.svg and timeline.svg."""
    drawn = picture.of_report(entry.report, templates)
    times = _timeline(entry, templates, now)
    texts = {
        "report.json": data.dump(entry.report), "mail.eml": entry.eml, "bisect.log": entry.log, "search.svg": drawn,
        "timeline.svg": times,
    }  # fmt: skip
    texts = {name: text for name, text in texts.items() if text}
    have = {key: log for key in _built(entry) if (log := builds(*key)) is not None}
    context = page_context(entry, settings, {key: log.path for key, log in have.items()})
    made = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    html = render.environment(templates).get_template("page.html.j2").render(
        **context, picture=drawn, timeline=times, files=list(texts), made=made
    )  # fmt: skip
    return Made({"index.html": html, **texts}, context["head"], list(have))


def changes(record: Record, now: datetime) -> str:
    """What the page shows of the day that it is made: nothing, once nothing is waited for; else that day."""
    return now.astimezone(UTC).strftime("%Y-%m-%d") if record.history and not _settled(record) else ""


def _settled(record: Record) -> bool:
    return record.state.mended or record.state is State.RETRACTED


def _timeline(entry: Entry, templates: Path, now: datetime) -> str:
    """The picture of what happened; nothing if nothing did since it was found.

    Its end is the day that it is drawn; of what is settled a while after that.
    """
    record, end = entry.record, now.timestamp()
    if not record.history or entry.opened is None:
        return ""
    if _settled(record):
        last = record.history[-1].at
        end = min(end, last + max(_DAY, (last - entry.opened) / 10))
    return timeline.draw(entry.report, record, entry.opened, end, templates, entry.fix)


def _built(entry: Entry) -> list[tuple[Sha, str]]:
    """(commit, target) of the builds whose logs are of use while it is open: of the ends, and what failed."""
    if not entry.record.state.live:
        return []
    report = entry.report
    failed = [
        (build.commit, build.target)
        for step in report.steps
        for build in step.builds
        if build.status is BuildStatus.FAILED
    ]
    ends = [(commit.sha, report.case.target) for commit in (report.bad, report.good)]
    return list(dict.fromkeys((*ends, *failed[:_BUILDS])))


def page_context(
    entry: Entry, settings: ReportSettings, builds: Mapping[tuple[Sha, str], str] | None = None
) -> dict[str, Any]:
    """What the page of one regression says; `builds` are the pages of logs, by commit and target."""
    report, logs = entry.report, builds or {}
    own_id = f"<{report.regression.id}@{settings.domain or 'localhost'}>"
    head, _, body = entry.eml.replace("\r\n", "\n").partition("\n\n")
    return {
        **render.context(report, settings, own_id),
        "head": _head(entry),
        "table_rows": words.bad_end_rows(report, words.name(report.bad_name)),
        "steps": [step_row(report, step, logs) for step in report.steps],
        "logs": run_logs(report, _marked(report)),
        "build_logs": [
            (f"{what}, {sha[:12]}", logs[sha, report.case.target])
            for sha, what in _marked(report)[:2]
            if (sha, report.case.target) in logs
        ],
        "past": entry.past,
        "held": entry.held,
        "story": story.lines(entry.record.history),
        "mail": f"{head}\n\n{body}" if entry.eml else "",
        "advice": figures.advice(report),
        "weighed": reasons.weighed(report),
        "reproducer_text": clean(report.reproduction.text) if report.reproduction else "",
        "symptom_text": "\n".join(words.symptom(report, 40)),
    }


def _head(entry: Entry) -> dict[str, Any]:
    """The few words that stand for a regression in a list."""
    report = entry.report
    opened = entry.opened
    cases = report.regression.cases or (report.case,)
    return {
        "id": report.regression.id,
        "state": str(entry.record.state),
        "live": entry.record.state.live,
        "note": line(entry.record.note),
        "title": render.subject(report).removeprefix("[regression] "),
        "conclusion": figures.conclusion(report),
        "what_fails": words.what_fails(report),
        "signature": line(str(report.regression.signature)),
        "found": opened,
        "opened": datetime.fromtimestamp(opened, UTC).strftime("%Y-%m-%d") if opened is not None else "",
        "targets": sorted({line(case.target) for case in cases}),
        "profiles": sorted({line(table.way(case)) for case in cases}),
        "machines": sorted({line(case.machine) for case in cases}, key=table.natural),
        "history": [{"at": at, "what": what} for at, what in story.lines(entry.record.history)],
        "changed": max([opened or 0.0, *(happened.at for happened in entry.record.history)]),
    }


def step_row(report: Report, step: Step, logs: Mapping[tuple[Sha, str], str]) -> dict[str, str]:
    """One row of the table of steps."""
    silent = (Outcome.INFRA, Outcome.NOT_BUILT, Outcome.UNTESTABLE)
    runs = [run for run in step.runs if run.case == report.case and run.outcome not in silent]
    bad = sum(words.word(report, run) is table.Word.FAIL for run in runs)
    built = [f"{b.kind}, {words.duration(b.seconds)}" for b in step.builds if b.status is BuildStatus.BUILT]
    failed = [b for b in step.builds if b.status is BuildStatus.FAILED]
    reason = figures.skip_reason(report, step.commit.sha) if step.verdict is Verdict.SKIP else ""
    return {
        "why": step.why,
        "sha": step.commit.short,
        "subject": line(step.commit.subject, words.SUBJECT),
        "verdict": step.verdict,
        "figures": f"{bad} of {len(runs)}" if runs else "",
        "build": "; ".join(dict.fromkeys(built)) or ("failed" if step.builds else ""),
        "reason": reason,
        "log": next((logs[b.commit, b.target] for b in failed if (b.commit, b.target) in logs), ""),
    }


def _marked(report: Report) -> list[tuple[Sha, str]]:
    """The commits whose logs are shown, and what they are: both ends, and what was found with its first parent."""
    ends = [(report.bad.sha, "bad end"), (report.good.sha, "good end")]
    if report.cured:
        ends = [(report.good.sha, "broken end"), (report.bad.sha, "fixed end")]
    found: list[tuple[Sha, str]] = []
    if isinstance(report.finding, FirstBad | FirstFixed | MergeConflict):
        sha = report.finding.commit
        known = words.known(report, sha)
        found = [(sha, "fix" if report.cured else "first bad commit")]
        found += [(parent, "its parent") for parent in (known.parents[:1] if known else ())]
    named: dict[Sha, str] = {}
    for sha, what in (*ends, *found):
        named[sha] = f"{named[sha]}, {what}" if sha in named else what
    return list(named.items())


def run_logs(report: Report, marked: Sequence[tuple[Sha, str]]) -> list[tuple[str, str, str]]:
    """(where, name, text) of a run at each of these commits: one that fails as the regression does, else any that has
    logs."""
    out = []
    for sha, what in marked:
        run = _telling(report, sha)
        if run is None:
            continue
        where = f"{run.outcome} on {run.commit[:12]} ({what})"
        argv = "\n\n".join(" ".join(args) for args in run.observation.argv)
        texts = [("command lines", argv), *((log.name, log.text) for log in run.observation.logs)]
        out += [(where, name, _cut(clean(text))) for name, text in texts if text.strip()]
    return out


def _telling(report: Report, sha: Sha) -> Run | None:
    """The run of a commit whose logs say most."""
    runs = [run for run in report.runs if (run.commit, run.case) == (sha, report.case)]
    runs = [run for run in runs if run.observation.logs]
    shown = [run for run in runs if words.word(report, run) is table.Word.FAIL]
    return next(iter((*shown, *runs)), None)


def _cut(text: str) -> str:
    half = _LOG_LIMIT // 2
    if len(text) <= _LOG_LIMIT:
        return text
    return f"{text[:half]}\n[... {len(text) - _LOG_LIMIT} characters left out, see report.json ...]\n{text[-half:]}"
