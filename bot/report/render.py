"""One report as a mail, and in few lines for a terminal."""

from __future__ import annotations

import base64
import hashlib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from bot.core.gate import Hold, Kind, facts_of, gate, kind_of
from bot.core.trailers import fixes_tag
from bot.errors import UserError
from bot.model import Direction, FirstBad, FirstFixed, MergeConflict, Report, ReportSettings, Suspects
from bot.report import figures, people, table, words
from bot.report.envelope import MAIL
from bot.report.safe import clean, header_text, line

_TAG = re.compile(r"^(?=(?:fixes|link|cc|resolves|closes|message-id|[a-z]+(?:-[a-z]+)*-by)[ \t]*:)", re.I | re.M)
_LONGEST = 998  # octets of a line, RFC 5322, 2.1.1


@cache
def environment(templates: Path) -> Environment:
    """Jinja2 as every template here is rendered: nothing undefined, HTML, SVG and XML escaped, control bytes gone."""
    if not templates.is_dir():
        raise UserError(f"{templates}: no such directory; the templates come with the program, reinstall it")
    jinja = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html.j2", "svg.j2", "xml.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: clean(value) if type(value) is str else value,  # Markup is ours, the rest is not text
    )
    jinja.filters["wrap"] = wrap
    jinja.filters["indented"] = indented
    jinja.filters["tied"] = tied
    jinja.globals["script"] = _script((templates / "page.js").read_text())
    return jinja


@dataclass(frozen=True, slots=True)
class Script:
    """What runs on a page, and the hash by which its Content-Security-Policy allows that and nothing else."""

    text: Markup
    sha256: Markup


def _script(text: str) -> Script:
    digest = hashlib.sha256(text.encode()).digest()
    return Script(Markup(text), Markup(base64.b64encode(digest).decode()))  # noqa: S704 - our own file


def wrap(text: str, indent: int = 0) -> str:
    """Text filled to the width of a mail; words are never broken. No line of it looks like a tag: those are ours."""
    space = " " * indent
    filled = textwrap.fill(
        line(text), table.WIDTH, initial_indent=space, subsequent_indent=space,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return _TAG.sub(" ", filled)


def indented(lines: Iterable[str], indent: int = 2) -> str:
    """Lines as they are, moved right."""
    return "\n".join(" " * indent + text if text else "" for text in lines)


def tied(text: str) -> Markup:
    """HTML of a text in which short words with a hyphen (`-mem-path`, `2.12-sxxm`) stay on one line."""
    return Markup(" ").join(
        Markup('<span class="tied">{}</span>').format(word) if "-" in word and len(word) <= 28 else escape(word)
        for word in line(text).split(" ")
    )


def subject(report: Report) -> str:
    """`[regression] pseries <= 3.1 -mem-path: migration 2.12 -> master`; where there is no such option the device tells
    one mail from another: `[regression] pc-q35-3.1 (pcie-root-port): migration v3.1.0 -> master`."""
    case = report.case
    if words.command(report):
        return header_text(f"[regression] {words.name(report.bad_name)}: {words.what_fails(report)}")
    option, device = f"-{case.profile}", report.regression.signature.device
    if report.profile and option in report.profile.args:
        added = option
    else:
        about = f"({line(device, 40)})" if device else ""
        added = f"{words.with_what(report)} {about}".strip()
    what = f"{words.bounded(report)} {added}".rstrip()
    new = words.name(report.bad_name)
    if isinstance(report.finding, Suspects):
        old = table.label(report.names, case.baseline) if case.baseline else new
        other = {Direction.FORWARD: f"from {old} fails", Direction.BACKWARD: f"to {old} fails"}
        count = words.plural(len(report.finding.commits), "suspect")
        text = f"{what}: migration {other.get(case.direction, f'of {new} fails')} ({count})"
    else:
        source, destination = table.sides(case, new, report.names)
        text = f"{what}: migration {source} -> {destination}"
    return header_text(f"[regression] {text}")


def message_id(report: Report, kind: Kind, settings: ReportSettings, seq: int = 1) -> str:
    """`<r0017.1.report.5f0c1e9a@host>`: the same regression, number and kind give the same id."""
    return f"<{report.regression.id}.{seq}.{kind}.{report.regression.signature.key}@{people.domain(settings)}>"


def mail(
    report: Report,
    *,
    settings: ReportSettings,
    templates: Path,
    date: datetime,
    approved: bool = False,
    within_caps: bool = True,
    seq: int = 1,
    under: str = "",
    correction: Sequence[str] = (),
    issue: str = "",
) -> EmailMessage:
    """The mail about a culprit, suspects or a merge. `date` has a time zone; what holds the mail is in X-Migbot-Held.

    It joins the thread of the Message-ID `under`, else that of the culprit's patch if that is young. `correction` are
    paragraphs that come first: what it says otherwise than the report before it. `issue` is the URL of the issue that
    was opened about the regression.

    Raises `UserError` for a finding that is never mailed (ask `bot.core.gate.kind_of` first) or a wrong setting.
    """
    kind = kind_of(report)
    if kind is None:
        raise UserError(f"{report.regression.id}: {figures.conclusion(report)}: there is no mail about that")
    own = message_id(report, kind, settings, seq)
    holds = gate(kind, facts_of(report, approved=approved or not settings.approval, within_caps=within_caps))
    joined = people.thread(report, date) if kind is Kind.REPORT else ()
    heading = Heading(people.recipients(report, kind, settings), subject(report), under or "".join(joined[:1]))
    body = (
        environment(templates)
        .get_template(f"{kind}.txt.j2")
        .render({**context(report, settings, own), "correction": correction, "issue": line(issue)})
    )
    ids = {"id": report.regression.id, "kind": kind, "seq": seq, "sig": report.regression.signature.key}
    return draft(heading, body, own=own, ids=ids, holds=holds, settings=settings, date=date)


@dataclass(frozen=True, slots=True)
class Heading:
    """Who a mail is for, what it is called, and the Message-ID that it answers; "": it starts a thread.

    `above` are those that the answered mail stands under itself, the oldest first.
    """

    who: people.Recipients
    subject: str
    answers: str = ""
    above: tuple[str, ...] = ()


def draft(
    heading: Heading,
    body: str,
    *,
    own: str,
    ids: Mapping[str, object],
    holds: Sequence[Hold],
    settings: ReportSettings,
    date: datetime,
    submitted: str = "auto-generated",
) -> EmailMessage:
    """A mail with all its headers; `own` is its Message-ID, `ids` stand in X-Migbot, `submitted` says by what it was
    written (RFC 3834)."""
    message = EmailMessage(policy=MAIL)
    message["From"] = people.sender(settings)
    message["To"] = heading.who.to
    if heading.who.cc:
        message["Cc"] = heading.who.cc
    message["Subject"] = heading.subject
    message["Date"] = format_datetime(date)
    message["Message-ID"] = own
    if heading.answers:
        message["In-Reply-To"] = heading.answers
        message["References"] = " ".join((*heading.above, heading.answers))
    message["Auto-Submitted"] = submitted
    message["X-Migbot"] = "; ".join(f"{key}={value}" for key, value in ids.items())
    if holds:
        message["X-Migbot-Held"] = ", ".join(hold.name for hold in holds)
    message["MIME-Version"] = "1.0"
    _set_text(message, body)
    return message


def held(report: Report, settings: ReportSettings, *, approved: bool = False) -> tuple[Hold, ...]:
    """What holds the report's mail, in words; nothing for a finding that is never mailed."""
    kind = kind_of(report)
    return () if kind is None else gate(kind, facts_of(report, approved=approved or not settings.approval))


def _set_text(message: EmailMessage, body: str) -> None:
    """The body as it is where lines are short enough for that, so that archives and `git am` readers see plain text."""
    plain = body.isascii()
    if max((len(text.encode()) for text in body.splitlines()), default=0) > _LONGEST:
        encoding = "quoted-printable"
    else:
        encoding = "7bit" if plain else "8bit"
    message.set_content(body, charset="us-ascii" if plain else "utf-8", cte=encoding)


def context(report: Report, settings: ReportSettings, own_id: str) -> dict[str, Any]:
    """Everything the mail templates may name."""
    culprit, finding = report.culprit, report.finding
    new = words.name(report.bad_name)
    confirmation = finding.confirmation if isinstance(finding, FirstBad | MergeConflict) else None
    rows = words.bad_end_rows(report, "new")
    tag = people.tagged(settings, report.regression.id)
    cited = {commit.sha: words.cite(commit) for commit in report.fixed_by or ()}
    tried = {one.commit for one in report.picked}
    parent = "the parent" if isinstance(finding, FirstBad | MergeConflict) else "the good end"
    return {
        "report": report,
        "new": new,
        "what_fails": words.what_fails(report),
        "blamed": isinstance(finding, FirstBad) and not figures.exposed(report),
        "exposed": figures.exposed(report),
        "sides": figures.sides(report),
        "side_advice": figures.side_advice(report),
        "culprit": words.cite(culprit) if culprit else "",
        "fixes": fixes_tag(culprit.sha, line(culprit.subject, words.SUBJECT)) if culprit else "",
        "how_often": words.how_often(confirmation.culprit, confirmation.parents) if confirmation else "",
        "released": words.released(report),
        "alike": words.alike(report),
        "related": words.related(report),
        "how_it_ends": words.how_it_ends(report),
        "symptom": words.symptom(report),
        "reproducer": _reproducer(report),
        "reproduced": words.reproduced(report.reproduction, parent) if report.reproduction else "",
        "accel": report.accel.upper(),
        "profile": words.with_what(report),
        "command": words.command(report),
        "legend": table.legend(report.table, report.names),
        "rows": table.layout(rows, table.way(report.case)),
        "affected": figures.affected_figures(report),
        "not_run": [line(text) for text in report.not_run],
        "pair": words.command(report) or " -> ".join(table.sides(report.case, "commit", report.names)),
        "scope": figures.scope(report),
        "builds": figures.builds(report),
        "tallies": figures.tallies(report),
        "error_texts": figures.error_texts(report),
        "other_failures": [*figures.other_failures(report), *figures.fixups(report)],
        "revert": figures.revert(report),
        "suspects": _suspects(report),
        "fixed_by": None if report.fixed_by is None else [text for sha, text in cited.items() if sha not in tried],
        "picked": [(cited[one.commit], words.PICKS[one.outcome]) for one in report.picked if one.commit in cited],
        "lacking": [(cited[sha], sha[:12]) for sha in report.missing if sha in cited],
        "lacks": line(report.regression.branch),
        "offers": None if report.offers is None else [_offered(one.mail, settings) for one in report.offers],
        "reported_by": str(tag),
        "link": people.archive(settings, own_id),
        "url": f"{settings.url.rstrip('/')}/{report.regression.id}" if settings.url else None,
        "owner": line(settings.owner) if settings.owner else None,
        "approval": settings.approval,
        "answers": settings.answers,
    }


def _offered(mail: str, settings: ReportSettings) -> str:
    """Where a patch can be read: in the archive of the lists, else by its Message-ID."""
    return people.archive(settings, mail) or f"<{line(mail)}>"


def _reproducer(report: Report) -> list[str]:
    """Its lines as they were run, moved right if there is room."""
    lines = clean(report.reproduction.text).strip("\n").split("\n") if report.reproduction else []
    space = "" if any(len(text) > table.WIDTH - 2 for text in lines) else "  "
    return [space + text for text in lines]


def _suspects(report: Report) -> list[str]:
    """Lines for the last good commit and the suspects; a reason is given once for all neighbours that share it."""
    if not isinstance(report.finding, Suspects):
        return []
    out, last = [], ""
    for word, text in figures.suspects(report, report.finding.commits, report.finding.skipped):
        cited, _, reason = text.partition("\n")
        out += textwrap.wrap(
            f"{word:<10}  {cited}", table.WIDTH - 2, subsequent_indent=" " * 12, break_long_words=False
        )
        if reason and reason != last:
            out.append(f"{'':<10}  {reason}")
        last = reason
    return out


def summary(report: Report) -> str:
    """What a person at a terminal is told of any finding: the conclusion first, then the figures it stands on."""
    out = [figures.conclusion(report)]
    named = report.culprit
    if isinstance(report.finding, FirstFixed):
        named = words.known(report, report.finding.commit)
    if named:
        out.append(f"  {line(named.author)} <{line(named.email)}>, {line(named.date)}")
    if figures.exposed(report):
        out.append(wrap(f"Exposed by it: {figures.exposed(report)}.", 2))
    if report.cured and report.symptom:
        out += [wrap(f"{words.what_failed(report)}:", 2), *("  " + text for text in words.symptom(report, 6))]
    elif isinstance(report.finding, FirstBad | MergeConflict | Suspects):
        out += [wrap(f"{words.what_fails(report)}.", 2), *("  " + text for text in words.symptom(report, 6))]
    out += [wrap(text, 2) for text in words.related(report)]
    out += ["  " + text for text in _suspects(report)]
    out += ["  " + text for text in figures.tallies(report)]
    out += [f"  {figures.scope(report)}", f"  {figures.builds(report)}"]
    out += ["  " + text for text in (figures.error_texts(report), figures.revert(report)) if text]
    out += ["  " + text for text in figures.fix(report)]
    if report.cured and report.releases is not None:
        out.append(f"  {words.released(report)}")
    out += [wrap(text, 2) for text in figures.sides(report)]
    if figures.side_advice(report):
        out.append(f"  {figures.side_advice(report)}")
    out += ["  " + text for text in (*figures.other_failures(report), *figures.fixups(report))]
    if figures.advice(report):
        out.append(f"  {figures.advice(report)}")
    return "\n".join(out) + "\n"
