"""A branch of the watch: what was pushed and its tip are tested, and what broke there is followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bot.core import matrix
from bot.errors import InfraError, UserError
from bot.model import Case, Expected, Regression, Report, Run, Sha
from bot.pipeline.bench import Bench
from bot.pipeline.breaking import keep_drifts, what_broke
from bot.pipeline.following import follow, note_stuck, reopened, sides_of
from bot.pipeline.histories import earlier
from bot.pipeline.known import Known, in_history, known
from bot.pipeline.losing import gone, told
from bot.pipeline.searching import searched
from bot.pipeline.sweeping import Swept, behind_commit, sweep
from bot.pipeline.telling import say
from bot.pipeline.tracking import accepted
from bot.report.background import Background
from bot.report.render import summary
from bot.store.store import Entry
from bot.watch.upstream import Tip, spread


def watch_pushes(desk: Bench, tip: Tip, over: Callable[[], bool]) -> bool:
    """Test what was pushed to a branch since it was last tested, until it is `over`: so the last good commit is a close
    one. True if not all could be tested.

    What broke is looked at where the tip is. A push that was tested is noted as a tip that was seen: the next cycle
    begins behind it.
    """
    trouble = False
    chosen = _pushed(desk, tip)
    for number, sha in enumerate(chosen, 1):
        if over():
            break
        commit = desk.repository.commit(sha)
        desk.progress.say(f'{tip.branch}: push {number} of {len(chosen)}: {commit.short} ("{commit.subject}")')
        about = known(desk.config, in_history(desk.repository, sha))
        swept = sweep(desk, sha, desk.config.sweep("each_tip"), desk.config.targets, name=tip.branch, about=about)
        trouble = swept.trouble or trouble
        desk.store.see(tip.branch, commit)
    return trouble


def _pushed(desk: Bench, tip: Tip) -> tuple[Sha, ...]:
    """The pushes to test before a tip, oldest first; none before a first look."""
    seen = reversed(desk.store.seen().get(tip.branch, []))
    tested = next((commit.sha for commit in seen if desk.repository.is_ancestor(commit.sha, tip.sha)), None)
    if tested is None or tested == tip.sha:
        return ()
    return spread(desk.repository.first_parents(tested, tip.sha), desk.config.watch.pushes)[:-1]


def watch_tip(desk: Bench, tip: Tip, new: list[Report], over: Callable[[], bool]) -> bool:
    """Test a branch's tip and follow what broke, until it is `over`. Adds each report to `new` as its search ends; True
    if not all could be tested."""
    commit = desk.repository.commit(tip.sha)
    seen = {earlier.sha for earlier in desk.store.seen().get(tip.branch, [])}
    news = "known" if tip.sha in seen else "new"
    desk.progress.say(f'{tip.branch}: {news} tip {commit.short} ("{commit.subject}")')
    about = known(desk.config, in_history(desk.repository, tip.sha))
    swept = sweep(desk, tip.sha, desk.config.sweep("each_tip"), desk.config.targets, name=tip.branch, about=about)
    before = desk.store.seen().get(tip.branch, [])[-1:]
    desk.store.see(tip.branch, commit)
    for text in told(gone(desk.store, [*before, commit]), {}):
        desk.progress.say(f"{tip.branch}: {text}")
    if seen <= {tip.sha} and tip.since is None:
        desk.progress.say(f"{tip.branch}: a first look, without `since`: this is what later commits are compared with")
    return judge(desk, tip, swept, about, new, over, news=news == "new")


def judge(
    desk: Bench, tip: Tip, swept: Swept, about: Known, new: list[Report], over: Callable[[], bool], *, news: bool
) -> bool:
    """Tell what a sweep of a branch's commit came to, and follow what broke there, as `watch_tip` does. `news`: it was
    not told before."""
    runs, trouble = swept.runs, swept.trouble
    explained = _tell(desk, tip, swept, about, news=news)
    since = desk.repository.resolve(tip.since) if tip.since else None
    steady = [run for run in runs if run.case not in explained and not run.flaky]
    broke = what_broke(desk, tip, steady, since)
    keep_drifts(desk, tip.branch, broke.drifts, runs, swept.commit)
    if broke.old:
        desk.progress.say(f"{tip.branch}: {len(broke.old)} cases fail that were never seen good: no bisection, no mail")
    for signature, good, cases in broke.news:
        regression = Regression("", signature, cases, good, tip.sha, tip.branch)
        kept = reopened(desk, tip, signature, good, cases) or desk.store.open_regression(regression)
        desk.progress.say(f"{tip.branch}: {kept.id}: {signature}: {len(cases)} cases fail, good at {good[:12]}")
    note_stuck(desk, tip)
    trouble = _searched(desk, tip, runs, new, over) or trouble
    return follow(desk, tip, runs, over) or trouble


def _searched(desk: Bench, tip: Tip, runs: Sequence[Run], new: list[Report], over: Callable[[], bool]) -> bool:
    """Search what waits for it on a branch, until it is `over`; True if something could not be."""
    trouble, tried = False, set[str]()
    while (waiting := [e for e in _pending(desk, tip.branch) if e.regression.id not in tried]) and not over():
        pending = [entry.regression for entry in waiting]
        tried.add(pending[0].id)
        try:
            reports = searched(sides_of(desk, waiting), pending[0], runs, pending[1:])
        except (UserError, InfraError) as error:  # it stays pending; the others are not to wait for it
            desk.progress.say(f"{pending[0].id}: could not be searched now: {error}")
            trouble = True
        else:
            for report in reports:
                new.append(report)
                print(summary(report), flush=True)
    return trouble


def _tell(desk: Bench, tip: Tip, swept: Swept, about: Known, *, news: bool) -> Mapping[Case, Expected]:
    """Print the summary of a tip; returns the failures that are known, or accepted by a person. What those hide is
    looked at once a tip."""
    runs = swept.runs
    tips = [commit.sha for commit in desk.store.seen().get(tip.branch, [])]
    explained = {**about.explained(runs), **accepted(desk.store, tip.branch, runs)}
    background = Background(
        new=tip.branch,
        expected=explained,
        behind=behind_commit(desk, tip.sha, runs, explained) if news else {},
        passed=about.passed(runs),
        expired=about.expired(),
        before=earlier(desk.store, tip.branch, tips, tip.sha),
        old=f"an earlier {tip.branch}",
        deprecated=matrix.deprecated(swept.commit),
    )
    say(runs, background)
    return explained


def _pending(desk: Bench, branch: str) -> list[Entry]:
    """Regressions of a branch whose search has not ended, whose cases can be run, and that nobody accepted or took back
    meanwhile."""
    entries = (e for e in desk.store.regressions() if e.finding is None and e.state.live and not e.record.stuck)
    return [entry for entry in entries if entry.regression.branch == branch]
