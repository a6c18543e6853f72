"""The builder: a commit and a target in, a `Build` out, with as little compiled as can be answered for.

A commit is called unbuildable (`BuildStatus.FAILED`) only after a clean directory said so, or a compiler did about a
file that is not as it was when the directory last built (see `_believed`). What the machine did wrong is an
`InfraError` or `UserError` and says nothing of the commit.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bot.build import recipe as recipes
from bot.build import submodules, tools
from bot.build.artifacts import Artifacts, Key
from bot.build.cache import Cache, Entry
from bot.build.closure import recorded
from bot.build.diagnosis import Fault, Reader, fault
from bot.build.sharing import shared, taken
from bot.build.submodules import Pin
from bot.build.tree import State, Tree, held
from bot.build.turns import Turns
from bot.errors import InfraError, Killed, Stopped, UserError
from bot.host import disk, process
from bot.host.git import Repository
from bot.host.process import HeadTail
from bot.host.reads import watched
from bot.model import Build, BuildKind, BuildSettings, BuildStatus, Recipe, Sandbox, Sha
from bot.progress import Progress

_LOG = 512 * 1024  # bytes of a build's log that are kept, head and tail
_GRACE = 20.0  # seconds that make and ninja have to remove what they were making: a killed one's tree is worth nothing
_FLOOD = 100 * 2**20  # bytes that no command of a build has to say; all of a build's are 1 MB
_MESON_LOCK = "subprojects/.wraplock"  # meson 1.9 and 1.10 open it for writing, in the sources
_TARGET = re.compile(r"[a-z0-9_]+-softmmu\Z")
_NOT_FIRMWARE = {".bz2", ".dts", ".txt", ".build", ".svg", ".in", ".mak", ""}  # suffixes in pc-bios; "": README
_FIRMWARE_WITHOUT_SUFFIX = re.compile(r"openbios-|palcode-|u-boot")


@dataclass(frozen=True, slots=True)
class Job:
    """One commit to build, and all that is decided about how."""

    commit: Sha
    target: str
    recipe: Recipe
    place: recipes.Place
    env: Mapping[str, str]
    pins: tuple[Pin, ...]
    toolchain: Mapping[str, str]
    stop: threading.Event | None
    foreign: bool
    deadline: float = 0.0  # time.monotonic() at which it is ended; set when it starts

    @property
    def key(self) -> Key:
        return Key(recipes.group(self.target, self.recipe, self.toolchain), self.commit)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try in one build directory. `blamed` as `Reader.blamed`; `fresh` if the directory was clean before."""

    ok: bool
    fresh: bool
    configured: bool  # configure ran
    steps: int
    error: str | None
    blamed: frozenset[str] | None
    log: str


def recipe_of(repository: Repository, known: Sequence[Recipe], commit: Sha) -> Recipe:
    """The recipe that a commit is built by. Raises `UserError` if none fits."""

    def has(entry: str) -> bool:
        """Whether a commit's tree has PATH, or a file PATH that holds TEXT, by `PATH:TEXT`."""
        path, colon, text = entry.partition(":")
        if colon:
            return text in (repository.file(commit, path) or "")
        return repository.entry(commit, path) is not None

    return recipes.select(known, has)


class Builder:
    """Builds commits of one repository below `work`; for any number of threads, beside builders of other processes.

    One build directory for each recipe and target: sharing one between targets would save the objects that targets
    have in common (a third of a second target's full build), but an incremental build would then be stopped by
    errors of a target that nobody asked about, and two targets could not be built at once.
    """

    def __init__(
        self,
        repository: Repository,
        settings: BuildSettings,
        work: Path,
        progress: Progress,
        *,
        run: tools.Runner = process.run,
    ) -> None:
        self._repository = repository
        self._settings = settings
        self._work = work.absolute()
        self._progress = progress
        self._run = run
        self._at_once = 1
        self._turns = Turns()
        self._toolchains: dict[str, dict[str, str]] = {}
        ccache = settings.ccache
        if ccache is not None and ccache.remote and ccache.folder is None and settings.sandbox is not None:
            raise UserError(
                f"build.ccache.remote: {ccache.remote}: there is no network in the sandbox that builds run in; give "
                "file:DIRECTORY, such as one that hosts share, or set sandbox.use to never"
            )
        with disk.writing(work):
            for name in ("trees", "home", "tools", *(("ccache/tmp",) if ccache else ())):
                (self._work / name).mkdir(parents=True, exist_ok=True)
            (self._work / "trees").chmod(0o700)  # what a build marks set-user-ID is for nobody else
        artifacts = Artifacts(settings.cache or self._work / "artifacts", settings.cache_size)
        self._cache = Cache(self._work / "unpacked", settings.unpacked_size, artifacts)

    def build(self, commit: Sha, target: str, *, own: bool = False, stop: threading.Event | None = None) -> Build:
        """Build `commit` for `target` ("x86_64-softmmu"), or return what an earlier build of it left.

        Where nothing that another build read is different, that build is the answer too (`BuildKind.SHARED`); with
        `own` it is not, and what was shared before is built.

        Nobody vouches for what somebody posted (`Repository.posted`), and a build may change what its sandbox lets it
        write: the build directory, the compiler's cache. So such a commit has a clean tree apart and no ccache, no
        other commit shares its binary, and without a sandbox it is refused.

        Raises `Stopped` if `stop` was set, `InfraError` if the machine failed (disk, memory, time, network), and
        `UserError` if something is missing that the user has to provide (tool, recipe, source of a submodule).
        """
        began = time.monotonic()
        foreign = self._repository.posted(commit)
        if foreign and self._settings.sandbox is None:
            raise UserError(
                f"{commit[:12]} is of a series that somebody posted: that is built and run in a sandbox only, and "
                "there is none (sandbox.use, `bot doctor`); if you have looked at it, put it on a branch of yours"
            )
        job = self._job(commit, target, stop, foreign=foreign)
        built = self._built(job, began, own=own)
        return replace(built, tools=tools.identity(job.toolchain))

    def _built(self, job: Job, began: float, *, own: bool) -> Build:
        """What the caches have of a job, else what is built now."""
        commit, target, stop, key = job.commit, job.target, job.stop, job.key
        with self._turns.alone(key, stop):
            found = self._cache.find(key)
            if found is not None and not (own and found.same_as):
                return found
            if self._settings.share and not own:
                known = shared(self._repository, self._cache, key)
                if known is not None:
                    return known
            if self._turns.length >= self._at_once:
                self._progress.work("waiting for another build")
            with (
                disk.writing(self._work),
                self._turns.admitted(self._at_once, stop),
                held(self._trees(job), self._progress, stop) as tree,
            ):
                known = self._cache.find(key)
                if known is not None and not (own and known.same_as):  # another process built it while we waited
                    return known
                disk.require(self._work, self._settings.free_space, "build.free_space")
                job = self._placed(job, tree)
                attempt, steps = self._attempts(job, tree)
                build = Build(
                    commit=commit,
                    target=target,
                    recipe=job.recipe.name,
                    status=BuildStatus.BUILT if attempt.ok else BuildStatus.FAILED,
                    kind=BuildKind.FULL if attempt.fresh else BuildKind.INCREMENTAL,
                    seconds=time.monotonic() - began,
                    steps=steps,
                    toolchain=tools.summary(job.toolchain),
                    error=attempt.error,
                    log=attempt.log,
                )
                built = self._cache.add(key, self._entry(job, tree, build))
        if known is not None and known.binary != built.binary:
            raise InfraError(
                f"{commit[:12]} {target}: its own build is another binary than that of {(known.same_as or '')[:12]}, "
                "which it was taken to share, for no file that was read there differs; runs of it are not to be "
                "trusted: please report this, set build.share to false, and search again in a new work directory"
            )
        return built

    def beside(self, at_once: int) -> Builder:
        """This builder for threads that want `at_once` builds: as many go on as `build.parallel` says, the rest wait.

        Each that goes on has a tree of its own, and its share of the cores. One at a time has all of them, and what was
        asked first is known first; meanwhile the others' binaries can be tested.
        """
        other = copy.copy(self)  # what is shared are the cache, who builds what and who waits
        other._at_once = min(at_once, self._settings.parallel)
        other._progress = self._progress.aside() if at_once > 1 else self._progress
        return other

    def cached(self, commit: Sha, target: str) -> bool:
        """Whether a build of `commit` is there already, as far as is seen without reading it."""
        try:
            job = self._job(commit, target, None)
        except UserError:  # it was built with other settings, and cannot be with these
            return False
        return self._cache.has(job.key)

    def toolchain(self, commit: Sha, target: str) -> str:
        """What a build of `commit` would say of its toolchain today (`Build.tools`). Raises `UserError` as `build`."""
        return tools.identity(self._job(commit, target, None).toolchain)

    def closure(self, commit: Sha, target: str) -> frozenset[str] | None:
        """The commit's sources and headers that a build of it, which is there already, was made of; None: not known."""
        try:
            job = self._job(commit, target, None)
        except UserError:
            return None
        return self._cache.closure(job.key)

    def recipe(self, commit: Sha) -> str:
        """The name of the recipe that a commit is built by. Raises `UserError` if none fits."""
        return self._recipe(commit).name

    def kept(self, commit: Sha, target: str) -> Path:
        """The directory of the cache that a build of `commit` leaves: its `build.log`, and the binary if it builds.

        Raises `UserError` as `build` does, for what cannot be built with these settings.
        """
        job = self._job(commit, target, None)
        return self._cache.folder(job.key)

    def release(self) -> None:
        """The binaries handed out so far are no longer in use; the cache may let go of them."""
        self._cache.release()

    # -- what to do ----------------------------------------------------------------------------------------------

    def _job(self, commit: Sha, target: str, stop: threading.Event | None, *, foreign: bool = False) -> Job:
        if not _TARGET.match(target):
            raise UserError(f"target {target!r}: give a system emulator of QEMU, such as x86_64-softmmu")
        recipe = self._recipe(commit)
        apart = "-posted" if foreign else ""
        place = self._place(target, self._work / "trees" / f"{recipe.name}-{target}{apart}")
        env = self._environment(recipe, place, ccache=not foreign)
        if recipe.name not in self._toolchains:
            self._toolchains[recipe.name] = tools.versions(recipe, env)
        pins = submodules.pins(self._repository, commit, recipe)
        return Job(commit, target, recipe, place, env, pins, self._toolchains[recipe.name], stop, foreign)

    def _recipe(self, commit: Sha) -> Recipe:
        return recipe_of(self._repository, self._settings.recipes, commit)

    def _place(self, target: str, folder: Path) -> recipes.Place:
        jobs = max((self._settings.jobs or _cores()) // self._at_once, 1)
        return recipes.Place(target, folder / "src", folder / "build", jobs)

    def _environment(self, recipe: Recipe, place: recipes.Place, *, ccache: bool) -> Mapping[str, str]:
        first = [tools.meson(recipe.meson, self._work / "tools")] if recipe.meson else []
        settings = self._settings.ccache if ccache else None
        if settings is None:
            return recipes.environment(recipe, place, first, self._work / "home")
        first.append(tools.ccache(tools.compiler_of(recipe.env), self._work / "tools"))
        env = recipes.environment(recipe, place, first, self._work / "home")
        return recipes.by_ccache(settings, self._work / "ccache", place) | env

    def _trees(self, job: Job) -> tuple[Tree, ...]:
        """Where the job can be done, the first free one first."""
        first = job.place.build.parent
        others = (first.with_name(f"{first.name}-{number}") for number in range(2, self._at_once + 1))
        return tuple(Tree(f, self._work / "modules", self._settings.submodules) for f in (first, *others))

    def _placed(self, job: Job, tree: Tree) -> Job:
        """The job in a tree; it has begun."""
        place = self._place(job.target, tree.path)
        deadline = time.monotonic() + self._settings.timeout
        env = self._environment(job.recipe, place, ccache=not job.foreign)
        return replace(job, place=place, env=env, deadline=deadline)

    def _attempts(self, job: Job, tree: Tree) -> tuple[Attempt, int]:
        """The attempt that decides, and the steps of all. The tree is left fit for the next commit."""
        if job.foreign:
            tree.wipe()
        tree.begin()
        tree.renew(self._manner(job))
        try:
            trusted = partial(submodules.trusted, self._repository, job.commit, job.recipe)
            tree.checkout(self._repository, job.commit, job.pins, trusted)
            before, used = tree.state, tree.used
            attempt = self._watched(job, tree)
            steps = attempt.steps
            if used and not attempt.ok and not self._believed(job, tree, before, attempt):
                attempt = self._clean(job, tree, before, attempt)
                steps += attempt.steps
        except (InfraError, Killed):
            tree.wipe()  # a compiler without disk, memory or time to end may have left half a file; it also makes room
            raise
        except (Stopped, UserError):
            tree.update(dirty=False)  # make and ninja remove what they were making when they are told to end
            raise
        tree.update(dirty=False, **({"good": job.commit} if attempt.ok else {}))
        return attempt, steps

    def _clean(self, job: Job, tree: Tree, before: State, first: Attempt) -> Attempt:
        """Once more in a clean directory. The used one is taken back if it turns out that the commit was at fault."""
        self._progress.say(f"{job.commit[:12]} {job.target}: {first.error}; once more in a clean directory")
        tree.put_aside()
        second = self._watched(job, tree)
        if not second.ok and not first.configured and second.blamed is not None:
            tree.take_back(before)
        else:
            tree.drop_aside()
        return second

    def _believed(self, job: Job, tree: Tree, before: State, attempt: Attempt) -> bool:
        """Whether a failure in a used directory is the commit's own, so that a full build would tell nothing new.

        It is if compilers complained, and nothing else did, and only about files of the commit that are not as they
        were in the commit that last built here. Anything else (regeneration, links, generated files, a header that is
        not there, a file that compiled before) may be due to what the directory held.
        """
        if attempt.configured or attempt.blamed is None or before.good is None:
            return False
        for named in attempt.blamed:
            path = tree.relative(named)
            now = path and self._repository.entry(job.commit, path)
            if path is None or now is None or now == self._repository.entry(before.good, path):
                return False
        return True

    def _watched(self, job: Job, tree: Tree) -> Attempt:
        """An attempt, of which is noted what it read, however it ends."""
        reads = None
        try:
            with watched(tree.source) as reads:
                return self._attempt(job, tree)
        finally:
            tree.note(None if reads is None else reads.paths)

    # -- one attempt ---------------------------------------------------------------------------------------------

    def _attempt(self, job: Job, tree: Tree) -> Attempt:
        """Configure if needed, delete the binary, build, and look whether it is there."""
        fresh = tree.ready()
        arch = job.place.arch
        wanted = self._digest(job)
        log, reader = HeadTail(_LOG), Reader()
        configure = tree.state.configured != wanted

        def ended(ok: bool) -> Attempt:
            error = None if ok else reader.first_error or _last_line(log.text())
            return Attempt(ok, fresh, configure, reader.steps, error, reader.blamed, log.text())

        if configure:
            tree.update(configured="")
            if not self._configure(job, log, reader):
                return ended(False)
            tree.update(configured=wanted)
        for binary in _binaries(tree.build, job.target, arch):
            binary.unlink(missing_ok=True)  # a failed build must not leave an older one to be taken for it
        argv = recipes.build_argv(job.recipe, job.place)
        done = self._command(job, argv, tree.build, log, reader, f"building {job.commit[:12]} {job.target}")
        if not done:
            return ended(False)
        if next(_built(tree.build, job.target, arch), None) is None:
            log.feed(b"error: the build ended without an error, but made no qemu-system-" + arch.encode() + b"\n")
            return ended(False)
        return ended(True)

    def _configure(self, job: Job, log: HeadTail, reader: Reader) -> bool:
        """Run configure until it takes all options that are left; False if it fails otherwise."""
        options: tuple[str, ...] = tuple(job.place.fill(o) for o in job.recipe.configure)
        what = f"configuring {job.commit[:12]} {job.target}"
        while True:
            argv = recipes.configure_argv(job.place, options)
            tried = Reader()
            said = HeadTail(_LOG)
            if self._command(job, argv, job.place.build, said, tried, what, configuring=True):
                log.feed(said.text().encode())
                return True
            unknown = recipes.refused(said.text())
            left = recipes.without(options, unknown) if unknown else None
            if unknown is None or left is None:
                log.feed(said.text().encode())
                reader.take(tried)
                return False
            log.feed(recipes.drop_note(unknown).encode())
            options = left

    def _command(
        self,
        job: Job,
        argv: list[str],
        cwd: Path,
        log: HeadTail,
        reader: Reader,
        what: str,
        *,
        configuring: bool = False,
    ) -> bool:
        """Run one command of the build; False if it failed and the machine was not to blame."""

        def line(text: str) -> None:
            if reader.feed(text):
                self._progress.work(what, reader.at, reader.total)

        self._progress.work(what)
        left = max(job.deadline - time.monotonic(), 0.1)
        box = self._sandbox(job, read=job.place.source, write=job.place.build, lock=job.place.source / _MESON_LOCK)
        done = self._run(
            argv, cwd=cwd, env=job.env, timeout=left, log_limit=_LOG, flood=_FLOOD, stop=job.stop, on_line=line,
            sandbox=box, grace=_GRACE,
        )  # fmt: skip
        log.feed(f"$ {' '.join(argv)}\n{done.output}\n".encode())
        if done.exceeded is not None:
            raise InfraError(f"{what}: ended, for {done.exceeded}")
        if done.timed_out:
            raise InfraError(
                f"{what}: not done after {self._settings.timeout:.0f} s and ended; raise build.timeout, or look why: "
                f"last said: {_last_line(done.output)}"
            )
        if done.ok:
            return True
        if configuring and recipes.refused(done.output):
            return False
        self._blame_machine(what, fault(done.output, done.returncode, configuring=configuring), reader, done.output)
        return False

    def _blame_machine(self, what: str, kind: Fault | None, reader: Reader, output: str) -> None:
        """Raise if the machine is what failed."""
        if kind is Fault.TOOL:
            problems = tools.tool_problems()
            hint = tools.missing(problems) if problems else kind.value
            raise UserError(f"{what}: {reader.first_error or _last_line(output)}: {hint}")
        if kind is not None:
            raise InfraError(f"{what}: {kind.value} ({reader.first_error or _last_line(output)})")

    def _digest(self, job: Job) -> str:
        """All that configure depends on, of this commit and this machine."""
        inputs = [self._repository.entry(job.commit, path) for path in recipes.CONFIGURE_INPUTS]
        parts = [inputs, self._manner(job), [(p.path, p.content) for p in job.pins]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _manner(self, job: Job) -> str:
        """The part of that which is the same for all commits: recipe, environment, tools."""
        parts = [recipes.digest(job.recipe), sorted(job.env.items()), sorted(job.toolchain.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    # -- the artifact --------------------------------------------------------------------------------------------

    def _entry(self, job: Job, tree: Tree, build: Build) -> Entry:
        if build.status is BuildStatus.FAILED:
            return Entry(build)
        arch = job.place.arch
        binary = next(_built(tree.build, job.target, arch))
        stripped = tree.fresh("out") / f"qemu-system-{arch}"
        box = self._sandbox(job, read=tree.build, write=stripped.parent)
        done = self._run(["strip", "-o", str(stripped), str(binary)], env=job.env, timeout=120, sandbox=box)
        if not done.ok:
            kind = fault(done.output, done.returncode)
            raise InfraError(f"strip {binary}: {_last_line(done.output)}" + (f": {kind.value}" if kind else ""))
        if self._at_once > 1 and str(tree.path).encode() in stripped.read_bytes():
            raise UserError(
                f"build.recipes.{job.recipe.name}: its binaries hold the path of the tree that they were built in, so "
                "those of two trees cannot be compared; give gcc -ffile-prefix-map={source}=. and "
                "-ffile-prefix-map={build}=build in its env, or build one at a time (build.parallel)"
            )
        run = partial(self._run, sandbox=self._sandbox(job, read=tree.source, write=tree.build))
        closure = recorded(tree.build, tree.relative, run, job.env)
        firmware = dict(_firmware(tree.source))
        reads = None if job.foreign else tree.reads
        if reads is not None:
            reads |= (closure or frozenset()) | taken(tree.source, job.pins)
            reads |= {str(path.relative_to(tree.source)) for path in firmware.values()}
        return Entry(build, stripped, firmware, closure, reads)

    def _sandbox(self, job: Job, *, read: Path, write: Path, lock: Path | None = None) -> Sandbox | None:
        """Where a command runs that a commit had a say in: it may change one directory, and nothing else but a lock."""
        given = self._settings.sandbox
        if given is None:
            return None
        box = given.with_paths(read=(read, self._work / "tools"), write=(write,))
        if lock is not None and lock.parent.is_dir() and not any(path.is_symlink() for path in (lock, lock.parent)):
            lock.touch()
            box = box.with_paths(write=(lock,))
        if self._settings.ccache is not None and not job.foreign:
            box = box.with_paths(write=tuple(filter(None, (self._work / "ccache", self._settings.ccache.folder))))
        return replace(box, home=self._work / "home")


def _binaries(build: Path, target: str, arch: str) -> tuple[Path, ...]:
    """Where QEMU's builds put the executable: beside all else from 5.2 on, in the target's directory before."""
    return build / f"qemu-system-{arch}", build / target / f"qemu-system-{arch}"


def _built(build: Path, target: str, arch: str) -> Iterator[Path]:
    return (path for path in _binaries(build, target, arch) if path.is_file() and os.access(path, os.X_OK))


def _firmware(source: Path) -> Iterator[tuple[str, Path]]:
    """Images and keymaps that a QEMU opens at run time, by their name below -L, as they are in the sources.

    Compressed EDK2 images are none: no machine type opens one by itself. Links are none: they may lead out of the tree.
    """
    folder, tree = source / "pc-bios", source.resolve()
    for path in sorted(folder.glob("*")) + sorted(folder.glob("keymaps/*")):
        named = path.parent.name == "keymaps" or _FIRMWARE_WITHOUT_SUFFIX.match(path.name)
        ours = path.is_file() and path.resolve() == tree / path.relative_to(source)
        if ours and (named or path.suffix not in _NOT_FIRMWARE):
            yield str(path.relative_to(folder)), path


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _last_line(output: str) -> str:
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")
