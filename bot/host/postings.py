"""What was posted, in a mailbox: a series by the Message-ID of one of its mails, and mails by what they say.

For a series the mailbox is looked through twice: for that mail, and for those beside it. What anybody sent may be in
it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Iterator
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parseaddr

from bot.core.replies import Letter
from bot.core.series import Piece, members
from bot.errors import InfraError, Stopped, UserError
from bot.host import patches
from bot.host.mailbox import LARGEST, mailbox, opened
from bot.host.patches import Series
from bot.model import MailSource

_HEAD = 1 << 16  # bytes of a mail's header
_IDS = 50  # Message-IDs of a header, the last ones
_TIME = 300.0  # seconds of looking
_ID = re.compile(r"<([^<>\s]{3,400})>")


class NotThere(UserError):
    """There is no patch of that Message-ID, or no whole series; the text says what there is."""


def find(source: MailSource, message_id: str, stop: threading.Event) -> Series:
    """The series that a mail of this Message-ID, without brackets, is of.

    Raises `NotThere`, also for what is beyond a limit of `patches`; `UserError` for a mailbox that is none,
    `InfraError` if it cannot be looked through in time; `Stopped`.
    """
    name, ends = f"<{message_id}>", time.monotonic() + _TIME
    first = next((found for found in _all(source, {message_id}, ends, stop) if found[0].message_id == message_id), None)
    if first is None:
        raise NotThere(f"{name} is not in the mailbox that the bot reads")
    asked, raw = first
    if asked.subject.reply:
        raise NotThere(f"{name} is a reply; give the Message-ID of a patch, or of a cover letter")
    mails = {message_id: raw}
    if asked.subject.number is not None:
        beside: dict[str, tuple[Piece, bytes]] = {}
        size = 0
        for piece, data in _all(source, {message_id, *asked.refers}, ends, stop):
            if piece.message_id in beside or len(beside) >= patches.MAILS or size + len(data) > patches.BYTES:
                continue
            if piece.subject.number is not None and piece.sender == asked.sender:
                beside[piece.message_id] = piece, data
                size += len(data)
        mails |= {one.message_id: beside[one.message_id][1] for one in _members(asked, beside)}
    try:
        return patches.whole(mails.values(), name, stop)
    except UserError as error:
        raise NotThere(str(error)) from error


def saying(source: MailSource, texts: Collection[str], stop: threading.Event) -> Iterator[Letter]:
    """Mails in which one of these texts stands. One that cannot be taken apart is passed over.

    Raises `UserError`, `InfraError` and `Stopped` as `find` does.
    """
    words, ends = [text.encode() for text in texts], time.monotonic() + _TIME
    for mail in _every(source, LARGEST, ends, stop):
        unwrapped = mail.replace(b"=\n", b"")  # quoted-printable breaks lines wherever they are long
        if any(word in unwrapped for word in words):
            letter = opened(mail, "").letter
            if letter is not None:
                yield letter


def _members(asked: Piece, beside: dict[str, tuple[Piece, bytes]]) -> Iterator[Piece]:
    found = members(asked, (piece for piece, _ in beside.values()))
    return (one for one in found if one.message_id in beside)


def _all(source: MailSource, wanted: set[str], ends: float, stop: threading.Event) -> Iterator[tuple[Piece, bytes]]:
    """Mails with a header that has one of these Message-IDs, in any field."""
    words = [text.encode() for text in wanted]
    for mail in _every(source, patches.BYTES, ends, stop):
        head = mail.partition(b"\n\n")[0][:_HEAD]
        if any(word in head for word in words):
            yield _piece(head), mail


def _every(source: MailSource, limit: int, ends: float, stop: threading.Event) -> Iterator[bytes]:
    """All mails of at most `limit` bytes, with bare line feeds, for as long as there is time."""
    for raw in mailbox(source, None).every(limit):
        if stop.is_set():
            raise Stopped
        if time.monotonic() > ends:
            raise InfraError(f"{source.path}: it was not looked through within {_TIME:.0f} s")
        yield raw.replace(b"\r\n", b"\n").lstrip(b"\n")


def _piece(head: bytes) -> Piece:
    fields = BytesHeaderParser().parsebytes(head + b"\n\n")
    own = _ID.findall(_field(fields, "Message-ID"))
    refers = (_ID.findall(_field(fields, name))[-_IDS:] for name in ("In-Reply-To", "References"))
    sender = parseaddr(_field(fields, "From"))[1].lower()
    return Piece(own[0] if own else "", frozenset().union(*refers), sender, patches.titled(_field(fields, "Subject")))


def _field(fields: Message, name: str) -> str:
    """A field on one line; what no field may hold as it is becomes question marks."""
    value = str(fields.get(name, "")).encode("ascii", "replace").decode()
    return " ".join(value.split())
