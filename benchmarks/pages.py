"""What the pages cost a cycle: many regressions, a large matrix; written at first, again, after one event, after a tip.

    python -m benchmarks.pages [--regressions 500] [--cases 10000] [--tips 3] [--work DIR]

The work directory (default: a temporary one) is filled with made-up reports of a real size. Times are of `write_site`,
which is what a cycle calls; the program that fills the store is not in them. --work /dev/shm leaves the
disk out.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot.config import Config, load
from bot.core.lifecycle import Cured, Way
from bot.model import (
    Build,
    BuildKind,
    BuildStatus,
    Case,
    Course,
    CourseRow,
    Direction,
    Observation,
    Outcome,
    Run,
    Tally,
)
from bot.pipeline.publish import write_site
from bot.report import data
from bot.store.store import Mail, Store
from tests.testing import reports

_WAYS = ("bare", "mem-path", "virtio", "usb", "smp")
_LOG = "[1/2210] Compiling C object libcommon.fa.p/hw_core_machine.c.o\n" * 2_000


def fill(store: Store, count: int) -> None:
    """So many regressions that are searched; of each ten one is open, the others are fixed."""
    chance = random.Random(7)  # noqa: S311 - the same each time
    rows = tuple(
        CourseRow("search", "halves the weight", (), 100, ((0, 128),), (1 / 128,) * 128, 0.0, reports.CULPRIT.sha, 0.5)
        for _ in range(10)
    )
    for i in range(count):
        first = replace(reports.first_bad(), course=Course(2_750, rows))
        bad = reports.commit(f"{i:06x}" + "abcdef", f"Merge of {i}")
        kept = store.open_regression(replace(first.regression, id="", bad=bad.sha))
        report = replace(first, regression=kept)
        message = Mail(kept.id, "report", f"<{kept.id}.1@example.org>", 1.0, (), "Subject: x\n\n" + "text\n" * 100)
        store.conclude(kept.id, "first-bad", data.dump(report), "git bisect start\n" * 30, mail=message)
        store.record(
            Build(bad.sha, report.case.target, "v4.2", BuildStatus.BUILT, BuildKind.FULL, 60.0, 2_000, log=_LOG)
        )
        if chance.random() > 0.1:
            _fix(store, kept.id)


def _fix(store: Store, name: str) -> None:
    (entry,) = store.regressions(name)
    tally = Tally(reports.CULPRIT.sha, 0, 10)
    cured = Cured(reports.sha("f1"), Way.SEARCHED, (Tally(reports.PARENT.sha, 10, 10),), tally, tally)
    store.happened(name, cured, entry.record)


def tip(store: Store, number: int, count: int) -> None:
    """A commit on which the whole matrix was run; one case in a thousand fails."""
    commit = reports.commit(f"{number:06x}" + "fedcba", f"Merge tag 'pull-{number}' into staging")
    chance = random.Random(number)  # noqa: S311 - the same each time
    for i in range(count):
        rest, way = divmod(i, len(_WAYS))
        rest, side = divmod(rest, 11)
        family, version = ("pc-q35", "pc-i440fx", "virt", "pseries")[rest % 4], f"{rest // 4 // 3}.{rest // 4 % 3}"
        direction = Direction.SAME if side == 0 else Direction.FORWARD if side % 2 else Direction.BACKWARD
        baseline = None if side == 0 else f"v{(side + 1) // 2}.2"
        case = Case("x86_64-softmmu", f"{family}-{version}", _WAYS[way], direction, baseline)
        bad = chance.random() < 0.001
        seen = Observation(Outcome.FAIL_DST, reports.SIGNATURE, "text") if bad else Observation(Outcome.PASS)
        store.record(Run(commit.sha, case, seen))
    store.see("master", commit)


def timed(what: str, store: Store, config: Config, out: Path) -> None:
    inodes = {path: path.stat().st_ino for path in out.rglob("*") if path.is_file()}
    began, worked = time.perf_counter(), time.process_time()
    written = write_site(store, config, out, None)
    took, worked = time.perf_counter() - began, time.process_time() - worked
    new = sum(path.stat().st_ino != inodes.get(path) for path in written)
    size = sum(path.stat().st_size for path in written)
    files = f"{new:5} of {len(written):5} files written, {size / 2**20:.1f} MiB"
    print(f"{what:<36} {took:7.2f} s ({worked:6.2f} s of CPU)  {files}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--regressions", type=int, default=500)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--tips", type=int, default=3)
    parser.add_argument("--work", type=Path)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=asked.work) as temporary:
        work = Path(temporary)
        store, config, out = Store(work), load(None, ()), work / "out"
        fill(store, asked.regressions)
        timed(f"{asked.regressions} regressions, first", store, config, out)
        timed("again, nothing happened", store, config, out)
        name = next(entry.regression.id for entry in store.regressions() if entry.state.live)
        _fix(store, name)
        timed("again, one was fixed", store, config, out)
        for number in range(asked.tips):
            tip(store, number, asked.cases)
            timed(f"{asked.cases} cases on tip {number + 1}", store, config, out)
        timed("again, nothing happened", store, config, out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
