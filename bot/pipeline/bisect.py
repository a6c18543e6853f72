"""`bot bisect`: one question from the command line, to a finding, its confirmation and its files."""

from __future__ import annotations

import math
import statistics
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from bot.bisect.log import render
from bot.bisect.runner import Search
from bot.config import Config
from bot.core import matrix
from bot.core.signature import identify
from bot.errors import UserError
from bot.host.disk import free
from bot.host.disk import replace as replace_file
from bot.host.git import Repository
from bot.host.lock import coordinator
from bot.model import (
    PRECOPY,
    Baseline,
    BuildKind,
    Case,
    Direction,
    FirstBad,
    Inventory,
    MergeConflict,
    Profile,
    Question,
    Regression,
    Report,
    Sha,
    SideTest,
    SideTests,
    Signature,
    Suspects,
    Sweep,
)
from bot.pipeline import logs
from bot.pipeline.asking import Sides, cases_of, known_machines, not_run, target_of
from bot.pipeline.begun import noted
from bot.pipeline.bench import Bench, bench, other_inventory
from bot.pipeline.exits import exit_code
from bot.pipeline.hands import performer, remote
from bot.pipeline.investigate import Asked, investigate
from bot.pipeline.known import in_history, known
from bot.pipeline.publish import publish
from bot.pipeline.revisions import ends, open_clone
from bot.pipeline.siblings import named
from bot.pipeline.sides import Elsewhere, turned_bench, turned_case
from bot.progress import Progress
from bot.report.render import summary
from bot.report.words import name
from bot.terminal import duration
from bot.worker import COMMAND, CommandRig, Rig, inventories


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
    symptom: Path | None = None  # a log: bad means the failure that it tells of
    skip: tuple[str, ...] = ()  # revisions that are not tested
    runs: int | None = None  # of culprit and parents at least, instead of bisect.min_runs
    jobs: int | None = None  # commits tested at a time, instead of bisect.jobs
    first_parent: bool = False  # a merge stands for all that it brought
    find_fix: bool = False  # the older end fails, the newer one passes
    log: Path | None = None  # where the log goes besides
    siblings: tuple[str, ...] = ()  # of the pinned release, for the side test; none: those that are found
    side_test: SideTests = SideTests.TURN
    typed: tuple[str, ...] = ()  # the whole command, for `--resume`


def bisect(config: Config, work: Path, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Answer a request; prints the summary, writes the files, returns the exit code."""
    signature, symptom = _symptom(request)
    config = _with_limits(config, request)
    with coordinator(work), noted(work, () if request.plan else request.typed), remote(config, progress) as far:
        repository = open_clone(config, work, request.repo, progress, stop)
        (good_name, good), (bad_name, bad) = ends(request.range, repository)
        skip = _skipped(request, repository, (good, bad))
        direction, baseline = request.sides.resolve(config)
        used = [baseline] if baseline else []
        profiles = [*config.profiles.values(), request.profile]
        desk = bench(config, work, repository, progress, stop, baselines=used, profiles=profiles, remote=far)
        if request.plan:
            asks = not request.find_fix and baseline is not None and request.side_test is not SideTests.OFF
            built = 0 if request.command else 2 + 2 * asks + request.find_fix  # of siblings mostly no more than two
            print(plan(desk, good, bad, good_name, bad_name, built=built))
            return 0
        names = (good_name, bad_name)
        if request.command:
            rig = CommandRig(repository, request.command, work / "command", config.build.timeout, progress, stop)
            question = Question(good, bad, COMMAND, cured=request.find_fix)
            asked = Asked(
                _regression((COMMAND,), good, bad), question, *names, command=rig.setup(),
                skip=skip, first_parent=request.first_parent,
            )  # fmt: skip
            return _conclude(desk, asked, request, rig)
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
            scope = () if request.find_fix else _scope(desk, inventory, target, request, direction, baseline, bad)
        cases = cases_of(
            target, machines, request.profile, direction, baseline.name if baseline else None,
            methods=request.methods, accel=config.smoke.accel,
        )  # fmt: skip
        _check_siblings(desk, request.siblings, cases[0])
        ran = not_run(config, (*cases, *scope))
        asked = Asked(
            _regression(cases, good, bad), Question(good, bad, cases[0], signature, request.find_fix), *names,
            scope=scope, not_run=ran,
            symptom=symptom, skip=skip, first_parent=request.first_parent, siblings=request.siblings,
            side_test=not request.find_fix and request.side_test is not SideTests.OFF
            and not request.sides.source_side,
            turn=request.side_test is SideTests.TURN,
        )  # fmt: skip
        return _conclude(desk, asked, request, desk.rig)


def _symptom(request: Request) -> tuple[Signature | None, str]:
    """The failure that a log tells of, and the log; nothing if none was given."""
    if request.symptom is None:
        return None, ""
    if request.command:
        raise UserError("--symptom: a command of yours says itself what is bad; leave one of them out")
    text = logs.read(request.symptom)
    found, _ = identify(text, None)
    if found is None:
        raise UserError(
            f"--symptom {request.symptom}: the log tells of no failure; `bot signature` shows what is found"
        )
    return found, text


def _with_limits(config: Config, request: Request) -> Config:
    limits = config.bisect
    if request.runs is not None and request.runs > limits.max_runs:
        raise UserError(f"--runs {request.runs}: at most bisect.max_runs, which is {limits.max_runs}")
    typed = {"min_runs": request.runs, "jobs": request.jobs}
    changes = {key: value for key, value in typed.items() if value is not None}
    return config.model_copy(update={"bisect": limits.model_copy(update=changes)})


def _skipped(request: Request, repository: Repository, both: tuple[Sha, Sha]) -> frozenset[Sha]:
    found = frozenset(repository.resolve(name) for name in request.skip)
    if end := next((sha for sha in both if sha in found), None):
        raise UserError(f"--skip {end[:12]}: it is an end of {request.range}, and both ends have to be tested")
    return found


def _check_siblings(desk: Bench, siblings: tuple[str, ...], case: Case) -> None:
    """Wrong names are told before anything is built."""
    if siblings and case.baseline is None:
        raise UserError("--sibling: no side is pinned, so nothing can be put in its place; leave it out")
    for text in siblings:
        named(desk, case, text)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise UserError(f"--log {path}: cannot be written: {error.strerror}") from error


def _regression(cases: tuple[Case, ...], good: Sha, bad: Sha) -> Regression:
    """Not yet in the store: it has no id, and its signature is learnt at the bad end."""
    return Regression("", Signature("unknown"), cases, good, bad)


def _conclude(desk: Bench, asked: Asked, request: Request, rig: Rig | CommandRig) -> int:
    """Search, print how it ended, and write the files of a finding that names commits."""
    try:
        report, found = investigate(desk, asked, performer(desk, rig), performer(desk, rig, desk.config.bisect.jobs))
    except Elsewhere as elsewhere:
        range_ = f"{name(asked.good_name)}..{name(asked.bad_name)}"
        desk.progress.say(f"{range_} is not searched: what is found there is exposed by it at most (--side-test tell)")
        report, found = other_side(desk, asked, elsewhere.question, elsewhere.test)
    out = request.out or desk.work / "out"
    if request.log is not None:
        _write(request.log, render(found, report.commits))
    if not report.cured and isinstance(report.finding, FirstBad | Suspects | MergeConflict):
        report = keep(desk, report)
        written = publish(desk, report, found, out)
    else:
        written = ()
    print(summary(report))
    for path in written:
        print(f"  {path}")
    return exit_code(report.finding)


def other_side(desk: Bench, asked: Asked, question: Question, test: SideTest) -> tuple[Report, Search]:
    """Search the pinned side's branch, with the bad end of the first question on the other side."""
    branch = test.branch
    if branch is None:
        raise ValueError("the side test names no range of the pinned side")
    desk.progress.say(f"searching {branch.good_name}..{branch.bad_name}, the pinned side")
    turned = turned_bench(desk, question, asked.bad_name)
    cases = tuple(turned_case(question, c) for c in asked.regression.cases if c.baseline == question.case.baseline)
    case = turned_case(question, question.case)
    return investigate(
        turned,
        Asked(
            Regression("", question.signature or Signature("unknown"), cases, branch.good, branch.bad),
            Question(branch.good, branch.bad, case, question.signature),
            branch.good_name,
            branch.bad_name,
            not_run=not_run(desk.config, cases),
            symptom=asked.symptom,
            sides=test,
        ),
        performer(turned, turned.rig),
        performer(turned, turned.rig, desk.config.bisect.jobs),
    )


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
    builds = steps + built + 1 + len(desk.rig.refs)  # the ends, the revert, baselines that are built
    kinds = {kind: [b.seconds for b in desk.store.builds() if b.kind is kind] for kind in BuildKind}
    measured = kinds[BuildKind.FULL] + kinds[BuildKind.INCREMENTAL]
    each = statistics.mean(measured) if measured else _SECONDS_A_BUILD
    source = f"the mean of {len(measured)} builds here" if measured else "not measured here yet"
    trees = min(desk.config.bisect.jobs, desk.config.build.parallel)
    disk = _GIB_A_TREE * trees + builds * _MIB_A_BINARY / 1024
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
