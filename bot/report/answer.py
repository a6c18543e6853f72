"""The answer to a mail that told the bot something: what came of each command, to its sender alone.

It holds no words of the sender's but names of commits and mails, so nobody has to read it before it goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path

from bot.core.gate import Hold
from bot.core.outbox import ANSWER
from bot.core.replies import Command, Verb
from bot.model import ReportSettings
from bot.report import people, render
from bot.report.safe import address, header_text, line

_LIMIT = 600  # characters of what came of a command


@dataclass(frozen=True, slots=True)
class Answer:
    """A mail of somebody's, `number` among all of them, with what came of each command, and what was not taken.

    `subject` is that of the report.
    """

    number: int
    regression: str
    sender: str
    message_id: str  # without brackets
    subject: str
    outcomes: tuple[tuple[Command, str], ...]
    refused: tuple[str, ...] = ()


def message_id(answer: Answer, settings: ReportSettings) -> str:
    """The same for each rendering of an answer, and for no other mail."""
    mark = sha256(answer.message_id.encode()).hexdigest()[:8]
    return f"<{answer.regression}.{answer.number}.{ANSWER}.{mark}@{people.domain(settings)}>"


def mail(
    answer: Answer, *, settings: ReportSettings, templates: Path, date: datetime, holds: Sequence[Hold] = ()
) -> EmailMessage | None:
    """The mail. `date` has a time zone. None: its sender has an address that is not written to."""
    to = address("", answer.sender)
    if to is None:
        return None
    own = message_id(answer, settings)
    subject = header_text(f"Re: {answer.subject.removeprefix('Re: ')}")
    heading = render.Heading(people.Recipients((to,), ()), subject, f"<{answer.message_id}>")
    body = render.environment(templates).get_template("answer.txt.j2").render(
        id=answer.regression,
        url=f"{settings.url.rstrip('/')}/{answer.regression}" if settings.url else None,
        outcomes=[(_shown(command, settings), line(said, _LIMIT)) for command, said in answer.outcomes],
        refused=[line(why, _LIMIT) for why in answer.refused],
        owner=line(settings.owner) if settings.owner else None,
    )  # fmt: skip
    ids = {"id": answer.regression, "kind": ANSWER, "seq": answer.number}
    return render.draft(
        heading, body, own=own, ids=ids, holds=holds, settings=settings, date=date, submitted="auto-replied"
    )


def _shown(command: Command, settings: ReportSettings) -> str:
    """The command, moved right by the template so that it is none; of a reason there is no word."""
    told = command.verb if command.verb in (Verb.INVALID, Verb.EXPECTED) else command
    return f"{settings.answers or 'migbot'}: {told}"
