"""`bot test`: build one revision and smoke it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from bot.config import Config
from bot.core import matrix
from bot.host.lock import coordinator
from bot.model import Profile, Run, Test
from bot.pipeline.asking import Sides, cases_of, known_machines, open_clone, target_of
from bot.pipeline.bench import bench, other_inventory
from bot.pipeline.standalone import CANNOT_TEST, exit_code, write_runs
from bot.progress import Progress
from bot.report.text import matrix as matrix_text
from bot.worker import inventories, perform


@dataclass(frozen=True, slots=True)
class Request:
    """`bot test` as typed."""

    revision: str
    target: str | None
    machines: tuple[str, ...]
    profile: Profile
    sides: Sides
    repo: Path | None
    json: Path | None
    junit: Path | None


def test(config: Config, work: Path, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Build, run, print, write; 0 good, 1 bad, 125 if it does not build or nothing could be tested."""
    with coordinator(work):
        repository = open_clone(config, work, request.repo, progress, stop)
        sha = repository.resolve(request.revision)
        direction, baseline = request.sides.resolve(config)
        used = [baseline] if baseline else []
        desk = bench(config, work, repository, progress, stop, baselines=used, profiles=[request.profile])
        target = target_of(config, request.target)
        build, inventory, why = inventories(desk.rig, sha, target)
        desk.keep(build)
        if inventory is None:
            print(why)
            return CANNOT_TEST
        if request.machines:
            where = f"{request.revision} ({sha[:12]})"
            machines = known_machines(request.machines, inventory, where)
            cases = cases_of(target, machines, request.profile, direction, baseline)
        else:
            others = other_inventory(desk, target, request.profile, direction, baseline)
            exclude = desk.rig.smoke.exclude
            cases = matrix.cases({target: inventory}, others, [request.profile.name], [direction], exclude)
        runs: list[Run] = []
        for fact in perform(Test(sha, cases), desk.rig):
            desk.keep(fact)
            if isinstance(fact, Run):
                runs.append(fact)
        runs.sort(key=lambda run: cases.index(run.case))
        print(matrix_text(runs, {}, new=f"{request.revision} ({sha[:12]})"), end="")
        write_runs(runs, request.json, request.junit)
        return exit_code(runs)
