"""What stays broken after a fix: guests that a release without it started, on their way to a QEMU that has it.

A release that has the culprit may have written what the fix does not read, and the other way round. Its users ask
whether an upgrade gets them out of it.
"""

from __future__ import annotations

from dataclasses import replace

from bot.core.lifecycle import Guests
from bot.core.succession import Release
from bot.core.verdict import FAILURES, needed, passed
from bot.errors import InfraError, UserError
from bot.model import Direction, Report, Run, Sha, Tally, Test
from bot.pipeline.bench import Bench, having_releases
from bot.pipeline.hands import performer
from bot.pipeline.shipped import shipped


def guests(desk: Bench, host: str | None, report: Report, tip: Sha, fix: Sha, times: int) -> Guests | None:
    """The regression's case from the newest release without the fix to a tip that has it, run so many times on a host.

    None where the culprit is in no release, or nothing was learnt: it is not to keep anybody from hearing of the fix.
    The runs are not recorded: the release is no baseline, and a case of the matrix is none of its.
    """
    if report.culprit is None:
        return None
    try:
        released = shipped(desk.repository, tip, report.culprit.sha, fix)
        if not released:
            return None
        name = released[-1]
        release = Release(name, name, desk.repository.resolve(name), desk.store.clock())
        there = having_releases(desk, [release])
        case = replace(report.case, direction=Direction.FORWARD, baseline=name)
        desk.progress.say(f"{report.regression.id}: running {name}, which lacks it, to {tip[:12]}")
        runs = list[Run]()
        for fact in performer(there, there.rig)(Test(tip, (case,), times, host=host), desk.stop):
            if isinstance(fact, Run):
                runs.append(fact)
            else:
                desk.keep(fact)
    except (UserError, InfraError) as error:
        desk.progress.say(f"{report.regression.id}: guests of releases without it were not looked at: {error}")
        return None
    devices = needed(report.runs, report.regression.signature)
    bad = sum(run.outcome in FAILURES for run in runs)
    good = sum(passed(run, devices) for run in runs)
    return Guests(name, Tally(tip, bad, bad + good)) if bad + good else None
