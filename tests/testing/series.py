"""A posted series for tests: v6 of the 79 patches that moved main RAM to hostmem backends, on a base before them.

Subjects, machine types, numbers of patches and RAM blocks are those of QEMU's history; counts are what runs give.
"""

from __future__ import annotations

from dataclasses import replace

from bot.model import (
    Attribution,
    Case,
    Commit,
    Confirmation,
    Direction,
    FirstBad,
    Log,
    Observation,
    Origin,
    Outcome,
    Posted,
    Profile,
    Regression,
    Report,
    Reproduction,
    RevertOutcome,
    Run,
    SeriesReport,
    Signature,
    Step,
    Suspects,
    Tally,
    Verdict,
)
from tests.testing import reports

TITLE = "refactor main RAM allocation to use hostmem backend"
BASE = reports.commit("999999999999", "Merge remote-tracking branch 'remotes/bonzini/tags/for-upstream' into staging")
_TOLD = {
    33: "arm/virt: use memdev for RAM",
    38: "s390x/s390-virtio-ccw: use memdev for RAM",
    43: "x86/pc: use memdev for RAM",
    67: "ppc/spapr: use memdev for RAM",
}
OLD = (*(f"2.{minor}" for minor in range(6, 13)), "3.0", "3.1")
NEW = ("4.0", "4.1", "4.2")
MEM_PATH = Profile("mem-path", ("-nodefaults", "-mem-path", "{dir}"))
REPRODUCER = """\
O="-nodefaults -display none -S -M pseries-3.1 -m 256M -mem-path ."
printf 'migrate "exec:cat >vm.state"\\nquit\\n' |
  old/qemu-system-ppc64 $O -monitor stdio  # v4.2.0
timeout 10 new/qemu-system-ppc64 $O -incoming "exec:cat vm.state" \\
  </dev/null; echo $?  # series: 124 = loads, else fails
"""


def _patches() -> tuple[Commit, ...]:
    found, parent = [], BASE
    for number in range(1, 80):
        subject = _TOLD.get(number, f"machine: step {number}")
        found.append(reports.commit(f"{number:04d}" * 3, subject, parent.sha))
        parent = found[-1]
    return tuple(found)


PATCHES = _patches()
POSTED = Posted("master", BASE.sha, PATCHES[-1].sha, TITLE, len(PATCHES))
ORIGIN = Origin(
    "<20200219160953.13771-1-author@example.org>",
    "Author Name <author@example.org>",
    "qemu-devel@nongnu.org, Reviewer Two <rev2@example.org>",
    f"[PATCH v6 00/79] {TITLE}",
    6,
)


def cases(arch: str, kind: str, versions: tuple[str, ...]) -> tuple[Case, ...]:
    """Machine types of one kind, from v4.2.0 to the commit."""
    return tuple(Case(f"{arch}-softmmu", f"{kind}-{v}", "mem-path", Direction.FORWARD, "4.2") for v in versions)


def run(of: Commit, case: Case, block: str | None = None) -> Run:
    """A run that passes, or that misses a RAM block."""
    binary = of.sha + "0" * 24
    if block is None:
        return Run(of.sha, case, Observation(Outcome.PASS, seconds=0.4), binary=binary, other="a" * 64)
    said = f'qemu-system-{case.arch}: Unknown ramblock "{block}", cannot accept migration'
    seen = Observation(
        Outcome.FAIL_DST, Signature("ramblock", block), said, 0.5, exits=(0, 1), logs=(Log("destination.stderr", said),)
    )
    return Run(of.sha, case, seen, binary=binary, other="a" * 64)


def search(block: str, patch: int, *kinds: tuple[str, str]) -> Report:
    """A search that ended at a patch; kinds are (architecture, kind of machine type)."""
    fails = tuple(case for arch, kind in kinds for case in cases(arch, kind, OLD))
    passes = tuple(case for arch, kind in kinds for case in cases(arch, kind, NEW))
    tip, culprit, parent, case = PATCHES[-1], PATCHES[patch - 1], PATCHES[patch - 2], fails[-1]
    steps = tuple(
        Step(of, verdict, tuple(run(of, case, block if verdict is Verdict.BAD else None) for _ in range(10)), (), why)
        for of, verdict, why in (
            (tip, Verdict.BAD, "bad end"),
            (BASE, Verdict.GOOD, "good end"),
            (culprit, Verdict.BAD, "midpoint"),
            (parent, Verdict.GOOD, "midpoint"),
        )
    )
    confirmation = Confirmation(
        parents=(Tally(parent.sha, 0, 10),),
        culprit=Tally(culprit.sha, 10, 10),
        good_end=Tally(BASE.sha, 0, 10),
        bad_end=Tally(tip.sha, 10, 10),
        binary_differs=True,
        revert=RevertOutcome.NOT_TRIED,
    )
    table = (
        *(run(tip, case, block) for case in fails),
        *(run(tip, case) for case in passes),
        *(run(culprit, case, block) for case in fails),
        *(run(parent, case) for case in fails),
    )
    signature = Signature("ramblock", block)
    return replace(
        reports.first_bad(),
        regression=Regression("s4471", signature, fails, BASE.sha, tip.sha),
        case=case,
        finding=FirstBad(culprit.sha, confirmation, Attribution()),
        good=BASE,
        bad=tip,
        good_name="base",
        bad_name="series",
        range_size=len(PATCHES),
        steps=steps,
        culprit=culprit,
        commits={c.sha: c for c in (BASE, tip, culprit, parent)},
        symptom=steps[0].runs[0].observation.message,
        table=table,
        names={"4.2": "v4.2.0", "a" * 64: "v4.2.0"},
        reproduction=Reproduction(REPRODUCER, 1, 124),
        paths=("hw/core/machine.c",),
        profile=MEM_PATH,
    )


def series() -> SeriesReport:
    """Four machine families break in four of its patches; newer machine types pass."""
    found = (
        search("ppc_spapr.ram", 67, ("ppc64", "pseries")),
        search("pc.ram", 43, ("x86_64", "pc-i440fx"), ("x86_64", "pc-q35")),
        search("s390.ram", 38, ("s390x", "s390-ccw-virtio")),
        search("mach-virt.ram", 33, ("aarch64", "virt")),
    )
    ran = [one for report in found for one in report.table if one.commit == PATCHES[-1].sha]
    base = [run(BASE, one.case) for one in ran]
    return SeriesReport(
        id="s4471",
        posted=POSTED,
        origin=ORIGIN,
        base=BASE,
        patches=PATCHES,
        reports=found,
        compared=(*base, *ran),
        not_run=("KVM", "profile virtio"),
        sandboxed=True,
    )


def suspects() -> SeriesReport:
    """The same, where what breaks pseries is one of three patches, of which two do not build."""
    whole = series()
    shas = tuple(patch.sha for patch in PATCHES[64:67])
    one = replace(whole.reports[0], finding=Suspects(shas, shas[:2]), culprit=None, paths=None, fixed_by=None)
    commits = {**one.commits, **{patch.sha: patch for patch in PATCHES[63:67]}}
    kept = tuple(run for run in whole.compared if run.case.arch == "ppc64")
    return replace(whole, reports=(replace(one, commits=commits),), compared=kept)
