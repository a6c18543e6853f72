"""`bot run`: one watch cycle after another. Fetch, build each new tip, smoke it, bisect what broke, publish.

A case that fails is news only if it was good before on the same branch: at the last commit where it passed, or at
`since`, which is tested for it. Everything is recorded as it comes, so a cycle that is killed is gone on with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bot.config import Config
from bot.core import matrix
from bot.core.verdict import FAILURES
from bot.errors import InfraError, Stopped, UserError
from bot.host.executor import Remote
from bot.host.git import clone
from bot.host.lock import coordinator
from bot.model import (
    Case,
    Expected,
    FirstBad,
    MergeConflict,
    Outcome,
    Question,
    Regression,
    Report,
    Run,
    Sha,
    Signature,
    Suspects,
    Test,
)
from bot.pipeline.asking import not_run
from bot.pipeline.behind import behind_commit
from bot.pipeline.bench import Bench, bench
from bot.pipeline.bisect import keep, other_side
from bot.pipeline.hands import performer, remote
from bot.pipeline.investigate import Asked, investigate
from bot.pipeline.known import Known, in_history, known
from bot.pipeline.publish import earlier, publish, write_site
from bot.pipeline.sweeping import Swept, sweep
from bot.pipeline.telling import say
from bot.pipeline.together import Together, lead
from bot.progress import Progress
from bot.report.background import Background
from bot.report.render import summary
from bot.terminal import duration
from bot.watch.upstream import Tip, watched
from bot.worker import perform

NOTHING_NEW, NEW_REGRESSION, COULD_NOT_TEST = 0, 10, 131


def run(config: Config, work: Path, progress: Progress, stop: threading.Event, *, once: bool) -> int:
    """Cycles until stopped, or one. Returns 0 nothing new, 10 a new regression, 131 if something could not be tested.

    A daemon outlives what goes wrong in one cycle: it says so and tries again after `watch.every`.
    """
    with coordinator(work), remote(config, progress) as far:
        while True:
            began = time.monotonic()
            try:
                code = _cycle(config, work, progress, stop, far)
            except Stopped:
                raise
            except Exception as error:  # a daemon outlives it; a single cycle has one handler above
                if once:
                    raise
                progress.say(f"this cycle failed: {type(error).__name__}: {error}")
            if once:
                return code
            rest = max(config.watch.every - (time.monotonic() - began), 0.0)
            progress.work(f"waiting {duration(rest)} for the next cycle")
            if stop.wait(rest):
                raise Stopped("stopped between two cycles")


def _cycle(config: Config, work: Path, progress: Progress, stop: threading.Event, far: Remote | None = None) -> int:
    repository = clone(config.upstream.url, work / "upstream.git", say=progress.say, stop=stop)
    branches = [(branch.name, branch.since) for branch in config.watch.branches]
    tips = watched(repository.branches(), branches, config.watch.stable)
    desk = bench(
        config, work, repository, progress, stop, baselines=config.baselines, profiles=config.profiles.values(),
        remote=far,
    )  # fmt: skip
    cycle = desk.store.begin_cycle()
    before = len(desk.store.builds())
    new: list[Report] = []
    trouble = False
    for tip in tips:
        try:
            trouble = _tip(desk, tip, new) or trouble
        except InfraError as error:  # the other branches are not to suffer for it
            progress.say(f"{tip.branch}: {error}")
            trouble = True
    builds = desk.store.builds()[before:]
    kinds = {kind: sum(b.kind == kind for b in builds) for kind in ("full", "incremental")}
    told = [report for report in new if isinstance(report.finding, FirstBad | MergeConflict | Suspects)]
    count = f"{len(told)} new regression" + ("s" if len(told) > 1 else "")
    result = count if told else "nothing new"
    if len(told) < len(new):
        result += f", {len(new) - len(told)} failures whose search named no commit"
    result += ", something could not be tested" if trouble else ""
    progress.say(f"cycle done: {result}; builds: {kinds['full']} full, {kinds['incremental']} incremental")
    desk.store.end_cycle(cycle, result)
    desk.rig.builder.release()
    write_site(desk.store, config, _out(desk), desk.repository)
    if told:
        return NEW_REGRESSION
    return COULD_NOT_TEST if trouble else NOTHING_NEW


def _out(desk: Bench) -> Path:
    return Path(desk.config.report.out) if desk.config.report.out else desk.work / "out"


# -- one branch ----------------------------------------------------------------------------------------------------


def _tip(desk: Bench, tip: Tip, new: list[Report]) -> bool:
    """Test a branch's tip and follow what broke. Adds each report to `new` as its search ends; True if not all could be
    tested."""
    commit = desk.repository.commit(tip.sha)
    first = all(seen.sha == tip.sha for seen in desk.store.seen().get(tip.branch, []))
    news = "new" if desk.store.see(tip.branch, commit) else "known"
    desk.progress.say(f'{tip.branch}: {news} tip {commit.short} ("{commit.subject}")')
    about = known(desk.config, in_history(desk.repository, tip.sha))
    swept = sweep(
        desk, tip.sha, desk.config.sweep("each_tip"), desk.config.targets, name=tip.branch, exclude=about.exclude
    )
    runs, trouble = swept.runs, swept.trouble
    explained = _tell(desk, tip, swept, about, news=news == "new")
    since = desk.repository.resolve(tip.since) if tip.since else None
    broke, old = _what_broke(desk, tip, [run for run in runs if run.case not in explained], since)
    if first and since is None:
        desk.progress.say(f"{tip.branch}: a first look, without `since`: this is what later commits are compared with")
    if old:
        desk.progress.say(f"{tip.branch}: {len(old)} cases fail that were never seen good: no bisection, no mail")
    for signature, good, cases in broke:
        regression = Regression("", signature, cases, good, tip.sha, tip.branch)
        kept = desk.store.open_regression(regression)
        desk.progress.say(f"{tip.branch}: {kept.id}: {signature}: {len(cases)} cases fail, good at {good[:12]}")
    tried: set[str] = set()
    while pending := [r for r in _pending(desk, tip.branch) if r.id not in tried]:
        tried.add(pending[0].id)
        try:
            reports = _follow(desk, pending[0], runs, pending[1:])
        except (UserError, InfraError) as error:  # it stays pending; the others are not to wait for it
            desk.progress.say(f"{pending[0].id}: could not be searched now: {error}")
            trouble = True
        else:
            for report in reports:
                new.append(report)
                print(summary(report), flush=True)
    return trouble


def _tell(desk: Bench, tip: Tip, swept: Swept, about: Known, *, news: bool) -> Mapping[Case, Expected]:
    """Print the summary of a tip; returns the failures that are known. What those hide is looked at once a tip."""
    runs, explained = swept.runs, about.explained(swept.runs)
    background = Background(
        new=tip.branch,
        expected=explained,
        behind=behind_commit(desk, tip.sha, runs, explained) if news else {},
        passed=about.passed(runs),
        expired=about.expired(),
        before=earlier(desk.store, tip.branch, tip.sha),
        old=f"an earlier {tip.branch}",
        deprecated=matrix.deprecated(swept.commit),
    )
    say(runs, background)
    return explained


def _pending(desk: Bench, branch: str) -> list[Regression]:
    """Regressions of a branch whose search has not ended."""
    return [e.regression for e in desk.store.regressions() if e.finding is None and e.regression.branch == branch]


# -- what broke ----------------------------------------------------------------------------------------------------

_Group = tuple[Signature, Sha, tuple[Case, ...]]


def _what_broke(desk: Bench, tip: Tip, runs: Sequence[Run], since: Sha | None) -> tuple[list[_Group], list[Run]]:
    """Failures that are news, by signature and last good commit; and failing cases that were never seen good.

    A case that did not start is news too where it once passed: the smoke, which knows no history, calls it UNTESTABLE.
    """
    failing = [r for r in runs if r.signature and (r.outcome in FAILURES or r.outcome is Outcome.UNTESTABLE)]
    good = _good_before(desk, tip, failing, since)
    told: dict[tuple[Case, str], list[Sha]] = {}
    for entry in desk.store.regressions():
        if entry.state == "open" and entry.regression.branch == tip.branch:
            for case in entry.regression.cases:
                told.setdefault((case, entry.regression.signature.key), []).append(entry.regression.bad)
    groups: dict[tuple[str, str, Sha], list[Run]] = {}
    for run in failing:
        assert run.signature is not None  # noqa: S101 - narrows the type; chosen so above
        bads = told.get((run.case, run.signature.key), [])
        # told already, unless it has passed since: then it has broken anew
        if run.case in good and all(desk.repository.is_ancestor(bad, good[run.case]) for bad in bads):
            groups.setdefault((run.case.target, run.signature.key, good[run.case]), []).append(run)
    old = [r for r in failing if r.case not in good and r.outcome in FAILURES]
    news = [(g[0].signature, sha, tuple(r.case for r in g)) for (_, _, sha), g in groups.items() if g[0].signature]
    return news, old


def _good_before(desk: Bench, tip: Tip, failing: list[Run], since: Sha | None) -> dict[Case, Sha]:
    """The last commit of the tip's history where each failing case passed; `since` is run for those without one."""
    good: dict[Case, Sha] = {}
    for run in failing:
        for sha in desk.store.good_commits(run.case, run.setup):
            newer = run.case not in good or desk.repository.is_ancestor(good[run.case], sha)
            if newer and sha != tip.sha and desk.repository.is_ancestor(sha, tip.sha):
                good[run.case] = sha
    untold = tuple(r.case for r in failing if r.case not in good)
    if not untold or since is None or since == tip.sha:
        return good
    have = {r.case: r for r in desk.runs(since, untold)}
    missing = tuple(case for case in untold if case not in have)
    if missing:
        desk.progress.say(f"{tip.branch}: {len(missing)} failing cases to run on {since[:12]}, where the watch starts")
        for fact in perform(Test(since, missing), desk.rig):
            desk.keep(fact)
            if isinstance(fact, Run):
                have[fact.case] = fact
    return good | {case: since for case, run in have.items() if run.outcome is Outcome.PASS}


def _follow(desk: Bench, regression: Regression, runs: Sequence[Run], others: Sequence[Regression]) -> list[Report]:
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
    more = _other_side(desk, asked, report)  # first: while this is not concluded, a killed cycle comes back to it
    report = _split(desk, report)
    publish(desk, report, found, _out(desk))
    return [report, *more]


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
    publish(desk, other, found, _out(desk))
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
    if rest:
        other = desk.store.open_regression(replace(report.regression, id="", cases=rest))
        desk.progress.say(
            f"{other.id}: {len(rest)} cases fail alike, but not since {culprit[:12]}: followed on their own"
        )
    narrowed = replace(report.regression, cases=here)
    desk.store.change_regression(narrowed)
    return replace(report, regression=narrowed)
