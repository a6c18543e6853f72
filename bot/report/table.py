"""Runs folded to rows that a person can read: who sends to whom, which machine types, and how it went."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bot.core.matrix import machine_ranges
from bot.model import PRECOPY, TCG, Case, Direction, Outcome, Run, Signature
from bot.report.safe import line

WIDTH = 76  # columns of a mail


class Word(StrEnum):
    """How a run went, as a table says it."""

    FLAKY = "flaky"  # failed, and passed as well
    FAIL = "FAIL"  # with the signature that the table is about, or with any if it is about none
    OTHER = "other"  # fails in another way
    UNTESTABLE = "n/a"
    TROUBLE = "no answer"  # the machine failed us
    OK = "ok"


NOT_TESTED = (Outcome.UNTESTABLE, Outcome.NOT_BUILT)


@dataclass(frozen=True, slots=True)
class Row:
    """Runs of one pair of sides, way and word. `ranges` are their machine types, folded."""

    target: str
    profile: str  # and whatever else `way` says
    direction: Direction
    source: str
    destination: str
    word: Word
    what: str  # of OTHER: what fails; else empty
    ranges: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def pair(self) -> str:
        return f"{self.source} -> {self.destination}"


def word(run: Run, signature: Signature | None) -> Word:
    """What a table about `signature` (None: about any failure) says of a run."""
    if run.flaky:
        return Word.FLAKY
    if run.outcome is Outcome.PASS:
        return Word.OK
    if run.outcome is Outcome.INFRA:
        return Word.TROUBLE
    if signature is not None and run.signature is not None and run.signature.key == signature.key:
        return Word.FAIL
    if run.outcome in NOT_TESTED:
        return Word.UNTESTABLE
    return Word.FAIL if signature is None else Word.OTHER


def what(run: Run) -> str:
    """A failure in few words: its outcome and signature, and how often, if not each time."""
    said = f"{run.outcome} {line(str(run.signature), 60)}" if run.signature else str(run.outcome)
    if not run.flaky:
        return said
    return f"{said}, in {len(run.beside) + 1 - run.beside.count(Outcome.PASS)} of {len(run.beside) + 1} runs"


def way(case: Case) -> str:
    """What a case is run with: its profile, and its method and accelerator where they are not the usual ones."""
    by = f" by {case.method}" if case.method != PRECOPY else ""
    return case.profile + by + (f" on {case.accel}" if case.accel != TCG else "")


def sides(case: Case, new: str, names: Mapping[str, str]) -> tuple[str, str]:
    """(source, destination) as readers call them; `new` is the commit under test."""
    old = label(names, case.baseline) if case.baseline else new
    if case.direction is Direction.FORWARD:
        return old, new
    return (new, old) if case.direction is Direction.BACKWARD else (new, new)


def label(names: Mapping[str, str], baseline: str) -> str:
    """A baseline in one word or two: `qemu-7.2.22` of `qemu-7.2.22 (/usr/bin/qemu-system-x86_64)`.

    The whole name if another baseline has the same short one.
    """
    whole = line(names.get(baseline, baseline))
    short = _short(whole)
    twin = any(_short(line(text)) == short for key, text in names.items() if key != baseline and text != whole)
    return whole if twin else short


def legend(runs: Iterable[Run], names: Mapping[str, str]) -> list[str]:
    """`qemu-7.2.22 is /usr/bin/qemu-system-x86_64`, for baselines of `runs` whose label says less than their name."""
    out = []
    for baseline in dict.fromkeys(run.case.baseline for run in runs if run.case.baseline):
        whole, short = line(names.get(baseline, baseline)), label(names, baseline)
        if whole != short:
            out.append(f"{short} is {whole.removeprefix(short).strip(' ()')}")
    return out


def _short(name: str) -> str:
    return name.partition(" (")[0] or name


def rows(
    runs: Iterable[Run],
    *,
    new: str,
    names: Mapping[str, str],
    signature: Signature | None,
    first: str | None = None,
    among: Iterable[Run] = (),
) -> tuple[Row, ...]:
    """One row per target, way, pair of sides and word; the way `first` leads, then baselines by version.

    A range of machine types spans only what was run: all types of that target of `runs`, and of `among`.
    """
    groups: dict[tuple[str, str, Direction, str, Word, str], list[Run]] = {}
    known: dict[str, set[str]] = {}
    for run in among:
        known.setdefault(run.case.target, set()).add(run.case.machine)
    for run in runs:
        case, how = run.case, word(run, signature)
        told = how in (Word.OTHER, Word.FLAKY) or (how is Word.FAIL and signature is None)
        detail = what(run) if told else ""
        key = (case.target, way(case), case.direction, case.baseline or "", how, detail)
        groups.setdefault(key, []).append(run)
        known.setdefault(case.target, set()).add(case.machine)
    found = []
    for (target, profile, direction, _, how, detail), members in sorted(
        groups.items(), key=lambda item: _order(item[0], first)
    ):
        source, destination = sides(members[0].case, new, names)
        machines = sorted({run.case.machine for run in members})
        ranges = machine_ranges(machines, sorted(known[target]))
        found.append(Row(target, profile, direction, source, destination, how, detail, ranges, tuple(members)))
    return tuple(found)


def _order(key: tuple[str, str, Direction, str, Word, str], first: str | None) -> tuple[object, ...]:
    target, profile, direction, baseline, how, detail = key
    place = (Direction.FORWARD, Direction.BACKWARD, Direction.SAME).index(direction)
    return profile != first, profile, target, not baseline, natural(baseline), place, list(Word).index(how), detail


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Sort key that puts 2.9 before 2.10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text))


def layout(table: Sequence[Row], first: str, *, indent: str = "  ", width: int = WIDTH) -> list[str]:
    """Rows as text in three columns; nothing is cut. Rows of the way `first` as they are, then those of other profiles.

    A profile that passes everywhere is one line.
    """
    out = [_cells(row, table) for row in table if row.profile == first]
    for profile in dict.fromkeys(row.profile for row in table if row.profile != first):
        rows = [row for row in table if row.profile == profile]
        label, count = f"profile {line(profile)}", sum(len(row.runs) for row in rows)
        if {row.word for row in rows} == {Word.OK}:
            out.append((label, [f"all {count} cases run"], Word.OK, ""))
        else:
            out.append((label + ":", [], "", ""))
            out += [_cells(row, table) for row in rows]
    return columns(out, indent, width)


Cells = tuple[str, Sequence[str], str, str]  # pair, machine types, word, what else there is to say


def _cells(row: Row, table: Sequence[Row]) -> Cells:
    many = len({other.target for other in table}) > 1
    pair = f"{row.target.removesuffix('-softmmu')}: {row.pair}" if many else row.pair
    return pair, row.ranges, row.word, row.what


def _fill(texts: Sequence[str], room: int) -> list[str]:
    """Texts with commas between them, broken within one only if it is longer than a line."""
    lines = [""]
    for i, text in enumerate(texts):
        part = text + ("," if i + 1 < len(texts) else "")
        if lines[-1] and len(lines[-1]) + 1 + len(part) > room:
            lines.append("")
        joined = f"{lines[-1]} {part}".strip()
        lines[-1:] = textwrap.wrap(joined, room, break_long_words=False, break_on_hyphens=False) or [""]
    return lines


def columns(cells: Sequence[Cells], indent: str, width: int) -> list[str]:
    """Lines of three columns; the middle one is wrapped."""
    first = min(max((len(left) for left, *_ in cells), default=0), width // 2)
    last = max((len(right) for _, _, right, _ in cells), default=0)
    room = max(width - len(indent) - first - last - 4, 20)
    out = []
    for left, middle, right, more in cells:
        if len(left) > first:
            out.append(indent + left)
            left = ""
        lines = _fill(middle, room)
        out.append(f"{indent}{left:<{first}}  {lines[0]:<{room}}  {right}".rstrip())
        out += [f"{indent}{'':<{first}}  {text}" for text in lines[1:]]
        if more:
            out.append(f"{indent}{'':<{first}}  ({more})")
    return out
