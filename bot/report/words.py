"""What a report says, in sentences and figures. Every claim comes from a run; what was not measured is left out."""

from __future__ import annotations

import re
import shlex
import signal
from datetime import UTC, datetime

from bot.core.matrix import family, machine_ranges, version_key
from bot.core.signature import is_warning
from bot.model import (
    PRECOPY,
    Commit,
    Direction,
    Outcome,
    Profile,
    Related,
    Report,
    Reproduction,
    RevertOutcome,
    Run,
    Sha,
    Tally,
)
from bot.report import table
from bot.report.safe import clean, line

PICKS = {
    RevertOutcome.OK: "applies clean, builds and passes",
    RevertOutcome.STILL_BAD: "applies clean and builds, and it still fails",
    RevertOutcome.CONFLICT: "does not apply as it is",
    RevertOutcome.NOT_BUILT: "applies clean, and does not build",
    RevertOutcome.UNTESTABLE: "applies clean; the case does not run there",
    RevertOutcome.NO_EFFECT: "changes nothing",
    RevertOutcome.NOT_TRIED: "was not tried",
}
"""What came of a fix that was picked onto a branch."""
SUBJECT = 200  # characters of a commit's subject; the longest of QEMU's last 20,000 has 122
_READ = 4000  # characters of one line that a program printed

_VERBS = {
    Direction.FORWARD: "no longer loads the stream of {old}",
    Direction.BACKWARD: "can no longer be migrated to {old}",
    Direction.SAME: "can no longer be migrated to itself",
}


# -- names -------------------------------------------------------------------------------------------------------


def cite(commit: Commit) -> str:
    """`ab74e5431129 ("subject")`, as a Fixes: tag has it."""
    return f'{commit.short} ("{line(commit.subject, SUBJECT)}")'


def known(report: Report, sha: Sha) -> Commit | None:
    """What the report knows of a commit."""
    named = (report.culprit, report.good, report.bad, *(step.commit for step in report.steps))
    return next((c for c in named if c is not None and c.sha == sha), report.commits.get(sha))


def cite_sha(report: Report, sha: Sha) -> str:
    """The same for a commit that the report may know by its id alone."""
    commit = known(report, sha)
    return cite(commit) if commit else sha[:12]


def name(text: str) -> str:
    """A revision as people call it; a full id is shortened."""
    return text[:12] if re.fullmatch(r"[0-9a-f]{40}", text) else line(text, 60)


def options(profile: Profile | None, called: str) -> str:
    """What a profile adds to the command line (`-mem-path DIR`), or `profile NAME` if that is long or not known.

    Empty for a profile that adds nothing to -nodefaults.
    """
    if profile is None:
        return f"profile {line(called)}"
    if profile.source_args or profile.destination_args or profile.run or not profile.args:
        return f"profile {line(called)}"
    added = " ".join(a for a in profile.args if a != "-nodefaults").replace("{dir}", "DIR")
    return line(added) if len(added) <= 40 else f"profile {line(called)}"


def with_what(report: Report) -> str:
    """What the bisected case is run with: options, and a method that is not the usual one. Empty for neither."""
    by = "" if report.case.method == PRECOPY else f"by {line(report.case.method)}"
    return ", ".join(filter(None, (options(report.profile, report.case.profile), by)))


def machines(report: Report) -> tuple[str, ...]:
    """Machine types that fail like the bisected case: same target, profile, pair of sides and signature.

    One that was also run at the culprit and its parents must tell them apart, or it fails for another reason.
    """
    found = {run.case.machine for run in _alike(report) if word(report, run) is table.Word.FAIL}
    return tuple(sorted((found - _elsewhere(report)) | {report.case.machine}))


def _elsewhere(report: Report) -> set[str]:
    """Machine types that pass at the culprit, or fail alike at a parent of it."""
    if report.culprit is None:
        return set()
    wrong = {report.culprit.sha: False} | dict.fromkeys(report.culprit.parents, True)
    return {
        run.case.machine
        for run in report.table
        if run.commit in wrong
        and (table.way(run.case), run.case.direction) == (table.way(report.case), report.case.direction)
        and (word(report, run) is table.Word.FAIL) is wrong[run.commit]
    }


def _alike(report: Report) -> list[Run]:
    """Runs at the bad end that differ from the bisected case in the machine type only."""
    case = report.case
    key = (case.target, table.way(case), case.direction, case.baseline)
    return [
        run
        for run in report.table
        if run.commit == report.bad.sha
        and (run.case.target, table.way(run.case), run.case.direction, run.case.baseline) == key
    ]


def word(report: Report, run: Run) -> table.Word:
    """How a run went, as a table about the regression says it."""
    return table.word(run, report.regression.signature)


def folded(report: Report) -> str:
    """The affected machine types as ranges."""
    names = {run.case.machine for run in report.table if run.case.target == report.case.target}
    affected = machines(report)
    return ", ".join(machine_ranges(affected, sorted(names | set(affected))))


def bounded(report: Report) -> str:
    """The affected machine types in few words, for a subject: `pseries <= 3.1` if newer ones were run and pass.

    Counts every baseline: a type fails if it fails with any of them, and passes if it fails with none.
    """
    same = report.case.direction is Direction.SAME
    runs = [
        run
        for run in report.table
        if run.commit == report.bad.sha
        and (run.case.target, table.way(run.case)) == (report.case.target, table.way(report.case))
        and (run.case.direction is Direction.SAME) is same
    ]
    shown = {run.case.machine for run in runs if word(report, run) is table.Word.FAIL}
    failing = (shown - _elsewhere(report)) | {report.case.machine}
    passing = ({run.case.machine for run in runs if run.outcome is Outcome.PASS} | shown) - failing
    if len(failing) == 1:
        return report.case.machine
    bounds: dict[str, list[str]] = {}
    for kind in sorted({family(machine) for machine in failing}):
        fails = [_numbers(m) for m in failing if family(m) == kind]
        passes = [_numbers(m) for m in passing if family(m) == kind]
        if passes and max(fails) < min(passes):
            bounds.setdefault(" <= " + ".".join(map(str, max(fails))), []).append(kind)
        else:
            bounds.setdefault("", []).append(f"{kind} ({plural(len(fails), 'type')})")
    return "; ".join(", ".join(kinds) + bound for bound, kinds in bounds.items())


def _numbers(machine: str) -> tuple[int, ...]:
    return version_key(machine).numbers


def plural(n: int, one: str) -> str:
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


def when(seconds: float) -> str:
    """Seconds since the epoch as people read them, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float) -> str:
    """48 s, 14 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# -- sentences ---------------------------------------------------------------------------------------------------


def failing_run(report: Report) -> Run | None:
    """The run of the bisected case at the bad end that shows the failure, else any that shows it."""
    runs = [*report.runs, *report.table]
    shown = [run for run in runs if run.case == report.case and word(report, run) is table.Word.FAIL]
    return next((run for run in shown if run.commit == report.bad.sha), shown[0] if shown else None)


def command(report: Report) -> str:
    """The user's own command, if the search asked that instead of a migration; else nothing."""
    if report.regression.signature.klass != "command":
        return ""
    run = failing_run(report)
    return line(shlex.join(run.observation.argv[0])) if run and run.observation.argv else "of the user"


def what_fails(report: Report) -> str:
    """`master no longer loads the stream of v2.12.0 for pseries-2.1 ... 3.1 (15 types), with -mem-path DIR`."""
    case, new, run = report.case, name(report.bad_name), failing_run(report)
    if command(report):
        return f"the command {how_it_ends(report)} on {new}"
    old = table.label(report.names, case.baseline) if case.baseline else new
    outcome = run.outcome if run else Outcome.FAIL_DST
    verb = _VERBS[case.direction].format(old=old)
    if outcome is Outcome.FAIL_START:
        verb = "no longer starts"
    elif outcome is Outcome.TYPE_GONE:
        verb = "no longer has"
    elif outcome is Outcome.SILENT:
        verb = f"{verb} whole: no error is shown, yet the destination is not what the source was"
    affected, added = folded(report), with_what(report)
    hangs = "; it hangs" if outcome is Outcome.HANG else ""
    joint = " " if outcome in (Outcome.FAIL_START, Outcome.TYPE_GONE) else " for "
    return f"{new} {verb}{joint}{affected}" + (f", {_with(added)}" if added else "") + hangs


def what_failed(report: Report) -> str:
    """What a fix cures: `v9.2.0 failed for pc-q35-9.2, with -mem-path DIR`."""
    old, added = name(report.good_name), with_what(report)
    if command(report):
        return f"the command failed on {old}"
    return f"{old} failed for {report.case.machine}" + (f", {_with(added)}" if added else "")


def _with(added: str) -> str:
    return added if added.startswith("by ") else f"with {added}"


def alike(report: Report) -> str:
    """Other pairs of sides that fail in the same way, or nothing."""
    new = name(report.bad_name)
    main = " -> ".join(table.sides(report.case, new, report.names))
    pairs = [row.pair for row in bad_end_rows(report, new) if row.word is table.Word.FAIL]
    others = list(dict.fromkeys(pair for pair in pairs if pair != main))
    if not others:
        return ""
    more = f" and {len(others) - 3} more pairs" if len(others) > 4 else ""
    return "The same failure also with " + ", ".join(others[: 3 if more else 4]) + more + "."


def bad_end_rows(report: Report, new: str) -> tuple[table.Row, ...]:
    runs = [run for run in report.table if run.commit == report.bad.sha]
    signature = report.regression.signature
    return table.rows(runs, new=new, names=report.names, signature=signature, first=table.way(report.case))


def how_often(culprit: Tally, parents: tuple[Tally, ...]) -> str:
    """The figures that decide whether anybody is blamed."""
    before = " and ".join(f"{parent.bad} of {parent.n}" for parent in parents)
    whose = "its parent" if len(parents) == 1 else "its parents"
    often = "It fails every time" if culprit.bad == culprit.n else "It fails now and then"
    return f"{often}: {culprit.bad} of {culprit.n} runs, {before} on {whose}."


def released(report: Report) -> str:
    """Whether users have it; nothing if the releases were not looked at."""
    if report.releases is None:
        return ""
    if not report.releases:
        return "Not in any release yet."
    first, *later = (line(release, 40) for release in report.releases)
    if not later:
        return f"Released in {first}."
    return f"Released in {first}, and still in {later[-1]}." if len(later) == 1 else (
        f"Released in {first} and {len(later)} later releases, the last of them {later[-1]}."
    )  # fmt: skip


def related(report: Report) -> list[str]:
    """A sentence for each cause that this failure may have in common with others; said to be inferred."""
    groups: dict[tuple[str, Sha, bool], list[Related]] = {}
    for one in report.related:
        groups.setdefault((one.name, one.cause.sha if one.cause else "", one.series), []).append(one)
    found = []
    for members in groups.values():
        first, more = members[0], len(members) - 3
        others = ", ".join(f"{line(m.regression)} (since {cite(m.commit)})" for m in members[:3])
        others += f" and {plural(more, 'more regression')}" if more > 0 else ""
        reasons = []
        if first.cause is not None:
            reasons.append(f"each culprit's patch has {line(first.name)}, which {cite(first.cause)} brought")
        if first.series:
            reasons.append("their patches were posted in one series")
        found.append(f"Inferred, not measured: {others} may have the same cause, for {', and '.join(reasons)}.")
    return found


def symptom(report: Report, limit: int = 12) -> list[str]:
    """Lines of the failing side's stderr, verbatim but for control bytes.

    A long one loses its warnings, for runs that pass print them too, and then its middle; what is left out is told,
    and so is the end of a line that no person would read.
    """
    lines = [readable(text.rstrip()) for text in clean(report.symptom).splitlines() if text.strip()]
    if len(lines) <= limit:
        return lines
    telling = [text for text in lines if not is_warning(text)] or lines
    left_out = [_left_out(len(lines) - len(telling), "warning")] if len(telling) < len(lines) else []
    if len(telling) > limit + 1:
        half = limit // 2
        telling = [*telling[:half], _left_out(len(telling) - 2 * half, "more line"), *telling[-half:]]
    return [*left_out, *telling]


def readable(text: str) -> str:
    """A line that a program printed, without the end that no person would read."""
    if len(text) <= _READ:
        return text
    return f"{text[:_READ]} {_left_out(len(text) - _READ, 'more character')}"


def _left_out(number: int, what: str) -> str:
    return f"[{number} {what}{'' if number == 1 else 's'}]"


def how_it_ends(report: Report) -> str:
    """`destination exits 1`, `source dies of SIGABRT`; nothing if no run says so."""
    run = failing_run(report)
    if run is None:
        return ""
    side, at = ("source", 0) if run.outcome in (Outcome.FAIL_SRC, Outcome.CRASH_SRC) else ("destination", 1)
    if run.outcome is Outcome.HANG:
        return f"no answer in {run.observation.seconds:.0f} s"
    exits = run.observation.exits
    code = exits[min(at, len(exits) - 1)] if exits else None
    if code is None:
        return str(run.outcome)
    if len(exits) == 1:
        return exit_words(code)
    return f"{side} {exit_words(code)}"


def exit_words(code: int) -> str:
    """`exits 1`, `dies of SIGABRT`."""
    if code >= 0:
        return f"exits {code}"
    try:
        return f"dies of {signal.Signals(-code).name}"
    except ValueError:
        return f"dies of signal {-code}"


def reproduced(reproduction: Reproduction, good: str) -> str:
    """What came of the reproducer as printed; `good` is how the build that works is called."""
    bad_exit, good_exit = reproduction.bad_exit, reproduction.good_exit
    if bad_exit is None and good_exit is None:
        return "not run"
    said = [f"{bad_exit} here" if bad_exit is not None else "not run here"]
    said.append(f"{good_exit} on {good}" if good_exit is not None else f"not run on {good}")
    end = "" if reproduction.shown else "; it does NOT tell them apart"
    return f"run as printed: {', '.join(said)}{end}"
