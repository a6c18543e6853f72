"""A work directory as a lab has it after some weeks: tips of a branch, their runs and builds, two regressions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import patch

from bot.model import (
    Build,
    BuildKind,
    BuildStatus,
    Case,
    Commit,
    Direction,
    Observation,
    Outcome,
    Regression,
    Report,
    Run,
    Signature,
)
from bot.report import data
from bot.store.store import Mail, Store
from tests.testing import reports

Q35 = tuple(f"pc-q35-{version}" for version in ("8.2", "9.0", "9.1", "9.2"))
BOARDS = ("isapc", "microvm", "none", "xenfv-4.2")
FLAKE = Signature("hang", "postcopy")
KNOWN = Signature("device", "cpu", "x86_64-cpu")
TIPS = tuple(
    replace(
        reports.commit(f"{i:02d}" * 6, f"Merge tag 'pull-{i}' of https://gitlab.com/someone/qemu into staging"),
        committed=f"2020-02-{i + 1:02d}T09:00:00+00:00",
    )
    for i in range(1, 8)
)  # fmt: skip
NEWEST = reports.BAD
LOG = "\n".join(
    [
        "$ ../configure --target-list=x86_64-softmmu",
        *(f"[{i}/2210] Compiling C object libcommon.fa.p/hw_core_file{i}.c.o" for i in range(1, 400)),
        "FAILED: libcommon.fa.p/hw_core_machine.c.o",
        "cc -m64 -Ilibcommon.fa.p " + "-DSOMETHING_VERY_LONG=1 " * 20 + "-c ../../../src/hw/core/machine.c",
        "../../../src/hw/core/machine.c: In function \u2018machine_class_init\u2019:",
        "../../../src/hw/core/machine.c:12:5: error: \u2018MachineClass\u2019 has no member \u2018default_ram\u2019",
        *(f"[{i}/2210] Compiling C object libcommon.fa.p/hw_core_file{i}.c.o" for i in range(400, 420)),
        "ninja: build stopped: subcommand failed.",
    ]
)  # fmt: skip
ERROR = "hw/core/machine.c:12:5: error: 'MachineClass' has no member 'default_ram'"


def x86(machine: str, direction: Direction, profile: str, method: str = "precopy") -> Case:
    baseline = None if direction is Direction.SAME else "debian-7.2"
    return Case("x86_64-softmmu", machine, profile, direction, baseline, method)


def of_commit(commit: Commit, at: int) -> Iterator[Run]:
    """What ran on one tip: x86_64 with a case that hangs now and then and one that is known to fail, and ppc64."""
    for machine in Q35:
        for direction in Direction:
            for profile in ("bare", "mem-path", "virtio"):
                case = x86(machine, direction, profile)
                seen = Observation(Outcome.PASS, releases=("7.2.22", "10.0.50"))
                if profile == "virtio" and direction is Direction.BACKWARD:
                    seen = Observation(
                        Outcome.FAIL_DST, KNOWN, "error loading device 'cpu'", releases=("10.0.50", "7.2.22")
                    )
                yield Run(commit.sha, case, seen, host="" if at % 2 else "buildbox", setup="a" if at < 4 else "b")
        hangs = Observation(Outcome.HANG, FLAKE, "no answer in 60 s", 60.0)
        case = x86(machine, Direction.SAME, "bare", "postcopy")
        if machine == "pc-q35-9.1" and at in (1, 3, 4):
            yield Run(commit.sha, case, hangs)
        if machine == "pc-q35-9.2" and 2 <= at <= 4:
            yield Run(commit.sha, replace(case, method="multifd"), hangs)
        else:
            yield Run(commit.sha, replace(case, method="multifd"), Observation(Outcome.PASS))
        yield Run(commit.sha, case, Observation(Outcome.PASS))
    for machine in BOARDS:
        outcome = Outcome.UNTESTABLE if machine == "xenfv-4.2" else Outcome.PASS
        yield Run(commit.sha, x86(machine, Direction.SAME, "bare"), Observation(outcome, message="requires Xen"))
    for run in reports.table() if at >= len(TIPS) - 1 else ():
        if run.commit == NEWEST.sha:
            bad = commit.sha == NEWEST.sha
            yield run if bad else replace(run, commit=commit.sha, observation=Observation(Outcome.PASS))


def builds_of(commit: Commit, at: int) -> Iterator[Build]:
    for target in ("x86_64-softmmu", "ppc64-softmmu"):
        built = Build(
            commit.sha, target, "v4.2", BuildStatus.BUILT, BuildKind.INCREMENTAL if at % 5 else BuildKind.FULL, 61.0,
            310, "gcc 12.2.0, Debian 12", log=f"[1/2] Compiling C object {at}\n[2/2] Linking target qemu\n",
        )  # fmt: skip
        yield built
    if at == len(TIPS) - 1:
        yield Build(
            commit.sha, "aarch64-softmmu", "v4.2", BuildStatus.FAILED, BuildKind.FULL, 20.0, 399,
            "gcc 12.2.0, Debian 12", error=ERROR, log=LOG, host="buildbox",
        )  # fmt: skip


EXPECTED = (
    "expected.cpu-backward={why: the old side has no such CPU, owner: Ann <ann@example.org>, profiles: [virtio], "
    "directions: [backward], expires: 2099-12-31}",
    "baselines.6={name: debian-7.2, path: '/usr/bin/qemu-system-{arch}'}",
)
"""Overrides of the configuration that know the failure of `virtio`."""


def fill(store: Store) -> None:
    """Record all that, at once: hundreds of transactions would be as many waits for a disk."""
    with store._write() as connection, patch.object(store, "_write", lambda: nullcontext(connection)):
        for at, commit in enumerate((*TIPS, NEWEST)):
            for build in builds_of(commit, at):
                store.record(build)
            for run in of_commit(commit, at):
                store.record(run)
        lost = Run(NEWEST.sha, x86("q35", Direction.SAME, "bare"), Observation(Outcome.INFRA, message="no disk"))
        store.record(lost)
    for commit in (*TIPS, NEWEST):
        store.see("master", commit)
    for report in (reports.first_bad(), reports.suspects()):
        conclude(store, report)
    store.end_cycle(store.begin_cycle(), "1 new regression")


def conclude(store: Store, report: Report, branch: str = "master") -> Regression:
    """Keep a report as a search that ended would."""
    kept = store.open_regression(replace(report.regression, id="", branch=branch))
    mail = Mail(
        kept.id, "report", f"<{kept.id}.1@example.org>", 1.0, ("approval: not approved by a person",), "To: x\n\nHi\n"
    )
    told = replace(report, regression=kept)
    store.conclude(kept.id, data.finding_kind(told.finding), data.dump(told), "git bisect start\n", mail=mail)
    return kept
