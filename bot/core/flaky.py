"""Failures that come and go on one commit: no news, shown apart, and nobody is blamed for them.

A guest that runs races its own migration, and the host its timers, so one failing run among thousands says little. A
case that fails is run again at once; only one that never passes counts as failing. Nothing is remembered beyond the
runs: on the next commit the case is judged anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace

from bot.core.verdict import answers, failed
from bot.model import Case, Outcome, Run

_ALIKE = 20  # cases that fail alike on one commit, above which it is no accident


def combined(runs: Iterable[Run]) -> tuple[Run, ...]:
    """One run of each case, of the runs on one commit in their order: its last answer.

    Where a case both passed and failed it is the last that failed, with what the others came to in `beside`. Runs of
    another setup than the last one's, and runs that the machine failed, do not count; of a case that has no others the
    last one is given.
    """
    found: dict[Case, list[Run]] = {}
    for run in runs:
        found.setdefault(run.case, []).append(run)
    return tuple(_one(of_case) for of_case in found.values())


def _one(runs: list[Run]) -> Run:
    last = next((run for run in reversed(runs) if run.outcome is not Outcome.INFRA), runs[-1])
    like = [run for run in answers(runs) if (run.setup, run.fixups) == (last.setup, last.fixups)]
    failing = [run for run in like if failed(run)]
    if not failing or all(run.outcome is not Outcome.PASS for run in like):
        return last
    return replace(failing[-1], beside=tuple(run.outcome for run in like if run is not failing[-1]))


def uncertain(runs: Iterable[Run], known: Collection[Case], times: int) -> tuple[Case, ...]:
    """The cases that are to be run once more, given all runs on one commit: they failed each time, and that was fewer
    than `times` + 1 times.

    Not those that are `known` to fail, and not the many that fail alike: those were no accident.
    """
    of: dict[Case, list[Run]] = {}
    for run in answers(runs):
        of.setdefault(run.case, []).append(run)
    failing = {
        case: of_case[-1]
        for case, of_case in of.items()
        if case not in known and len(of_case) <= times and all(map(failed, of_case))
    }
    alike = Counter(_how(run) for run in failing.values())
    return tuple(case for case, run in failing.items() if alike[_how(run)] <= _ALIKE)


def _how(run: Run) -> tuple[str, str]:
    return run.case.target, run.signature.key if run.signature else run.outcome
