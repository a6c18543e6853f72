"""`bot bisect`: one question from the command line, to a finding, its confirmation and its files."""

from __future__ import annotations

import math
import statistics
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from bot.config import Config
from bot.core import matrix
from bot.errors import UserError
from bot.host.disk import free
from bot.host.lock import coordinator
from bot.model import (
    PRECOPY,
    BadAtGoodEnd,
    Baseline,
    BuildKind,
    Case,
    Direction,
    Finding,
    FirstBad,
    Flaky,
    Inconclusive,
    Inventory,
    MergeConflict,
    NotReproduced,
    Profile,
    Question,
    Regression,
    Report,
    Sha,
    Signature,
    Suspects,
    Sweep,
)
from bot.pipeline.asking import Sides, cases_of, ends, known_machines, not_run, open_clone, target_of
from bot.pipeline.bench import Bench, bench, other_inventory
from bot.pipeline.investigate import Asked, Perform, investigate
from bot.pipeline.known import in_history, known
from bot.pipeline.publish import publish
from bot.progress import Progress
from bot.report.render import summary
from bot.terminal import duration
from bot.worker import COMMAND, CommandRig, inventories, perform, perform_command

_EXITS: dict[type, int] = {
    FirstBad: 0, Suspects: 3, NotReproduced: 4, BadAtGoodEnd: 5, Flaky: 6, MergeConflict: 7, Inconclusive: 8
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """`bot bisect` as typed."""

    range: str
    target: str | None
    machines: tuple[str, ...]
    profile: Profile
    sides: Sides
    methods: tuple[str, ...] = (PRECOPY,)
    command: tuple[str, ...] = ()
    repo: Path | None = None
    out: Path | None = None
    plan: bool = False


def exit_code(finding: Finding) -> int:
    """0 one commit, 3 suspects, 4 bad end not bad, 5 good end not good, 6 flaky, 7 merge, 8 inconclusive."""
    return _EXITS[type(finding)]


def bisect(config: Config, work: Path, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Answer a request; prints the summary, writes the files, returns the exit code."""
    with coordinator(work):
        repository = open_clone(config, work, request.repo, progress, stop)
        (good_name, good), (bad_name, bad) = ends(request.range, repository)
        direction, baseline = request.sides.resolve(config)
        used = [baseline] if baseline else []
        profiles = [*config.profiles.values(), request.profile]
        desk = bench(config, work, repository, progress, stop, baselines=used, profiles=profiles)
        if request.plan:
            print(plan(desk, good, bad, good_name, bad_name, built=0 if request.command else 2))
            return 0
        names = (good_name, bad_name)
        if request.command:
            rig = CommandRig(repository, request.command, work / "command", config.build.timeout, progress, stop)
            question = Question(good, bad, COMMAND)
            asked = Asked(_regression((COMMAND,), good, bad), question, *names, command=rig.setup())
            return _conclude(desk, asked, lambda job: perform_command(job, rig), request.out or work / "out")
        target = target_of(config, request.target)
        if not request.machines:
            raise UserError("--machine TYPE is missing: the machine type that fails, e.g. --machine pc-q35-9.2")
        build, inventory, why = inventories(desk.rig, bad, target)
        desk.keep(build)
        machines = request.machines
        scope: tuple[Case, ...] = ()
        if inventory is None:
            progress.say(why)
        if inventory is not None:
            machines = known_machines(request.machines, inventory, f"{bad_name} ({bad[:12]})")
            scope = _scope(desk, inventory, target, request, direction, baseline, bad)
        cases = cases_of(
            target, machines, request.profile, direction, baseline.name if baseline else None,
            methods=request.methods, accel=config.smoke.accel,
        )  # fmt: skip
        ran = not_run(config, (*cases, *scope))
        asked = Asked(_regression(cases, good, bad), Question(good, bad, cases[0]), *names, scope=scope, not_run=ran)
        return _conclude(desk, asked, lambda job: perform(job, desk.rig), request.out or work / "out")


def _regression(cases: tuple[Case, ...], good: Sha, bad: Sha) -> Regression:
    """Not yet in the store: it has no id, and its signature is learnt at the bad end."""
    return Regression("", Signature("unknown"), cases, good, bad)


def _conclude(desk: Bench, asked: Asked, perform: Perform, out: Path) -> int:
    """Search, print how it ended, and write the files of a finding that names commits."""
    report, found = investigate(desk, asked, perform)
    if isinstance(report.finding, FirstBad | Suspects | MergeConflict):
        report = keep(desk, report)
        written = publish(desk, report, found, out)
    else:
        written = ()
    print(summary(report))
    for path in written:
        print(f"  {path}")
    return exit_code(report.finding)


def keep(desk: Bench, report: Report) -> Report:
    """The report with an id: that of the same question, if it was answered before, else a new one."""
    asked = report.regression
    for entry in desk.store.regressions():
        kept = entry.regression
        if (kept.signature, kept.good, kept.bad, kept.cases) == (asked.signature, asked.good, asked.bad, asked.cases):
            return replace(report, regression=kept)
    return replace(report, regression=desk.store.open_regression(asked))


def _scope(
    desk: Bench, inventory: Inventory, target: str, request: Request, direction: Direction, baseline: Baseline | None,
    bad: Sha,
) -> tuple[Case, ...]:  # fmt: skip
    """Every machine type that both sides have, with the profile and without its options, in the direction and `same`.

    Run once at the bad end: what a reader asks next is where else it fails.
    """
    profiles = dict.fromkeys([request.profile.name, *(["bare"] if "bare" in desk.rig.profiles else [])])
    directions = dict.fromkeys([direction, Direction.SAME])
    part = Sweep(tuple(profiles), tuple(directions), dict.fromkeys(request.methods, ("*",)), (desk.config.smoke.accel,))
    others = other_inventory(desk, target, direction, baseline)
    exclude = known(desk.config, in_history(desk.repository, bad)).exclude
    return matrix.cases({target: inventory}, others, part, desk.rig.profiles, exclude=exclude, usable=lambda _: True)


def plan(desk: Bench, good: Sha, bad: Sha, good_name: str, bad_name: str, *, built: int) -> str:
    """What a bisection will take, from what was measured on this machine where there is something."""
    count = len(desk.repository.parents([good], bad))
    steps = max(math.ceil(math.log2(count)), 0)
    builds = steps + built + 1 + len(desk.rig.refs)  # the ends, the revert on the bad end, baselines that are built
    kinds = {kind: [b.seconds for b in desk.store.builds() if b.kind is kind] for kind in BuildKind}
    measured = kinds[BuildKind.FULL] + kinds[BuildKind.INCREMENTAL]
    each = statistics.mean(measured) if measured else _SECONDS_A_BUILD
    source = f"the mean of {len(measured)} builds here" if measured else "not measured here yet"
    disk = _GIB_A_TREE + builds * _MIB_A_BINARY / 1024
    lines = [
        f"{good_name}..{bad_name}: {count} commits, about {steps} steps",
        f"builds: about {builds}, besides what is in the cache; {each:.0f} s each ({source})",
        f"time: about {duration(builds * each + 60)}, smokes and confirmation included",
        f"disk: about {disk:.1f} GiB in {desk.work}, where {free(desk.work) / 2**30:.1f} GiB are free",
    ]
    return "\n".join(lines)


_SECONDS_A_BUILD = 200.0  # before anything was built here: an x86_64-softmmu build at -O0 on two cores
_GIB_A_TREE = 1.5  # sources and objects of one target
_MIB_A_BINARY = 25  # stripped binary and firmware
