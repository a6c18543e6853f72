"""Words of the build: recipes, limits, and what became of one build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bot.model.sandbox import Sandbox
from bot.model.smoke import Binary, Sha


@dataclass(frozen=True, slots=True)
class Recipe:
    """How QEMU of one era builds on this distribution. The first recipe whose `has` and `lacks` fit a tree is used.

    `has` and `lacks` are paths in the commit's tree, optionally `PATH:TEXT` (the file holds TEXT). `configure` holds
    arguments for ./configure; an option that this commit does not know is dropped and configure runs again.
    """

    name: str
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    configure: tuple[str, ...] = ()
    build: tuple[str, ...] = ("ninja", "qemu-system-{arch}")
    env: Mapping[str, str] = field(default_factory=dict)
    meson: str | None = None  # version from PyPI put first in PATH; None: what the tree brings
    submodules: tuple[str, ...] = ()  # paths whose content this era needs in the tree


@dataclass(frozen=True, slots=True)
class Submodule:
    """Where a submodule's files come from: a git URL, or directories that hold them, by pinned commit (a prefix)."""

    url: str | None = None
    trees: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ccache:
    """Compilers by ccache: `size` in bytes; `remote` is its CCACHE_REMOTE_STORAGE, None if there is none."""

    size: int = 5 * 2**30
    remote: str | None = None

    @property
    def folder(self) -> Path | None:
        """The directory that `remote` names, None if it is on the network: "file:/srv/ccache|read-only=true"."""
        kind, _, rest = (self.remote or "").partition(":")
        return Path("/", rest.partition("|")[0].lstrip("/")) if kind == "file" else None


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Limits and recipes of a builder."""

    recipes: tuple[Recipe, ...]
    submodules: Mapping[str, Submodule] = field(default_factory=dict)
    jobs: int = 0  # 0: one per core
    parallel: int = 1  # builds at a time, each with a tree of its own; what else is to be built waits its turn
    timeout: float = 3600.0  # seconds for one build
    cache: Path | None = None  # where artifacts are kept, for many hosts if they share it; None: in the work directory
    cache_size: int = 10 * 2**30  # bytes of artifacts kept, compressed; least recently used go first
    unpacked_size: int = 2 * 2**30  # bytes of artifacts that are unpacked, those in use besides; the same
    free_space: int = 5 * 2**30  # bytes that must be free before a build starts
    ccache: Ccache | None = None  # None: without
    share: bool = True  # a commit that changes nothing of what a build read has that build's binary
    sandbox: Sandbox | None = None  # what commands of a build run in; None: with our own rights


class BuildStatus(StrEnum):
    BUILT = "built"
    FAILED = "failed"  # the commit does not build: `error` is the first error, `log` the log


class BuildKind(StrEnum):
    FULL = "full"  # in a fresh directory
    INCREMENTAL = "incremental"
    SHARED = "shared"  # no file that a build of another commit read is different in this one: it is the same binary
    CACHED = "cached"  # an artifact of this commit, recipe and toolchain was there

    @property
    def compiled(self) -> bool:
        """Whether anything was built."""
        return self in (BuildKind.FULL, BuildKind.INCREMENTAL)


@dataclass(frozen=True, slots=True)
class Build:
    """One build of one commit for one target. `seconds` is wall time; `steps` the compile steps that ran."""

    commit: Sha
    target: str
    recipe: str
    status: BuildStatus
    kind: BuildKind
    seconds: float
    steps: int = 0
    toolchain: str = ""  # "gcc 12.2.0, Debian 12"
    binary: Binary | None = None
    error: str | None = None
    log: str = ""
    same_as: Sha | None = None  # the commit that was built, if this one shares its binary
    host: str = ""  # name of the worker that built it; "": the coordinator itself
    tools: str = ""  # the toolchain, and a digest of every version in it: "gcc 12.2.0, Debian 12 (0f3a9c21)"


@dataclass(frozen=True, slots=True)
class Change:
    """A path in which two commits differ. Modes are git's (160000 for a submodule); "" where it is not there."""

    path: str
    before: str
    after: str
