"""Whether the domain of a From vouches for a mail, by what a trusted server wrote on top of it (RFC 8601).

That server has to put such a field on every mail, above what came with it, and to remove those in its own name that
come from outside (5): there is no telling them from its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_LONG = 8000  # characters of a field that are looked at
_METHOD = re.compile(r"(dkim|dmarc)(?:/\d+)?\s*=\s*(\w+)(.*)", re.IGNORECASE | re.DOTALL)
_PROPERTY = re.compile(r'([a-z]+)\s*\.\s*([a-z0-9-]+)\s*=\s*("[^"]*"|\S+)', re.IGNORECASE)
_TAG = re.compile(r"\s*([a-z][a-z0-9_]*)\s*=([^;]*)", re.IGNORECASE)
_COVERED = {"from", "message-id"}
_THREADED = ("in-reply-to", "references")


def vouched(headers: Sequence[tuple[str, str]], domain: str, trusted: str) -> str | None:
    """None if the server `trusted` says that `domain` vouches for the mail; else why it does not count.

    Only the topmost field of that server is looked at: those below may have come with the mail. A signature must cover
    what says whom the mail answers, and the whole body: else an old mail of somebody could be sent again, to another
    thread or with more text.
    """
    top = next((found for found in _results(headers) if found[0] == trusted.lower()), None)
    if top is None:
        return f"no Authentication-Results of {trusted} in it"
    if not any(_passes(result, domain.lower()) for result in top[1]):
        return f"{trusted} does not say that {domain} vouches for it (dkim=pass or dmarc=pass)"
    for key, value in headers:
        if key.lower() == "dkim-signature" and (why := _loose(value, domain.lower(), headers)):
            return f"its DKIM signature does not cover {why}"
    return None


def _results(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """(authserv-id, results) of each Authentication-Results, from the top."""
    for key, value in headers:
        if key.lower() == "authentication-results":
            first, *results = _parts(value[:_LONG])
            yield (first.split() or [""])[0].lower(), results


def _passes(result: str, domain: str) -> bool:
    found = _METHOD.fullmatch(result.strip())
    if found is None or found[2].lower() != "pass":
        return False
    wanted = {"dkim": (("header", "d"), ("header", "i")), "dmarc": (("header", "from"),)}[found[1].lower()]
    named = [
        value.strip('"').rpartition("@")[2].lower()
        for kind, name, value in _PROPERTY.findall(found[3])
        if (kind.lower(), name.lower()) in wanted
    ]
    return bool(named) and all(name == domain for name in named)


def _parts(text: str) -> list[str]:
    """A field at its semicolons, without comments; both are heeded outside of quoted strings alone."""
    parts, depth, quoted, escaped = [""], 0, False, False
    for sign in text:
        if escaped:
            escaped = False
        elif sign == "\\" and (quoted or depth):
            escaped = True
            continue
        elif sign == '"' and not depth:
            quoted = not quoted
        elif not quoted and sign in "()":
            depth = max(depth + (1 if sign == "(" else -1), 0)
            parts[-1] += " "
            continue
        elif sign == ";" and not quoted and not depth:
            parts.append("")
            continue
        if not depth:
            parts[-1] += sign
    return parts


def _loose(signature: str, domain: str, headers: Sequence[tuple[str, str]]) -> str | None:
    """What a signature of the domain, or of one above or below it, leaves open; None: nothing, or it is another's."""
    tags = {name.lower(): "".join(value.split()) for name, value in _TAG.findall(signature[:_LONG])}
    signer = tags.get("d", "").lower()
    if not signer or not (f".{domain}".endswith(f".{signer}") or signer.endswith(f".{domain}")):
        return None
    if "l" in tags:
        return "the whole body"
    covered = set(tags.get("h", "").lower().split(":"))
    there = {key.lower() for key, _ in headers}
    wanted = _COVERED | {name for name in _THREADED if name in there}
    return ", ".join(sorted(wanted - covered)) or None
