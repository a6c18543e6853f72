"""`bot test`: build one revision and smoke it: some cases, or a part of the matrix."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.config import Config
from bot.core import matrix
from bot.host.lock import coordinator
from bot.model import PRECOPY, Inventory, Profile, Run, Sha, Sweep, Test
from bot.pipeline.asking import Sides, cases_of, known_machines, not_run, open_clone, target_of
from bot.pipeline.behind import behind_commit
from bot.pipeline.bench import Bench, bench, other_inventory
from bot.pipeline.known import Known, in_history, known
from bot.pipeline.sweeping import narrowed, sweep
from bot.pipeline.telling import BAD, CANNOT_TEST, INFRASTRUCTURE, Files, tell
from bot.progress import Progress
from bot.report.background import Background
from bot.worker import inventories, perform


@dataclass(frozen=True, slots=True)
class Request:
    """`bot test` as typed. `profile` is None if a sweep names the profiles; `accel` None: what those say."""

    revision: str
    target: str | None
    machines: tuple[str, ...]
    profile: Profile | None
    sides: Sides
    repo: Path | None
    sweep: str | None = None
    methods: tuple[str, ...] = ()
    accel: str | None = None
    strict: bool = False  # failures that are expected count like others
    files: Files = field(default_factory=Files)


def test(config: Config, work: Path, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Build, run, print, write; 0 good, 1 bad, 125 if it does not build or nothing could be tested."""
    with coordinator(work):
        repository = open_clone(config, work, request.repo, progress, stop)
        sha = repository.resolve(request.revision)
        about = known(config, in_history(repository, sha))
        _, baseline = request.sides.resolve(config) if request.profile else (None, None)
        used = config.baselines if request.profile is None else [baseline] if baseline else []
        profiles = [request.profile] if request.profile else config.profiles.values()
        desk = bench(config, work, repository, progress, stop, baselines=used, profiles=profiles)
        if request.profile is None:
            return _sweep(desk, sha, request, about)
        return _one(desk, sha, request, request.profile, about)


def _one(desk: Bench, sha: Sha, request: Request, profile: Profile, about: Known) -> int:
    """One profile, in one direction."""
    direction, baseline = request.sides.resolve(desk.config)
    target = target_of(desk.config, request.target)
    build, inventory, why = inventories(desk.rig, sha, target)
    desk.keep(build)
    if inventory is None:
        print(why)
        return CANNOT_TEST
    methods, accel = request.methods or (PRECOPY,), desk.config.smoke.accel
    if request.machines:
        machines = known_machines(request.machines, inventory, f"{request.revision} ({sha[:12]})")
        other = baseline.name if baseline else None
        cases = cases_of(target, machines, profile, direction, other, methods=methods, accel=accel)
    else:
        part = Sweep((profile.name,), (direction,), dict.fromkeys(methods, ("*",)), (accel,))
        others = other_inventory(desk, target, direction, baseline)
        cases = matrix.cases(
            {target: inventory}, others, part, desk.rig.profiles, exclude=about.exclude, usable=lambda _arch: True
        )
    runs: list[Run] = []
    for fact in perform(Test(sha, cases), desk.rig):
        desk.keep(fact)
        if isinstance(fact, Run):
            runs.append(fact)
    runs.sort(key=lambda run: cases.index(run.case))
    return tell(runs, _background(desk, sha, request, runs, {target: inventory}, about), request.files)


def _sweep(desk: Bench, sha: Sha, request: Request, about: Known) -> int:
    """A part of the matrix; what was recorded of it is not run again."""
    directions = [request.sides.direction] if request.sides.direction else []
    part = narrowed(desk.config.sweep(request.sweep or ""), directions, request.methods, request.accel)
    targets = [target_of(desk.config, request.target)] if request.target else desk.config.targets
    swept = sweep(
        desk, sha, part, targets, name=request.revision, exclude=about.exclude, only=request.machines or ("*",)
    )
    whole = not (request.machines or directions or request.methods)
    background = _background(desk, sha, request, swept.runs, swept.commit, about, whole=whole)
    code = tell(swept.runs, background, request.files)
    missing = not_run(desk.config, (run.case for run in swept.runs))
    if missing:
        print(f"not run: {', '.join(missing)}")
    return INFRASTRUCTURE if swept.trouble and code != BAD else code


def _background(
    desk: Bench, sha: Sha, request: Request, runs: Sequence[Run], commit: Mapping[str, Inventory], about: Known, *,
    whole: bool = False,
) -> Background:  # fmt: skip
    explained = {} if request.strict else about.explained(runs)
    return Background(
        new=f"{request.revision} ({sha[:12]})",
        expected=explained,
        behind=behind_commit(desk, sha, runs, explained),
        passed=about.passed(runs) if whole else (),
        expired=about.expired() if whole else (),
        deprecated=matrix.deprecated(commit),
    )
