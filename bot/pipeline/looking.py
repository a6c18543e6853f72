"""What pages need of the store, read when a page has to be made and not before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from bot.build.diagnosis import place
from bot.core.gate import FINDINGS, Kind
from bot.core.lifecycle import became
from bot.core.outbox import MAIL
from bot.model import Build, BuildStatus, Commit, Sha
from bot.report import data, seriespage
from bot.report.buildlog import BuildLog, Builds
from bot.report.history import link
from bot.report.memory import digest
from bot.report.page import Entry
from bot.report.site import SeriesSource, Source, Tip
from bot.store.posted import SeriesEntry
from bot.store.store import Entry as Kept
from bot.store.store import Letter, Store


def sources(
    store: Store, shown: Sequence[Kept], tips: Sequence[Tip], fixes: Mapping[Sha, Commit]
) -> list[Source]:  # fmt: skip
    """The regressions that have a report. What is in blobs is known by their names, so it is not read for a digest."""
    letters = store.letters()
    pasts = {(tip.branch, told.case) for tip in tips for told in tip.told}
    found = []
    for kept in shown:
        letter = next((one for one in reversed(letters.get(kept.regression.id, ())) if one.kind in FINDINGS), None)
        fix = fixes.get(kept.record.cure.commit) if kept.record.cure else None
        case = next((case for case in kept.regression.cases if (kept.regression.branch, case) in pasts), None)
        past = link(kept.regression.branch, case) if case else ""
        of = digest(kept.regression, kept.opened, kept.blobs, kept.finding, letter, fix, past)
        found.append(Source(kept.regression.id, kept.record, of, partial(_entry, store, kept, letter, fix, past)))
    return found


def _entry(store: Store, kept: Kept, letter: Letter | None, fix: Commit | None, past: str) -> Entry:
    name, history = kept.regression.id, kept.record.history
    report = replace(data.load(kept.report or "", name), regression=kept.regression)
    eml, held = (store.letter(letter), letter.held) if letter else ("", ())
    earlier = tuple((data.load(kept.read(blob), name), became(history, at)) for at, blob in kept.earlier)
    searching = kept.finding is None
    return Entry(report, kept.record, kept.opened, eml, held, kept.log, fix, past, earlier, searching)


def posted_series(store: Store) -> list[SeriesSource]:
    """The posted series that break something."""
    letters = store.letters()
    items = {item.message_id: item for item in store.outbox.items() if item.destination == MAIL}
    found = []
    for kept in store.series.entries():
        letter = next((one for one in reversed(letters.get(kept.id, ())) if one.kind == Kind.SERIES), None)
        stands = seriespage.stands(items.get(letter.message_id)) if letter else ""
        of = digest(kept.id, kept.at, kept.blob, letter, stands)
        found.append(SeriesSource(kept.id, of, partial(_series, store, kept, letter, stands)))
    return found


def _series(store: Store, kept: SeriesEntry, letter: Letter | None, stands: str) -> seriespage.Entry:
    report = data.load_series(kept.report, kept.id)
    return seriespage.Entry(report, kept.at, store.letter(letter) if letter else "", stands)


def logs_of(store: Store, commits: Mapping[Sha, Commit]) -> Builds:
    """`Builds` of a store: a commit's last build for a target, if it failed, else the last that compiled anything."""

    def find(sha: Sha, target: str) -> BuildLog | None:
        recorded = [build for build in store.builds(commit=sha) if build.target == target]
        last = recorded[-1:] if recorded and recorded[-1].status is BuildStatus.FAILED else []
        build = next((b for b in (*last, *reversed(recorded)) if b.kind.compiled or b in last), None)
        return None if build is None else BuildLog(build, lambda: _read(store, build), commits.get(sha))

    return find


def _read(store: Store, build: Build) -> tuple[str, int | None]:
    """The log of a build, and where its first error is."""
    alike = (b for b in store.builds(commit=build.commit, logs=True) if replace(b, log="") == build)
    log = next((b.log for b in alike), "")
    log = "" if log.startswith("(evicted: ") else log
    return log, place(log, build.error or "")
