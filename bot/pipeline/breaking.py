"""What broke at a tip: failures that are news, for they were good before on the same branch.

The last good commit is one where the case passes with what it is built and run with today. If that changed since, the
case is run there again; where it fails too, no commit is to blame (`core.drift`), which is noted and starts no search.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from bot.core.drift import Candidate, Drift, Releases, Says, Seen, asked, candidate, changes, grouped, kind, passed
from bot.core.lifecycle import State
from bot.core.succession import Release
from bot.core.verdict import FAILURES
from bot.errors import InfraError, UserError
from bot.model import Case, Inventory, Outcome, Run, Sha, Signature, Test
from bot.pipeline.bench import Bench, having_releases, toolchain
from bot.pipeline.following import brought
from bot.pipeline.known import in_history, known
from bot.pipeline.sweeping import performed, repeated
from bot.watch.upstream import Tip
from bot.worker import perform

Group = tuple[Signature, Sha, tuple[Case, ...]]

_TRIES = 3  # commits where a case is run again, of which each is flaky there, or cannot be tested any more
_COMMITS = 100  # where a case passed last, among which the newest of the history is


@dataclass(slots=True)
class Broke:
    """What a tip shows: `news` are failures by signature and last good commit, `old` failing cases that were never seen
    good, `drifts` those that fail at their last good commit, too."""

    news: list[Group] = field(default_factory=list)
    old: list[Run] = field(default_factory=list)
    drifts: list[Drift] = field(default_factory=list)


def what_broke(desk: Bench, tip: Tip, runs: Sequence[Run], since: Sha | None) -> Broke:
    """What is news at a tip, of the runs there.

    A case that did not start is news too where it once passed: the smoke, which knows no history, calls it UNTESTABLE.
    """
    failing = [r for r in runs if r.signature and (r.outcome in FAILURES or r.outcome is Outcome.UNTESTABLE)]
    told: dict[tuple[Case, str], list[Sha]] = {}
    followed: set[tuple[Case, str]] = set()
    alike = {(run.case, run.signature.key) for run in failing if run.signature}
    for entry in desk.store.regressions():
        keys = {(case, entry.regression.signature.key) for case in entry.regression.cases}
        if not alike.isdisjoint(keys) and (bad := brought(desk, tip, entry)):
            for key in keys:
                told.setdefault(key, []).append(bad)
            followed |= set() if entry.state is State.RETRACTED else keys
    good, drifts = _good_before(desk, tip, failing)
    good |= _since(desk, tip, [run for run in failing if run.case not in good and run.case not in drifts], since)
    groups: dict[tuple[str, str, Sha], list[Run]] = {}
    for run in failing:
        assert run.signature is not None  # noqa: S101 - narrows the type; chosen so above
        bads = told.get((run.case, run.signature.key), [])
        # told already, unless it has passed since: then it has broken anew
        if run.case in good and all(desk.repository.is_ancestor(bad, good[run.case]) for bad in bads):
            groups.setdefault((run.case.target, run.signature.key, good[run.case]), []).append(run)
    news = [(g[0].signature, sha, tuple(r.case for r in g)) for (_, _, sha), g in groups.items() if g[0].signature]
    old = [r for r in failing if r.case not in good and r.case not in drifts and r.outcome in FAILURES]
    mine = [r for r in failing if r.case in drifts and r.signature and (r.case, r.signature.key) not in followed]
    return Broke(news, old, list(grouped(drift_of(desk, tip, run, drifts[run.case]) for run in mine)))


def keep_drifts(
    desk: Bench, branch: str, found: Iterable[Drift], runs: Iterable[Run], commit: Mapping[str, Inventory]
) -> None:
    """Note what a branch's tip shows of its drifts, given all runs there and what its binaries say of themselves, and
    say what is new. Cases that there are no more, for their machine type or baseline is gone, do not fail any more."""
    there = [entry.drift for entry in desk.store.drifts.known(branch)]
    machines = {(target, machine.name) for target, known in commit.items() for machine in known.machines}
    gone = {case for drift in there for case in drift.cases if _gone(case, commit, machines, desk.rig.baselines)}
    ran = {run.case.id for run in runs if run.outcome is not Outcome.INFRA}
    begin, over = changes(there, found, ran | gone)
    desk.store.drifts.change(begin, over)
    for drift in begin:
        desk.progress.say(drift.said)
    for drift in over:
        desk.progress.say(f"{drift.branch}: {drift.signature}: over, what changed was {drift.changed}")


def _gone(
    case: str, commit: Collection[str], machines: Collection[tuple[str, str]], baselines: Collection[str]
) -> bool:
    """Whether a case (id) is none of the matrix any more; a target that was not built now may be again."""
    target, machine, _, _, baseline, *_ = case.split("/")
    return baseline not in ("-", *baselines) or (target in commit and (target, machine) not in machines)


def stale(desk: Bench, case: Case, commit: Sha) -> Candidate | None:
    """What a commit says of a case today, if it was good there only under another setup or toolchain."""
    seen = desk.store.history(case)
    found = candidate(seen, commit, desk.rig.setup(case), toolchain(desk, commit, case.target))
    return None if found is None or found.says is Says.GOOD else found


def drift_of(desk: Bench, tip: Tip, run: Run, last: Candidate) -> Drift:
    """A failing run at a tip, and its last good commit, which fails, too."""
    case, failed = run.case, last.failed or last.passed
    what, changed = kind(last.passed, failed, _releases(desk, case, last.passed, failed))
    signature = run.signature or Signature("unknown")
    return Drift(tip.branch, what, str(signature), signature.key, last.commit, tip.sha, (case.id,), changed)


def told_apart(desk: Bench, branch: str, found: Mapping[Case, Candidate]) -> dict[Case, Candidate]:
    """The same candidates, those anew of which toolchain and baseline changed together.

    With the release that the baseline was then, what is built today tells which of the two it is. No other change can
    be taken back: an old compiler or an old profile is not there any more.
    """
    again: dict[tuple[Sha, str, Sha], tuple[Release, list[Case]]] = {}
    for case, last in found.items():
        release = _then(desk, case, last.passed) if last.open_question else None
        if release is None or last.failed is None:
            continue
        if not asked(desk.store.history(case), last.commit, last.passed.setup, last.failed.toolchain):
            again.setdefault((last.commit, release.baseline, release.sha), (release, []))[1].append(case)
    for (commit, name, _), (release, cases) in again.items():
        desk.progress.say(
            f"{branch}: the toolchain and baseline {name} changed together: {len(cases)} failing cases to run with "
            f"{release.ref} on {commit[:12]}"
        )
        there = having_releases(desk, [release])
        try:
            made = performed(there, commit, tuple(cases))
            repeated(there, commit, made, known(desk.config, in_history(desk.repository, commit)), branch)
        except (UserError, InfraError) as error:  # then it is said that both changed
            desk.progress.say(f"{branch}: {release.ref}: {error}")
    changed = {case: stale(desk, case, found[case].commit) for _, cases in again.values() for case in cases}
    return {**found, **{case: last for case, last in changed.items() if last is not None}}


def _then(desk: Bench, case: Case, passed: Seen) -> Release | None:
    """The release that a case's baseline was when a run passed, if nothing else of its setup changed since."""
    for release in desk.store.releases.were(case.baseline) if case.baseline else ():
        if having_releases(desk, [release]).rig.setup(case) == passed.setup:
            return release
    return None


def _releases(desk: Bench, case: Case, passed: Seen, failed: Seen) -> Releases | None:
    """What the baseline was when a run passed and is where one fails, if these are two."""
    if case.baseline is None or passed.setup == failed.setup:
        return None
    exactly, now = _then(desk, case, passed), desk.store.releases.at(case.baseline, desk.store.clock())
    then = exactly.ref if exactly else desk.store.releases.at(case.baseline, passed.at)
    return Releases(then, now, alone=exactly is not None) if then and now and then != now else None


def _good_before(desk: Bench, tip: Tip, failing: Iterable[Run]) -> tuple[dict[Case, Sha], dict[Case, Candidate]]:
    """The last commit of the tip's history where each failing case passes, run again where that was under another setup
    or toolchain; and the cases that fail there then."""
    good: dict[Case, Sha] = {}
    drifts: dict[Case, Candidate] = {}
    before = cache(lambda older, newer: desk.repository.is_ancestor(older, newer))
    tried: dict[Case, set[Sha]] = {run.case: set() for run in failing}
    left = set(tried)
    for _ in range(_TRIES + 1):
        again: dict[Sha, list[Case]] = {}
        for case in [case for case in tried if case in left]:
            last = _last(desk, tip, case, tried[case], before)
            if last is None:
                left.discard(case)
            elif last.says is Says.STALE:
                tried[case].add(last.commit)
                again.setdefault(last.commit, []).append(case)
            else:
                left.discard(case)
                if last.says is Says.GOOD:
                    good[case] = last.commit
                else:
                    drifts[case] = last
        if not again:
            break
        for commit, cases in again.items():
            desk.progress.say(
                f"{tip.branch}: {len(cases)} failing cases to run again on {commit[:12]}, where they passed with "
                "another baseline, toolchain or setup"
            )
            about = known(desk.config, in_history(desk.repository, commit))
            made = performed(desk, commit, tuple(cases))
            repeated(desk, commit, made, about, tip.branch)
    return good, told_apart(desk, tip.branch, drifts)


def _last(desk: Bench, tip: Tip, case: Case, tried: set[Sha], before: Callable[[Sha, Sha], bool]) -> Candidate | None:
    """The newest commit of the tip's history where a case was good, but for those that were `tried` and say nothing."""
    seen, setup = desk.store.history(case), desk.rig.setup(case)
    left = [sha for sha in passed(seen)[:_COMMITS] if sha != tip.sha and before(sha, tip.sha)]
    while left:
        newest = left[0]
        for sha in left[1:]:
            newest = sha if before(newest, sha) else newest
        found = candidate(seen, newest, setup, toolchain(desk, newest, case.target))
        if found is not None and not (found.says is Says.STALE and newest in tried):
            return found
        left.remove(newest)
    return None


def _since(desk: Bench, tip: Tip, failing: Iterable[Run], since: Sha | None) -> dict[Case, Sha]:
    """`since`, for those cases that pass there."""
    untold = tuple(r.case for r in failing)
    if not untold or since is None or since == tip.sha:
        return {}
    have = {r.case: r for r in desk.runs(since, untold)}
    missing = tuple(case for case in untold if case not in have)
    if missing:
        desk.progress.say(f"{tip.branch}: {len(missing)} failing cases to run on {since[:12]}, where the watch starts")
        for fact in perform(Test(since, missing), desk.rig):
            desk.keep(fact)
            if isinstance(fact, Run):
                have[fact.case] = fact
    return {case: since for case, run in have.items() if run.outcome is Outcome.PASS}
