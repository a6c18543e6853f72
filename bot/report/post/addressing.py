"""A mail as it was written -> what goes out: who may get it, and the headers that say so."""

from __future__ import annotations

import email
from collections.abc import Collection, Iterable
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from bot.core.outbox import allowed
from bot.errors import UserError
from bot.model import PostSettings
from bot.report.envelope import MAIL
from bot.report.people import configured
from bot.report.post import Letter
from bot.report.safe import address, header_text, parse_address

ORIGINAL = "X-Migbot-Original-To"


def letter(text: str, settings: PostSettings, date: datetime, *, but: Collection[str] = ()) -> Letter:
    """What goes out of a mail: To and Cc hold those who may get it, the envelope those of them that are not in `but`.

    With `report.test_to` it goes there alone. Nobody may get it: the letter has no recipients.
    """
    message = _read(text)
    if settings.test_to is not None:
        return _diverted(message, settings, configured("report.test_to", settings.test_to), "test", date)
    own = configured("report.sender", settings.sender).addr_spec
    to, cc = (
        tuple(a for a in _addresses(message, name) if allowed(a.addr_spec, settings.domains, settings.no_cc, own))
        for name in ("To", "Cc")
    )
    if not to:
        to, cc = cc, ()
    _address(message, to, cc)
    message.replace_header("Date", format_datetime(date))
    everybody = dict.fromkeys(found.addr_spec for found in (*to, *cc))
    return _letter(message, settings, [one for one in everybody if one not in but])


def to_operator(text: str, settings: PostSettings, date: datetime) -> Letter:
    """What goes out of a mail to the operator: to the address that it was written for, or to `report.test_to`."""
    message = _read(text)
    if settings.test_to is not None:
        return _diverted(message, settings, configured("report.test_to", settings.test_to), "test", date)
    message.replace_header("Date", format_datetime(date))
    return _letter(message, settings, [found.addr_spec for found in _addresses(message, "To")])


def copy(text: str, settings: PostSettings, date: datetime, to: str) -> Letter:
    """A copy for one address, marked as one: its own Message-ID, so that no reader takes it for the mail itself.

    Raises `UserError` if `to` is no address, or one that may get no mail.
    """
    found = parse_address(to)
    if found is None:
        raise UserError(f"--send-to: {to!r} is not a mail address; write user@host")
    if not allowed(found.addr_spec, settings.domains, settings.no_cc, ""):
        raise UserError(f"--send-to: {found.addr_spec} may get no mail: report.domains and report.no_cc say who may")
    return _diverted(_read(text), settings, found, f"copy{int(date.timestamp())}", date)


def _diverted(message: EmailMessage, settings: PostSettings, to: Address, mark: str, date: datetime) -> Letter:
    """To one address, whatever it was addressed to; that stands in a header."""
    original = [found.addr_spec for name in ("To", "Cc") for found in _addresses(message, name)]
    _address(message, (to,), ())
    message[ORIGINAL] = ", ".join(original)
    subject = header_text(f"[{mark.rstrip('0123456789')}] {message['Subject']}")
    message.replace_header("Subject", subject)
    message.replace_header("Message-ID", "<" + mark + "." + str(message["Message-ID"]).strip().lstrip("<"))
    message.replace_header("Date", format_datetime(date))
    return _letter(message, settings, [to.addr_spec])


def _read(text: str) -> EmailMessage:
    message = email.message_from_bytes(text.encode(), policy=MAIL)
    assert isinstance(message, EmailMessage)  # noqa: S101 - narrows the type; MAIL's factory makes them
    del message["X-Migbot-Held"]  # nothing holds what goes out
    del message["Bcc"], message[ORIGINAL]
    return message


def _addresses(message: EmailMessage, name: str) -> list[Address]:
    """Addresses of a header, each as we would write it; what is none is left out."""
    found = (address(a.display_name, a.addr_spec) for a in getattr(message[name], "addresses", ()))
    return [one for one in found if one is not None]


def _address(message: EmailMessage, to: Iterable[Address], cc: Iterable[Address]) -> None:
    for name, addresses in (("To", tuple(to)), ("Cc", tuple(cc))):
        if not addresses:
            del message[name]
        elif name in message:
            message.replace_header(name, addresses)
        else:
            message[name] = addresses


def _letter(message: EmailMessage, settings: PostSettings, recipients: Iterable[str]) -> Letter:
    key = str(message["Message-ID"]).strip("<> ")
    sender = configured("report.sender", settings.sender).addr_spec
    return Letter(key, message.as_bytes(), sender, tuple(recipients))
