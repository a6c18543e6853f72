"""Writes what people and programs read about a regression: mail, JSON, replayable log, pages. Sends nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bot.bisect import log
from bot.bisect.runner import Search
from bot.config import Config
from bot.core import matrix
from bot.core.gate import kind_of
from bot.data import data_dir
from bot.host.git import Repository
from bot.model import Case, Commit, Outcome, Report, Run, Sha
from bot.pipeline.asking import not_run
from bot.pipeline.bench import Bench, answers
from bot.pipeline.known import in_history, known, unknown
from bot.report import data, render
from bot.report.background import Background
from bot.report.deliver import as_text
from bot.report.site import Entry, Tip, site
from bot.store.store import Mail, Store


def publish(desk: Bench, report: Report, found: Search, out: Path) -> tuple[Path, ...]:
    """Conclude the regression in the store and write its files into out; the paths of those, its page first."""
    name = report.regression.id
    settings = desk.config.report_settings
    kind = kind_of(report)
    if kind is not None:
        now = desk.clock()
        message = render.mail(
            report, settings=settings, templates=data_dir() / "templates", date=datetime.fromtimestamp(now, UTC)
        )
        held = tuple(str(hold) for hold in render.held(report, settings))
        text = as_text(message)
        desk.store.keep_mail(Mail(name, kind, str(message["Message-ID"]), now, held, text))
    desk.store.conclude(name, data.finding_kind(report.finding), data.dump(report), log.render(found, report.commits))
    written = write_site(desk.store, desk.config, out, desk.repository)
    return tuple(path for path in written if path.parent.name == name)


def write_site(store: Store, config: Config, out: Path, repository: Repository | None) -> tuple[Path, ...]:
    """All pages and the files beside them, from what is stored; their paths.

    Without a clone it is not known which commits a tip contains, so that the release decides what is expected.
    """
    entries = []
    for kept in store.regressions():
        if kept.report is None:
            continue
        mails = store.mails(kept.regression.id)
        report = replace(data.load(kept.report, kept.regression.id), regression=kept.regression)
        eml, held = (mails[-1].eml, mails[-1].held) if mails else ("", ())
        entries.append(Entry(report, kept.state, kept.opened, eml, held, kept.log))
    tips = tuple(_tip(store, config, branch, commits[-1], repository) for branch, commits in store.seen().items())
    last = next((cycle.result or "" for cycle in store.cycles() if cycle.ended), "")
    return site(
        out,
        templates=data_dir() / "templates",
        entries=entries,
        tips=tips,
        settings=config.report_settings,
        now=datetime.fromtimestamp(store.clock(), UTC),
        cycle=last,
        not_run=not_run(config, (run.case for tip in tips for run in tip.runs)),
    )


def _tip(store: Store, config: Config, branch: str, commit: Commit, repository: Repository | None) -> Tip:
    runs = _latest(store.runs(commit=commit.sha, logs=False))
    about = known(config, in_history(repository, commit.sha) if repository else unknown)
    background = Background(
        new=branch,
        expected=about.explained(runs),
        before=earlier(store, branch, commit.sha),
        old=f"an earlier {branch}",
        deprecated=matrix.deprecated(store.inventories(commit.sha)),
    )
    return Tip(branch, commit, runs, background)


def earlier(store: Store, branch: str, tip: Sha) -> dict[Case, Run]:
    """Each case's last answer on an earlier tip of a branch."""
    found: dict[Case, Run] = {}
    for commit in store.seen().get(branch, []):
        if commit.sha != tip:
            found |= {run.case: run for run in answers(store.runs(commit=commit.sha, logs=False))}
    return found


def _latest(runs: list[Run]) -> tuple[Run, ...]:
    """The last answer for each case."""
    found: dict[Case, Run] = {run.case: run for run in runs if run.outcome is not Outcome.INFRA}
    return tuple(found.values())
