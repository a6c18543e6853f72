"""Words of the smoke: cases, what they are run with, what one run observed.

Machine types, options and runstates are QEMU's own words (qapi/machine.json, qapi/run-state.json).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

Sha = str
"""A full 40-hex commit id."""


class Direction(StrEnum):
    """Which side of a migration runs the commit under test."""

    SAME = "same"  # commit -> commit
    FORWARD = "forward"  # baseline -> commit
    BACKWARD = "backward"  # commit -> baseline


class Outcome(StrEnum):
    """What one run observed. Only PASS is good; what the others mean for a search is `core.verdict`'s business."""

    PASS = "PASS"  # noqa: S105 - an outcome, not a password
    FAIL_DST = "FAIL_DST"  # the destination refused the stream or exited
    FAIL_SRC = "FAIL_SRC"  # the source refused to migrate, or reported failure while the destination said nothing
    CRASH_SRC = "CRASH_SRC"  # the source died of a signal
    CRASH_DST = "CRASH_DST"  # the destination died of a signal
    HANG = "HANG"  # the deadline passed without an answer
    SILENT = "SILENT"  # all said "completed", yet the destination is not what the source was
    FAIL_START = "FAIL_START"  # this side does not start with an argv that the other side starts with
    TYPE_GONE = "TYPE_GONE"  # a machine type vanished before the deletion rule allows it
    UNTESTABLE = "UNTESTABLE"  # type or device absent, or it never started here
    NOT_BUILT = "NOT_BUILT"  # the commit does not build
    INFRA = "INFRA"  # the machine failed us; never a verdict


class Verdict(StrEnum):
    """What a bisection hears about a commit."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"  # cannot be tested, or fails in another way: stays a suspect


@dataclass(frozen=True, slots=True)
class Signature:
    """Identity of a failure, stable over addresses, paths, program names and QEMU versions.

    klass is a short word (`ramblock`, `pci-config`, `assert`, `start`, ...), device the device or RAM block it names,
    detail what else is stable about it. Two failures are the same if and only if their keys are equal.
    """

    klass: str
    device: str | None = None
    detail: str | None = None
    signal: str | None = None  # "SIGABRT"

    @property
    def key(self) -> str:
        """8 hex digits; the `sig=` of a mail and the name of this failure in the store."""
        parts = (self.signal or "", self.klass, self.device or "", self.detail or "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]

    def __str__(self) -> str:
        return " ".join(p for p in (self.signal, self.klass, self.device, self.detail) if p)


@dataclass(frozen=True, slots=True)
class Profile:
    """The device set and options a machine is started with.

    Arguments go to both sides; `{dir}` in one stands for a scratch directory of the run. `run` is how long the guest
    runs on the source before it migrates, in seconds; 0 starts the source with -S, so that no guest code runs at all.
    """

    name: str
    args: tuple[str, ...] = ()
    source_args: tuple[str, ...] = ()
    destination_args: tuple[str, ...] = ()
    run: float = 0.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """A released QEMU on the other side: a revision that the bot builds (`ref`), or an installed binary (`path`).

    A path may hold `{arch}`, which is replaced by the target's name (`x86_64`).
    """

    name: str
    ref: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of a commit: one machine type, one profile, one direction, one other side."""

    target: str  # "x86_64-softmmu"
    machine: str  # "pc-q35-9.2"
    profile: str
    direction: Direction = Direction.SAME
    baseline: str | None = None  # name of a Baseline; None if and only if direction is SAME

    @property
    def arch(self) -> str:
        return self.target.removesuffix("-softmmu")

    @property
    def id(self) -> str:
        """One line that names the case in logs, in the store and on the pages."""
        return "/".join((self.target, self.machine, self.profile, self.direction, self.baseline or "-"))


@dataclass(frozen=True, slots=True)
class Binary:
    """One QEMU executable. `sha256` is of the executable's bytes; `data_dir` is passed with -L (None: its own)."""

    path: Path
    sha256: str
    data_dir: Path | None = None
    commit: Sha | None = None
    name: str = ""  # how reports call it: "v2.12.0", "qemu-7.2", "5f0c1e9a1b2c"


@dataclass(frozen=True, slots=True)
class SmokeSettings:
    """How smokes are run. Times in seconds.

    `memory` maps patterns of machine types (fnmatch) to -m values, first fit; `script` replaces the built-in migration.
    """

    memory: Mapping[str, str] = field(default_factory=lambda: {"pseries*": "256M", "*": "128M"})
    accel: str = "tcg"
    deadline: float = 60.0
    script: str | None = None
    exclude: tuple[str, ...] = ("none", "x-remote", "xenfv*", "xenpv*", "nitro*")  # machine types never smoked


@dataclass(frozen=True, slots=True)
class MachineType:
    """One line of query-machines. `versioned` types promise migration between releases, the others only `same`."""

    name: str
    alias: str | None = None
    versioned: bool = False
    deprecated: bool = False
    default_cpu: str | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a binary says of itself. `version` as query-version gives it ("7.2.22"), with the package in brackets."""

    arch: str
    version: str
    machines: tuple[MachineType, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """A text kept with a run: stderr and QMP trace of a side, output of a script."""

    name: str  # "source.stderr", "destination.stderr", "source.qmp", "destination.qmp", "output"
    text: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What one smoke saw. `message` is the line that says it best, verbatim where QEMU said it."""

    outcome: Outcome
    signature: Signature | None = None
    message: str = ""
    seconds: float = 0.0
    argv: tuple[tuple[str, ...], ...] = ()  # of the source, of the destination
    exits: tuple[int | None, ...] = ()  # exit codes of the source, of the destination; None: ended by us
    logs: tuple[Log, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of one case on one commit: the only thing that verdicts are made of."""

    commit: Sha
    case: Case
    observation: Observation
    binary: str | None = None  # sha256 of the commit's executable; None if it was not built
    other: str | None = None  # sha256 of the executable on the other side
    at: float = 0.0  # seconds since the epoch, given by the coordinator's clock
    setup: str = ""  # digest of all that the outcome depends on besides the commit; runs compare only within one setup

    @property
    def outcome(self) -> Outcome:
        return self.observation.outcome

    @property
    def signature(self) -> Signature | None:
        return self.observation.signature
