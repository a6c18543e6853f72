"""The answer to a posted series: which of its patches breaks what works on its base, as a reply to its author."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path
from typing import Any

from bot.core.gate import Hold, Kind, gate_series, tally
from bot.core.matrix import family, machine_ranges
from bot.model import Case, FirstBad, Outcome, Report, ReportSettings, Run, SeriesReport, Sha, Suspects
from bot.report import people, render, table, words
from bot.report.safe import address, header_text, line, message_id, parse_address

_WITH = "With this series QEMU"  # who no longer loads a stream
_SHARED = frozenset({"none", "virt"})  # machine types that QEMU has for several architectures
_MOST = 6  # sentences, symptoms and suspects that a mail has of each


def signature(report: SeriesReport) -> str:
    """What fails, in 8 hex digits: the failure's own key, of several a digest of theirs."""
    keys = sorted({one.regression.signature.key for one in report.reports})
    return keys[0] if len(keys) == 1 else hashlib.sha256(" ".join(keys).encode()).hexdigest()[:8]


def mail(
    report: SeriesReport, *, settings: ReportSettings, templates: Path, date: datetime, approved: bool = False
) -> tuple[EmailMessage, tuple[Hold, ...]]:
    """The answer, and what holds it. `date` has a time zone.

    It is a reply to the mail that stands for the series, goes to whoever wrote that, and to those of the lists that it
    was posted to.
    """
    key = signature(report)
    own = f"<{report.id}.1.{Kind.SERIES}.{key}@{people.domain(settings)}>"
    answered = message_id(report.origin.message_id)
    holds = gate_series(report, posted=answered is not None, approved=approved or not settings.approval)
    title = header_text(f"Re: {report.origin.subject or report.posted.subject}")
    heading = render.Heading(recipients(report, settings), title, answered or "")
    body = render.environment(templates).get_template("series.txt.j2").render(context(report, settings, own))
    ids = {"id": report.id, "kind": Kind.SERIES, "seq": 1, "sig": key}
    message = render.draft(
        heading, body, own=own, ids=ids, holds=holds, settings=settings, date=date, submitted="auto-replied"
    )
    return message, holds


def recipients(report: SeriesReport, settings: ReportSettings) -> people.Recipients:
    """To whoever posted it; where a list hides who that is, the first patch's author. Cc lists that it was posted to.

    A series that went to none of the lists is answered to its author alone.
    """
    there, sent_by = lists(report, settings), author(report, settings)
    to: tuple[Address, ...] = (sent_by,) if sent_by else there
    return people.only_wanted(to, there, settings)


def lists(report: SeriesReport, settings: ReportSettings) -> tuple[Address, ...]:
    """Those of `report.lists` that it was posted to."""
    sent_to = {found.lower() for _, found in getaddresses([report.origin.to])}
    every = (people.configured("report.lists", text) for text in settings.lists)
    return tuple(found for found in every if found.addr_spec.lower() in sent_to)


def author(report: SeriesReport, settings: ReportSettings) -> Address | None:
    """Whoever posted it; where a list hides who that is, the first patch's author. None if no address is one."""
    found = parse_address(report.origin.sender)
    if found is None or found.addr_spec.lower() in people.every_list(settings):
        first = report.patches[0]
        found = address(first.author, first.email)
    return found


# -- what it says --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Patch:
    """The first failing patch of some cases: `what` it is, subjects and their machine types, and how often it fails."""

    what: str
    subjects: tuple[str, ...]
    machines: str
    often: tuple[str, ...]

    @property
    def head(self) -> str:
        """`patch 67/79 ("ppc/spapr: use memdev for RAM")`; of several suspects which they are."""
        return self.what if len(self.subjects) > 1 else f'{self.what} ("{self.subjects[0]}")'

    @property
    def below(self) -> tuple[str, ...]:
        """What stands below that."""
        return (*(self.subjects if len(self.subjects) > 1 else ()), self.machines)


def context(report: SeriesReport, settings: ReportSettings, own_id: str) -> dict[str, Any]:
    """Everything that the template may name: what those of reports may, and the series."""
    shown, found = leading(report), patches(report)
    often = {text for patch in found for text in patch.often}
    return {
        **render.context(shown, settings, own_id),
        "series": report,
        "breaks": breaks(report),
        "not_old": not_old(report),
        "patches": found,
        "often": often.pop() if len(often) == 1 else "",
        "figures": figures(report),
        "symptoms": symptoms(report),
        "reproduced": words.reproduced(shown.reproduction, _before(report, shown)) if shown.reproduction else "",
        "not_run": [line(text) for text in report.not_run],
        "next": report.origin.version + 1,
    }


def breaks(report: SeriesReport) -> str:
    """What fails, as a sentence; of several searches the machine types stand with their patches."""
    if len(report.reports) == 1:
        return words.what_fails(replace(report.reports[0], bad_name=_WITH)) + "."
    with_what = {words.with_what(one) for one in report.reports}
    added = f", with {with_what.pop()}," if len(with_what) == 1 and with_what != {""} else ""
    return f"This series breaks migration{added} for the machine types below."


def not_old(report: SeriesReport) -> str:
    """That the base does not fail, with the figures that the mail stands on."""
    told = []
    for one in report.reports:
        base, series = tally(one, report.posted.base), tally(one, report.posted.commit)
        told.append(f"{base.bad} of {base.n} runs fail there, {series.bad} of {series.n} with the series")
    cases = {case for one in report.reports for case in one.regression.cases}
    passing = "case passes" if len(cases) == 1 else "cases pass"
    figures = "; ".join(dict.fromkeys(told))
    return f"The same {passing} on the base commit ({figures}), so it is not an old failure."


def patches(report: SeriesReport) -> list[Patch]:
    """The first failing patches in their order, with the machine types of all searches that end there."""
    groups: dict[tuple[Sha, ...], list[Report]] = {}
    for one in report.reports:
        groups.setdefault(named(one), []).append(one)
    order = sorted(groups, key=lambda shas: report.place(shas[-1]))
    return [first_failing(report, shas, groups[shas]) for shas in order]


def first_failing(report: SeriesReport, shas: tuple[Sha, ...], found: Sequence[Report]) -> Patch:
    """What these commits are of the series, given the searches that ended there."""
    count = len(report.patches)
    places = [report.place(sha) for sha in shas]
    machines = _machines(report, [case for one in found for case in one.regression.cases])
    if len(shas) == 1:
        what, subjects = f"patch {places[0]}/{count}", [_subject(report, places[0])]
    else:
        skipped = {sha for one in found if isinstance(one.finding, Suspects) for sha in one.finding.skipped}
        what = f"one of patches {places[0]} to {places[-1]}/{count}"
        subjects = [
            f"{place}/{count} {_subject(report, place)}" + (" (could not be tested)" if sha in skipped else "")
            for place, sha in zip(places, shas, strict=True)
        ]
    return Patch(what, tuple(_first(subjects, "more")), machines, tuple(dict.fromkeys(filter(None, map(_with, found)))))


def _with(report: Report) -> str:
    """How often it fails at the patch that is named, and before it; nothing of several."""
    finding = report.finding
    if not isinstance(finding, FirstBad):
        return ""
    culprit, parent = finding.confirmation.culprit, finding.confirmation.parents[0]
    return f"{culprit.bad} of {culprit.n} runs fail with it, {parent.bad} of {parent.n} before it"


def figures(report: SeriesReport) -> list[str]:
    """For each pair of sides how many cases pass on the base, and fail with the series; which pass."""
    told = {case for one in report.reports for case in one.regression.cases}
    base = {run.case: run for run in report.compared if run.commit == report.posted.base}
    series = [run for run in report.compared if run.commit == report.posted.commit]
    fine = [run for run in series if run.case in base and base[run.case].outcome is Outcome.PASS]
    groups: dict[tuple[str, str, str | None], list[Run]] = {}
    for run in fine:
        groups.setdefault((table.way(run.case), run.case.direction, run.case.baseline), []).append(run)
    groups = {key: runs for key, runs in groups.items() if any(run.case in told for run in runs)}
    several = len({way for way, _, _ in groups}) > 1
    names = called(report)
    rows: list[tuple[str, str]] = []
    for (way, _, _), runs in groups.items():
        case, n = runs[0].case, len(runs)
        label = f"{line(way)}: " if several else ""
        failing = sum(run.case in told for run in runs)
        rows.append((label + " -> ".join(table.sides(case, "base", names)), f"ok    {n}/{n}"))
        rows.append((label + " -> ".join(table.sides(case, "series", names)), f"FAIL  {failing}/{n}"))
        if passing := [run.case for run in runs if run.outcome is Outcome.PASS and not run.flaky]:
            rows += [(text, "") for text in _wrapped(f"  passes: {_machines(report, passing)}")]
    width = max((len(left) for left, right in rows if right), default=0)
    return [f"{left:<{width}}  {right}".rstrip() if right else left for left, right in rows]


def symptoms(report: SeriesReport) -> list[str]:
    """What the failing side said last, a line for each kind of failure."""
    found = []
    for one in report.reports:
        run = words.failing_run(one)
        said = line(run.observation.message.partition("\n")[0]) if run else ""
        said = said.removeprefix(f"qemu-system-{one.case.arch}: ") or line(str(one.regression.signature))
        found.append(f"{words.how_it_ends(one) or 'it fails'}: {words.readable(said)}")
    return _first(list(dict.fromkeys(found)), "more")


def headline(report: SeriesReport) -> dict[str, Any]:
    """What a list says of it: the series, and where it breaks."""
    found = [{"patch": patch.what, "machines": patch.machines} for patch in patches(report)]
    posted = report.posted
    return {
        "subject": line(posted.subject, 80),
        "base": posted.base,
        "commit": posted.commit,
        "message_id": line(report.origin.message_id),
        "patches": found,
    }


def summary(report: SeriesReport) -> str:
    """What a person at a terminal is told: patches first, then what they break and the figures."""
    out = []
    for patch in patches(report):
        out.append(f"first failing: {patch.head}")
        out += [f"  {text}" for text in (*patch.below, *patch.often)]
    out.append(render.wrap(breaks(report), 2))
    out += [f"  {text}" for text in symptoms(report)]
    out += [f"  {text}" for text in figures(report)]
    out += [render.wrap(f"not told: {text}", 2) for text in report.untold]
    return "\n".join(out) + "\n"


def leading(report: SeriesReport) -> Report:
    """The search whose reproducer is printed: the first that it worked for."""
    worked = (one for one in report.reports if one.reproduction is not None and one.reproduction.shown)
    return next(worked, report.reports[0])


def _before(report: SeriesReport, shown: Report) -> str:
    """What the reproducer loads on: the patch before the one that is named, or the base."""
    place = report.place(named(shown)[0]) if isinstance(shown.finding, FirstBad) else 1
    return "the base" if place == 1 else f"patch {place - 1}/{len(report.patches)}"


def named(report: Report) -> tuple[Sha, ...]:
    """The commits that a search names, in their order."""
    finding = report.finding
    if isinstance(finding, Suspects):
        return finding.commits
    return (finding.commit,) if isinstance(finding, FirstBad) else ()


def _subject(report: SeriesReport, place: int) -> str:
    return line(report.patches[place - 1].subject, 120)


def _machines(report: SeriesReport, cases: Iterable[Case]) -> str:
    """Machine types as ranges; with their architecture where several have such."""
    wanted = list(cases)
    ran: dict[str, set[str]] = {}
    for run in report.compared:
        ran.setdefault(run.case.target, set()).add(run.case.machine)
    parts: dict[str, None] = {}
    for target in dict.fromkeys(case.target for case in wanted):
        names = {case.machine for case in wanted if case.target == target}
        known = names | ran.get(target, set())
        others = {name for other, machines in ran.items() if other != target for name in machines}
        for kind in sorted({family(name) for name in names}):
            ranges = ", ".join(machine_ranges(sorted(n for n in names if family(n) == kind), sorted(known)))
            unclear = kind in _SHARED or any(family(name) == kind for name in others)
            parts[f"{ranges} ({target.removesuffix('-softmmu')})" if unclear else ranges] = None
    return ", ".join(parts)


def _wrapped(text: str) -> list[str]:
    """A row that begins with two blanks, in lines that a mail can move right."""
    return textwrap.wrap(
        text, table.WIDTH - 2, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def called(report: SeriesReport) -> dict[str, str]:
    """What readers call each binary and each baseline."""
    return {key: text for one in report.reports for key, text in one.names.items()}


def _first(texts: list[str], more: str) -> list[str]:
    return texts if len(texts) <= _MOST else [*texts[: _MOST - 1], f"and {len(texts) - _MOST + 1} {more}"]
