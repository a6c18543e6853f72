"""A mail as the text of an issue, or of a comment on one, for GitLab.

What came from commits, command lines and programs stands in one code block and in the title. GitLab looks for nothing
in a code block: no mention of a person, no reference, no HTML, and no quick action (`/close` at the start of a line).
Its patterns for that end a block at the first line of three backticks, so there are none within.
"""

from __future__ import annotations

import email
import json
import re
from email.message import EmailMessage

from bot.core.tracker import word
from bot.model import Regression, ReportSettings
from bot.report.envelope import MAIL
from bot.report.people import archive, domain
from bot.report.safe import clean, line

_SIGIL = re.compile(r"([@#!~%&$^*])(?=\S)|(\[)(?=\w+:)|(:/)(?=/)")
"""Of references that GitLab finds in a title: @user, #issue, !merge request, ~label, %milestone, [issue:1], URLs."""
_FENCE = "```"
_TITLE = 255  # characters, GitLab's limit
_TEXT = 100_000  # characters; GitLab takes ten times as many


def issue(eml: str, kind: str, regression: Regression, settings: ReportSettings) -> str:
    """What GitLab is told, as JSON: title and text, and the words by which issue and comment are found again.

    A regression is known by its id and failure, as long as it lives: ids alone begin anew with a work directory.
    """
    message = email.message_from_bytes(eml.encode(), policy=MAIL)
    assert isinstance(message, EmailMessage)  # noqa: S101 - narrows the type; MAIL's factory makes them
    own = str(message["Message-ID"]).strip("<> ")
    thread = word(domain(settings), regression.id, regression.signature.key)
    body = message.get_content().replace("\r\n", "\n").partition("\n-- \n")[0]
    told = {
        "schema": 1,
        "kind": kind,
        "thread": thread,
        "key": word(own),
        "title": title(str(message["Subject"])),
        "text": f"{fenced(body)}\n\n{_links(own, regression.id, settings)}",
    }
    return json.dumps(told)


def title(subject: str) -> str:
    """A subject that names nobody and links to nothing."""
    return line(_SIGIL.sub(lambda found: found[0] + " ", line(subject.removeprefix("Re: "))), _TITLE)


def fenced(text: str) -> str:
    """Text as a code block that nothing in it can end."""
    plain = clean(text).strip("\n")
    plain = plain if len(plain) <= _TEXT else f"{plain[:_TEXT]}\n[the rest is left out]"
    plain = re.sub("`{3,}", lambda found: "'" * len(found[0]), plain)
    plain = re.sub("^(?=/)", " ", plain, flags=re.MULTILINE)  # no command, should anybody read the block as text
    return f"{_FENCE}text\n{plain}\n{_FENCE}"


def _links(own: str, regression: str, settings: ReportSettings) -> str:
    link, url = archive(settings, own), settings.url
    lines = [f"Mail: <{link}>" if link else f"Mail: `{own}`"]
    if url:
        lines.append(f"Logs, file for git bisect replay, all figures: <{url.rstrip('/')}/{regression}>")
    return "\n\n".join(lines)
