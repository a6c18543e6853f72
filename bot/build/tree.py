"""One place where one recipe builds one target: sources, build directory, and what is known of both.

    trees/<recipe>-<target>/src       the commit's files, no .git, with content of submodules
    trees/<recipe>-<target>/build     the build directory, used from commit to commit
    trees/<recipe>-<target>/aside     the same, put away while a clean one is tried
    trees/<recipe>-<target>/reads     files of the sources that were opened for what is in the build directory
    trees/<recipe>-<target>/out       the stripped binary, on its way into the cache
    trees/<recipe>-<target>-2/...     the same for a second build at the same time

What is built does not depend on where or after what it was built: the recipe's flags leave the paths of a tree out.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bot.build.submodules import Pin, Placer
from bot.errors import Stopped
from bot.host import disk
from bot.host.checkout import checkout
from bot.host.git import Repository
from bot.model import Sha, Submodule
from bot.progress import Progress

_POLL = 0.5  # seconds between looks at the stop event while another process has the tree


@dataclass(frozen=True, slots=True)
class State:
    """What the build directory is."""

    configured: str = ""  # digest of all that configure was given when it last succeeded; "": not configured
    manner: str = ""  # digest of flags and tools: make does not know what other ones it has objects of
    good: Sha | None = None  # the last commit that built here
    dirty: bool = False  # a build began and did not end by itself: nothing here can be trusted


class Tree:
    """Sources and build directory of one (recipe, target); to be used inside `held`, below."""

    def __init__(self, path: Path, modules: Path, sources: Mapping[str, Submodule]) -> None:
        self.path = path
        self.source = path / "src"
        self.build = path / "build"
        self._aside = path / "aside"
        self._index = path / "index"
        self._note = path / "modules.json"
        self._state = path / "state.json"
        self._reads = path / "reads"
        self._reads_aside = path / "reads-aside"
        self._placer = Placer(self.source, self._note, modules, sources)

    # -- state ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        try:
            return State(**json.loads(self._state.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return State(dirty=self.build.exists())

    def update(self, **changes: object) -> None:
        """Change fields of the state, on the disk before this returns."""
        state = dataclasses.replace(self.state, **changes)  # type: ignore[arg-type] # fields by name
        disk.replace(self._state, json.dumps(dataclasses.asdict(state)).encode())

    def begin(self) -> None:
        """A build starts. What a killed build left is removed, with the sources, which it may have half changed."""
        if self.state.dirty:
            self.wipe()
        self.drop_aside()
        self.update(dirty=True)

    def wipe(self) -> None:
        """Start anew: nothing is kept but the lock."""
        for folder in (self.source, self.build, self._aside):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self._index, self._note, self._state, self._reads, self._reads_aside):
            file.unlink(missing_ok=True)

    # -- sources -------------------------------------------------------------------------------------------------

    def checkout(
        self, repository: Repository, commit: Sha, pins: tuple[Pin, ...], trusted: Callable[[Pin], bool]
    ) -> None:
        """Make the sources those of the commit. Files that do not change keep their times."""
        self._placer.clear(pins)
        checkout(repository, commit, self.source, self._index)
        self._placer.place(pins, trusted)

    def relative(self, path: str) -> str | None:
        """A file that a compiler run in the build directory named, as a path of the commit; None if it is not ours."""
        full = os.path.normpath(self.build / path)
        return os.path.relpath(full, self.source) if full.startswith(f"{self.source}/") else None

    def fresh(self, name: str) -> Path:
        """An empty directory of ours beside the sources."""
        path = self.path / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    # -- build directory -----------------------------------------------------------------------------------------

    @property
    def used(self) -> bool:
        """Whether the build directory was configured, by an earlier commit as a rule."""
        return bool(self.state.configured)

    def ready(self) -> bool:
        """Have a build directory; True if it is a clean one. What was never configured holds nothing of use."""
        if self.used:
            return False
        shutil.rmtree(self.build, ignore_errors=True)
        self.build.mkdir()
        disk.replace(self._reads, b"")
        return True

    @property
    def reads(self) -> frozenset[str] | None:
        """Paths of the commit that were read since the build directory was clean; None: not known."""
        try:
            return frozenset(os.fsdecode(self._reads.read_bytes()).split("\0")) - {""}
        except FileNotFoundError:
            return None

    def note(self, paths: frozenset[str] | None) -> None:
        """More was read for the build directory; None: what, nobody knows, and so for all that is built on top."""
        known = self.reads
        if paths is None:
            self._reads.unlink(missing_ok=True)
        elif known is not None and not paths <= known:
            disk.replace(self._reads, os.fsencode("\0".join(sorted(known | paths))))

    def renew(self, manner: str) -> None:
        """Start the build directory anew if it holds what was built in another manner."""
        if self.state.manner != manner:
            shutil.rmtree(self.build, ignore_errors=True)
            self.update(configured="", good=None, manner=manner)

    def put_aside(self) -> None:
        """Have a clean build directory, and keep the used one."""
        shutil.rmtree(self._aside, ignore_errors=True)
        self.build.rename(self._aside)
        if self._reads.exists():
            self._reads.replace(self._reads_aside)
        self.update(configured="", good=None)

    def take_back(self, before: State) -> None:
        """Have the used one again, with the state it had."""
        shutil.rmtree(self.build, ignore_errors=True)
        self._aside.rename(self.build)
        self._reads.unlink(missing_ok=True)
        if self._reads_aside.exists():
            self._reads_aside.replace(self._reads)
        self.update(configured=before.configured, good=before.good)

    def drop_aside(self) -> None:
        self._reads_aside.unlink(missing_ok=True)
        shutil.rmtree(self._aside, ignore_errors=True)


@contextmanager
def held(trees: Sequence[Tree], progress: Progress, stop: threading.Event | None) -> Iterator[Tree]:
    """Have one of the trees for ourselves, the first that is free; waits for those who build there.

    Raises `Stopped`.
    """
    while True:
        for tree in trees:
            tree.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(tree.path / "lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            try:
                yield tree
            finally:
                lock.release()
            return
        progress.work(f"waiting for another build in {trees[0].path}")
        if (stop or threading.Event()).wait(_POLL):
            raise Stopped(f"stopped while waiting for {trees[0].path}")
