"""A part of the matrix on one commit: which cases there are, all of them run once, what could not be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bot.core import matrix
from bot.host import kvm
from bot.model import TCG, Direction, Inventory, Outcome, Run, Sha, Sweep, Test
from bot.pipeline.bench import Bench
from bot.progress import Progress
from bot.smoke.inspect import inspect
from bot.worker import installed, inventories, perform


@dataclass(frozen=True, slots=True)
class Swept:
    """Latest run of every case, what each target's binary says of itself, and whether something could not be tested."""

    runs: tuple[Run, ...]
    commit: Mapping[str, Inventory]
    trouble: bool


def narrowed(sweep: Sweep, directions: Iterable[Direction], methods: Iterable[str], accel: str | None) -> Sweep:
    """The part of a sweep that a person typed; what he left out stays as it is."""
    asked, ways = tuple(directions), set(methods)
    return replace(
        sweep,
        directions=tuple(d for d in sweep.directions if not asked or d in asked),
        methods={method: patterns for method, patterns in sweep.methods.items() if not ways or method in ways},
        accels=(accel,) if accel else sweep.accels,
    )


def sweep(
    desk: Bench,
    commit: Sha,
    part: Sweep,
    targets: Iterable[str],
    *,
    name: str,
    exclude: tuple[str, ...],
    only: tuple[str, ...] = ("*",),
) -> Swept:
    """Run what was not recorded of a sweep on a commit. `name` is what progress calls the commit."""
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
        found, others, part, desk.rig.profiles, exclude=exclude, only=only, usable=lambda arch: arch not in without
    )
    have = {run.case: run for run in desk.runs(commit, cases)}
    missing = tuple(case for case in cases if case not in have)
    if missing:
        desk.progress.say(f"{name}: {len(missing)} cases to run on {commit[:12]}")
        for fact in perform(Test(commit, missing), desk.rig):
            desk.keep(fact)
            if isinstance(fact, Run):
                have[fact.case] = fact
    runs = tuple(have[case] for case in cases if case in have)
    unanswered = any(run.outcome is Outcome.INFRA for run in runs)
    return Swept(runs, found, trouble or lost or unusable or unanswered)


def without_kvm(part: Sweep, archs: Iterable[str], progress: Progress) -> tuple[set[str], bool]:
    """Architectures that KVM cannot run here though the sweep has it, each told; and whether it has to be there."""
    kinds = {accel.partition(",")[0] for accel in part.accels} - {TCG}
    without = {arch: why for arch in archs if kinds and (why := kvm.why_not(arch)) is not None}
    for arch, why in without.items():
        progress.say(f"not run: KVM of {arch} ({why})")
    return set(without), bool(without) and "kvm" in kinds


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
