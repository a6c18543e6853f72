"""The picture of a search as SVG: commits from left to right, one row per step, the weight that is left in each.

It is drawn without a scale of its own: places are per cent of the width and texts are not, so that they can be read on
a telephone and on a wide screen alike. Where it is a file of its own, show it as wide as the text around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.model import Course, CourseRow, FirstBad, MergeConflict, Probed, Report, Sha
from bot.report.reasons import percent
from bot.report.render import environment
from bot.report.safe import xml_line
from bot.report.words import known, name

_TOP, _STRIP, _ROW = 86, 22, 56  # pixels: the first row's line of text, bars, from row to row
_LEGEND = (("good", "good", 0), ("bad", "bad", 56), ("skip", "skipped", 104))
_SWATCH = 172
_LABEL = 16  # characters of the name of an end
_SUBJECT = 60
_TOLD = 5  # commits of a row that are named
_MOST = 8  # marks of a row from which those of one kind in a 20th of the range are one
_ASIDE = 3  # marks that are moved aside; more are drawn where they are
_FLAKE = 0.005  # share from which it is said that nobody may have brought it


@dataclass(frozen=True, slots=True)
class _Found:
    """The commit that was found: where its line is, and its text below."""

    x: str
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A row as the template has it; `bars` and `spans` are paths in bins by hundredths."""

    y: int
    left: str
    right: str
    said: str
    spans: str
    bars: str
    marks: tuple[tuple[str, str, float], ...]  # what it is, where, and pixels beside that


def of_report(report: Report, templates: Path) -> str:
    """The picture of a report's search; nothing if it was not recorded."""
    if report.course is None:
        return ""
    finding = report.finding
    found = finding.commit if isinstance(finding, FirstBad | MergeConflict) else None
    probed = {probe.commit for row in report.course.rows for probe in row.probes}
    subjects = {sha: commit.subject for sha in probed if (commit := known(report, sha))}
    ends = name(report.good_name), name(report.bad_name)
    return draw(report.course, templates, ends=ends, found=found, subjects=subjects)


def draw(
    course: Course, templates: Path, *, ends: tuple[str, str], found: Sha | None, subjects: Mapping[Sha, str]
) -> str:
    """An `<svg>` element that is a whole file as well. `ends` are what good and bad are called, `found` the culprit."""
    rows = [_row(row, i, course.commits, subjects) for i, row in enumerate(course.rows)]
    bottom = _TOP + _ROW * (len(rows) - 1) + 6 + _STRIP + 16
    tested = len({probe.commit for row in course.rows for probe in row.probes})
    context: dict[str, Any] = {
        "title": f"{_count(course.commits, 'commit')}, {tested} of them tested",
        "rows": rows,
        "bins": len(course.rows[0].weights),
        "strip": _STRIP,
        "bottom": bottom,
        "height": bottom + (44 if found else 26),
        "legend": _LEGEND,
        "swatch": _SWATCH,
        "good": xml_line(f"good: {ends[0]}", _LABEL + 6),
        "bad": xml_line(f"bad: {ends[1]}", _LABEL + 5),
        "found": _found(course, found),
    }
    return environment(templates).get_template("search.svg.j2").render(**context)


def _found(course: Course, sha: Sha | None) -> _Found | None:
    """Where the culprit is drawn; nothing if it is not in the range or was not tested."""
    probes = (probe for row in course.rows for probe in row.probes)
    place = next((p.place for p in probes if p.commit == sha and p.place is not None), None)
    if sha is None or place is None:
        return None
    part = (place + 0.5) / course.commits
    anchor = "start" if part < 0.35 else "end" if part > 0.65 else "middle"
    return _Found(_x(place, course.commits), anchor, f"first bad commit {xml_line(sha[:12], 12)}")


def _row(row: CourseRow, number: int, commits: int, subjects: Mapping[Sha, str]) -> _Drawn:
    left = _left(row, commits)
    right = f"{row.suspects:,} left, top {_part(row.share)}"
    if row.nobody >= _FLAKE:
        right = f"top {_part(row.share)}, nobody {_part(row.nobody)}"
    said, y = _said(row, left, right, subjects), _TOP + _ROW * number
    return _Drawn(y, left, right, said, _spans(row), _bars(row.weights), tuple(_marks(row.probes, commits)))


def _left(row: CourseRow, commits: int) -> str:
    """What was run, short enough to stand beside what is left."""
    if row.phase == "ends":
        inner = [probe for probe in row.probes if probe.place is not None and probe.place < commits - 1]
        return "recorded before" if inner else "before the first probe"
    if row.phase == "confirmation":
        runs = sum(probe.good + probe.bad + probe.skip for probe in row.probes)
        return f"confirmation, {_count(runs, 'run')}"
    if len(row.probes) == 1:
        return f"{xml_line(row.probes[0].commit[:12], 12)} {_outcome(row.probes[0])}"
    return _count(len(row.probes), "commit")


def _said(row: CourseRow, left: str, right: str, subjects: Mapping[Sha, str]) -> str:
    """A row as a sentence, for those who do not see it, and for whoever rests on it."""
    few = len(row.probes) <= _TOLD
    tested = []
    for probe in row.probes[:_TOLD]:
        subject = xml_line(subjects.get(probe.commit, ""), _SUBJECT) if len(row.probes) == 1 else ""
        words = (xml_line(probe.commit[:12], 12), _outcome(probe), subject and f'"{subject}"')
        tested.append(" ".join(filter(None, words)))
    tested += [] if few else [f"and {len(row.probes) - _TOLD} more"]
    why = f" ({xml_line(row.why, _SUBJECT)})" if row.why else ""
    return f"{left}{why}: {right} ({xml_line(row.likeliest[:12], 12)}); {', '.join(tested) or 'nothing was run'}."


def _marks(probes: Iterable[Probed], commits: int) -> Iterator[tuple[str, str, float]]:
    """Marks by place; of few that would hide each other, as those of culprit and parent, each is moved aside."""
    ordered = sorted(probes, key=lambda probe: -1 if probe.place is None else probe.place)
    if len(ordered) > _MOST:
        places = [p.place if p.place is None else 20 * p.place // commits for p in ordered]
        ordered = list({(_kind(p), place): p for p, place in zip(ordered, places, strict=True)}.values())
    for probe in ordered:
        near = [p for p in ordered if (p.place is None) == (probe.place is None) and _near(p, probe, commits)]
        aside = near.index(probe) - (len(near) - 1) / 2 if len(near) <= _ASIDE else 0.0
        yield _kind(probe), _x(probe.place, commits), 9 * aside


def _near(one: Probed, other: Probed, commits: int) -> bool:
    return abs((one.place or 0) - (other.place or 0)) <= 0.025 * commits


def _kind(probe: Probed) -> str:
    return "bad" if probe.bad else "good" if probe.good else "skip"


def _outcome(probe: Probed) -> str:
    """`bad`, `good`, `skip`; `3 of 10` where the runs do not agree: so many are bad."""
    return f"{probe.bad} of {probe.good + probe.bad}" if probe.good and probe.bad else _kind(probe)


def _x(place: int | None, commits: int) -> str:
    """Per cent of the width; commits outside the range are at its left edge."""
    return "1%" if place is None else f"{2 + 96 * (place + 0.5) / commits:.2f}%"


def _bars(weights: tuple[float, ...]) -> str:
    """An outline of bars: their heights are square roots, so that one that has all does not hide the others."""
    heights = [round(100 * math.sqrt(min(max(weight, 0.0), 1.0))) for weight in weights]
    path, i = "", 0
    while i < len(heights):
        start = i
        while i < len(heights) and heights[i]:
            same = i
            while i < len(heights) and heights[i] == heights[same]:
                i += 1
            path += f"{f'M{same} 100' if same == start else ''}V{100 - heights[same]}h{i - same}"
        path += "V100z" if i > start else ""
        i += i == start
    return path


def _spans(row: CourseRow) -> str:
    return "".join(f"M{first} 0h{last - first}v100h{first - last}z" for first, last in row.spans)


def _part(share: float) -> str:
    """A share in few characters: 68 %, 6.2 %, 0.04 %."""
    return percent(share) if share >= 0.01 else f"{100 * share:.1g} %"


def _count(n: int, one: str) -> str:
    return f"{n:,} {one}" if n == 1 else f"{n:,} {one}s"
