"""Text from outside (subjects, names, stderr) made harmless for mails, terminals and files, nothing else changed.

Control bytes and escape sequences go; what is printable stays as it is. HTML is escaped by the templates, not here.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.utils import parseaddr

_ANSI = re.compile(
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # operating system commands: titles, links
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # strings
    r"|[\x1b\x9b]\[?[0-?]*[ -/]*[@-~]"  # control sequences (ECMA-48, 5.4) and two-byte escapes
)
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\Z")
_MESSAGE_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{3,200}\Z")
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, surrogate, line and paragraph separators
_SPECIALS = str.maketrans("", "", '()<>[]:;@\\,"')  # RFC 5322, 3.2.3: without them a name needs no quotes
_NAME_LIMIT = 64  # characters of a display name
_NAME_BYTES = 45  # of UTF-8: 60 in base64, of the 75 that an encoded word may have (RFC 2047, 2)
HEADER_LIMIT = 200  # characters of one header text


def clean(text: str) -> str:
    """Lines without escape sequences, control or invisible characters; tabs stay, CR LF becomes LF."""
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _HIDDEN)


def line(text: str, limit: int | None = None) -> str:
    """The same on one line, white space folded, cut at `limit` characters."""
    folded = " ".join(clean(text).split())
    return folded if limit is None or len(folded) <= limit else folded[: limit - 3].rstrip() + "..."


def header_text(text: str) -> str:
    """Text for an unstructured header or a display name.

    Encoded words are decoded first and none is left: on some Pythons one that hides CR LF becomes a header of its own
    when the message is written (CVE-2024-6923).
    """
    with suppress(HeaderParseError, LookupError, ValueError):  # not an encoded word after all: broken up below
        text = str(make_header(decode_header(text)))
    return line(line(text).replace("=?", "= ?"), HEADER_LIMIT)


def address(name: str, email: str) -> Address | None:
    """An address for a header, or None if `email` is not one that RFC 5321 takes without quoting."""
    if not _ADDRESS.match(email) or ".." in email or email.startswith(".") or ".@" in email or "=?" in email:
        return None
    user, _, domain = email.partition("@")
    return Address(_display_name(name), user, domain)


def _display_name(text: str) -> str:
    """A name that needs no quotes and fits one encoded word: readers differ in how they join several in a phrase."""
    plain = line(header_text(text).translate(_SPECIALS), _NAME_LIMIT)
    return plain if plain.isascii() else plain.encode()[:_NAME_BYTES].decode(errors="ignore").strip()


def parse_address(text: str) -> Address | None:
    """The same from `Name <user@host>` or `user@host`."""
    name, email = parseaddr(text)
    return address(name, email)


def message_id(text: str) -> str | None:
    """`<id>` for a References header, or None if it is not one that can be written unquoted."""
    bare = text.strip().removeprefix("<").removesuffix(">")
    valid = _MESSAGE_ID.match(bare) and bare.count("@") == 1 and bare[0] != "@" != bare[-1] and "=?" not in bare
    return f"<{bare}>" if valid else None
