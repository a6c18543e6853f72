"""The mail about what is open at a release candidate: one for each, to the maintainers of migration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path

from bot.core.gate import Hold
from bot.core.outbox import DIGEST
from bot.model import Readers, Report, ReportSettings
from bot.report import people, render, words
from bot.report.safe import address, header_text, line


@dataclass(frozen=True, slots=True)
class Open:
    """A regression that was reported and is not fixed; `mail` is the Message-ID of that report."""

    report: Report
    state: str  # with its note
    mail: str


def message_id(candidate: str, settings: ReportSettings) -> str:
    """The same for each rendering of a candidate's mail, and for no other."""
    return f"<{DIGEST}.{candidate}@{people.domain(settings)}>"


def mail(
    candidate: str,
    found: Sequence[Open],
    readers: Readers,
    *,
    settings: ReportSettings,
    templates: Path,
    date: datetime,
    holds: Sequence[Hold] = (),
) -> EmailMessage:
    """The mail. `date` has a time zone. Where MAINTAINERS names nobody for migration it goes to the lists."""
    keepers = tuple(one for one in (address(*person) for person in readers.migration) if one is not None)
    others = tuple(people.configured("report.cc", text) for text in settings.cc)
    lists = tuple(people.configured("report.lists", text) for text in settings.lists)
    own, count = message_id(candidate, settings), words.plural(len(found), "regression")
    subject = header_text(f"[regression] {candidate}: {count} of migration not fixed")
    heading = render.Heading(people.only_wanted(keepers or lists, others, settings), subject, "")
    body = render.environment(templates).get_template("digest.txt.j2").render(
        candidate=line(candidate, 40), count=count, rows=[_row(one, settings) for one in found],
        url=settings.url, owner=line(settings.owner) if settings.owner else None,
    )  # fmt: skip
    ids = {"id": candidate, "kind": DIGEST}
    return render.draft(heading, body, own=own, ids=ids, holds=holds, settings=settings, date=date)


def _row(one: Open, settings: ReportSettings) -> dict[str, str]:
    report = one.report
    link = people.archive(settings, one.mail)
    return {
        "id": report.regression.id,
        "title": render.subject(report).removeprefix("[regression] "),
        "culprit": words.cite(report.culprit) if report.culprit else "one of several suspects",
        "state": line(one.state, 120),
        "link": link or one.mail,
    }
