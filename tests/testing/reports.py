"""Report values for tests: the regression that the project was born from, and the other ways a search ends.

Ids, subjects and machine types are those of QEMU's history around v5.0.0; counts are what a search of that range gives.
"""

from __future__ import annotations

from dataclasses import replace

from bot.model import (
    Answer,
    Attribution,
    Branch,
    Build,
    BuildKind,
    BuildStatus,
    By,
    Case,
    Commit,
    Confirmation,
    Direction,
    Finding,
    FirstBad,
    FirstFixed,
    Log,
    MergeConflict,
    Observation,
    Outcome,
    Place,
    Profile,
    Regression,
    Related,
    Report,
    Reproduction,
    RevertOutcome,
    Run,
    Sha,
    Sibling,
    Side,
    SideTest,
    Signature,
    Step,
    Suspects,
    Tally,
    Verdict,
)

SIGNATURE = Signature("ramblock", "ppc_spapr.ram")
STDERR = """\
qemu-system-ppc64: Unknown ramblock "ppc_spapr.ram", cannot accept migration
qemu-system-ppc64: error while loading state for instance 0x0 of device 'ram'
qemu-system-ppc64: load of migration failed: Invalid argument
"""
MESSAGE = STDERR.splitlines()[0]
REPRODUCER = """\
O="-nodefaults -display none -S -M pseries-2.12 -m 256M -mem-path ."
printf 'migrate "exec:cat >vm.state"\\nquit\\n' |
  old/qemu-system-ppc64 $O -monitor stdio                # v2.12.0
timeout 10 new/qemu-system-ppc64 $O -incoming "exec:cat vm.state" \\
  </dev/null; echo $?             # master: 1 = fails, 124 = loads
"""
TYPES_2_12 = tuple(f"pseries-{v}" for v in ("2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.12"))
TYPES_3_1 = (*tuple(f"pseries-2.{minor}" for minor in range(1, 13)), "pseries-2.12-sxxm", "pseries-3.0", "pseries-3.1")
TYPES_NEW = ("pseries-4.0", "pseries-4.1", "pseries-4.2")
ALL_TYPES = (*TYPES_3_1, *TYPES_NEW, "pseries-5.0")
MEM_PATH = Profile("mem-path", ("-nodefaults", "-mem-path", "{dir}"))
CASE = Case("ppc64-softmmu", "pseries-2.12", "mem-path", Direction.FORWARD, "2.12")


def sha(digits: str) -> Sha:
    """A full id that begins with these digits."""
    return (digits + "0" * 40)[:40]


def commit(digits: str, subject: str, *parents: str, body: str = "", date: str = "2020-02-19T11:09:48-05:00") -> Commit:
    """A commit by one invented author."""
    return Commit(
        sha(digits), subject, "Author Name", "author@example.org", date, "2020-02-19T16:49:53+00:00",
        body, tuple(map(sha, parents)),
    )  # fmt: skip


BODY = """\
ppc/spapr: use memdev for RAM

memory_region_allocate_system_memory() API is going away, so
replace it with memdev allocated MemoryRegion.

Signed-off-by: Author Name <author@example.org>
Reviewed-by: Maintainer One <maint1@example.org>
Acked-by: Reviewer Two <rev2@example.org>
Message-Id: <20200219160953.13771-68-author@example.org>
"""
GOOD = commit("b0ca999a43a22b38158a1322d2f97dd0b3b3e6c9", "Update version for v4.2.0 release", date="2019-12-12")
PARENT = commit("b28f01880eda", "ppc/{ppc440_bamboo, sam460ex}: drop RAM size fixup", "111111111111")
CULPRIT = commit("ab74e5431129", "ppc/spapr: use memdev for RAM", "b28f01880eda", body=BODY)
BAD = commit("db736e0437aa", "Merge remote-tracking branch 'remotes/bonzini/tags/for-upstream' into staging")


def run(of: Commit, case: Case = CASE, outcome: Outcome = Outcome.FAIL_DST, signature: Signature = SIGNATURE) -> Run:
    """One smoke of a case on a commit, as it would be recorded."""
    if outcome is Outcome.PASS:
        seen = Observation(outcome, seconds=0.4, exits=(None, None), logs=(Log("destination.stderr", ""),))
        return Run(of.sha, case, seen, binary=of.sha + "0" * 24, other="a" * 64)
    logs = (
        Log("source.stderr", "qemu-system-ppc64: warning: TCG doesn't support requested feature\n"),
        Log("destination.stderr", STDERR),
    )
    argv = tuple((f"{side}/qemu-system-ppc64", "-M", case.machine, "-m", "256M") for side in ("old", "new"))
    seen = Observation(outcome, signature, MESSAGE, 0.5, argv, (0, 1), logs)
    return Run(of.sha, case, seen, binary=of.sha + "0" * 24, other="a" * 64)


def step(of: Commit, verdict: Verdict, why: str, n: int = 1, kind: BuildKind = BuildKind.INCREMENTAL) -> Step:
    """A step whose runs all agree with its verdict; a skipped one did not build."""
    built = Build(of.sha, CASE.target, "v4.2", BuildStatus.BUILT, kind, 41.0, 310, "gcc 12.2.0, Debian 12")
    if verdict is Verdict.SKIP:
        error = "../hw/ppc/spapr.c:2735: undefined reference to `foo_bar'"
        failed = replace(built, status=BuildStatus.FAILED, error=error, log=error)
        return Step(of, verdict, (Run(of.sha, CASE, Observation(Outcome.NOT_BUILT, message=error)),), (failed,), why)
    outcome = Outcome.PASS if verdict is Verdict.GOOD else Outcome.FAIL_DST
    return Step(of, verdict, tuple(run(of, outcome=outcome) for _ in range(n)), (built,), why)


def cases(
    machines: tuple[str, ...], direction: Direction, baseline: str | None, profile: str = "mem-path"
) -> list[Case]:
    return [Case("ppc64-softmmu", machine, profile, direction, baseline) for machine in machines]


def table() -> tuple[Run, ...]:
    """Where it failed and where it did not, on BAD, and the affected cases on the culprit and its parent."""
    affected = cases(TYPES_2_12, Direction.FORWARD, "2.12")
    failing = [
        *affected,
        *cases(TYPES_2_12, Direction.BACKWARD, "2.12"),
        *cases(TYPES_3_1, Direction.FORWARD, "4.2"),
    ]
    passing = [
        *cases(TYPES_NEW, Direction.FORWARD, "4.2"),
        *cases(ALL_TYPES, Direction.SAME, None),
        *cases(TYPES_2_12, Direction.FORWARD, "2.12", "bare"),
        *cases(TYPES_3_1, Direction.FORWARD, "4.2", "bare"),
    ]
    return (
        *(run(BAD, case) for case in failing),
        *(run(BAD, case, Outcome.PASS) for case in passing),
        *(run(CULPRIT, case) for case in affected),
        *(run(PARENT, case, Outcome.PASS) for case in affected),
    )


def first_bad() -> Report:
    """The bug that the project was born from, found and confirmed."""
    middle = [
        (commit("9b52fa6e39a1", "docs: fix a typo"), Verdict.GOOD),
        (commit("f0530f14c7c3", "remove no longer used memory_region_allocate_system_memory()"), Verdict.BAD),
        (commit("900c0ba373aa", "machine: alias -mem-path and -mem-prealloc into memory-foo backend"), Verdict.GOOD),
    ]
    steps = (
        step(BAD, Verdict.BAD, "bad end", 10, BuildKind.FULL),
        step(GOOD, Verdict.GOOD, "good end", 10, BuildKind.FULL),
        *(step(of, verdict, "midpoint") for of, verdict in middle),
        step(CULPRIT, Verdict.BAD, "midpoint", 10),
        step(PARENT, Verdict.GOOD, "midpoint", 10, BuildKind.CACHED),
    )
    confirmation = Confirmation(
        parents=(Tally(PARENT.sha, 0, 10),),
        culprit=Tally(CULPRIT.sha, 10, 10),
        good_end=Tally(GOOD.sha, 0, 10),
        bad_end=Tally(BAD.sha, 10, 10),
        binary_differs=True,
        revert=RevertOutcome.NOT_BUILT,
    )
    return Report(
        regression=Regression(
            "r0017", SIGNATURE, tuple(cases(TYPES_2_12, Direction.FORWARD, "2.12")), GOOD.sha, BAD.sha, "master"
        ),
        case=CASE,
        finding=FirstBad(CULPRIT.sha, confirmation),
        good=GOOD,
        bad=BAD,
        good_name="v4.2.0",
        bad_name="master",
        range_size=1858,
        steps=steps,
        culprit=CULPRIT,
        commits={c.sha: c for c in (GOOD, BAD, PARENT, CULPRIT)},
        symptom=STDERR,
        table=table(),
        names={"2.12": "v2.12.0", "4.2": "v4.2.0", "a" * 64: "v2.12.0"},
        reproduction=Reproduction(REPRODUCER, 1, 124, STDERR),
        not_run=("KVM", "profile virtio"),
        releases=(),
        accel="tcg",
        toolchain="gcc 12.2.0, Debian 12",
        host="x86_64, Debian 12, 2 cores",
        seconds=1460.0,
        fixed_by=(),
        profile=MEM_PATH,
        paths=("hw/ppc/spapr.c",),
    )


def first_fixed() -> Report:
    """The search for what cured it: the older end fails, the newer one passes."""
    fix = commit(
        "d96c4d5f1927", "vmstate.c: restore the global name of RAM", "5555555555aa",
        body="vmstate.c: restore the global name of RAM\n\n"
        'Fixes: 900c0ba373 ("machine: alias -mem-path and -mem-prealloc into memory-foo backend")\n',
    )  # fmt: skip
    broken = commit("5555555555aa", "Merge tag 'pull-2' into staging")
    confirmation = Confirmation(
        parents=(Tally(broken.sha, 10, 10),),
        culprit=Tally(fix.sha, 0, 10),
        good_end=Tally(BAD.sha, 0, 10),
        bad_end=Tally(GOOD.sha, 10, 10),
        binary_differs=True,
        revert=RevertOutcome.OK,
    )
    return replace(
        first_bad(),
        finding=FirstFixed(fix.sha, confirmation, RevertOutcome.CONFLICT),
        steps=(
            step(GOOD, Verdict.BAD, "broken end", 10, BuildKind.FULL),
            step(BAD, Verdict.GOOD, "fixed end", 10, BuildKind.FULL),
            step(fix, Verdict.GOOD, "midpoint", 10),
            step(broken, Verdict.BAD, "midpoint", 10),
        ),
        culprit=None,
        commits={c.sha: c for c in (GOOD, BAD, broken, fix)},
        table=(),
        reproduction=None,
        fixed_by=None,
        releases=("v5.0.0", "v5.1.0"),
        cured=True,
    )


SIDES = SideTest(
    Side.PINNED,
    "v2.12.0 passes in the place of v2.12.1: what breaks came between the two, in the branch of v2.12.1",
    "v2.12.1",
    "source",
    bad=10,
    n=10,
    siblings=(
        Sibling("v2.11.2", Place.OLDER, Answer.NOTHING, why="UNTESTABLE: unsupported machine type"),
        Sibling("v2.12.0", Place.OLDER_POINT, Answer.PASSES, 0, 10),
    ),
    branch=Branch("v2.12.0", sha("2120"), "v2.12.1", sha("2121")),
    advice="the pinned side is searched by: bot bisect v2.12.0..v2.12.1 --source-side --destination db736e0437aa",
)


def exposed() -> Report:
    """The same commit, but it is the stable branch of the source that broke."""
    report = first_bad()
    assert isinstance(report.finding, FirstBad)
    finding = replace(report.finding, attribution=Attribution(By.EXPOSED, SIDES.why))
    names = {**report.names, "2.12": "v2.12.1"}
    return replace(report, finding=finding, sides=SIDES, names=names, regression=replace(report.regression, id="r0041"))


def back_to_7_2() -> Report:
    """The mask of uncorrectable errors, new in 8.0: fixed before anybody was told, and stable-8.0 had it."""
    culprit = commit("010746ae1db7", "hw/pci/aer: Implement PCI_ERR_UNCOR_MASK register", "ffaa0dc9bf5a")
    parent, bad = commit("ffaa0dc9bf5a", "parent"), commit("c1eb2ddf0f8c", "Update version for v8.0.0 release")
    types = tuple(f"pc-q35-{v}" for v in ("6.2", "7.0", "7.1", "7.2"))
    affected = [Case("x86_64-softmmu", name, "default", Direction.BACKWARD, "7.2") for name in types]
    signature = Signature("pci-config", None, "i=0x10a")
    failing = tuple(run(bad, case, signature=signature) for case in affected)
    report = first_bad()
    assert isinstance(report.finding, FirstBad)
    confirmation = replace(
        report.finding.confirmation, parents=(Tally(parent.sha, 0, 10),), culprit=Tally(culprit.sha, 10, 10)
    )
    return replace(
        report,
        regression=Regression("r0102", signature, tuple(affected), parent.sha, bad.sha, "master"),
        case=affected[-1],
        finding=FirstBad(culprit.sha, confirmation),
        good=parent,
        bad=bad,
        culprit=culprit,
        commits={c.sha: c for c in (culprit, parent, bad)},
        symptom=(
            "qemu-system-x86_64: get_pci_config_device: Bad config data: i=0x10a read: 40 device: 0 cmask: ff"
            " wmask: 0 w1cmask:0\n"
            "qemu-system-x86_64: Failed to load PCIDevice:config\n"
            "qemu-system-x86_64: load of migration failed: Invalid argument\n"
        ),
        table=failing,
        names={"7.2": "v7.2.0"},
        reproduction=Reproduction(
            'O="-display none -S -M pc-q35-7.2 -m 256M -net nic"\n'
            "printf 'migrate \"exec:cat >vm.state\"\\nquit\\n' |\n"
            "  new/qemu-system-x86_64 $O -monitor stdio                # master\n"
            'timeout 10 old/qemu-system-x86_64 $O -incoming "exec:cat vm.state" \\\n'
            "  </dev/null; echo $?             # v7.2.0: 1 = fails, 124 = loads\n",
            1, 124, "",
        ),
        releases=("v8.0.0",),
        profile=None,
    )  # fmt: skip


def inferred() -> tuple[Related, ...]:
    """Two regressions that may have the first one's cause: one by a name, both by the series."""
    pc = commit("bd457782b3b0", "x86/pc: use memdev for RAM")
    arm = commit("2f719f195cdc", "arm/virt: use memdev for RAM")
    cause = commit("900c0ba373aa", "machine: alias -mem-path and -mem-prealloc into memory-foo backend")
    return (Related("r0016", pc, True, "default_ram_id", cause), Related("r0015", arm, True))


def suspects() -> Report:
    """Six commits, five of which do not build."""
    chain = [commit(str(i) * 12, f"subject of commit {i}", str(i - 1) * 12) for i in range(1, 8)]
    good, *skipped, bad = chain
    report = first_bad()
    steps = (
        step(BAD, Verdict.BAD, "bad end", 5, BuildKind.FULL),
        step(GOOD, Verdict.GOOD, "good end", 5, BuildKind.FULL),
        step(bad, Verdict.BAD, "midpoint", 5),
        step(good, Verdict.GOOD, "midpoint", 5),
        *(step(of, Verdict.SKIP, "midpoint") for of in skipped),
    )
    shas = tuple(c.sha for c in skipped)
    return replace(
        report,
        regression=replace(report.regression, id="r0021"),
        finding=Suspects((*shas, bad.sha), shas),
        steps=steps,
        culprit=None,
        commits={c.sha: c for c in (*chain, GOOD, BAD)},
        reproduction=replace(report.reproduction, good_exit=124) if report.reproduction else None,
        table=tuple(r for r in table() if r.commit == BAD.sha),
        fixed_by=None,
        paths=None,
        releases=None,
    )


def merge_conflict() -> Report:
    """Both parents of a merge are good, the merge is bad."""
    one = commit("5b4a3c2d1e0f", "ppc: rework of the memory layout")
    other = commit("0f1e2d3c4b5a", "migration: stricter block names")
    merge = commit("c0ffee123456", "Merge tag 'pull-ppc' into staging", one.sha, other.sha)
    report = first_bad()
    confirmation = Confirmation(
        parents=(Tally(one.sha, 0, 10), Tally(other.sha, 0, 10)),
        culprit=Tally(merge.sha, 10, 10),
        good_end=Tally(GOOD.sha, 0, 10),
        bad_end=Tally(BAD.sha, 10, 10),
        binary_differs=True,
    )
    return replace(
        report,
        regression=replace(report.regression, id="r0033"),
        finding=MergeConflict(merge.sha, confirmation),
        culprit=merge,
        steps=(*report.steps[:2], step(merge, Verdict.BAD, "midpoint", 10), step(one, Verdict.GOOD, "midpoint", 10),
               step(other, Verdict.GOOD, "midpoint", 10)),
        commits={c.sha: c for c in (GOOD, BAD, one, other, merge)},
        table=tuple(r for r in table() if r.commit == BAD.sha),
        releases=("v5.0.0", "v5.0.1", "v5.1.0"),
        paths=("hw/ppc/spapr.c", "migration/ram.c"),
    )  # fmt: skip


def ended(finding: Finding) -> Report:
    """A search that named no commit."""
    return replace(first_bad(), finding=finding, culprit=None, reproduction=None, fixed_by=None, releases=None)
