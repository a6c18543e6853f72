"""Runs on a terminal: what changed first, then what fails, what was known, what could not be tested, then counts.

A text with styles, which are shown where there are colours (`rich.console.Console`) and gone elsewhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text

from bot.core.signature import normalise
from bot.model import PRECOPY, TCG, Case, Outcome, Run
from bot.report import table
from bot.report.background import Background
from bot.report.safe import line
from bot.report.table import Word
from bot.report.words import plural

_HIDDEN = 3  # hints that are shown of each expected failure
_BAD, _ODD, _GOOD, _SOFT = "bold red", "yellow", "green", "dim"
_MESSAGE = 200  # characters of a failure's message
_REASONS = 8  # that are told one by one
_SIDE = re.compile(r"\((?:source|destination): ")


def summary(runs: Sequence[Run], background: Background | None = None) -> Text:
    """All that a person has to know of runs (the latest of each case), most important first; one line where it can be.

    Machine types are folded to ranges, ways that do alike share a line, and so do sides.
    """
    about = background or Background()
    out = Text()
    if about.posted is not None:
        out.append(f"{line(str(about.posted))}\n")
    if not runs:
        return out.append("nothing was run\n")
    changed = _changed(out, runs, about)
    rest = [run for run in runs if run.case not in changed and run.case not in about.expected]
    _failures(out, [run for run in rest if table.word(run, None) is Word.FAIL], runs, about)
    for odd in (Word.FLAKY, Word.TROUBLE):
        _failures(out, [run for run in rest if table.word(run, None) is odd], runs, about)
    _expected(out, runs, about)
    _untested(out, runs, about)
    _counts(out, runs, about)
    return out


# -- what changed --------------------------------------------------------------------------------------------------

_CHANGES = {
    "fails now": _BAD,
    "fails in another way now": _BAD,
    "cannot be tested any more": _ODD,
    "passes now": _GOOD,
}


def _changed(out: Text, runs: Sequence[Run], about: Background) -> set[object]:
    """Cases that do otherwise than before, each kind of change under its own heading; returns those that were told."""
    kinds: dict[str, list[Run]] = {}
    for run in runs:
        kind = _change(run, about)
        if kind:
            kinds.setdefault(kind, []).append(run)
    for kind in (kind for kind in _CHANGES if kind in kinds):
        out.append(f"{kind}, unlike on {line(about.old)}:\n", _CHANGES[kind])
        if kind == "passes now":
            for text in _folded(table.rows(kinds[kind], new=about.new, names=about.names, signature=None, among=runs)):
                out.append(f"  {text}\n")
        else:
            _failures(out, kinds[kind], runs, about, indent="  ")
    return {run.case for kind in kinds.values() for run in kind}


def _change(run: Run, about: Background) -> str:
    """What is new about a run, or nothing. A failure that is expected is no news, that one passes is."""
    before = about.before.get(run.case)
    if before is None or run.case in about.expected:
        return ""
    was, now = table.word(before, None), table.word(run, None)
    if now is Word.FAIL:
        if was is not Word.FAIL:
            return "fails now" if was is Word.OK else ""
        same = before.signature is not None and run.signature is not None and before.signature.key == run.signature.key
        return "" if same else "fails in another way now"
    if now is Word.OK:
        return "passes now" if was is not Word.OK else ""
    return "cannot be tested any more" if now is Word.UNTESTABLE and was is Word.OK else ""


# -- what fails ----------------------------------------------------------------------------------------------------


def _failures(out: Text, failing: Sequence[Run], runs: Sequence[Run], about: Background, indent: str = "") -> None:
    """One block for each signature: what fails, where, the message."""
    groups: dict[str, list[Run]] = {}
    for run in failing:
        groups.setdefault(table.what(run), []).append(run)
    for what, members in groups.items():
        style = _BAD if table.word(members[0], None) is Word.FAIL else _ODD
        flaky = "flaky: " if members[0].flaky else ""
        out.append(f"{indent}{flaky}{what}\n", style)
        for text in _folded(table.rows(members, new=about.new, names=about.names, signature=None, among=runs)):
            out.append(f"{indent}  {text}\n")
        message = line(members[0].observation.message, _MESSAGE)
        if message:
            out.append(f"{indent}    {message}\n", _SOFT)
        blamed = dict.fromkeys(device for run in members for device in run.observation.blamed)
        if blamed:
            out.append(f"{indent}    alone it fails with: {line(', '.join(blamed))}\n")


def _folded(rows: Iterable[table.Row]) -> list[str]:
    """`v7.2.0 -> new, v8.2.0 -> new with bare, virtio: pc-q35-4.0 ... 4.2 (3 types)`: what does alike shares a line."""
    rows = list(rows)
    many = len({row.target for row in rows}) > 1
    ways: dict[tuple[str, str, tuple[str, ...]], list[Case]] = {}
    for row in rows:
        ways.setdefault((row.target, row.pair, row.ranges), []).append(row.runs[0].case)
    pairs: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (target, pair, ranges), cases in ways.items():
        pairs.setdefault((target, _ways(cases), ranges), []).append(pair)
    return [
        line(
            (f"{target.removesuffix('-softmmu')}: " if many else "")
            + f"{', '.join(sides)} with {way}: {', '.join(ranges)}"
        )
        for (target, way, ranges), sides in pairs.items()
    ]


def _ways(cases: Iterable[Case]) -> str:
    """`bare, default by precopy, exec; mem-path; bare on kvm`: profiles by the methods that each was run with."""
    methods: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        methods.setdefault((case.profile, case.accel), []).append(case.method)
    profiles: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (profile, accel), used in methods.items():
        profiles.setdefault((accel, tuple(sorted(used, key=_usual))), []).append(profile)
    return "; ".join(
        ", ".join(names)
        + (f" by {', '.join(used)}" if used != (PRECOPY,) else "")
        + (f" on {accel}" if accel != TCG else "")
        for (accel, used), names in profiles.items()
    )


def _usual(method: str) -> tuple[bool, str]:
    return method != PRECOPY, method


# -- what is no news -----------------------------------------------------------------------------------------------


def _expected(out: Text, runs: Sequence[Run], about: Background) -> None:
    """One line for each entry; entries that nobody needs any more are marked."""
    entries = {entry.id: entry for entry in about.expected.values()}
    count = Counter(about.expected[run.case].id for run in runs if run.case in about.expected)
    for name, entry in entries.items():
        if count[name]:
            out.append(f"expected, {line(name)}: {plural(count[name], 'case')}: {line(entry.why)}\n", _ODD)
            hidden = about.behind.get(name, ())
            for hint in hidden[:_HIDDEN]:
                out.append(f"    behind it: {line(hint)}\n", _ODD)
            if len(hidden) > _HIDDEN:
                out.append(f"    behind it: {len(hidden) - _HIDDEN} more, see `bot hints`\n", _ODD)
    for entry in about.passed:
        out.append(f"expected failure {line(entry.id)} passes now: remove it ({line(entry.owner)})\n", _BAD)
    for entry in about.expired:
        said = f"expected failure {line(entry.id)} has expired ({entry.expires}): look again ({line(entry.owner)})\n"
        out.append(said, _ODD)


def _untested(out: Text, runs: Sequence[Run], about: Background) -> None:
    """Devices that were left out, and why cases could not be tested, each with how often."""
    left_out = Counter(_SIDE.sub("(", line(text)) for run in runs for text in run.observation.left_out)
    why = Counter(
        normalise(line(run.observation.message, _MESSAGE)) or str(run.outcome)
        for run in runs
        if table.word(run, None) is Word.UNTESTABLE and not _change(run, about)
    )
    for label, reasons in (("left out", left_out), ("cannot be tested", why)):
        for reason, n in reasons.most_common(_REASONS):
            out.append(f"{label}: {plural(n, 'case')}: {reason}\n", _SOFT)
        more = len(reasons) - _REASONS
        if more > 0:
            n = sum(reasons.values()) - sum(n for _, n in reasons.most_common(_REASONS))
            out.append(f"{label}: {plural(n, 'case')}: {plural(more, 'more reason')}\n", _SOFT)


def _counts(out: Text, runs: Sequence[Run], about: Background) -> None:
    count = Counter(run.outcome for run in runs if run.case not in about.expected and not run.flaky)
    said = [f"{count[outcome]} {outcome}" for outcome in Outcome if count[outcome]]
    flaky = sum(run.flaky for run in runs if run.case not in about.expected)
    said += [f"{flaky} flaky"] if flaky else []
    known = sum(run.case in about.expected for run in runs)
    said += [f"{known} fail as expected"] if known else []
    seconds = sum(run.observation.seconds for run in runs)
    failing = any(table.word(run, None) is Word.FAIL for run in runs if run.case not in about.expected)
    types = {(run.case.target, run.case.machine) for run in runs}
    old = types & about.deprecated
    marked = f" ({len(old)} of {plural(len(types), 'machine type')} deprecated)" if old else ""
    style = _BAD if failing else _GOOD if count[Outcome.PASS] else _ODD
    out.append(f"{plural(len(runs), 'case')}{marked}: {', '.join(said)} ({seconds:.1f} s of smokes)\n", style)
