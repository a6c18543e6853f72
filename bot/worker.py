"""What a worker does for one job: build a commit, run cases on it, tell each fact the moment it is known.

A worker has no database and no secrets. Facts come out as an iterator, so that whoever records them loses nothing
when the worker is killed between two of them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from queue import LifoQueue

from bot.build.builder import Builder
from bot.errors import Aborted, UserError
from bot.host import process
from bot.host.checkout import unsettled, worktree
from bot.host.git import Repository
from bot.host.stop import either
from bot.model import (
    Baseline,
    Binary,
    Build,
    Case,
    Direction,
    Inspect,
    Inspection,
    Inventory,
    Log,
    Observation,
    Outcome,
    Profile,
    Run,
    Sandbox,
    Sha,
    Signature,
    SmokeSettings,
    Test,
)
from bot.progress import Progress
from bot.smoke.argv import machine_options
from bot.smoke.control import Controls
from bot.smoke.golden import Goldens
from bot.smoke.inspect import identify, inspect
from bot.smoke.look import look
from bot.smoke.pool import Piece, smokes
from bot.smoke.smoke import settled


@dataclass(frozen=True, slots=True)
class Rig:
    """All that a worker needs to perform jobs on one host. `refs` holds the commits of baselines that are built."""

    builder: Builder
    profiles: Mapping[str, Profile]
    baselines: Mapping[str, Baseline]
    refs: Mapping[str, Sha]
    smoke: SmokeSettings
    scratch: Path
    progress: Progress
    stop: threading.Event
    smokes: int = 1  # at once
    controls: Controls = field(default_factory=Controls)
    goldens: Goldens | None = None  # recorded streams of baselines; None: sources are live
    sandbox: Sandbox | None = None  # what both sides run in; None: with our own rights

    def beside(self, at_once: int) -> Rig:
        """This rig for threads that perform `at_once` jobs, with a build tree each."""
        return replace(self, builder=self.builder.beside(at_once), progress=_aside(self.progress, at_once))

    def until(self, stop: threading.Event) -> Rig:
        """This rig for one job, which that event ends, too."""
        return replace(self, stop=either(self.stop, stop))

    def profile(self, case: Case) -> Profile:
        try:
            return self.profiles[case.profile]
        except KeyError:
            raise UserError(f"profile {case.profile!r}: not in profiles; there are: {_list(self.profiles)}") from None

    def baseline(self, case: Case) -> Baseline | None:
        """The other side's name and origin; None for direction `same`."""
        if case.baseline is None:
            return None
        try:
            return self.baselines[case.baseline]
        except KeyError:
            raise UserError(
                f"baseline {case.baseline!r}: not in baselines; there are: {_list(self.baselines)}"
            ) from None

    def setup(self, case: Case) -> str:
        """Digest of all that the case's outcome depends on besides the commit (`Run.setup`)."""
        baseline = self.baseline(case)
        if baseline is None:
            other = None
        elif baseline.ref is not None:
            other = self.refs[baseline.name]
        else:
            other = installed(baseline, case.target).sha256
        script = self.smoke.script and hashlib.sha256(_read(Path(self.smoke.script))).hexdigest()
        options = [(entry.options, entry.cpu) for entry in machine_options(case, self.smoke)]
        confined = self.sandbox is not None  # postcopy wants a privilege that a sandbox has not
        facts = [asdict(self.profile(case)), dict(self.smoke.memory), options, case.accel, script, other, confined]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def build(self, commit: Sha, target: str, *, own: bool = False) -> Build:
        build = self.builder.build(commit, target, own=own, stop=self.stop)
        return build if build.binary is None else replace(build, binary=replace(build.binary, sandbox=self.sandbox))

    def sides(self, commit: Sha, case: Case) -> tuple[Binary, Binary]:
        """(source, destination) of the case on a commit that is known to build, from the caches where it is there."""
        build = self.build(commit, case.target)
        if build.binary is None:
            raise UserError(f"{commit[:12]} does not build for {case.target}: {build.error}")
        return _sides(case, build.binary, self.other(case)[0])

    def other(self, case: Case) -> tuple[Binary | None, Build | None]:
        """The other side's binary, and its build if it is one that the bot builds."""
        baseline = self.baseline(case)
        if baseline is None:
            return None, None
        if baseline.ref is None:  # it reads what the commit's QEMU sends
            return replace(installed(baseline, case.target), sandbox=self.sandbox), None
        build = self.build(self.refs[baseline.name], case.target)
        if build.binary is None:
            raise UserError(
                f"baseline {baseline.name} does not build for {case.target}: {build.error}\n{build.log[-2000:]}"
            )
        return replace(build.binary, name=baseline.name), build


def installed(baseline: Baseline, target: str) -> Binary:
    """The binary that a baseline's path names. Raises `UserError` if it is not there."""
    path = Path((baseline.path or "").replace("{arch}", target.removesuffix("-softmmu")))
    if not path.exists():
        raise UserError(
            f"baseline {baseline.name}: {path}: no such file; install it, or change `baselines` in config.yaml"
        )
    return identify(path, name=baseline.name)


def digest(path: Path) -> str:
    """sha256 of a file, read anew only if it changed. Raises `UserError` if it cannot be read."""
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    return _digest(path, stat.st_mtime_ns, stat.st_size)


@cache
def _digest(path: Path, _mtime: int, _size: int) -> str:
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def inventories(rig: Rig, commit: Sha, target: str) -> tuple[Build, Inventory | None, str]:
    """A commit's build, and what its binary says of itself; None if it does not build or answer, and why in words."""
    build = rig.build(commit, target)
    where = f"{commit[:12]} for {target}"
    if build.binary is None:
        return build, None, f"{where} does not build: {build.error}"
    try:
        return build, inspect(build.binary, stop=rig.stop), ""
    except UserError as error:
        return build, None, f"{where} builds, but does not run: {error}"


def perform(job: Test, rig: Rig) -> Iterator[Build | Run]:
    """Build job.commit for each target of its cases, run every case `times` over, yield each fact as it comes."""
    for target in dict.fromkeys(case.target for case in job.cases):
        cases = [case for case in job.cases if case.target == target]
        build = rig.build(job.commit, target, own=job.own)
        yield build
        if build.binary is None:
            for case in cases:
                message = build.error or "does not build"
                observation = Observation(Outcome.NOT_BUILT, message=message)
                yield Run(job.commit, case, observation, setup=rig.setup(case), toolchain=build.tools)
            continue
        others: dict[str | None, Binary | None] = {None: None}
        for case in cases:
            if case.baseline not in others:
                others[case.baseline], made = rig.other(case)
                if made is not None:
                    yield made
        work = [(case, others[case.baseline]) for _ in range(job.times) for case in cases]
        yield from _smokes(build, build.binary, work, rig)


def look_at(job: Inspect, rig: Rig) -> Iterator[Build | Inspection]:
    """Build job.commit and say what its binary looks like, started as the commit's side of the case; it takes seconds.

    What cannot be had is missing in the traits; a commit that does not build has none.
    """
    case, profile = job.case, rig.profile(job.case)
    build = rig.build(job.commit, case.target)
    yield build
    if build.binary is None:
        yield Inspection(job.commit, case)
        return
    other, made = rig.other(case)
    if made is not None:
        yield made
    common = settled(
        case, profile, *_sides(case, build.binary, other), rig.smoke,
        controls=rig.controls, scratch=rig.scratch, stop=rig.stop,
    )  # fmt: skip
    extra = profile.destination_args if case.direction is Direction.FORWARD else profile.source_args
    yield Inspection(job.commit, case, look(build.binary, common, extra, rig.scratch, rig.stop))


def _smokes(build: Build, binary: Binary, work: Sequence[tuple[Case, Binary | None]], rig: Rig) -> Iterator[Run]:
    """Runs of all of `work`, some at once, in the order they end."""
    others = dict(work)
    pieces = [_piece(binary, case, other, rig) for case, other in work]
    seen = smokes(
        pieces, rig.smoke, at_once=rig.smokes,
        controls=rig.controls, goldens=rig.goldens, scratch=rig.scratch, stop=rig.stop,
    )  # fmt: skip
    for done, (piece, observation) in enumerate(seen, 1):
        other = others[piece.case]
        yield Run(
            commit=build.commit,
            case=piece.case,
            observation=observation,
            binary=binary.sha256,
            other=None if other is None else other.sha256,
            setup=rig.setup(piece.case),
            toolchain=build.tools,
        )
        if len(work) > 1:
            rig.progress.work(f"smoking {build.commit[:12]}", done, len(work))


def _piece(binary: Binary, case: Case, other: Binary | None, rig: Rig) -> Piece:
    return Piece(case, rig.profile(case), *_sides(case, binary, other))


def _sides(case: Case, binary: Binary, other: Binary | None) -> tuple[Binary, Binary]:
    far = binary if other is None else other
    return (far, binary) if case.direction is Direction.FORWARD else (binary, far)


def _aside(progress: Progress, at_once: int) -> Progress:
    return progress.aside() if at_once > 1 else progress


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(names) or "none"


# -- any command, as `git bisect run` takes it ---------------------------------------------------------------------

COMMAND = Case(target="any", machine="any", profile="command")
"""The case of a search whose question is the exit code of the user's own command."""


@dataclass(frozen=True, slots=True)
class CommandRig:
    """Worktrees that are moved from commit to commit, and the command that is run in them."""

    repository: Repository
    argv: tuple[str, ...]
    tree: Path  # the first worktree; others are beside it, by number
    timeout: float
    progress: Progress
    stop: threading.Event
    trees: LifoQueue[Path] = field(default_factory=LifoQueue)  # that are free: one for each run at a time

    def __post_init__(self) -> None:
        if self.trees.empty():
            self.trees.put(self.tree)

    def beside(self, at_once: int) -> CommandRig:
        """This rig for threads that perform `at_once` jobs, with a worktree each."""
        trees: LifoQueue[Path] = LifoQueue()
        for number in range(at_once, 1, -1):
            trees.put(self.tree.with_name(f"{self.tree.name}-{number}"))
        trees.put(self.tree)
        return replace(self, trees=trees, progress=_aside(self.progress, at_once))

    def until(self, stop: threading.Event) -> CommandRig:
        """This rig for one job, which that event ends, too."""
        return replace(self, stop=either(self.stop, stop))

    def setup(self) -> str:
        """Digest of the command: its words, and the files that they name, for a script may be edited between starts.

        A path within the tree belongs to the commit, so only absolute ones and programs of PATH count.
        """
        found = [shutil.which(self.argv[0]) if "/" not in self.argv[0] else None, *self.argv]
        files = {
            word: digest(Path(word)) for word in found if word and Path(word).is_absolute() and Path(word).is_file()
        }
        return hashlib.sha256(json.dumps([self.argv, files], sort_keys=True).encode()).hexdigest()[:16]


def perform_command(job: Test, rig: CommandRig) -> Iterator[Build | Run]:
    """Run the command on job.commit: exit 0 is good, 125 cannot be tested, 1-127 bad, all else ends the search."""
    for _ in range(job.times):
        tree = rig.trees.get()
        try:
            worktree(rig.repository, job.commit, tree)
            rig.progress.work(f"running {rig.argv[0]} on {job.commit[:12]}")
            with unsettled(rig.repository, tree):
                done = process.run(rig.argv, cwd=tree, timeout=rig.timeout, stop=rig.stop)
                code = done.returncode
                if done.timed_out or not 0 <= code <= 127:
                    how = f"took more than {rig.timeout:.0f} s" if done.timed_out else f"exited {code}"
                    raise Aborted(
                        f"{' '.join(rig.argv)} {how} on {job.commit[:12]}; as with `git bisect run`, the search stops"
                    )
        finally:
            rig.trees.put(tree)
        outcome = {0: Outcome.PASS, 125: Outcome.UNTESTABLE}.get(code, Outcome.FAIL_DST)
        yield Run(
            commit=job.commit,
            case=COMMAND,
            observation=Observation(
                outcome,
                signature=Signature("command") if outcome is Outcome.FAIL_DST else None,
                message=f"exit {code}",
                seconds=done.seconds,
                argv=(rig.argv,),
                exits=(code,),
                logs=(Log("output", done.output),),
            ),
            setup=rig.setup(),
        )
