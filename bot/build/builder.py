"""The builder: a commit and a target in, a `Build` out, with as little compiled as can be answered for.

It decides what is built, where and when; what no cache has and no other build shares is built by `making`.
"""

from __future__ import annotations

import copy
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bot.build import recipe as recipes
from bot.build import submodules, tools
from bot.build.artifacts import Artifacts
from bot.build.cache import Cache
from bot.build.making import Job, Making
from bot.build.sharing import shared
from bot.build.tree import Tree, held
from bot.build.turns import Turns
from bot.errors import InfraError, UserError
from bot.host import disk, process
from bot.host.git import Repository
from bot.model import Build, BuildKind, BuildSettings, BuildStatus, Recipe, Sha
from bot.progress import Progress

_TARGET = re.compile(r"[a-z0-9_]+-softmmu\Z")


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
                making = Making(
                    job, tree, self._repository, self._settings, self._work, self._progress, self._run,
                    several=self._at_once > 1,
                )  # fmt: skip
                attempt, steps = making.attempt()
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
                built = self._cache.add(key, making.entry(build))
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


def _cores() -> int:
    return len(os.sched_getaffinity(0))
