"""Pages about the history of cases: one for a family of machine types on a branch, what did alike folded together.

So there are as many pages as families, however large the matrix is; each cell of the heat map leads to its place there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.core.history import History, Stretch
from bot.core.matrix import family, machine_ranges, version_key, versioned
from bot.model import Case, Commit, Expected, Outcome, Sha
from bot.report import heat, render, table
from bot.report.data import SCHEMA
from bot.report.safe import line
from bot.report.table import Word
from bot.report.words import plural

BOARDS = "boards"  # the page of machine types without a version
_NAME = 100  # characters of a name that files and anchors have as it is
_SHOWN = 12  # stretches of a case on a page, the last ones
_RANGES = 12  # of machine types of a course that are named at once
_URGENT = (Word.FAIL, Word.FLAKY, "known")


@dataclass(frozen=True, slots=True)
class Told:
    """A case's history, and what is known of its stretches, by their place: whose failure it is, who expects it."""

    history: History
    regressions: Mapping[int, str] = field(default_factory=dict)  # those that have a page
    expected: Mapping[int, Expected] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        return self.history.case


# -- where it is ---------------------------------------------------------------------------------------------------


def slug(text: str) -> str:
    """A name for files and anchors; what had to be changed is told apart by a digest."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".-") or "_"
    if plain == text and len(text) <= _NAME:
        return plain
    return f"{plain[:40]}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:6]}"


def folder(branch: str) -> str:
    """Where the pages of a branch are, below the index."""
    return f"history/{slug(branch)}"


def page_of(branch: str, case: Case) -> str:
    """The page that a case is on, below the index."""
    return f"{folder(branch)}/{slug(f'{case.arch}-{_group(case)}')}.html"


def anchor(machine: str, column: heat.Column) -> str:
    """The place of a machine type and a pair of sides on its page."""
    return slug(".".join(filter(None, (machine, *column))))


def link(branch: str, case: Case) -> str:
    """Both: where the history of a case is read."""
    return f"{page_of(branch, case)}#{anchor(case.machine, heat.column(case))}"


def _group(case: Case) -> str:
    return family(case.machine) if versioned(case.machine) else BOARDS


# -- the pages -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Course:
    """Cases of some machine types that did alike on all commits."""

    members: tuple[Told, ...]

    @property
    def one(self) -> Told:
        return self.members[0]

    @property
    def rank(self) -> tuple[int, str]:
        """What fails now comes first, then what changed, then the rest."""
        stretches = self.one.history.stretches
        now = len(stretches) - 1
        word = _word(self.one, now)
        if word in _URGENT:
            return _URGENT.index(word), self.one.case.id
        return len(_URGENT) + (0 if now else 1 if word == Word.OK else 2), self.one.case.id


@dataclass(frozen=True, slots=True)
class About:
    """What all pages of a branch share: commits that were its tips, what baselines are called, what was not run."""

    branch: str
    matrix: str  # the name of its heat map's file
    commits: Mapping[Sha, Commit] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    not_run: Sequence[str] = ()


def groups(branch: str, told: Iterable[Told]) -> dict[str, list[Told]]:
    """The histories of each page, by its path below the index."""
    found: dict[str, list[Told]] = {}
    for one in told:
        if one.history.stretches:
            found.setdefault(page_of(branch, one.case), []).append(one)
    return dict(sorted(found.items()))


def called(case: Case) -> str:
    """What the page of a case is about: `pc-q35, x86_64`."""
    return line(f"{_group(case) if versioned(case.machine) else 'types without a version'}, {case.arch}")


def pages(path: str, told: Sequence[Told], about: About, *, templates: Path, now: datetime) -> dict[str, str]:
    """The page of histories that belong together, and the JSON beside it, by their paths."""
    drawn, case, placed = courses(told), told[0].case, set[str]()
    twin = path.removesuffix(".html") + ".json"
    machines = {one.case.machine for one in told}
    html = render.environment(templates).get_template("history.html.j2").render(
        what=called(case),
        branch=line(about.branch),
        matrix=f"../../{about.matrix}",
        courses=[_card(course, machines, placed, about) for course in drawn],
        counts=f"{plural(len(told), 'case')} of {plural(len(machines), 'machine type')}",
        files=[twin.rpartition("/")[2]],
        not_run=[line(text) for text in about.not_run],
        made=now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip
    return {path: html, twin: _twin(case, drawn, about)}


def courses(told: Iterable[Told]) -> tuple[Course, ...]:
    """Cases that did alike together, what fails now first."""
    alike: dict[tuple[object, ...], list[Told]] = {}
    for one in told:
        alike.setdefault(_course(one), []).append(one)
    return tuple(sorted((Course(tuple(members)) for members in alike.values()), key=lambda course: course.rank))


def _course(one: Told) -> tuple[object, ...]:
    """What two cases share that did alike."""
    return one.history.dropped, *(
        (
            its.first, its.last, its.outcome, its.flaky, its.commits, its.moved,
            its.signature.key if its.signature else "", one.regressions.get(i), one.expected.get(i),
        )
        for i, its in enumerate(one.history.stretches)
    )  # fmt: skip


def _card(course: Course, machines: Iterable[str], placed: set[str], about: About) -> dict[str, Any]:
    """What a page says of cases that did alike. `placed` are the cells that have their place, by now."""
    stretches = course.one.history.stretches
    shown = [_stretch(course, at, about) for at in range(len(stretches))][-_SHOWN:]
    cells = dict.fromkeys(anchor(one.case.machine, heat.column(one.case)) for one in course.members)
    ids = [name for name in cells if name not in placed]
    placed.update(ids)
    return {
        "ids": ids,
        "about": _about(course.members, machines, about),
        "machines": line(" ".join(sorted({one.case.machine for one in course.members}))),
        "stretches": shown[::-1],
        "more": len(stretches) - len(shown) + course.one.history.dropped,
    }


def _about(members: Iterable[Told], machines: Iterable[str], about: About) -> list[dict[str, Any]]:
    """Machine types that have the same cases among them, with those: (pairs of sides, ways)."""
    asked: dict[str, set[tuple[heat.Column, str]]] = {}
    for one in members:
        asked.setdefault(one.case.machine, set()).add((heat.column(one.case), table.way(one.case)))
    alike: dict[frozenset[tuple[heat.Column, str]], list[str]] = {}
    for machine in sorted(asked, key=version_key):
        alike.setdefault(frozenset(asked[machine]), []).append(machine)
    found = []
    for cells, names in alike.items():
        ranges = [line(text) for text in machine_ranges(names, machines)]
        more = len(ranges) - _RANGES
        called = ", ".join(ranges[:_RANGES]) + (f" and {more} more" if more > 0 else "")
        found.append({"types": called, "all": ", ".join(ranges) if more > 0 else "", "what": _what(cells, about)})
    return found


def _what(cells: Iterable[tuple[heat.Column, str]], about: About) -> list[tuple[str, str]]:
    """(pairs of sides, ways): those sides together that have the same ways."""
    ways: dict[heat.Column, set[str]] = {}
    for column, way in cells:
        ways.setdefault(column, set()).add(way)
    alike: dict[tuple[str, ...], list[heat.Column]] = {}
    for column, names in sorted(ways.items(), key=lambda item: heat.order(item[0])):
        alike.setdefault(tuple(sorted(names)), []).append(column)
    return [
        (", ".join(heat.heading(column, about.names) for column in columns), line(", ".join(names)))
        for names, columns in alike.items()
    ]


def _word(one: Told, at: int) -> str:
    its = one.history.stretches[at]
    if its.fails and at in one.expected:
        return "known"
    if its.flaky:
        return Word.FLAKY
    if its.outcome is Outcome.PASS:
        return Word.OK
    return Word.UNTESTABLE if its.outcome in table.NOT_TESTED and not its.fails else Word.FAIL


def _stretch(course: Course, at: int, about: About) -> dict[str, Any]:
    every = [one.history.stretches[at] for one in course.members]
    its, entry = every[0], course.one.expected.get(at)
    word = _word(course.one, at)
    hosts = sorted({line(other.host) for other in every} - {""})
    return {
        "word": word,
        "what": "" if word == Word.OK else line(f"{its.outcome} {its.signature or ''}", 120),
        "first": _commit(its.first, about),
        "last": _commit(its.last, about) if its.last != its.first else None,
        "figures": f"{plural(its.commits, 'commit')}, {_figures(every)}",
        "regression": course.one.regressions.get(at, ""),
        "expected": f"expected, {line(entry.id)}: {line(entry.why)}" if entry else "",
        "hosts": hosts,
        "moved": its.moved,
        "oldest": at == 0 and not course.one.history.dropped,
    }


def _figures(every: Sequence[Stretch]) -> str:
    """`34 runs`, `12 to 22 runs each`, `3 of 14 runs failed`."""
    if any(0 < its.failed < its.runs for its in every):
        return f"{sum(its.failed for its in every)} of {plural(sum(its.runs for its in every), 'run')} failed"
    least, most = min(its.runs for its in every), max(its.runs for its in every)
    if least < most:
        return f"{least} to {most} runs each"
    return plural(most, "run") + (" each" if len(every) > 1 else "")


def _commit(sha: Sha, about: About) -> dict[str, str]:
    commit = about.commits.get(sha)
    if commit is None:
        return {"sha": sha[:12], "day": "", "subject": ""}
    return {"sha": sha[:12], "day": line(commit.committed[:10]), "subject": line(commit.subject, 80)}


def _twin(case: Case, drawn: Iterable[Course], about: About) -> str:
    found = [
        {
            "cases": sorted(one.case.id for one in course.members),
            "earlier": course.one.history.dropped,
            "stretches": [_json(course, at, about) for at in range(len(course.one.history.stretches))],
        }
        for course in drawn
    ]
    twin = {"schema": SCHEMA, "branch": about.branch, "target": case.target, "group": _group(case), "histories": found}
    return json.dumps(twin, indent=1, sort_keys=True) + "\n"


def _json(course: Course, at: int, about: About) -> dict[str, Any]:
    every = [one.history.stretches[at] for one in course.members]
    its, entry = every[0], course.one.expected.get(at)
    return {
        "first": its.first, "last": its.last, "committed": getattr(about.commits.get(its.first), "committed", None),
        "outcome": its.outcome, "signature": str(its.signature) if its.signature else None, "flaky": its.flaky,
        "commits": its.commits, "runs": sum(e.runs for e in every), "failed": sum(e.failed for e in every),
        "hosts": sorted({e.host for e in every}), "setup_changed": its.moved,
        "regression": course.one.regressions.get(at), "expected": entry.id if entry else None,
    }  # fmt: skip
