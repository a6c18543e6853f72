"""Writes what people and programs read about a regression: mail, JSON, replayable log, pages. Sends nothing: what is
to go out is put into the outbox, with the conclusion.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bot.bisect import log
from bot.bisect.runner import Search
from bot.config import Config
from bot.core import matrix
from bot.core.flaky import combined
from bot.core.gate import kind_of
from bot.core.lifecycle import Record, moot
from bot.data import data_dir
from bot.errors import InfraError, UserError
from bot.host import web
from bot.host.git import Repository
from bot.model import Build, BuildStatus, Commit, Outcome, Report, Sha
from bot.pipeline.bench import Bench
from bot.pipeline.histories import earlier, histories
from bot.pipeline.known import in_history, known, unknown
from bot.pipeline.looking import logs_of, posted_series, sources
from bot.pipeline.posting import posts
from bot.pipeline.tracking import accepted, issue, thread
from bot.pipeline.unrun import unrun
from bot.report import correction, data, render, words
from bot.report.background import Background
from bot.report.deliver import as_text
from bot.report.health import Work
from bot.report.releases import lines
from bot.report.site import Tip, site
from bot.store.outbox import Post
from bot.store.store import Entry as Kept
from bot.store.store import Mail, Store

_LAST = 5  # commits of a branch whose failed builds are shown


def publish(desk: Bench, report: Report, found: Search, out: Path) -> tuple[Path, ...]:
    """Conclude the regression in the store and write its files into out; the paths of those, its page first."""
    name = report.regression.id
    settings = desk.config.report_settings
    kind = kind_of(report)
    mail: Mail | None = None
    waiting: tuple[Post, ...] = ()
    if kind is not None:
        now = desk.store.clock()
        record = desk.store.regressions(name)[0].record
        under = "" if record.report == 1 else thread(desk.store, desk.config, name)
        message = render.mail(
            report, settings=settings, templates=data_dir() / "templates", date=datetime.fromtimestamp(now, UTC),
            seq=record.report, under=under, correction=_correction(desk, record), issue=issue(desk.store, name),
        )  # fmt: skip
        over = moot(record)
        held = tuple(str(hold) for hold in (*render.held(report, settings), *([over] if over else [])))
        text = as_text(message)
        mail = Mail(name, kind, str(message["Message-ID"]), now, held, text)
        waiting = posts(report, kind, mail, desk.config)
    finding, searched = data.finding_kind(report.finding), log.render(found, report.commits)
    desk.store.conclude(name, finding, data.dump(report), searched, mail=mail, posts=waiting)
    written = write_site(desk.store, desk.config, out, desk.repository)
    return tuple(path for path in written if path.parent.name == name)


def _correction(desk: Bench, record: Record) -> list[str]:
    """What the report before was wrong in; the mail that says so may not have gone out."""
    event = record.corrected
    return [] if event is None else correction.told(event, lambda sha: words.cite(desk.repository.commit(sha)))


def write_site(store: Store, config: Config, out: Path, repository: Repository | None) -> tuple[Path, ...]:
    """All pages and the files beside them, from what is stored; their paths.

    Without a clone it is not known which commits a tip contains, so that the release decides what is expected.
    """
    every, seen = store.regressions(), store.seen()
    shown = [kept for kept in every if kept.reported]
    tips = tuple(_tip(store, config, branch, commits, shown, repository) for branch, commits in seen.items())
    all_runs = [run for tip in tips for run in tip.runs]
    cycles = store.cycles()
    last = next((cycle.result or "" for cycle in cycles if cycle.ended), "")
    failed = [(branch, build) for branch, commits in seen.items() for build in _failed(store, commits[-_LAST:])]
    releases = tuple(lines(store.releases.used(), store.releases.waiting()))
    drifts = tuple(there.drift.said for there in store.drifts.known())
    return site(
        out,
        templates=data_dir() / "templates",
        entries=sources(store, shown, tips, _fixes(repository, every)),
        tips=tips,
        settings=config.report_settings,
        now=datetime.fromtimestamp(store.clock(), UTC),
        cycle=last,
        not_run=unrun(config, all_runs, known(config, unknown).excluded) if all_runs else (),
        work=Work(cycles, failed, releases, drifts),
        series=posted_series(store),
        whose=str(store.work.resolve()),
        builds=logs_of(store, {commit.sha: commit for commits in seen.values() for commit in commits}),
    )


def pages(config: Config, work: Path, out: Path) -> int:
    """`bot site`: write all pages of a work directory, and print where they begin."""
    print(_written(config, work, out) / "index.html")
    return 0


def show(config: Config, work: Path, out: Path | None, at: tuple[str, int], stop: threading.Event) -> int:
    """`bot site --serve`: the same, then serve them at a host and port until stopped; returns 0 then.

    `out` None: where `bot run` writes them, whose next cycle is seen then.
    """
    written = _written(config, work, out)
    names = [socket.gethostname(), urlsplit(config.report.url or "").hostname or ""]
    web.serve(written, *at, names=filter(None, names), say=partial(print, flush=True), stop=stop)
    return 0


def _written(config: Config, work: Path, out: Path | None) -> Path:
    clone = work / "upstream.git"
    place = out or out_directory(config, work)
    write_site(Store(work), config, place, Repository(clone) if clone.exists() else None)
    return place


def out_directory(config: Config, work: Path) -> Path:
    """Where `bot run` writes."""
    return Path(config.report.out) if config.report.out else work / "out"


def _fixes(repository: Repository | None, kept: Iterable[Kept]) -> dict[Sha, Commit]:
    """The commits that cured something; none if there is no clone, or it lost one of them."""
    shas = {entry.record.cure.commit for entry in kept if entry.record.cure}
    try:
        return {} if repository is None or not shas else {c.sha: c for c in repository.commits(sorted(shas))}
    except (UserError, InfraError):
        return {}


def _failed(store: Store, commits: Iterable[Commit]) -> Iterator[Build]:
    """For each target the last build of each commit, if that failed; the newest commit first."""
    for commit in reversed(tuple(commits)):
        latest = {build.target: build for build in store.builds(commit=commit.sha, logs=True)}
        yield from (build for build in latest.values() if build.status is BuildStatus.FAILED)


def _tip(
    store: Store,
    config: Config,
    branch: str,
    commits: Sequence[Commit],
    shown: Sequence[Kept],
    repository: Repository | None,
) -> Tip:
    commit = commits[-1]
    recorded = store.runs(commit=commit.sha, logs=False)
    runs = tuple(run for run in combined(recorded) if run.outcome is not Outcome.INFRA)
    about = known(config, in_history(repository, commit.sha) if repository else unknown)
    background = Background(
        new=branch,
        expected={**about.explained(runs), **accepted(store, branch, runs)},
        before=earlier(store, branch, [one.sha for one in commits], commit.sha),
        old=f"an earlier {branch}",
        deprecated=matrix.deprecated(store.inventories(commit.sha)),
    )
    troubles = tuple(run for run in recorded if run.outcome is Outcome.INFRA)
    return Tip(
        branch,
        commit,
        runs,
        background,
        troubles,
        told=histories(store, config, branch, commits, shown, background.expected, repository),
        commits={one.sha: one for one in commits},
        not_run=unrun(config, runs, about.excluded),
    )
