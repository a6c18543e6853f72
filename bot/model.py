"""The words of the project as frozen values: what every other module speaks in.

Nothing here does anything. Terms are QEMU's and git's own (see docs/architecture.md).
Commits are 40-hex ids everywhere; names are resolved once, in `host.git`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

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
class BuildSettings:
    """Limits and recipes of a builder."""

    recipes: tuple[Recipe, ...]
    submodules: Mapping[str, Submodule] = field(default_factory=dict)
    jobs: int = 0  # 0: one per core
    timeout: float = 3600.0  # seconds for one build
    cache_size: int = 10 * 2**30  # bytes of artifacts kept, least recently used go first
    free_space: int = 5 * 2**30  # bytes that must be free before a build starts


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
class ReportSettings:
    """Who mails come from and go to. Addresses are `user@host` or `Name <user@host>`.

    `lists` get every mail; `cc` are people who also get mails that name no commit. `domain` is the right side of the
    Message-IDs (default: the sender's). `url` is where the pages are published, `owner` the person who answers for the
    bot; None: mails do not mention it. `archive` is where a Message-ID can be looked up (default: lore.kernel.org, for
    mails to qemu-devel).
    """

    sender: str = "QEMU migration bot <migbot@example.org>"
    lists: tuple[str, ...] = ("qemu-devel@nongnu.org",)
    cc: tuple[str, ...] = ()
    domain: str | None = None
    url: str | None = None
    archive: str | None = None
    owner: str | None = None
    approval: bool = True  # a person approves each mail before it may be sent


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


class BuildStatus(StrEnum):
    BUILT = "built"
    FAILED = "failed"  # the commit does not build: `error` is the first error, `log` the log


class BuildKind(StrEnum):
    FULL = "full"  # in a fresh directory
    INCREMENTAL = "incremental"
    CACHED = "cached"  # an artifact of this commit, recipe and toolchain was there


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


@dataclass(frozen=True, slots=True)
class Commit:
    """What reports say of a commit. Dates are ISO 8601 as git prints them (%aI, %cI)."""

    sha: Sha
    subject: str
    author: str
    email: str
    date: str
    committed: str
    body: str = ""
    parents: tuple[Sha, ...] = ()

    @property
    def short(self) -> str:
        """12 digits, as QEMU's `Fixes:` tags have them."""
        return self.sha[:12]


@dataclass(frozen=True, slots=True)
class Test:
    """Job: build the commit and run the cases, each `times` over, interleaved."""

    __test__: ClassVar[bool] = False  # pytest collects classes of this name otherwise

    commit: Sha
    cases: tuple[Case, ...]
    times: int = 1


@dataclass(frozen=True, slots=True)
class Question:
    """What a bisection is asked. `signature` is None until the bad end was run; bad then means *that* signature."""

    good: Sha
    bad: Sha
    case: Case
    signature: Signature | None = None


class RevertOutcome(StrEnum):
    """What became of the culprit's revert on top of the bad end."""

    OK = "ok"  # the case passes again
    STILL_BAD = "still bad"
    CONFLICT = "conflict"
    NOT_BUILT = "does not build"
    UNTESTABLE = "cannot be tested"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Tally:
    """bad of n runs of one commit in the confirmation."""

    commit: Sha
    bad: int
    n: int


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What was run before anybody is blamed (docs/architecture.md, Confirmation)."""

    parents: tuple[Tally, ...]
    culprit: Tally
    good_end: Tally
    bad_end: Tally
    binary_differs: bool | None = None  # culprit's executable against its first parent's; None: not comparable
    revert: RevertOutcome = RevertOutcome.NOT_TRIED


@dataclass(frozen=True, slots=True)
class FirstBad:
    """One commit, confirmed."""

    commit: Sha
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class Suspects:
    """The first bad commit is one of these, newest last; some could not be tested."""

    commits: tuple[Sha, ...]
    skipped: tuple[Sha, ...]


@dataclass(frozen=True, slots=True)
class NotReproduced:
    """The bad end is not bad."""

    commit: Sha
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class BadAtGoodEnd:
    """The good end fails too; with `merge_base` it was not the end given but the base of both that was tested."""

    commit: Sha
    outcome: Outcome
    merge_base: bool = False


@dataclass(frozen=True, slots=True)
class Flaky:
    """One commit gave both answers."""

    commit: Sha
    bad: int
    n: int


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """Only the merge is bad, each parent is good: a conflict of what it joins."""

    commit: Sha
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """The search could not end otherwise; `why` is a sentence."""

    why: str


Finding = FirstBad | Suspects | NotReproduced | BadAtGoodEnd | Flaky | MergeConflict | Inconclusive


@dataclass(frozen=True, slots=True)
class Regression:
    """A failure that was not there before: one signature, the cases that have it, and the range it came in."""

    id: str  # "r0017"
    signature: Signature
    cases: tuple[Case, ...]
    good: Sha
    bad: Sha
    branch: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One commit that a search asked about, in the order it asked; `why` is a phrase ("good end", "midpoint")."""

    commit: Commit
    verdict: Verdict
    runs: tuple[Run, ...]
    builds: tuple[Build, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A reproducer and what came of it when it was run exactly as printed; `text` is what a mail shows.

    Exits: 1 fails, 124 loads (timeout(1) ended a destination that was waiting); None: not run.
    """

    text: str
    bad_exit: int | None
    good_exit: int | None
    output: str = ""  # of the bad side

    @property
    def shown(self) -> bool:
        """Whether it told the two builds apart."""
        return self.bad_exit not in (None, 0, 124) and self.good_exit == 124


@dataclass(frozen=True, slots=True)
class Report:
    """All that a mail, page or JSON about one regression may say. Each claim in it was measured; None: not measured."""

    regression: Regression
    case: Case  # the one that was bisected
    finding: Finding
    good: Commit
    bad: Commit
    good_name: str  # as the user or the watch called it: "v4.2.0", "master"
    bad_name: str
    range_size: int  # commits good..bad
    steps: tuple[Step, ...]
    culprit: Commit | None  # of FirstBad and MergeConflict
    commits: Mapping[Sha, Commit]  # of suspects, parents, ends
    symptom: str  # the failing side's stderr, verbatim
    table: tuple[Run, ...]  # latest run of each case at the bad end (and of each affected case at culprit and parent)
    names: Mapping[str, str]  # what readers call each binary, by sha256, and each baseline, by name
    reproduction: Reproduction | None
    not_run: tuple[str, ...]  # phrases: "KVM", "profile virtio"
    releases: tuple[str, ...] | None  # releases that contain the culprit, oldest first
    accel: str
    toolchain: str
    host: str  # "x86_64, Debian 12, 2 cores"
    seconds: float  # wall time of the search, or, if it was interrupted, at least that of its builds and runs
    fixed_by: tuple[Commit, ...] | None = None  # later commits whose Fixes: names the culprit, or that revert it
    profile: Profile | None = None  # of the case; None: a reader is told its name only
    paths: tuple[str, ...] | None = None  # what the culprit changes
