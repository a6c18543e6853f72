"""New point releases: each is run against the one that is the baseline, and takes its place if nothing speaks for that
one (`core.succession`); a person decides otherwise (`pipeline.baselines`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bot.core.flaky import combined
from bot.core.plain import line
from bot.core.succession import Release, Step, Trial, failing, step, trial
from bot.errors import InfraError, UserError
from bot.model import Baseline, Case, Direction, Outcome, Run
from bot.pipeline.bench import SERIES, Bench, newest
from bot.pipeline.known import in_history, known
from bot.pipeline.sweeping import performed, repeated, sweep
from bot.report.releases import advice, failures
from bot.watch.upstream import Tip
from bot.worker import inventories


def begin(desk: Bench) -> None:
    """Note of each baseline that is a series, and was not yet, which release it is; and which ones are baselines no
    more."""
    desk.store.releases.drop({baseline.name for baseline in _series(desk)})
    used = desk.store.releases.used()
    for baseline in _series(desk):
        there = used.get(baseline.name)
        if there is None or there.ref != desk.rig.baselines[baseline.name].ref:
            ref = desk.rig.baselines[baseline.name].ref or ""
            first = Release(baseline.name, ref, desk.rig.refs[baseline.name], desk.store.clock())
            desk.store.releases.take(first, f"{ref} is the first")


def succeed(desk: Bench, tips: Sequence[Tip], over: Callable[[], bool]) -> bool:
    """Try what is new of each baseline's series, until it is `over`; True if something could not be tested.

    What takes a place here is the baseline from the next cycle on.
    """
    trouble = False
    for baseline in _series(desk):
        try:
            trouble = _one(desk, baseline, tips, over) or trouble
        except (UserError, InfraError) as error:  # the others are not to suffer for it
            desk.progress.say(f"baseline {baseline.name}: {error}")
            trouble = True
    return trouble


def _series(desk: Bench) -> Iterator[Baseline]:
    return (baseline for baseline in desk.config.baselines if SERIES.fullmatch(baseline.ref or ""))


def _one(desk: Bench, baseline: Baseline, tips: Sequence[Tip], over: Callable[[], bool]) -> bool:
    store, name = desk.store.releases, baseline.name
    used, waiting = store.used()[name], store.waiting().get(name)
    ref = newest(desk.repository, baseline).ref or ""
    todo = step(used, waiting, ref)
    if todo is Step.SEE:
        waiting = store.see(name, ref, desk.repository.resolve(ref))
        desk.progress.say(f"baseline {name}: {ref} is new; {used.ref} stays until both ran against each other")
    if todo is Step.NOTHING and waiting is not None:  # a tag that upstream took back
        store.forget(waiting)
    if todo not in (Step.SEE, Step.TRY) or waiting is None or over():
        return False
    made = _tried(desk, used, waiting, tips, over)
    if made is None:
        return False
    if made.clear:
        said = f"{ref} takes the place of {used.ref}: {made.said}"
        store.take(replace(waiting, trial=made), said)
    else:
        said = f"{ref} does not take the place of {used.ref}: {made.said}"
        store.tried(waiting, made, said, held=True)
    if said != waiting.said:
        desk.progress.say(f"baseline {name}: {said}")
        for text in failures(made):
            desk.progress.say(f"  {text}")
        if not made.clear:
            desk.progress.say(f"  {advice(name, used.ref, ref)}")
    return bool(made.missing)


# -- the trial -----------------------------------------------------------------------------------------------------


def _tried(desk: Bench, used: Release, new: Release, tips: Sequence[Tip], over: Callable[[], bool]) -> Trial | None:
    """What came of both against each other; None: it is to be gone on with, for the time is over.

    The new one is the commit under test, its predecessor the baseline: what each run came to is recorded as any other.
    """
    name = used.baseline
    targets, missing = _built(desk, used, new)
    about = known(desk.config, in_history(desk.repository, new.sha))
    part = replace(desk.config.sweep("each_tip"), directions=(Direction.FORWARD, Direction.BACKWARD))
    alone = _with(desk, used)
    swept = sweep(alone, new.sha, part, targets, name=f"{new.ref} and {used.ref}", about=about, over=over)
    if lost := sum(run.outcome is Outcome.INFRA for run in swept.runs):
        raise InfraError(f"{lost} cases of {new.ref} and {used.ref} could not be run on this machine; tried again")
    if swept.left:
        return None
    explained = about.explained(swept.runs)
    third = tuple(run.case for run in failing(swept.runs) if run.case not in explained)
    before, after = dict[Case, Run](), dict[Case, Run]()
    if third and tips:
        if over():
            return None
        tip = tips[0]
        desk.progress.say(f"baseline {name}: {len(third)} cases fail, so {tip.branch} is run with either release")
        before, after = _third(alone, tip, third), _third(_with(desk, new), tip, third)
    return trial(swept.runs, explained.__contains__, before, after, missing)


def _built(desk: Bench, used: Release, new: Release) -> tuple[list[str], list[str]]:
    """The targets for which both can be run, and why others keep the new one from its place: those of which it alone
    cannot be built."""
    targets, missing = [], []
    for target in desk.config.targets:
        build, inventory, why = inventories(desk.rig, new.sha, target)
        desk.keep(build)
        old_build, old, _ = inventories(desk.rig, used.sha, target)
        desk.keep(old_build)
        if inventory is not None and old is not None:
            targets.append(target)
        elif old is not None:
            missing.append(line(why, 300))
    return targets, missing


def _third(desk: Bench, tip: Tip, cases: tuple[Case, ...]) -> dict[Case, Run]:
    """The cases at a tip, with the one baseline of a bench."""
    made = desk.runs(tip.sha, cases)
    have = {run.case for run in made}
    if missing := tuple(case for case in cases if case not in have):
        made += performed(desk, tip.sha, missing)
    made += repeated(desk, tip.sha, made, known(desk.config, in_history(desk.repository, tip.sha)), tip.branch)
    return {run.case: run for run in combined(made)}


def _with(desk: Bench, release: Release) -> Bench:
    """The bench with a release as its only baseline."""
    only = Baseline(release.baseline, ref=release.ref)
    rig = replace(desk.rig, baselines={only.name: only}, refs={only.name: release.sha})
    return replace(desk, rig=rig)
