"""`bot test`: build one revision, or a series posted for it, and smoke it: some cases, or a part of the matrix.

What a series breaks is searched (`pipeline.series`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.config import Config
from bot.core import matrix
from bot.core.flaky import combined
from bot.core.plain import clean
from bot.errors import UserError
from bot.host import patches
from bot.host.git import Repository
from bot.host.lock import coordinator
from bot.host.patches import Series
from bot.model import PRECOPY, Inventory, Origin, Posted, Profile, Run, Sha, Sweep
from bot.pipeline.asking import Sides, cases_of, known_machines, not_run, target_of
from bot.pipeline.bench import Bench, bench, other_inventory
from bot.pipeline.confining import demanded
from bot.pipeline.known import Known, in_history, known
from bot.pipeline.revisions import open_clone
from bot.pipeline.series import answer
from bot.pipeline.standing import standing
from bot.pipeline.sweeping import behind_commit, performed, repeated, sweep
from bot.pipeline.telling import BAD, CANNOT_TEST, INFRASTRUCTURE, Files, tell
from bot.pipeline.unrun import unrun
from bot.progress import Progress
from bot.report import posted
from bot.report.background import Background
from bot.store.store import number
from bot.worker import inventories


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
    apply: Path | None = None  # a mailbox with a series that is put on the revision
    search: bool = True  # for the first patch of it that fails


@dataclass(frozen=True, slots=True)
class _Tested:
    """The commit under test and what to call it; `posted` if it is a revision with a series on top."""

    sha: Sha
    name: str
    posted: Posted | None = None
    origin: Origin = field(default_factory=Origin)

    def __str__(self) -> str:
        return f"{self.name} ({self.sha[:12]})"


def test(config: Config, work: Path, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Build, run, print, write; 0 good, 1 bad, 125 if it does not build or nothing could be tested."""
    if request.apply is not None:
        demanded(config, "--apply")
    with coordinator(work):
        series = patches.read(request.apply, stop) if request.apply is not None else None
        repository = open_clone(config, work, request.repo, progress, stop)
        sha = repository.resolve(request.revision)
        tested = _Tested(sha, request.revision)
        if series is not None:
            tested = _applied(series, repository, tested, work, progress, stop)
        about = known(config, in_history(repository, tested.sha))
        _, baseline = request.sides.resolve(config) if request.profile else (None, None)
        used = config.baselines if request.profile is None else [baseline] if baseline else []
        profiles = [request.profile] if request.profile else config.profiles.values()
        desk = bench(config, work, repository, progress, stop, baselines=used, profiles=profiles)
        if request.profile is None:
            return _sweep(desk, tested, request, about)
        return _one(desk, tested, request, request.profile, about)


def _applied(
    series: Series, repository: Repository, base: _Tested, work: Path, progress: Progress, stop: threading.Event
) -> _Tested:
    """The base with a series on top, as a commit."""
    for reply in series.left_out:
        progress.say(f"left out, it is a reply: {reply}")
    count = len(series.patches)
    progress.work(f"applying {series.subject} on {base}")
    scratch = work / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        sha = patches.compose(repository, base.sha, series.patches, scratch, stop)
    except UserError as error:
        raise UserError(f"{base}: {error}") from error
    found = Posted(base.name, base.sha, sha, series.subject, count)
    progress.say(f"{found}; it is {sha[:12]}")
    return _Tested(sha, found.name, found, series.origin)


def _one(desk: Bench, tested: _Tested, request: Request, profile: Profile, about: Known) -> int:
    """One profile, in one direction."""
    direction, baseline = request.sides.resolve(desk.config)
    target = target_of(desk.config, request.target)
    build, inventory, why = inventories(desk.rig, tested.sha, target)
    desk.keep(build)
    if inventory is None:
        print(clean(why))
        return CANNOT_TEST
    methods, accel = request.methods or (PRECOPY,), desk.config.smoke.accel
    if request.machines:
        machines = known_machines(request.machines, inventory, str(tested))
        other = baseline.name if baseline else None
        cases = cases_of(target, machines, profile, direction, other, methods=methods, accel=accel)
    else:
        part = Sweep((profile.name,), (direction,), dict.fromkeys(methods, ("*",)), (accel,))
        others = other_inventory(desk, target, direction, baseline)
        cases = matrix.cases(
            {target: inventory}, others, part, desk.rig.profiles, exclude=about.exclude, usable=lambda _arch: True
        )
    made = performed(desk, tested.sha, cases)
    made += repeated(desk, tested.sha, made, about, tested.name)
    runs = sorted(combined(made), key=lambda run: cases.index(run.case))
    background = _background(desk, tested, request, runs, {target: inventory}, about)
    code = tell(runs, background, request.files)
    return _answered(desk, tested, request, runs, background, about, code)


def _sweep(desk: Bench, tested: _Tested, request: Request, about: Known) -> int:
    """A part of the matrix; what was recorded of it is not run again."""
    directions = [request.sides.direction] if request.sides.direction else []
    part = matrix.narrowed(desk.config.sweep(request.sweep or ""), directions, request.methods, request.accel)
    targets = [target_of(desk.config, request.target)] if request.target else desk.config.targets
    swept = sweep(desk, tested.sha, part, targets, name=tested.name, about=about, only=request.machines or ("*",))
    whole = not (request.machines or directions or request.methods)
    background = _background(desk, tested, request, swept.runs, swept.commit, about, whole=whole)
    left = unrun(desk.config, swept.runs, about.excluded)
    code = tell(swept.runs, background, request.files, left)
    missing = not_run(desk.config, (run.case for run in swept.runs))
    if missing:
        print(f"not run: {', '.join(missing)}")
    code = _answered(desk, tested, request, swept.runs, background, about, code)
    return INFRASTRUCTURE if swept.trouble and code != BAD else code


def _answered(
    desk: Bench, tested: _Tested, request: Request, runs: Sequence[Run], background: Background, about: Known, code: int
) -> int:
    """Of a series: find which patch breaks what works on the base, keep the answer to it and say so.

    The exit code that this makes of `code`: a series that breaks something is bad.
    """
    if tested.posted is None or not request.search:
        return code
    missing = not_run(desk.config, (run.case for run in runs))
    found = answer(desk, tested.posted, tested.origin, runs, background.expected, about, missing)
    if found is None:
        return code
    print(posted.summary(found), end="")
    for item in desk.store.outbox.items(number(found.id)):
        print(f"{found.id}: {standing(item)}")
    print(f"{found.id}: `bot report {found.id}` prints the mail")
    return BAD


def _background(
    desk: Bench, tested: _Tested, request: Request, runs: Sequence[Run], commit: Mapping[str, Inventory], about: Known,
    *, whole: bool = False,
) -> Background:  # fmt: skip
    explained = {} if request.strict else about.explained(runs)
    return Background(
        new=str(tested),
        expected=explained,
        behind=behind_commit(desk, tested.sha, runs, explained),
        passed=about.passed(runs) if whole else (),
        expired=about.expired() if whole else (),
        deprecated=matrix.deprecated(commit),
        posted=tested.posted,
    )
