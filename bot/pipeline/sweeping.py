"""A part of the matrix on one commit: which cases there are, what came of them, what could not be run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.core import matrix
from bot.core.flaky import combined, uncertain
from bot.model import Case, Direction, Expected, Inventory, Outcome, Run, Sha, Sweep, Test
from bot.pipeline.behind import behind
from bot.pipeline.bench import Bench
from bot.pipeline.known import Known
from bot.pipeline.local import without_kvm
from bot.smoke.inspect import inspect
from bot.worker import installed, inventories, perform

_STEP = 32  # cases between two looks at the time


@dataclass(frozen=True, slots=True)
class Swept:
    """A run of every case (`core.flaky.combined`), what each target's binary says of itself, whether something could
    not be tested, and how many cases were left, for the time was over."""

    runs: tuple[Run, ...]
    commit: Mapping[str, Inventory]
    trouble: bool
    left: int = 0


def sweep(
    desk: Bench,
    commit: Sha,
    part: Sweep,
    targets: Iterable[str],
    *,
    name: str,
    about: Known,
    only: tuple[str, ...] = ("*",),
    over: Callable[[], bool] | None = None,
) -> Swept:
    """Run what was not recorded of a sweep on a commit, until it is `over`. `name` is what progress calls it."""
    found: dict[str, Inventory] = {}
    trouble = False
    for target in targets:
        build, inventory, why = inventories(desk.rig, commit, target)
        desk.keep(build)
        if inventory is None:
            desk.progress.say(f"{name}: {why}")
            trouble = True
        else:
            found[target] = inventory
            desk.store.keep_inventory(commit, target, inventory)
    across = set(part.directions) - {Direction.SAME}
    others, lost = _baselines(desk, list(found)) if across else ({}, False)
    without, unusable = without_kvm(part, [inventory.arch for inventory in found.values()], desk.progress)
    cases = matrix.cases(
        found,
        others,
        part,
        desk.rig.profiles,
        exclude=about.exclude,
        only=only,
        usable=lambda arch: arch not in without,
    )
    made = desk.runs(commit, cases)
    have = {run.case for run in made}
    missing = tuple(case for case in cases if case not in have)
    if missing:
        desk.progress.say(f"{name}: {len(missing)} cases to run on {commit[:12]}")
    step = len(missing) if over is None else _STEP
    while missing:
        if over is not None and over():
            return Swept((), found, trouble or lost or unusable, left=len(missing))
        made += performed(desk, commit, missing[:step])
        missing = missing[step:]
    made += repeated(desk, commit, made, about, name)
    found_of = {run.case: run for run in combined(made)}
    runs = tuple(found_of[case] for case in cases if case in found_of)
    unanswered = any(run.outcome is Outcome.INFRA for run in runs)
    return Swept(runs, found, trouble or lost or unusable or unanswered)


def performed(desk: Bench, commit: Sha, cases: tuple[Case, ...]) -> list[Run]:
    """Run cases on a commit; all facts are kept as they come."""
    made = []
    for fact in perform(Test(commit, cases), desk.rig):
        desk.keep(fact)
        if isinstance(fact, Run):
            made.append(fact)
    return made


def repeated(desk: Bench, commit: Sha, made: Sequence[Run], about: Known, name: str) -> list[Run]:
    """Run once more, up to `smoke.again` times, what failed each time and may be an accident."""
    more: list[Run] = []
    known = about.explained(made)
    while cases := uncertain([*made, *more], known, desk.config.smoke.again):
        desk.progress.say(f"{name}: {len(cases)} failing cases once more on {commit[:12]}")
        before = len(more)
        more += performed(desk, commit, cases)
        if all(r.outcome is Outcome.INFRA for r in more[before:]):
            break
    return more


def behind_commit(
    desk: Bench, commit: Sha, runs: Iterable[Run], expected: Mapping[Case, Expected]
) -> dict[str, tuple[str, ...]]:
    """`behind` for runs on a commit."""
    rig = desk.rig
    return behind(
        runs, expected, rig.profiles, rig.smoke, lambda case: rig.sides(commit, case), desk.progress, desk.stop
    )


def _baselines(desk: Bench, targets: Iterable[str]) -> tuple[dict[str, dict[str, Inventory]], bool]:
    """What each baseline says of itself, by name and target, and whether one could not be built or run.

    One that is not installed for a target is left out and told; that is no trouble.
    """
    found: dict[str, dict[str, Inventory]] = {}
    trouble = False
    for baseline in desk.rig.baselines.values():
        for target in targets:
            if baseline.path is not None and "{arch}" in baseline.path:
                path = Path(baseline.path.replace("{arch}", target.removesuffix("-softmmu")))
                if not path.exists():
                    desk.progress.say(f"baseline {baseline.name}: no {path}, so {target} is not run against it")
                    continue
            if baseline.ref is not None:
                build, inventory, why = inventories(desk.rig, desk.rig.refs[baseline.name], target)
                desk.keep(build)
                if inventory is None:
                    desk.progress.say(f"baseline {baseline.name}: {why}")
                    trouble = True
                    continue
            else:
                inventory = inspect(installed(baseline, target), stop=desk.stop)
            if f"{inventory.arch}-softmmu" == target:
                found.setdefault(baseline.name, {})[target] = inventory
    return found, trouble
