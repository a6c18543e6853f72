"""Words of the smoke: cases, what they are run with, what one run observed.

Machine types, options and runstates are QEMU's own words (qapi/machine.json, qapi/run-state.json).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bot.model.sandbox import Sandbox

Sha = str
"""A full 40-hex commit id."""


PRECOPY = "precopy"
"""The plain migration method: over a unix socket, the guest's memory first."""

METHODS = (PRECOPY, "ping-pong", "exec", "savevm", "multifd", "postcopy")
"""Names of all migration methods."""

SWEEPS = ("each_tip", "nightly")
"""Names of the sections of the configuration that say which part of the matrix is run."""

TCG = "tcg"
"""The accelerator of qemu-system-* without -accel."""


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
    detail what else is stable about it. Two failures are the same if and only if their keys are equal. A RAM block is
    the detail; it stands in the device's place too if a text does not name its section (`ram`), which makes no other
    key.
    """

    klass: str
    device: str | None = None
    detail: str | None = None
    signal: str | None = None  # "SIGABRT"

    @property
    def key(self) -> str:
        """8 hex digits; the `sig=` of a mail and the name of this failure in the store."""
        device = "ram" if self.device and self.device == self.detail else self.device
        parts = (self.signal or "", self.klass, device or "", self.detail or "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]

    def __str__(self) -> str:
        return " ".join(p for p in (self.signal, self.klass, self.device, self.detail) if p)


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a profile: the value of its -device, and the arguments (backends) that it cannot do without.

    It is plugged where a pattern (fnmatch) fits the machine type, and where both binaries have it and can migrate it.
    """

    device: str  # "virtio-net-pci,netdev=n0"
    needs: tuple[str, ...] = ()  # ("-netdev", "hubport,hubid=0,id=n0")
    machines: tuple[str, ...] = ("*",)

    @property
    def name(self) -> str:
        """The device's type, as `-device help` lists it."""
        return self.device.partition(",")[0]

    @property
    def args(self) -> tuple[str, ...]:
        return (*self.needs, "-device", self.device)


@dataclass(frozen=True, slots=True)
class Profile:
    """The device set and options a machine is started with.

    Arguments go to both sides; `{dir}` in one stands for a scratch directory of the run. `run` is how long the guest
    runs on the source before it migrates, in seconds; 0 starts the source with -S, so that no guest code runs at all.
    `devices` are plugged as far as both binaries have them. `guest` boots the bot's own guest, which must go on.
    `machines` are patterns of the machine types that the profile is for.
    """

    name: str
    args: tuple[str, ...] = ()
    source_args: tuple[str, ...] = ()
    destination_args: tuple[str, ...] = ()
    run: float = 0.0
    devices: tuple[Device, ...] = ()
    guest: bool = False
    machines: tuple[str, ...] = ("*",)


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
    method: str = PRECOPY  # name of a migration method: "precopy", "exec", "multifd", ...
    accel: str = TCG  # of both sides; "kvm", perhaps with properties: "kvm,kernel-irqchip=split"

    @property
    def arch(self) -> str:
        return self.target.removesuffix("-softmmu")

    @property
    def id(self) -> str:
        """One line that names the case in logs, in the store and on the pages.

        Method and accelerator are named only where they are not precopy and tcg.
        """
        parts = [self.target, self.machine, self.profile, self.direction, self.baseline or "-"]
        if (self.method, self.accel) != (PRECOPY, TCG):
            parts.append(self.method)
        if self.accel != TCG:
            parts.append(self.accel)
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Binary:
    """One QEMU executable. `sha256` is of the executable's bytes; `data_dir` is passed with -L (None: its own)."""

    path: Path
    sha256: str
    data_dir: Path | None = None
    commit: Sha | None = None
    name: str = ""  # how reports call it: "v2.12.0", "qemu-7.2", "5f0c1e9a1b2c"
    sandbox: Sandbox | None = None  # what it runs in; None: with our own rights


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """What machine types of one kind are started with besides: data, for it differs by family and release.

    `machines` and `targets` are patterns (fnmatch), `accel` the accelerator it is for (None: any). `options` go behind
    the type in -M. `cpu` is the -cpu of both sides; `CPU_OF_THE_OLDER` names the default CPU that the older of two
    different binaries has for the type.
    """

    why: str
    machines: tuple[str, ...]
    targets: tuple[str, ...] = ("*",)
    accel: str | None = None
    options: str = ""
    cpu: str | None = None


CPU_OF_THE_OLDER = "older"
"""`MachineOptions.cpu`: what query-machines of the older binary calls default-cpu-type (since 4.2), if it says it."""


@dataclass(frozen=True, slots=True)
class SmokeSettings:
    """How smokes are run. Times in seconds.

    `memory` maps patterns of machine types (fnmatch) to -m values, first fit; `script` replaces the built-in migration.
    A destination that the reproducer of a report still finds there after `reproducer_wait` has loaded the stream.
    """

    memory: Mapping[str, str] = field(default_factory=lambda: {"pseries*": "256M", "*": "128M"})
    deadline: float = 60.0
    script: str | None = None
    machines: tuple[MachineOptions, ...] = ()
    reproducer_wait: float = 10.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """Which part of the matrix is run: every profile in every direction, by each method with the profiles it is for.

    `methods` maps a method to patterns (fnmatch) of profiles. An accelerator is `tcg`, `kvm` (wanted: where it is not
    usable that is told), or `kvm-if-usable`.
    """

    profiles: tuple[str, ...]
    directions: tuple[Direction, ...]
    methods: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {PRECOPY: ("*",)})
    accels: tuple[str, ...] = (TCG,)


@dataclass(frozen=True, slots=True)
class Expected:
    """A failure that is known and not news, why, and what ends that.

    Patterns (fnmatch) and words that are left out fit everything. `source` and `destination` are conditions on the
    release of a side: `>=9.2`, `<=9.1,>=8.0`, `10.0.13` (that one alone), `10.0` (its point releases too). It ends when
    the date `expires` (ISO 8601) has passed, or for commits that contain `until`.
    """

    id: str
    why: str
    owner: str
    expires: str | None = None
    until: str | None = None  # a commit id, at least 10 hex digits
    targets: tuple[str, ...] = ("*",)
    machines: tuple[str, ...] = ("*",)
    profiles: tuple[str, ...] = ("*",)
    methods: tuple[str, ...] = ("*",)
    directions: tuple[Direction, ...] = tuple(Direction)
    accels: tuple[str, ...] = ("*",)
    classes: tuple[str, ...] = ("*",)
    devices: tuple[str, ...] = ("*",)
    source: str = ""
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Machine types (patterns, fnmatch) that are never run, why, and what ends that: as `Expected`, or nothing."""

    machines: tuple[str, ...]
    why: str
    owner: str | None = None
    expires: str | None = None
    until: str | None = None


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
    devices: frozenset[str] = frozenset()  # what -device takes
    commands: frozenset[str] = frozenset()  # of QMP
    capabilities: frozenset[str] = frozenset()  # of migration
    parameters: frozenset[str] = frozenset()  # of migration

    @property
    def release(self) -> str:
        """The version's number alone."""
        return self.version.partition(" ")[0]


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
    releases: tuple[str, ...] = ()  # of the source, of the destination, as query-version says it: "7.2.22"
    left_out: tuple[str, ...] = ()  # devices of the profile that were not plugged, each with the reason
    blamed: tuple[str, ...] = ()  # devices of the profile that fail when plugged alone
    loaded: tuple[str, ...] = ()  # devices and RAM blocks that had been loaded whole when it failed
    stream: str | None = None  # sha256 of the recorded stream that stood for the source; None: a live source


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
    fixups: tuple[Sha, ...] = ()  # commits that were picked onto it, for as it is it cannot be tested
    host: str = ""  # name of the worker that built and ran it; "": the coordinator itself
    toolchain: str = ""  # that built the commit (`Build.tools`); "": not known, or no build
    beside: tuple[Outcome, ...] = ()  # what the case's other runs on the commit came to, where they do not agree

    @property
    def flaky(self) -> bool:
        """Whether it failed and another run of the case on the commit passed."""
        return Outcome.PASS in self.beside

    @property
    def outcome(self) -> Outcome:
        return self.observation.outcome

    @property
    def signature(self) -> Signature | None:
        return self.observation.signature
