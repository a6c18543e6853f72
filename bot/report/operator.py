"""Mails to the operator: the bot itself is in trouble, or no more. They go to nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from bot.core.alarms import Kind, Trouble
from bot.model import ReportSettings
from bot.report import people, render
from bot.report.safe import header_text, line

_LIMIT = 800  # characters of what shows a trouble: within the longest line of a mail

_TITLE = {
    Kind.CYCLE: "no cycle ends",
    Kind.FAILED: "a cycle failed",
    Kind.DISK: "the disk is nearly full",
    Kind.MAIL: "mails are not taken",
    Kind.TOOLCHAIN: "cases fail since the toolchain changed",
    Kind.BASELINE: "a release is not taken as baseline",
}
_WHAT = {
    Kind.CYCLE: "`bot run` ends no cycle: it hangs, or is killed again and again. No tip is tested meanwhile.",
    Kind.FAILED: "A cycle of `bot run` was ended by an error. What it had recorded is kept.",
    Kind.DISK: "There is less free space than a build asks for, so nothing is built.",
    Kind.MAIL: "Mails are not taken by what they are handed to. They wait, and are tried for five days.",
    Kind.TOOLCHAIN: "Cases fail that passed before what builds QEMU here changed. Built anew, the commit on which they"
    " passed fails as well: so no commit was searched, and nobody else is told. Where it says that both changed, what"
    " the cases are run with became another, too, and it may be that instead.",
    Kind.BASELINE: "A new point release was run against the one that is the baseline. Something fails between them that"
    " nothing explains, so the old one stays.",
}
_ACT = {
    Kind.CYCLE: "`bot status` says what it does at the moment, and since when. Look at its log; it may be stopped and"
    " started at any time, and goes on from what it recorded.",
    Kind.FAILED: "The next cycle tries again by itself. If that fails too, the log of `bot run` says more.",
    Kind.DISK: "Free some space, or lower build.cache_size, build.unpacked_size or build.free_space.",
    Kind.MAIL: "Look at report.smtp or report.sendmail, and at the mail server. What waits goes out by itself; what was"
    " refused for good is sent by `bot report ID --send --again`.",
    Kind.TOOLCHAIN: "`bot status` names each. Look whether the compiler or a library is at fault, or QEMU, which it"
    " only shows. What is to stay so belongs into `expected` of the configuration.",
    Kind.BASELINE: "`bot baselines` says what fails. `bot baselines NAME --use RELEASE --why TEXT` takes the new one,"
    " or keeps the old one; a later point release is tried by itself.",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What the operator is told: a trouble, and when it was recorded. `lasted`: it is over after such a time."""

    trouble: Trouble
    began: float  # seconds since the epoch
    lasted: str | None = None


def message_id(told: Told, settings: ReportSettings) -> str:
    """The same for each rendering, and for no other mail of this work directory."""
    word = "began" if told.lasted is None else "over"
    return f"<operator.{told.trouble.kind}.{told.began * 1000:.0f}.{word}@{people.domain(settings)}>"


def mail(
    told: Told, to: str, *, settings: ReportSettings, templates: Path, host: str, work: Path, date: datetime
) -> EmailMessage:
    """The mail to the address `to`. `date` has a time zone. Raises `UserError` if an address is none."""
    kind, began = told.trouble.kind, message_id(Told(told.trouble, told.began), settings)
    title = header_text(f"[bot on {host}] {_TITLE[kind]}")
    over = told.lasted is not None
    heading = render.Heading(
        people.Recipients((people.configured("report.operator", to),), ()),
        f"Re: {title}: over" if over else title,
        began if over else "",
    )
    body = render.environment(templates).get_template("operator.txt.j2").render(
        what=_WHAT[kind],
        said=line(told.trouble.said, _LIMIT),
        act=_ACT[kind],
        over=over,
        lasted=told.lasted,
        since=f"{datetime.fromtimestamp(told.trouble.since, UTC):%Y-%m-%d %H:%M} UTC",
        host=line(host),
        work=line(str(work)),
        owner=line(settings.owner) if settings.owner else None,
    )  # fmt: skip
    own = message_id(told, settings)
    ids = {"kind": "operator", "trouble": str(kind)}
    return render.draft(heading, body, own=own, ids=ids, holds=(), settings=settings, date=date)
