"""How headers are folded when a mail is written: so that what is read back is what was put in."""

from __future__ import annotations

import re
from email.header import Header
from email.headerregistry import Address
from email.policy import EmailPolicy
from typing import Any

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*\Z")
_WIDTH = 76  # columns of a folded header, RFC 2047, 2


class MailPolicy(EmailPolicy):
    """`email.policy.SMTP`, but Subject and addresses are folded here.

    Python 3.11 loses spaces between encoded words, and quotes around a display name that it folds, which turns a name
    like `a@b, c` into addresses of its own.
    """

    def fold(self, name: str, value: Any) -> str:
        if hasattr(value, "addresses"):
            return _addresses(name, value.addresses, self.linesep)
        if name.lower() == "subject":
            return f"{name}: {_text(str(value), name, self.linesep)}{self.linesep}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("ascii")


MAIL = MailPolicy(linesep="\r\n")


def _addresses(name: str, addresses: tuple[Address, ...], linesep: str) -> str:
    """A header of addresses, broken between them."""
    lines, current = [], f"{name}:"
    for i, address in enumerate(addresses):
        shown = _phrase(address.display_name, linesep)
        text = f"{shown} <{address.addr_spec}>" if shown else address.addr_spec
        text += "," if i + 1 < len(addresses) else ""
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
