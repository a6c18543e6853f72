"""What commit messages say of other commits, mails and people, as QEMU's history really writes it.

Everything is a hint: a trailer places a mail or suggests a candidate, and never changes a state without a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from bot.model import Sha

_HEX = re.compile(r"(?<![0-9A-Za-z#:])([0-9a-fA-F]{8,40})(?![0-9A-Za-z])")
_FIXES = re.compile(r"^[ \t>]*fixes[ \t]*:[ \t]*(.+)$", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(r"""["'“]([^\n]+?)["'”]\)?\s*\.?\s*$""")
_COMMIT_URL = re.compile(r"https?://\S+?/(?:commit/|\?id=|commit\?id=|\S*[?;&](?:id|h)=)([0-9a-fA-F]{8,40})\b")
_DESCRIBED = re.compile(r"\bv\d[\w.-]*-\d+-g([0-9a-f]{8,40})\b")
_CID = re.compile(r"\b(?:coverity\s*(?:scan)?\s*:?\s*)?(?:CIDs?|coverity)\b\W*(\d{5,8})", re.IGNORECASE)
_CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s>)]+")
_PERSON = re.compile(r"^[ \t]*([a-z]+(?:-[a-z]+)*)[ \t]*:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r'^"?(?P<name>[^"<]*?)"?\s*<(?P<email>[^<>\s]+@[^<>\s]+)>|^(?P<bare>[^<>\s]+@[^<>\s]+?)[,;.]?$')
_MESSAGE_ID = re.compile(r"^[ \t]*message-id[ \t]*:[ \t]*<?([^\s<>]+@[^\s<>]+?)>?[ \t]*$", re.IGNORECASE | re.MULTILINE)
_ARCHIVES = "|".join(
    (
        r"lore\.kernel\.org/[\w.-]+/",
        r"lkml\.kernel\.org/r/",
        r"patchew\.org/[\w.-]+/",
        r"(?:www\.)?mail-archive\.com/search\?l=mid&q=",
        r"patchwork\.[\w.-]+/(?:project/[\w.-]+/)?(?:patch|msgid)/",
    )
)
_LINK = re.compile(rf"^[ \t]*link[ \t]*:[ \t]*https?://(?:{_ARCHIVES})(\S+?)/?[ \t]*$", re.IGNORECASE | re.MULTILINE)
_REVERTS = re.compile(
    r"\b(?:this[ \t\n]+(?:partially[ \t\n]+)?reverts|reverts?|backs? out)[ \t\n]+commits?[ \t\n]+"
    r"((?:[0-9a-f]{8,40}\b(?:[ \t\n]*\(\"[^\n]*\"\))?(?:,|[ \t\n]+and)?[ \t\n]*)+)",
    re.IGNORECASE,
)
_PICKED = re.compile(
    r"\((?:cherry[- ]picked|backported) from (?:qemu |upstream |master )?(?:commit )?([0-9a-f]{8,40})\b|"
    r"^[ \t\[(]*(?:upstream commit[ \t]*:?|commit)[ \t]+([0-9a-f]{40})(?:[ \t]+upstream)?\.?[ \t]*[\])]?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Fixes:
    """One claim of a `Fixes:` line: a commit by id (8 to 40 hex digits, lower case) or only by subject, or a bug.

    Of `sha` and `subject` both, the id may be wrong (rebased, mistyped): then the subject finds the commit.
    """

    sha: str | None = None
    subject: str | None = None
    bug: str | None = None  # "CVE-2021-3611", "CID 1453098", or the URL of an issue


def fixes(body: str) -> tuple[Fixes, ...]:
    """What a commit says it fixes, in order. A line from which nothing can be had is left out."""
    return tuple(claim for text in _lines(body) for claim in _claims(text))


def _lines(body: str) -> list[str]:
    """The values of `Fixes:` lines, a subject that was wrapped within its brackets joined again."""
    found = []
    for match in _FIXES.finditer(body):
        text, rest = match[1].strip(), body[match.end() :].split("\n")[1:3]
        while text.count("(") > text.count(")") and rest and rest[0].strip() and not re.match(r"[\w-]+:\s", rest[0]):
            text += " " + rest.pop(0).strip()
        found.append(text)
    return found


def _claims(text: str) -> list[Fixes]:
    """The claims of one value: every commit it names, else the bugs, else a subject alone."""
    quoted = _SUBJECT.search(text)
    subject = quoted[1].strip() if quoted else None
    plain = text[: quoted.start()] if quoted else text
    links = [*_COMMIT_URL.findall(plain), *_DESCRIBED.findall(plain)]
    numbers = _CID.findall(plain)
    words = _DESCRIBED.sub(" ", _URL.sub(" ", _CVE.sub(" ", plain)))
    shas = [s for s in [*links, *_HEX.findall(words)] if s not in numbers]
    if shas:
        unique = list(dict.fromkeys(s.lower() for s in shas))
        return [Fixes(sha, subject if len(unique) == 1 else None) for sha in unique]
    bugs = [c.upper() for c in _CVE.findall(plain)] + [f"CID {n}" for n in numbers] + _URL.findall(plain)
    return [Fixes(bug=bug) for bug in bugs] or ([Fixes(subject=subject)] if subject else [])


def fixes_tag(sha: Sha, subject: str) -> str:
    """The line for a commit message, as QEMU's docs/devel/submitting-a-patch.rst asks for it; never wrapped."""
    return f'Fixes: {sha[:12]} ("{" ".join(subject.split())}")'


def message_ids(body: str) -> tuple[str, ...]:
    """Message-IDs of the mails a commit was posted in, without brackets, the last (the committer's own) first.

    `Message-Id:` and `Message-ID:`, with or without <>; only if there is none, what `Link:` lines to archives name.
    """
    own = _MESSAGE_ID.findall(body) or [_named_by(link) for link in _LINK.findall(body)]
    return tuple(dict.fromkeys(found for found in reversed(own) if found))


def _named_by(link: str) -> str:
    """The Message-ID in what follows an archive's address, "" if there is none.

    Archives escape what a URL holds otherwise (`/` above all), and a view of the mail may follow (`/T/#u`).
    """
    user, sign, rest = unquote(link).strip("<>").partition("@")
    return f"{user}{sign}{re.split('[/#?]', rest)[0]}" if rest else ""


def reverts(body: str) -> tuple[str, ...]:
    """Ids (8 to 40 hex digits) of the commits that a message says it reverts."""
    found = (sha.lower() for match in _REVERTS.finditer(body) for sha in re.findall(r"\b[0-9a-fA-F]{8,40}\b", match[1]))
    return tuple(dict.fromkeys(found))


def picked_from(body: str) -> tuple[str, ...]:
    """Ids of the commits that this one was cherry-picked from, the original first."""
    return tuple(dict.fromkeys((one or other).lower() for one, other in _PICKED.findall(body)))


def names(body: str, sha: Sha) -> bool:
    """Whether a message says that it fixes or reverts this commit, which it may name by 8 digits or more."""
    claimed = [*(claim.sha for claim in fixes(body) if claim.sha), *reverts(body)]
    return any(sha.startswith(claim) for claim in claimed)


def people(body: str, roles: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(name, address) of those who stand in trailers of these roles ("Reviewed-by", "Acked-by", "Cc", ...), in order.

    The name is "" if there is none; a line without an address is left out.
    """
    wanted = {role.lower() for role in roles}
    found = []
    for role, value in _PERSON.findall(body):
        address = _ADDRESS.match(value) if role.lower() in wanted else None
        if address:
            found.append(((address["name"] or "").strip(), address["email"] or address["bare"]))
    return tuple(dict.fromkeys(found))


def reviewers(body: str) -> tuple[tuple[str, str], ...]:
    """(name, address) of those who looked at a commit before it went in."""
    return people(body, ("Reviewed-by", "Acked-by"))
