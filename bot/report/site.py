"""Static pages: what is open, where it fails, one page per regression with everything behind it.

They say all that they have to say without JavaScript; with it they can be filtered and copied from (`page.js`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.core.lifecycle import Record
from bot.core.matrix import machine_ranges
from bot.model import Commit, Direction, ReportSettings, Run, Sha
from bot.report import accuracy, beside, buildlog, health, heat, history, render, seriespage, table, words
from bot.report.background import Background
from bot.report.memory import Memory, digest, program
from bot.report.page import Entry as Entry
from bot.report.page import changes, page
from bot.report.page import page_context as page_context
from bot.report.safe import line

NOTHING = health.Work()


@dataclass(frozen=True, slots=True)
class Tip:
    """A watched branch: the commit that was tested last, its runs, and what is known beside them."""

    branch: str
    commit: Commit
    runs: tuple[Run, ...]
    background: Background
    troubles: tuple[Run, ...] = ()  # runs that gave no answer
    told: tuple[history.Told, ...] = ()  # histories of cases that ran on tips of the branch
    commits: Mapping[Sha, Commit] = field(default_factory=dict)  # its tips
    not_run: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What its files are called, without the end."""
        return f"matrix-{re.sub('[^A-Za-z0-9._-]', '_', self.branch)[:100]}"

    @property
    def page(self) -> str:
        """The name of its heat map's file."""
        return f"{self.name}.html"


@dataclass(frozen=True, slots=True)
class Cell:
    """How one group of machine types does in one column: a word, and what fails."""

    word: str
    what: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Machine types by pairs of sides, for one target and way to run them; types that do alike share a row."""

    target: str
    profile: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...], tuple[str, ...]], ...]  # the types as they are told, cells, all the types

    @property
    def fails(self) -> bool:
        return any(_fails(cells) for _, cells, _ in self.rows)


@dataclass(frozen=True, slots=True)
class Source:
    """A regression that is read when its page has to be made: `digest` is of all that `load` would give."""

    id: str
    record: Record
    digest: str
    load: Callable[[], Entry]


@dataclass(frozen=True, slots=True)
class SeriesSource:
    """The same of a posted series."""

    id: str
    digest: str
    load: Callable[[], seriespage.Entry]


def site(
    out: Path,
    *,
    templates: Path,
    entries: Sequence[Entry | Source],
    tips: Sequence[Tip],
    settings: ReportSettings,
    now: datetime,
    cycle: str = "",
    not_run: Sequence[str] = (),
    work: health.Work = NOTHING,
    builds: buildlog.Builds = buildlog.none,
    series: Sequence[SeriesSource] = (),
    whose: str = "",
) -> tuple[Path, ...]:
    """Write index.html, a heat map and pages of histories for each tip, accuracy.html and health.html, each with its
    JSON beside it, and ID/index.html with report.json, mail.eml, bisect.log, search.svg and timeline.svg beside it, of
    a posted series with the first two of these;
    builds/*.html, the logs of `builds` that pages lead to; feed.xml, if it is known where the pages can be read.

    Returns all files that are there then. What is made of the same as the last time is left as it is; what `whose` work
    this is wrote then, and is of no use any more, is removed. URLs stay the same from one call to the next. `cycle`
    says in a line how the last one went.
    """
    memory, same = Memory(out, whose), digest(program(templates), settings)
    whole = False
    try:
        heads, judged, logs = [], [], dict[str, buildlog.BuildLog]()
        for source in (_source(entry) for entry in entries):
            about = _one(memory, source, settings, builds, same, templates=templates, now=now)
            heads.append(about["head"])
            judged += [accuracy.Judged(**one) for one in about["judged"]]
            leads = (builds(sha, target) for sha, target in about["builds"])
            logs |= {log.path: log for log in leads if log is not None}
        heads.sort(key=lambda head: (not head["live"], -(head["found"] or 0.0)))
        told = [(tip, _counts(tip), matrices(tip)) for tip in tips]
        found = [_posted(memory, one, settings, same, templates=templates, now=now) for one in series]
        public = [head for head in found if head is not None]
        public.sort(key=lambda head: (head["found"], head["id"]), reverse=True)
        above = Above(heads, told, public, len(found) - len(public), settings, cycle, not_run)
        _write_index(memory, above, templates=templates, now=now)
        for tip in tips:
            _write_tip(memory, tip, same, templates=templates, now=now)
        how: dict[str, Any] = {"templates": templates, "now": now, "not_run": not_run}
        html, twin = accuracy.of_judged(judged, twin="accuracy.json", **how)
        memory.write("accuracy", {"accuracy.html": html, "accuracy.json": twin})
        failed = {log.path: log for _, build in work.failed if (log := builds(build.commit, build.target)) is not None}
        html, twin = health.page(work, tips, twin="health.json", logs=set(failed), **how)
        memory.write("health", {"health.html": html, "health.json": twin})
        for path, log in {**logs, **failed}.items():
            of = digest(same, log.build, log.commit)
            if memory.kept(path, of) is None:
                memory.write(path, {path: buildlog.page(log, templates=templates, now=now)}, of)
        whole = True
    finally:
        memory.close(whole=whole)
    return memory.all_files()


def _source(entry: Entry | Source) -> Source:
    if isinstance(entry, Source):
        return entry
    return Source(entry.report.regression.id, entry.record, entry.digest, lambda: entry)


def _one(
    memory: Memory,
    source: Source,
    settings: ReportSettings,
    builds: buildlog.Builds,
    same: str,
    *,
    templates: Path,
    now: datetime,
) -> dict[str, Any]:
    """Write the files of a regression, if they are not as they would be; what the pages above say of it."""
    of = digest(same, source.digest, source.record, changes(source.record, now))
    about: dict[str, Any] | None = memory.kept(source.id, of)
    if about is None:
        entry = source.load()
        made = page(entry, settings, builds, templates=templates, now=now)
        about = {
            "head": made.head, "builds": made.builds, "judged": [asdict(one) for one in _judged(entry)],
        }  # fmt: skip
        memory.write(source.id, {f"{source.id}/{name}": text for name, text in made.texts.items()}, of, about)
    return about


def _posted(
    memory: Memory, source: SeriesSource, settings: ReportSettings, same: str, *, templates: Path, now: datetime
) -> dict[str, Any] | None:
    """Write the files of a posted series, if they are not as they would be; what the index says of it, if anything."""
    of = digest(same, source.digest)
    about: dict[str, Any] | None = memory.kept(source.id, of)
    if about is None:
        made = seriespage.page(source.load(), settings, templates=templates, now=now)
        about = {"head": made.head if made else None}
        texts = made.texts if made else {}
        memory.write(source.id, {f"{source.id}/{name}": text for name, text in texts.items()}, of, about)
    head: dict[str, Any] | None = about["head"]
    return head


def _judged(entry: Entry) -> list[accuracy.Judged]:
    """All searches of a regression that are over."""
    last = [] if entry.searching else [(entry.report, str(entry.record.state))]
    return [accuracy.judged(report, became) for report, became in (*entry.earlier, *last)]


@dataclass(frozen=True, slots=True)
class Above:
    """What the index says: of regressions, of tips with their counts and matrices, of posted series, and of the bot."""

    heads: Sequence[dict[str, Any]]
    tips: Sequence[tuple[Tip, str, tuple[Matrix, ...]]]
    series: Sequence[dict[str, Any]]
    withheld: int  # series that are not shown
    settings: ReportSettings
    cycle: str
    not_run: Sequence[str]


def _write_index(memory: Memory, above: Above, *, templates: Path, now: datetime) -> None:
    jinja = render.environment(templates)
    heads, url = above.heads, above.settings.url
    branches = [(tip.branch, tip.commit, tip.name, counts) for tip, counts, _ in above.tips]
    beside_it = {"index.json": beside.index(heads, branches, above.series, now)}
    if url:
        beside_it["feed.xml"] = beside.feed(jinja, heads, url, now)
    failing = [matrix for _, _, drawn in above.tips for matrix in drawn if matrix.fails]
    html = jinja.get_template("index.html.j2").render(
        entries=heads,
        tips=above.tips,
        series=above.series,
        withheld=above.withheld,
        choices=_choices(heads, above.series, failing),
        cycle=above.cycle,
        not_run=[line(text) for text in above.not_run],
        files=list(beside_it),
        made=now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        owner=above.settings.owner,
    )
    memory.write("index", {"index.html": html, **beside_it})


def _write_tip(memory: Memory, tip: Tip, same: str, *, templates: Path, now: datetime) -> None:
    """A tip's heat map, and the pages of the histories that its cells lead to."""
    about = history.About(tip.branch, tip.page, tip.commits, tip.background.names, tip.not_run)
    groups = history.groups(tip.branch, tip.told)
    places = {(told.case.target, told.case.machine, heat.column(told.case)): told for told in tip.told}

    def link(target: str, machine: str, column: heat.Column) -> str:
        told = places.get((target, machine, column))
        return history.link(tip.branch, told.case) if told else ""

    twin = f"{tip.name}.json"
    html = heat.page(
        tip.runs, tip.background, templates=templates, now=now, back="index.html", files=[twin], links=link,
        histories=[(history.called(told[0].case), path) for path, told in groups.items()], not_run=tip.not_run,
    )  # fmt: skip
    memory.write(tip.name, {tip.page: html, twin: beside.matrix(tip.branch, tip.commit, tip.runs, tip.background)})
    for path, told in groups.items():
        used = {sha for one in told for its in one.history.stretches for sha in (its.first, its.last)}
        commits = [tip.commits[sha] for sha in sorted(used) if sha in tip.commits]
        of = digest(same, told, commits, tip.background.names, tip.not_run)
        if memory.kept(path, of) is None:
            memory.write(path, history.pages(path, told, about, templates=templates, now=now), of)


def _choices(
    heads: Sequence[dict[str, Any]], series: Sequence[dict[str, Any]], drawn: Sequence[Matrix]
) -> list[tuple[str, list[str]]]:
    """What the index can be filtered by, each with all its values."""
    states = {head["state"] for head in heads} | ({"series"} if series else set())
    every = (*heads, *series)
    targets = {target for head in every for target in head["targets"]} | {matrix.target for matrix in drawn}
    ways = {way for head in every for way in head["profiles"]} | {matrix.profile for matrix in drawn}
    return [("state", sorted(states)), ("target", sorted(targets)), ("profile", sorted(ways))]


# -- the matrix ----------------------------------------------------------------------------------------------------


def _counts(tip: Tip) -> str:
    """`1204 cases: 1100 pass, 24 fail as expected, 80 cannot be tested`."""
    latest = {run.case: run for run in tip.runs}.values()
    expected = tip.background.expected
    count = Counter("expected" if run.case in expected else table.word(run, None) for run in latest)
    named = {
        table.Word.OK: "pass", table.Word.FAIL: "fail", table.Word.FLAKY: "flaky",
        "expected": "fail as expected", table.Word.UNTESTABLE: "cannot be tested", table.Word.TROUBLE: "gave no answer",
    }  # fmt: skip
    parts = [f"{count[kind]} {words_}" for kind, words_ in named.items() if count[kind]]
    return f"{words.plural(len(latest), 'case')}: {', '.join(parts) or 'none was run'}"


def matrices(tip: Tip) -> tuple[Matrix, ...]:
    """One matrix per target and way of a branch's runs (the latest of each case counts)."""
    latest = {run.case: run for run in tip.runs}
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in latest.values():
        groups.setdefault((run.case.target, table.way(run.case)), []).append(run)
    return tuple(_matrix(*key, runs, tip.background) for key, runs in sorted(groups.items()))


def _matrix(target: str, profile: str, runs: Sequence[Run], about: Background) -> Matrix:
    keys = sorted({heat.column(run.case) for run in runs}, key=_order)
    cells: dict[str, dict[heat.Column, Cell]] = {}
    for run in runs:
        cells.setdefault(run.case.machine, {})[heat.column(run.case)] = _cell(run, about)
    alike: dict[tuple[Cell, ...], list[str]] = {}
    for machine, given in cells.items():
        alike.setdefault(tuple(given.get(key, Cell("")) for key in keys), []).append(machine)
    rows = [(", ".join(machine_ranges(members, cells)), row, tuple(members)) for row, members in alike.items()]
    rows.sort(key=lambda row: (not _fails(row[1]), row[0]))
    return Matrix(target, profile, tuple(heat.heading(key, about.names) for key in keys), tuple(rows))


def _order(key: heat.Column) -> tuple[object, ...]:
    return (Direction.SAME, Direction.FORWARD, Direction.BACKWARD).index(key[0]), table.natural(key[1])


def _cell(run: Run, about: Background) -> Cell:
    entry = about.expected.get(run.case)
    if entry is not None:
        return Cell("known", line(entry.id))
    word = table.word(run, None)
    return Cell(word, "" if word is table.Word.OK else line(str(run.signature or run.outcome), 60))


def _fails(row: tuple[Cell, ...]) -> bool:
    return any(cell.word == table.Word.FAIL for cell in row)
