"""`bot list --lost`: cases that are gone because their machine types were deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from bot.core.lost import Lost, lost
from bot.core.matrix import machine_ranges
from bot.model import Commit
from bot.report.safe import line
from bot.report.words import plural
from bot.store.store import Store


@dataclass(frozen=True, slots=True)
class Gone:
    """A machine type that was tested and is gone, and how many cases of the last tip that had it were its."""

    lost: Lost
    cases: int


def gone(store: Store, tips: Sequence[Commit]) -> tuple[Gone, ...]:
    """What was tested at one of a branch's tips, oldest first, and is gone since."""
    found = lost((tip.sha, store.inventories(tip.sha)) for tip in tips)
    cases = {
        sha: {run.case for run in store.runs(commit=sha, logs=False)}
        for sha in dict.fromkeys(one.last for one in found)
    }
    counted = (
        Gone(one, sum((case.target, case.machine) == (one.target, one.machine) for case in cases[one.last]))
        for one in found
    )
    return tuple(one for one in counted if one.cases)


def told(found: Iterable[Gone], subjects: dict[str, str]) -> Iterator[str]:
    """Them in lines: those of one target that went with one tip together."""
    ordered = sorted(found, key=_with)
    for (target, since, deprecated, early), group in groupby(ordered, key=_with):
        members = list(group)
        names = [one.lost.machine for one in members]
        how = "deprecated before" if deprecated else "never called deprecated"
        rule = ", and went before the deletion rule allows it: their cases fail" if early else ""
        subject = f' ("{subjects[since]}")' if since in subjects else ""
        cases = plural(sum(one.cases for one in members), "case")
        yield line(
            f"{target.removesuffix('-softmmu')}: {', '.join(machine_ranges(names, names))}: gone since {since[:12]}"
            f"{subject}, {how}{rule}; {cases}",
            600,
        )


def _with(one: Gone) -> tuple[str, str, bool, bool]:
    return one.lost.target, one.lost.since, one.lost.deprecated, one.lost.early


def list_lost(work: Path, as_json: bool) -> int:
    """Print for each watched branch which machine types it lost since it is watched."""
    store = Store(work)
    found = {branch: gone(store, tips) for branch, tips in store.seen().items()}
    if as_json:
        rows = {branch: [{**asdict(one.lost), "cases": one.cases} for one in its] for branch, its in found.items()}
        print(json.dumps({"schema": 1, "branches": rows}, indent=1))
        return 0
    for branch, its in found.items():
        tips = store.seen()[branch]
        print(f"{line(branch)} at {tips[-1].short}:")
        for text in told(its, {tip.sha: tip.subject for tip in tips}):
            print(f"  {text}")
        if not its:
            print("  no machine type that was tested is gone")
    if not found:
        print("no branch was tested yet: `bot run --once` does")
    return 0
