"""Each regression is followed to its end: at each tip of its branch, after the smokes and searches of a cycle.

Read who says that it is cured; see whether it is; show by what (`curing`); ask again what was accepted until a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from bot.core import stuck
from bot.core.flaky import combined
from bot.core.lifecycle import Event, NotNowError, Record, Refuted, Reopened, State, Stuck, due, partly
from bot.errors import InfraError, UserError
from bot.model import Case, Outcome, Regression, Report, Run, Sha, Signature
from bot.pipeline import curing
from bot.pipeline.bench import Bench, having
from bot.pipeline.fixes import has
from bot.pipeline.known import in_history, known
from bot.pipeline.sweeping import performed, repeated
from bot.pipeline.together import lead
from bot.pipeline.tracking import note
from bot.report.story import told
from bot.store.store import Entry
from bot.watch.upstream import Tip
from bot.worker import inventories


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
    there = sides_of(desk, [entry])
    can = stuck.able(curing.cases_of(report), replace(_there(desk, tip), baselines=there.rig.baselines))
    if can and report.case not in can:  # its machine type is deleted, say: another case stands for it
        report = replace(report, case=lead(replace(report.regression, cases=can)))
    latest = {**latest, **_beyond(desk, there, tip, name, can)}
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


def note_stuck(desk: Bench, tip: Tip) -> None:
    """Note of each regression of a branch that waits to be mended if none of its cases can be run at the tip any more,
    and if they can again. It stays as it is: that nobody can see it fail does not mend it."""
    every = _there(desk, tip.sha)
    for entry in desk.store.regressions():
        if entry.regression.branch != tip.branch or not (entry.state.live or entry.state is State.ACCEPTED):
            continue
        cases = entry.regression.cases
        if any(case.target in every.targets and case.target not in every.inventories for case in cases):
            continue  # what was not built does not say which machine types it has
        why = stuck.why(cases, replace(every, baselines=sides_of(desk, [entry]).rig.baselines))
        before = entry.record.stuck
        if why != (before.why if before else ""):
            with suppress(UserError):  # a person decided otherwise at this moment
                noted(desk, entry.regression.id, Stuck(tip.sha, why))


def sides_of(desk: Bench, entries: Iterable[Entry]) -> Bench:
    """The bench with the releases that the regressions' cases name, too, if they can be had: known, and built today."""
    entries = list(entries)
    cases = [case for entry in entries for case in entry.regression.cases]
    gone = {(case.baseline, case.target) for case in cases if case.baseline and case.baseline not in desk.rig.baselines}
    if not gone:
        return desk
    reports = (curing.report_of(entry) for entry in entries if entry.reported)
    names = {name: called for report in reports for name, called in report.names.items()}
    there = having(desk, cases, names)
    lost = {name for name, target in sorted(gone) if name in there.rig.baselines and not _runs(there, name, target)}
    return having(desk, (case for case in cases if case.baseline not in lost), names) if lost else there


def _runs(desk: Bench, baseline: str, target: str) -> bool:
    """Whether a baseline can be built for a target."""
    build, inventory, why = inventories(desk.rig, desk.rig.refs[baseline], target)
    desk.keep(build)
    if inventory is None:
        desk.progress.say(f"baseline {baseline}, a baseline no more: {why}")
    return inventory is not None


def _there(desk: Bench, tip: Sha) -> stuck.There:
    """What there is to run cases with at a tip."""
    config = desk.config
    parts = ["each_tip"] + (["nightly"] if config.watch.nightly is not None else [])
    return stuck.There(
        targets=config.targets,
        inventories=desk.store.inventories(tip),
        profiles=desk.rig.profiles,
        baselines=desk.rig.baselines,
        exclude=known(config, in_history(desk.repository, tip)).exclude,
        parts=[config.sweep(part) for part in parts],
    )


def _beyond(desk: Bench, there: Bench, tip: Sha, name: str, can: Iterable[Case]) -> dict[Case, Run]:
    """The cases whose baseline is none any more, run with the release that it was last, as `there` has it: no sweep has
    them, and they are what a regression is followed by. Raises `InfraError` if the machine failed one."""
    cases = tuple(case for case in can if case.baseline and case.baseline not in desk.rig.baselines)
    made = there.runs(tip, cases)
    have = {run.case for run in made}
    if missing := tuple(case for case in cases if case not in have):
        names = dict.fromkeys(there.rig.baselines[case.baseline or ""].ref or "" for case in missing)
        desk.progress.say(f"{name}: {len(missing)} cases to run with {', '.join(names)}, a baseline no more")
        made += performed(there, tip, missing)
    made += repeated(there, tip, made, known(desk.config, in_history(desk.repository, tip)), name)
    runs = combined(made)
    if lost := sum(run.outcome is Outcome.INFRA for run in runs):
        raise InfraError(f"{lost} of its cases could not be run on this machine; tried again")
    return {run.case: run for run in runs}


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
    return next(filter(None, (has(desk.repository, tip.sha, sha) for sha in named)), None)


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
