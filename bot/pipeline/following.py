"""Each regression is followed to its end: at each tip of its branch, after the smokes and searches of a cycle.

Read who says that it is cured; see whether it is; show by what (`curing`); ask again what was accepted until a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

from bot.core.lifecycle import Event, NotNowError, Record, Refuted, Reopened, State, due, partly
from bot.errors import InfraError, UserError
from bot.model import Case, Regression, Report, Run, Sha, Signature
from bot.pipeline import curing
from bot.pipeline.bench import Bench
from bot.pipeline.tracking import note
from bot.report.story import told
from bot.store.store import Entry
from bot.watch.upstream import Tip


def follow(desk: Bench, tip: Tip, runs: Iterable[Run], over: Callable[[], bool]) -> bool:
    """Follow the regressions of a branch whose tip was run, until it is `over`; True if one could not be."""
    latest = {run.case: run for run in runs}
    trouble = False
    for entry in desk.store.regressions():
        if entry.regression.branch != tip.branch or entry.finding is None or not entry.reported:
            continue
        if not (entry.state.live or entry.state is State.ACCEPTED) or over():
            continue
        try:
            _one(desk, tip.sha, entry, latest)
        except (UserError, InfraError) as error:  # it is followed again in the next cycle
            desk.progress.say(f"{entry.regression.id}: could not be followed now: {error}")
            trouble = True
    return trouble


def _one(desk: Bench, tip: Sha, entry: Entry, latest: dict[Case, Run]) -> None:
    report, name = curing.report_of(entry), entry.regression.id
    failed, passing = curing.standing(report, latest)
    record = entry.record
    if curing.culprits(report):
        for claimed in curing.claims(desk, report, record):
            record = noted(desk, name, claimed)
        gone = bool(passing) and len(passing) == len([c for c in report.regression.cases if c in latest])
        if failed:
            for sha in record.claims:
                if desk.repository.is_ancestor(sha, tip):
                    record = noted(desk, name, Refuted(sha, f"{tip[:12]}, which has it, fails all the same"))
            record = _partly(desk, tip, name, report, record, latest)
        elif gone:
            for event in curing.cure(desk, record, report, tip, len(passing)):
                record = noted(desk, name, event)
    if expired := due(record, _today(desk), tip if failed else None):
        noted(desk, name, expired)


def _partly(desk: Bench, tip: Sha, name: str, report: Report, record: Record, latest: dict[Case, Run]) -> Record:
    """Note which cases of a regression pass and which still fail, where that changed. Of a failure that is not there
    every time, a case that passes once says nothing."""
    seen = curing.failing(report)
    if seen is None or seen.bad < seen.n:
        return record
    failed, passing = curing.standing(report, {case: run for case, run in latest.items() if not run.flaky})
    event = partly(record, tip, (run.case.id for run in passing), (run.case.id for run in failed))
    return record if event is None else noted(desk, name, event)


def ask_again(desk: Bench, tips: Iterable[Tip]) -> None:
    """Ask again what was accepted until a day, and is not followed on one of the branches."""
    branches = {tip.branch for tip in tips}
    for entry in desk.store.regressions():
        followed = entry.regression.branch in branches and entry.finding is not None
        expired = due(entry.record, _today(desk))
        if expired is not None and not followed:
            with suppress(UserError):  # it was accepted for longer
                noted(desk, entry.regression.id, expired)


def _today(desk: Bench) -> str:
    return datetime.fromtimestamp(desk.store.clock(), UTC).date().isoformat()


def noted(desk: Bench, regression_id: str, event: Event, again: Regression | None = None) -> Record:
    """Note an event, and say so to who watches. Raises `UserError` if a person decided otherwise meanwhile."""
    try:
        record = note(desk.store, desk.config, regression_id, event, desk.repository, again)
    except NotNowError as error:
        raise UserError(f"{told(event)}: not noted, for {error}") from error
    desk.progress.say(f"{regression_id}: {record.state}: {told(event)}")
    return record


def brought(desk: Bench, tip: Tip, entry: Entry) -> Sha | None:
    """The commit from which on a tip's history has a regression that is known; None: it is news there.

    One that was found on another branch is known by its culprit, also where that is a pick here.
    """
    if entry.regression.branch == tip.branch:
        return None if entry.state.mended else entry.regression.bad
    if not entry.reported or entry.finding is None:
        return None
    named = curing.culprits(curing.report_of(entry))
    return next(filter(None, (curing.has(desk, tip.sha, sha) for sha in named)), None)


def reopened(desk: Bench, tip: Tip, signature: Signature, good: Sha, cases: tuple[Case, ...]) -> Regression | None:
    """The regression that was fixed and fails again with this signature, open again; None: there is none.

    It is to be searched since `good`, the last commit where these cases passed: the fix, or one after it.
    """
    for entry in reversed(desk.store.regressions()):
        kept = entry.regression
        alike = kept.branch == tip.branch and kept.signature.key == signature.key and set(kept.cases) & set(cases)
        if alike and entry.state.mended:
            again = Regression(kept.id, kept.signature, cases, good, tip.sha, tip.branch)
            with suppress(UserError):  # it was taken back
                noted(desk, kept.id, Reopened(good, tip.sha), again)
                return again
    return None
