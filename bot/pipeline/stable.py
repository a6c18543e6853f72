"""Stable branches of what is fixed: who has the culprit, who has the fix, and whether a pick of it would help.

A branch has a commit if it is in its history, or if one of its commits says that it was picked from it. What a branch
says of itself is run: its tip, and a fix that it lacks is picked onto it, built and run; where that alone does not do,
with what came before it in its series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from bot.core.cause import series
from bot.core.lifecycle import Standing, Surveyed
from bot.errors import InfraError, UserError
from bot.host.picks import Conflict, Pick, compose
from bot.model import Outcome, Report, RevertOutcome, Sha
from bot.pipeline import curing
from bot.pipeline.bench import Bench
from bot.pipeline.curing import Trial
from bot.pipeline.fixes import has
from bot.pipeline.following import noted, sides_of
from bot.store.store import Entry
from bot.watch.upstream import Tip

_SERIES = 9  # commits of its series that are picked with a fix


def survey(desk: Bench, tips: Sequence[Tip], over: Callable[[], bool]) -> bool:
    """Look at the watched stable branches of each regression that is fixed; True if one could not be looked at.

    What was run of a branch stands until it gets a commit that matters: the culprit, or the fix. Once no branch waits
    for the fix, only a new branch is looked at: what breaks on one later is a regression of its own.
    """
    trouble = False
    for entry in desk.store.regressions():
        others = [tip for tip in tips if tip.stable and tip.branch != entry.regression.branch]
        if not entry.state.mended or not entry.reported or not others or over():
            continue
        try:
            _one(desk, entry, others)
        except (UserError, InfraError) as error:  # it is looked at again in the next cycle
            desk.progress.say(f"{entry.regression.id}: stable branches could not be looked at now: {error}")
            trouble = True
    return trouble


def _one(desk: Bench, entry: Entry, tips: Iterable[Tip]) -> None:
    report, cure = curing.report_of(entry), entry.record.cure
    case = report.case
    there = sides_of(desk, [entry]).rig
    if cure is None or (case.baseline is not None and case.baseline not in there.baselines):
        return  # what it failed against cannot be had any more: what was found until then stands
    before = {standing.branch: standing for standing in entry.record.branches}
    found = []
    for tip in tips:
        if tip.branch in before and before[tip.branch].settled:
            found.append(before[tip.branch])
            continue
        known = before.get(tip.branch)
        named = curing.culprits(report)
        culprit = next(filter(None, (has(desk.repository, tip.sha, sha) for sha in named)), None)
        fix = None if culprit is None else has(desk.repository, tip.sha, cure.commit)
        fresh = Standing(tip.branch, culprit, fix)
        if culprit is None:
            found.append(fresh)
        elif known is not None and known.runs is not None and (known.culprit, known.fix) == (culprit, fix):
            found.append(known)
        else:
            found.append(_run(desk, report, tip.sha, fresh, cure.commit))
    if tuple(found) != entry.record.branches:
        noted(desk, entry.regression.id, Surveyed(tuple(found)))


def _run(desk: Bench, report: Report, tip: Sha, standing: Standing, fix: Sha) -> Standing:
    """A branch that has the culprit, run; and with the fix picked onto it where it fails without."""
    desk.progress.say(
        f"{report.regression.id}: {standing.branch} has {(standing.culprit or '')[:12]}: running {tip[:12]}"
    )
    trial = Trial.of(desk, report).beside(tip)
    tally = trial.tally(tip)
    if not tally.n:
        return standing
    ran = replace(standing, runs=tally)
    if not tally.bad or standing.fix is not None:
        return ran
    desk.progress.say(f"{report.regression.id}: picking {fix[:12]} onto {standing.branch}")
    outcome = _picked(desk, trial, tip, (fix,))
    before = () if outcome in (RevertOutcome.OK, RevertOutcome.STILL_BAD) else _before(desk, fix, tip)
    if before:
        desk.progress.say(f"{report.regression.id}: picking {fix[:12]} and {len(before)} before it of its series")
        if _picked(desk, trial, tip, (*before, fix)) is RevertOutcome.OK:
            return replace(ran, pick=RevertOutcome.OK, before=before)
    return replace(ran, pick=outcome)


def _before(desk: Bench, fix: Sha, tip: Sha) -> tuple[Sha, ...]:
    """The commits right before a fix that were posted in one series with it, and that a tip has not, oldest first."""
    commit, found = desk.repository.commit(fix), list[Sha]()
    mine = series(commit.body)
    while len(commit.parents) == 1 and len(found) < _SERIES:
        commit = desk.repository.commit(commit.parents[0])
        if not mine & series(commit.body):
            break
        if has(desk.repository, tip, commit.sha) is None:
            found.append(commit.sha)
    return tuple(reversed(found))


def _picked(desk: Bench, trial: Trial, tip: Sha, commits: Iterable[Sha]) -> RevertOutcome:
    composed = compose(desk.repository, tip, [Pick(sha) for sha in commits])
    if isinstance(composed, Conflict):
        return RevertOutcome.CONFLICT
    tally = trial.tally(composed)
    if tally.bad:
        return RevertOutcome.STILL_BAD
    outcomes = {run.outcome for run in trial.runs(composed)}
    if Outcome.NOT_BUILT in outcomes:
        return RevertOutcome.NOT_BUILT
    return RevertOutcome.OK if tally.n and outcomes == {Outcome.PASS} else RevertOutcome.UNTESTABLE
