"""Runs on a terminal: what is not a pass first, folded, then counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bot.model import Outcome, Run
from bot.report import table
from bot.report.safe import line

_ORDER = (table.Word.FAIL, table.Word.TROUBLE, table.Word.UNTESTABLE, table.Word.OK)


def matrix(runs: Sequence[Run], names: Mapping[str, str], *, new: str = "new", width: int = 100) -> str:
    """One block per outcome and signature: which machine types, between which sides, the message; passes are counted.

    `names` is what to call each baseline; `new` the binary or commit under test.
    """
    if not runs:
        return "nothing was run\n"
    found = table.rows(runs, new=new, names=names, signature=None)
    profiles = len({row.profile for row in found}) > 1
    out: list[str] = []
    for word in _ORDER[:-1]:
        for row in (row for row in found if row.word is word):
            sides = row.pair + (f", {row.profile}" if profiles else "")
            head = row.what or table.what(row.runs[0])
            out.append(f"{head}  {sides}: {', '.join(row.ranges)}")
            message = line(row.runs[0].observation.message, width * 2)
            if message:
                out.append(f"    {message}")
    counts = Counter(run.outcome for run in runs)
    said = [f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]]
    seconds = sum(run.observation.seconds for run in runs)
    out.append(f"{len(runs)} cases: {', '.join(said)} ({seconds:.1f} s of smokes)")
    return "\n".join(out) + "\n"
