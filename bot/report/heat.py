"""The heat map: machine types by baselines, every cell the worst that was seen, for one look over a whole commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.core.matrix import version_key, versioned
from bot.model import Case, Direction, Run
from bot.report import render, table, text
from bot.report.background import Background
from bot.report.safe import line
from bot.report.table import Word

_NAMES = 3  # of a folded row that are shown
_TOLD = 6  # failures of a cell that are told in its tooltip
_DIRECTIONS = (Direction.SAME, Direction.FORWARD, Direction.BACKWARD)

Column = tuple[Direction, str]
"""A direction, and the baseline on the other side ("" for `same`)."""

Links = Callable[[str, str, Column], str]
"""Where the history of a target, machine type and column is; "" if there is none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One machine type against one baseline: a style of base.html.j2, a word or two, and all that there is to say."""

    style: str
    text: str
    title: str
    link: str = ""  # to its history


EMPTY = Cell("", "", "not run")


@dataclass(frozen=True, slots=True)
class Row:
    """A machine type, or several without a version that do alike. `title` names all of them."""

    name: str
    title: str
    deprecated: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """One target: machine types by (direction, baseline), newest first."""

    target: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def page(
    runs: Sequence[Run],
    about: Background,
    *,
    templates: Path,
    now: datetime,
    back: str = "",
    files: Sequence[str] = (),
    links: Links = lambda target, machine, column: "",
    histories: Sequence[tuple[str, str]] = (),
    not_run: Sequence[str] = (),
) -> str:
    """A page of its own, HTML; `back` is a link to the page above, if there is one, `files` are beside it.

    `histories` are links (what, where) to all pages that `links` leads to.
    """
    made = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    template = render.environment(templates).get_template("heat.html.j2")
    words = text.summary(runs, about).plain
    return template.render(
        new=line(about.new),
        grids=grids(runs, about, links),
        words=words,
        made=made,
        back=back,
        files=files,
        histories=histories,
        not_run=[line(text) for text in not_run],
    )


def grids(
    runs: Sequence[Run], about: Background, links: Links = lambda target, machine, column: ""
) -> tuple[Grid, ...]:
    """One grid for each target, from the latest run of each case."""
    latest = {run.case: run for run in runs}
    targets: dict[str, list[Run]] = {}
    for run in latest.values():
        targets.setdefault(run.case.target, []).append(run)
    return tuple(_grid(target, members, about, links) for target, members in sorted(targets.items()))


def _grid(target: str, runs: Sequence[Run], about: Background, links: Links) -> Grid:
    columns = sorted({column(run.case) for run in runs}, key=order)

    def linked(machine: str, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return tuple(
            cell if cell is EMPTY else replace(cell, link=links(target, machine, c))
            for c, cell in zip(columns, cells, strict=True)
        )

    found: dict[str, dict[Column, list[Run]]] = {}
    for run in runs:
        found.setdefault(run.case.machine, {}).setdefault(column(run.case), []).append(run)
    rows = []
    alike: dict[tuple[bool, tuple[Cell, ...]], list[str]] = {}
    for machine, members in found.items():
        cells = tuple(_cell(members[c], about) if c in members else EMPTY for c in columns)
        old = (target, machine) in about.deprecated
        if versioned(machine):
            rows.append(Row(machine, machine, old, linked(machine, cells)))
        else:
            alike.setdefault((old, cells), []).append(machine)
    rows.sort(key=_age)
    rows += [
        _boards(sorted(names, key=table.natural), old, linked(min(names, key=table.natural), cells))
        for (old, cells), names in sorted(alike.items(), key=_first)
    ]
    return Grid(target, tuple(heading(c, about.names) for c in columns), tuple(rows))


def column(case: Case) -> Column:
    return case.direction, case.baseline or ""


def order(key: Column) -> tuple[object, ...]:
    """Sort key of columns: to itself, then each baseline, from it and to it."""
    direction, baseline = key
    return direction is not Direction.SAME, table.natural(baseline), _DIRECTIONS.index(direction)


def heading(key: Column, names: Mapping[str, str]) -> str:
    """`to itself`, `from v7.2.0`, `to v7.2.0`."""
    direction, baseline = key
    if direction is Direction.SAME:
        return "to itself"
    called = table.label(names, baseline)
    return f"from {called}" if direction is Direction.FORWARD else f"to {called}"


def _age(row: Row) -> tuple[object, ...]:
    """Families in their order, in each the newest first."""
    key = version_key(row.name)
    return key.prefix, tuple(-number for number in key.numbers), key.tag


def _first(item: tuple[tuple[bool, tuple[Cell, ...]], list[str]]) -> tuple[bool, str]:
    (_, cells), names = item
    return not any(cell.style == "fail" for cell in cells), min(names)


def _boards(names: Sequence[str], old: bool, cells: tuple[Cell, ...]) -> Row:
    more = len(names) - _NAMES
    shown = ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
    return Row(shown, ", ".join(names), old, cells)


def _cell(runs: Sequence[Run], about: Background) -> Cell:
    """The worst of several ways to run a machine type; what cannot be tested counts only where nothing else was."""
    kinds: dict[str, list[Run]] = {}
    for run in runs:
        kinds.setdefault("known" if run.case in about.expected else table.word(run, None), []).append(run)
    style, worst = next((style, kind) for style, kind in _SEVERITY if kind in kinds)
    count = len(kinds[worst])
    said = "" if count == len(runs) else f" {count}/{len(runs)}"
    told = [_told(run, about) for _, kind in _SEVERITY if kind is not Word.OK for run in kinds.get(kind, [])]
    more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
    passes = [f"{len(kinds[Word.OK])} of {len(runs)} pass"] if Word.OK in kinds else []
    return Cell(style, f"{worst}{said}", "\n".join((*passes, *told[:_TOLD], *more)))


_SEVERITY = (
    ("fail", Word.FAIL), ("other", Word.FLAKY), ("other", Word.TROUBLE), ("other", "known"), ("ok", Word.OK),
    ("none", Word.UNTESTABLE),
)  # fmt: skip


def _told(run: Run, about: Background) -> str:
    entry = about.expected.get(run.case)
    known = f" (expected, {line(entry.id)})" if entry else ""
    return line(f"{table.way(run.case)}: {table.what(run)}") + known
