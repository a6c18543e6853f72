"""A regression of the watch is searched and published; what turns out to be another one is split off."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from bot.core.drift import Says
from bot.core.lifecycle import Offered, Retracted
from bot.errors import UserError
from bot.model import BadAtGoodEnd, FirstBad, MergeConflict, Outcome, Question, Regression, Report, Run
from bot.pipeline.asking import not_run
from bot.pipeline.bench import Bench
from bot.pipeline.bisect import keep, other_side
from bot.pipeline.breaking import drift_of, stale, told_apart
from bot.pipeline.following import noted
from bot.pipeline.hands import performer
from bot.pipeline.investigate import Asked, investigate
from bot.pipeline.publish import out_directory, publish
from bot.pipeline.together import Together, lead
from bot.watch.upstream import Tip


def searched(desk: Bench, regression: Regression, runs: Sequence[Run], others: Sequence[Regression]) -> list[Report]:
    """Bisect a regression on its newest machine type, publish the report; cases that broke elsewhere are split off.

    Where the side test points at the pinned side, its branch is searched too, and has a report of its own. What is
    built is tested for the other regressions that wait, too.
    """
    case = lead(regression)
    scope = tuple(r.case for r in runs if r.case.target == case.target and r.commit == regression.bad)
    asked = Asked(
        regression=regression,
        question=Question(regression.good, regression.bad, case, regression.signature),
        good_name=regression.good[:12],
        bad_name=regression.branch,
        scope=scope,
        not_run=not_run(desk.config, (*regression.cases, *scope)),
    )
    together = Together.of(desk, performer(desk, desk.rig, desk.config.bisect.jobs), others)
    report, found = investigate(desk, asked, performer(desk, desk.rig), together)
    _drifted(desk, report, runs)
    more = _other_side(desk, asked, report)  # first: while this is not concluded, a killed cycle comes back to it
    report = _split(desk, report)
    publish(desk, report, found, out_directory(desk.config, desk.work))
    for one in report.offers or ():
        with suppress(UserError):  # it is noted, or a person decided about the regression at this moment
            noted(desk, report.regression.id, Offered(one.mail, one.how))
    return [report, *more]


def _drifted(desk: Bench, report: Report, runs: Sequence[Run]) -> None:
    """Take a regression back of which the good end fails as well since the setup or the toolchain changed: that was
    after it was opened, for else it was seen before. One that is searched anew is not taken back, for it was true."""
    regression, case = report.regression, report.case
    run = next((run for run in runs if run.case == case), None)
    last = stale(desk, case, report.good.sha) if isinstance(report.finding, BadAtGoodEnd) else None
    if run is None or last is None or last.says is not Says.BAD:
        return
    last = told_apart(desk, regression.branch, {case: last})[case]
    drift = drift_of(desk, Tip(regression.branch, regression.bad), run, last)
    desk.store.drifts.change([drift], ())
    desk.progress.say(drift.said)
    (entry,) = desk.store.regressions(regression.id)
    if entry.record.times:
        return
    why = f"its good end {report.good.short} fails as well by now: {drift.changed}; no commit is to blame"
    noted(desk, regression.id, Retracted(why, "bot"))


def _other_side(desk: Bench, asked: Asked, report: Report) -> list[Report]:
    """The report about the pinned side's branch, where it is to be searched and was not yet."""
    test, signature = report.sides, report.regression.signature
    if test is None or test.branch is None:
        return []
    ends = (signature, test.branch.good, test.branch.bad)
    for entry in desk.store.regressions():
        kept = entry.regression
        if entry.finding and (kept.signature, kept.good, kept.bad) == ends:
            desk.progress.say(f"{test.branch.good_name}..{test.branch.bad_name} was searched for it: {kept.id}")
            return []
    try:
        other, found = other_side(desk, asked, replace(asked.question, signature=signature), test)
    except UserError as error:  # the search that it comes from is not to suffer for it
        desk.progress.say(f"{test.branch.good_name}..{test.branch.bad_name} could not be searched: {error}")
        return []
    other = keep(desk, other)
    publish(desk, other, found, out_directory(desk.config, desk.work))
    return [other]


def _split(desk: Bench, report: Report) -> Report:
    """The report about the cases that part at the culprit as the bisected one does; the others become a regression."""
    if not isinstance(report.finding, FirstBad | MergeConflict):
        return report
    culprit, key = report.finding.commit, report.regression.signature.key
    bad = {r.case for r in report.table if r.commit == culprit and r.signature and r.signature.key == key}
    good = {
        r.case for r in report.table if r.commit != culprit and r.outcome is Outcome.PASS and r.commit != report.bad.sha
    }
    here = tuple(c for c in report.regression.cases if c == report.case or (c in bad and c in good))
    rest = tuple(c for c in report.regression.cases if c not in here)
    narrowed = replace(report.regression, cases=here)
    if rest:  # killed between two transactions, the next cycle would split them off once more
        other = desk.store.open_regression(replace(report.regression, id="", cases=rest), narrowed)
        desk.progress.say(
            f"{other.id}: {len(rest)} cases fail alike, but not since {culprit[:12]}: followed on their own"
        )
    else:
        desk.store.change_regression(narrowed)
    return replace(report, regression=narrowed)
