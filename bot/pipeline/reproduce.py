"""The reproducer of a report: generated, then run as printed on the bad end's build and on the culprit's parent, or on
the good end's where no one commit is named.
"""

from __future__ import annotations

from dataclasses import replace

from bot.model import PRECOPY, Direction, Report, Reproduction, Run
from bot.pipeline.bench import Bench
from bot.smoke.confine import confined
from bot.smoke.reproducer import LIMIT, reproducer, run_as_printed, sides
from bot.smoke.smoke import settled

_PRINTABLE = (PRECOPY, "exec")


def reproduce(desk: Bench, report: Report) -> Reproduction | None:
    """None where there is nothing to print: a smoke script of the user's own, or an end that has no binary.

    Nor where two shell commands cannot do it: other methods than precopy and exec, and our own guest.
    """
    culprit, case = report.culprit, report.case
    if desk.rig.smoke.script is not None or (culprit is not None and not culprit.parents):
        return None
    passes = culprit.parents[0] if culprit else report.good.sha
    profile = desk.rig.profile(case)
    if case.method not in _PRINTABLE or profile.guest:
        return None
    bad = desk.rig.build(report.bad.sha, case.target).binary
    good = desk.rig.build(passes, case.target).binary
    if bad is None or good is None:
        return None
    where = "the culprit's parent" if culprit else "the good end"
    desk.progress.say(f"running the reproducer as it will be printed, on the bad end and on {where}")
    other, _ = desk.rig.other(case)
    far = other or bad
    source, destination = (far, bad) if case.direction is Direction.FORWARD else (bad, far)
    names = {bad.sha256: report.bad_name, far.sha256: report.names.get(case.baseline or "", report.bad_name)}
    common = settled(
        case, profile, source, destination, desk.rig.smoke,
        controls=desk.rig.controls, scratch=desk.rig.scratch, stop=desk.stop,
    )  # fmt: skip
    text = reproducer(
        replace(common, memory=_memory(report)),
        source,
        destination,
        source_name=names[source.sha256],
        destination_name=names[destination.sha256],
    )
    places = sides(case, source, destination)
    old = {"old": far} if "old" in (places.source, places.destination) else {}
    return run_as_printed(
        text,
        bad={"new": bad, **old},
        good={"new": good, **old},
        arch=case.arch,
        scratch=desk.rig.scratch,
        stop=desk.stop,
        sandbox=confined(far, text.split()),
        limit=LIMIT + desk.rig.smoke.reproducer_wait,
    )


def _memory(report: Report) -> bool:
    """Whether the case ran with -m; boards of a fixed size run without."""
    runs: list[Run] = [run for run in report.runs if run.observation.argv]
    return not runs or any("-m" in argv for argv in runs[-1].observation.argv)
