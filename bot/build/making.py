"""One build: a job in a tree, tried until it is known whether the commit builds, and what is kept of it.

A commit is called unbuildable (`BuildStatus.FAILED`) only after a clean directory said so, or a compiler did about a
file that is not as it was when the directory last built (see `Making._believed`). What the machine did wrong is an
`InfraError` or `UserError` and says nothing of the commit.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bot.build import recipe as recipes
from bot.build import submodules, tools
from bot.build.artifacts import Key
from bot.build.cache import Entry
from bot.build.closure import recorded
from bot.build.diagnosis import Fault, Reader, fault
from bot.build.sharing import taken
from bot.build.submodules import Pin
from bot.build.tree import State, Tree
from bot.errors import InfraError, Killed, Stopped, UserError
from bot.host.git import Repository
from bot.host.process import HeadTail
from bot.host.reads import watched
from bot.model import Build, BuildSettings, BuildStatus, Recipe, Sandbox, Sha
from bot.progress import Progress

_LOG = 512 * 1024  # bytes of a build's log that are kept, head and tail
_GRACE = 20.0  # seconds that make and ninja have to remove what they were making: a killed one's tree is worth nothing
_FLOOD = 100 * 2**20  # bytes that no command of a build has to say; all of a build's are 1 MB
_MESON_LOCK = "subprojects/.wraplock"  # meson 1.9 and 1.10 open it for writing, in the sources
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


@dataclass(frozen=True, slots=True)
class Making:
    """A job being built in a tree that is held. `several`: others are built beside it, and compared with what it makes.

    Below `work` are the tools, the home directory and the compiler's cache that the commands see.
    """

    job: Job
    tree: Tree
    repository: Repository
    settings: BuildSettings
    work: Path
    progress: Progress
    run: tools.Runner
    several: bool

    def attempt(self) -> tuple[Attempt, int]:
        """The attempt that decides, and the steps of all. The tree is left fit for the next commit."""
        if self.job.foreign:
            self.tree.wipe()
        self.tree.begin()
        self.tree.renew(self._manner())
        try:
            trusted = partial(submodules.trusted, self.repository, self.job.commit, self.job.recipe)
            self.tree.checkout(self.repository, self.job.commit, self.job.pins, trusted)
            before, used = self.tree.state, self.tree.used
            attempt = self._watched()
            steps = attempt.steps
            if used and not attempt.ok and not self._believed(before, attempt):
                attempt = self._clean(before, attempt)
                steps += attempt.steps
        except (InfraError, Killed):
            self.tree.wipe()  # a compiler without disk, memory or time may have left half a file; it also makes room
            raise
        except (Stopped, UserError):
            self.tree.update(dirty=False)  # make and ninja remove what they were making when they are told to end
            raise
        self.tree.update(dirty=False, **({"good": self.job.commit} if attempt.ok else {}))
        return attempt, steps

    def _clean(self, before: State, first: Attempt) -> Attempt:
        """Once more in a clean directory. The used one is taken back if it turns out that the commit was at fault."""
        self.progress.say(f"{self.job.commit[:12]} {self.job.target}: {first.error}; once more in a clean directory")
        self.tree.put_aside()
        second = self._watched()
        if not second.ok and not first.configured and second.blamed is not None:
            self.tree.take_back(before)
        else:
            self.tree.drop_aside()
        return second

    def _believed(self, before: State, attempt: Attempt) -> bool:
        """Whether a failure in a used directory is the commit's own, so that a full build would tell nothing new.

        It is if compilers complained, and nothing else did, and only about files of the commit that are not as they
        were in the commit that last built here. Anything else (regeneration, links, generated files, a header that is
        not there, a file that compiled before) may be due to what the directory held.
        """
        if attempt.configured or attempt.blamed is None or before.good is None:
            return False
        for named in attempt.blamed:
            path = self.tree.relative(named)
            now = path and self.repository.entry(self.job.commit, path)
            if path is None or now is None or now == self.repository.entry(before.good, path):
                return False
        return True

    def _watched(self) -> Attempt:
        """An attempt, of which is noted what it read, however it ends."""
        reads = None
        try:
            with watched(self.tree.source) as reads:
                return self._attempt()
        finally:
            self.tree.note(None if reads is None else reads.paths)

    # -- one attempt ---------------------------------------------------------------------------------------------

    def _attempt(self) -> Attempt:
        """Configure if needed, delete the binary, build, and look whether it is there."""
        fresh = self.tree.ready()
        arch = self.job.place.arch
        wanted = self._digest()
        log, reader = HeadTail(_LOG), Reader()
        configure = self.tree.state.configured != wanted

        def ended(ok: bool) -> Attempt:
            error = None if ok else reader.first_error or _last_line(log.text())
            return Attempt(ok, fresh, configure, reader.steps, error, reader.blamed, log.text())

        if configure:
            self.tree.update(configured="")
            if not self._configure(log, reader):
                return ended(False)
            self.tree.update(configured=wanted)
        for binary in _binaries(self.tree.build, self.job.target, arch):
            binary.unlink(missing_ok=True)  # a failed build must not leave an older one to be taken for it
        argv = recipes.build_argv(self.job.recipe, self.job.place)
        done = self._command(argv, self.tree.build, log, reader, f"building {self.job.commit[:12]} {self.job.target}")
        if not done:
            return ended(False)
        if next(_built(self.tree.build, self.job.target, arch), None) is None:
            log.feed(b"error: the build ended without an error, but made no qemu-system-" + arch.encode() + b"\n")
            return ended(False)
        return ended(True)

    def _configure(self, log: HeadTail, reader: Reader) -> bool:
        """Run configure until it takes all options that are left; False if it fails otherwise."""
        options: tuple[str, ...] = tuple(self.job.place.fill(o) for o in self.job.recipe.configure)
        what = f"configuring {self.job.commit[:12]} {self.job.target}"
        while True:
            argv = recipes.configure_argv(self.job.place, options)
            tried = Reader()
            said = HeadTail(_LOG)
            if self._command(argv, self.job.place.build, said, tried, what, configuring=True):
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
                self.progress.work(what, reader.at, reader.total)

        self.progress.work(what)
        left = max(self.job.deadline - time.monotonic(), 0.1)
        place = self.job.place
        box = self._sandbox(read=place.source, write=place.build, lock=place.source / _MESON_LOCK)
        done = self.run(
            argv, cwd=cwd, env=self.job.env, timeout=left, log_limit=_LOG, flood=_FLOOD, stop=self.job.stop,
            on_line=line, sandbox=box, grace=_GRACE,
        )  # fmt: skip
        log.feed(f"$ {' '.join(argv)}\n{done.output}\n".encode())
        if done.exceeded is not None:
            raise InfraError(f"{what}: ended, for {done.exceeded}")
        if done.timed_out:
            raise InfraError(
                f"{what}: not done after {self.settings.timeout:.0f} s and ended; raise build.timeout, or look why: "
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

    def _digest(self) -> str:
        """All that configure depends on, of this commit and this machine."""
        inputs = [self.repository.entry(self.job.commit, path) for path in recipes.CONFIGURE_INPUTS]
        parts = [inputs, self._manner(), [(p.path, p.content) for p in self.job.pins]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _manner(self) -> str:
        """The part of that which is the same for all commits: recipe, environment, tools."""
        parts = [recipes.digest(self.job.recipe), sorted(self.job.env.items()), sorted(self.job.toolchain.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    # -- the artifact --------------------------------------------------------------------------------------------

    def entry(self, build: Build) -> Entry:
        if build.status is BuildStatus.FAILED:
            return Entry(build)
        arch = self.job.place.arch
        binary = next(_built(self.tree.build, self.job.target, arch))
        stripped = self.tree.fresh("out") / f"qemu-system-{arch}"
        box = self._sandbox(read=self.tree.build, write=stripped.parent)
        done = self.run(["strip", "-o", str(stripped), str(binary)], env=self.job.env, timeout=120, sandbox=box)
        if not done.ok:
            kind = fault(done.output, done.returncode)
            raise InfraError(f"strip {binary}: {_last_line(done.output)}" + (f": {kind.value}" if kind else ""))
        if self.several and str(self.tree.path).encode() in stripped.read_bytes():
            raise UserError(
                f"build.recipes.{self.job.recipe.name}: its binaries hold the path of the tree that they were built "
                "in, so those of two trees cannot be compared; give gcc -ffile-prefix-map={source}=. and "
                "-ffile-prefix-map={build}=build in its env, or build one at a time (build.parallel)"
            )
        run = partial(self.run, sandbox=self._sandbox(read=self.tree.source, write=self.tree.build))
        closure = recorded(self.tree.build, self.tree.relative, run, self.job.env)
        firmware = dict(_firmware(self.tree.source))
        reads = None if self.job.foreign else self.tree.reads
        if reads is not None:
            reads |= (closure or frozenset()) | taken(self.tree.source, self.job.pins)
            reads |= {str(path.relative_to(self.tree.source)) for path in firmware.values()}
        return Entry(build, stripped, firmware, closure, reads)

    def _sandbox(self, *, read: Path, write: Path, lock: Path | None = None) -> Sandbox | None:
        """Where a command runs that a commit had a say in: it may change one directory, and nothing else but a lock."""
        given = self.settings.sandbox
        if given is None:
            return None
        box = given.with_paths(read=(read, self.work / "tools"), write=(write,))
        if lock is not None and lock.parent.is_dir() and not any(path.is_symlink() for path in (lock, lock.parent)):
            lock.touch()
            box = box.with_paths(write=(lock,))
        if self.settings.ccache is not None and not self.job.foreign:
            box = box.with_paths(write=tuple(filter(None, (self.work / "ccache", self.settings.ccache.folder))))
        return replace(box, home=self.work / "home")


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


def _last_line(output: str) -> str:
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")
