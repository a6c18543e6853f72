"""How headers are folded when a mail is written: so that what is read back is what was put in."""

from __future__ import annotations

import re
from email.header import Header
from email.headerregistry import Address
from email.policy import EmailPolicy
from typing import Any

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*\Z")
_WIDTH = 76  # columns of a folded header, RFC 2047, 2
_THREADING = ("in-reply-to", "references", "message-id")


class MailPolicy(EmailPolicy):
    """`email.policy.SMTP`, but Subject, addresses and Message-IDs are folded here.

    Python 3.11 loses spaces between encoded words, and quotes around a display name that it folds, which turns a name
    like `a@b, c` into addresses of its own. A Message-ID of more than 77 characters it writes as encoded words, which
    no reader takes for one (RFC 2047, 5): the mail would start a thread of its own.
    """

    def fold(self, name: str, value: Any) -> str:
        if hasattr(value, "addresses"):
            return _addresses(name, value.addresses, self.linesep)
        if name.lower() == "subject":
            return f"{name}: {_text(str(value), name, self.linesep)}{self.linesep}"
        if name.lower() in _THREADING:
            return _words(name, str(value).split(), self.linesep)
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("ascii")


MAIL = MailPolicy(linesep="\r\n")


def _addresses(name: str, addresses: tuple[Address, ...], linesep: str) -> str:
    """A header of addresses, broken between them."""
    shown = [(_phrase(address.display_name, linesep), address.addr_spec) for address in addresses]
    texts = [f"{phrase} <{spec}>" if phrase else spec for phrase, spec in shown]
    return _words(name, [text + "," for text in texts[:-1]] + texts[-1:], linesep)


def _words(name: str, words: list[str], linesep: str) -> str:
    """A header of what is not broken itself."""
    lines, current = [], f"{name}:"
    for text in words:
        if len(current) + 1 + len(text) > _WIDTH and current != f"{name}:":
            lines.append(current)
            current = ""
        current += " " + text
    return linesep.join([*lines, current]) + linesep


def _phrase(name: str, linesep: str) -> str:
    """A display name: atoms as they are, other ASCII quoted, anything else as encoded words (RFC 5322, 3.2.5)."""
    if name.isascii() and not _ATOMS.match(name):
        return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return _text(name, None, linesep)


def _text(text: str, name: str | None, linesep: str) -> str:
    """ASCII as it is, anything else as encoded words that hold their spaces."""
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Header(text, charset, maxlinelen=_WIDTH, header_name=name).encode(linesep=linesep)
