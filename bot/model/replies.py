"""Words of answers to our mails: where they are read, and whose count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class MailSource:
    """A place that mails come to. `public-inbox`: a clone of one, version 2, with all its epochs or one of them."""

    kind: Literal["maildir", "mbox", "public-inbox"]
    path: Path


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """`name` begins the lines that are for the bot, `trusted` is the authserv-id of a mail server.

    `allowed` are patterns of addresses; `day` is how many commands one sender may give in such a time.
    """

    source: MailSource
    name: str
    trusted: str
    allowed: tuple[str, ...]
    day: int
