"""Text from outside (subjects, names, stderr) made harmless for mails, terminals and files, nothing else changed.

Control bytes and escape sequences go; what is printable stays as it is. HTML is escaped by the templates, not here.
"""

from __future__ import annotations

import re
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.utils import parseaddr

from bot.core.plain import clean as clean
from bot.core.plain import line as line

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\Z")
_ANGLE = re.compile(r"(?P<name>.*)<(?P<email>[^<>\s]+)>\s*", re.DOTALL)
_MESSAGE_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{3,200}\Z")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
_SPECIALS = str.maketrans("", "", '()<>[]:;@\\,"')  # RFC 5322, 3.2.3: without them a name needs no quotes
_NAME_LIMIT = 64  # characters of a display name
_NAME_BYTES = 45  # of UTF-8: 60 in base64, of the 75 that an encoded word may have (RFC 2047, 2)
HEADER_LIMIT = 200  # characters of one header text


def xml_line(text: str, limit: int | None = None) -> str:
    """As `line`, without characters that XML has no way to write."""
    return line(_NOT_XML.sub("", text), limit)


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
    """The same from `Name <user@host>` or `user@host`. What is between the brackets counts, whatever the name holds;
    two pairs of brackets are no address."""
    name, email = parseaddr(text)
    angle = _ANGLE.fullmatch(text)
    if angle is not None and angle["email"] != email:  # a name with @ or : in it
        name, email = angle["name"], "" if re.search("<[^<>]*>", angle["name"]) else angle["email"]
    return address(name, email)


def message_id(text: str) -> str | None:
    """`<id>` for a References header, or None if it is not one that can be written unquoted."""
    bare = text.strip().removeprefix("<").removesuffix(">")
    valid = _MESSAGE_ID.match(bare) and bare.count("@") == 1 and bare[0] != "@" != bare[-1] and "=?" not in bare
    return f"<{bare}>" if valid else None
