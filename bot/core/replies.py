"""What people tell the bot in answers to its mails: lines such as `migbot: no-cc`.

A From can be written by anybody. So a command counts only if a mail server that is trusted says that the domain of From
vouches for the mail (`core/authentication.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.core.authentication import vouched
from bot.core.outbox import DAY, named
from bot.core.plain import line

MOST = 3  # commands of one mail
_TEXT = 1 << 16  # characters that are looked at
_WHY = 200  # characters of a reason
_IDS = 50  # Message-IDs of a header, the last ones
_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,200}@[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\[\]:-]{1,200}")
_REFERENCE = re.compile(r"<([^<>\s]{3,400})>")
_SHA = re.compile(r'([0-9a-f]{8,40})(?: +\(".*"\))?')
_FROM = re.compile(
    r'\s*(?:(?:"(?:[^"\\]|\\.)*"|[^"<>@,;:\\])*<(?P<angle>[^<>\s@"]+@[^<>\s@"]+)>|(?P<bare>[^<>\s@",;:()]+@[^<>\s@",;:()]+))\s*'
)
_ENDS = re.compile(
    r"-- |---|diff --git .*"  # a signature, a patch
    r"|-+ *(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine|Mensaje original) *-+"
    r"|Begin forwarded message:|_{10,}|From: .*",
    re.IGNORECASE,
)
"""A line after which nothing is the sender's own words, in the forms in which mail programs write it."""


class Verb(StrEnum):
    TEST = "test"  # a patch or series, by its Message-ID
    INVALID = "invalid"  # the report is wrong; a reason
    EXPECTED = "expected"  # it is so on purpose; a reason
    NO_CC = "no-cc"  # the sender wants no mails
    FIXED_BY = "fixed-by"  # a commit
    CULPRIT = "culprit"  # another commit is the cause


USAGE = {
    Verb.TEST: "test <message-id>",
    Verb.INVALID: "invalid <why>",
    Verb.EXPECTED: "expected <why>",
    Verb.NO_CC: "no-cc",
    Verb.FIXED_BY: "fixed-by <sha>",
    Verb.CULPRIT: "culprit is <sha>",
}


@dataclass(frozen=True, slots=True)
class Command:
    """What is asked. `value` is a Message-ID without brackets, a reason on one line, 8 to 40 hex digits, or empty."""

    verb: Verb
    value: str = ""

    def __str__(self) -> str:
        text = {Verb.TEST: f"test <{self.value}>", Verb.CULPRIT: f"culprit is {self.value}"}
        return text.get(self.verb, f"{self.verb} {self.value}".rstrip())


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail: its header fields from the top, unfolded and not decoded, and what its sender wrote as plain text."""

    headers: tuple[tuple[str, str], ...]
    text: str

    def all(self, name: str) -> list[str]:
        """Every field of a name, from the top."""
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name: str) -> str:
        """A field that may be there once; empty if it is not there, or more often."""
        found = self.all(name)
        return found[0] if len(found) == 1 else ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail of ours that can be answered: what it was about, and addresses of people that it went to."""

    regression: str
    recipients: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may tell the bot what. `name` is what it is called by, `own` its address, `trusted` a server's authserv-id.

    `allowed` are patterns of addresses whose commands are taken. Whoever got the mail may say `no-cc` for themselves.
    `lists` are addresses that stand in From where a list hides who wrote the mail: nobody's.
    """

    name: str
    own: str
    trusted: str
    allowed: tuple[str, ...] = ()
    lists: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a mail came to. `refused` says what was not taken, and why; `known`: the sender is who From says."""

    message_id: str
    regression: str
    sender: str
    known: bool
    commands: tuple[Command, ...] = ()
    refused: tuple[str, ...] = ()


def read(letter: Letter, sent: Mapping[str, Sent], policy: Policy) -> Reading | None:
    """What a mail tells us; `sent` are our mails by Message-ID, without brackets. None: nothing. Never raises.

    Automatic mails, mails of our own, and answers to others than ours tell nothing.
    """
    answered = next((sent[found] for found in _answered(letter) if found in sent), None)
    if answered is None or automatic(letter, policy.own):
        return None
    given = list(_lines(letter.text, policy.name))
    if not given:
        return None
    own = message_id(letter)
    sender = _sender(letter)
    if sender is None or own is None:
        what = "From names no one address" if sender is None else "it has no Message-ID"
        return Reading("", answered.regression, sender or "", known=False, refused=(what,))
    why = vouched(letter.headers, sender.rpartition("@")[2], policy.trusted)
    if sender in policy.lists:
        why = "a list hides who wrote it; send the mail to the bot's own address, too"
    if why is not None:
        return Reading(own, answered.regression, sender, known=False, refused=(why,))
    commands, refused = [], []
    for text in given[:MOST]:
        command = _command(text)
        if isinstance(command, str):
            refused.append(command)
        elif command in commands:
            continue
        elif named(sender, policy.allowed) or (command.verb is Verb.NO_CC and sender in answered.recipients):
            commands.append(command)
        else:
            refused.append(f"{command.verb}: {sender} is not among those who may say that (replies.allowed)")
    if len(given) > MOST:
        refused.append(f"more than {MOST} commands in one mail; the others are not taken")
    return Reading(own, answered.regression, sender, known=True, commands=tuple(commands), refused=tuple(refused))


def automatic(letter: Letter, own: str) -> bool:
    """Whether no person wrote it, or the bot itself did: an answer could go back and forth for ever (RFC 3834)."""
    for name, value in letter.headers:
        name, value = name.lower(), value.strip().lower()
        if name == "auto-submitted" and value.partition(";")[0].strip() != "no":
            return True
        if name == "precedence" and value in ("bulk", "junk", "auto_reply"):  # `list` is on all that a list brings
            return True
        if name in ("x-loop", "x-migbot", "x-autoreply", "x-autorespond", "x-autoresponder"):
            return True
        if name == "return-path" and value == "<>":
            return True
        if name == "content-type" and value.startswith("multipart/report"):
            return True
    sender = (_sender(letter) or "").lower()
    return _plain(sender) == _plain(own.lower()) or sender.partition("@")[0] in ("mailer-daemon", "postmaster")


def message_id(letter: Letter) -> str | None:
    """A mail's Message-ID without brackets; None if it has not one that could be answered."""
    found = _REFERENCE.fullmatch(letter.one("message-id").strip())
    return found[1] if found else None


def over(times: Iterable[float], most: int, now: float) -> bool:
    """Whether somebody who gave commands at these times has given enough for a day."""
    return sum(at > now - DAY for at in times) >= most


def _plain(address: str) -> str:
    """An address without its plus part."""
    user, _, domain = address.rpartition("@")
    return f"{user.partition('+')[0]}@{domain}"


def _sender(letter: Letter) -> str | None:
    """The one address of From, in small letters."""
    field = letter.one("from")
    match = _FROM.fullmatch(field) if len(field) <= 1000 else None
    if match is None:
        return None
    found = (match["angle"] or match["bare"]).lower()
    return found if found.isascii() and found.isprintable() else None


def _answered(letter: Letter) -> Iterator[str]:
    """Message-IDs that a mail answers, the nearest first."""
    for name in ("in-reply-to", "references"):
        yield from reversed(_REFERENCE.findall(letter.one(name))[-_IDS:])


# -- lines ---------------------------------------------------------------------------------------------------------


def _lines(text: str, name: str) -> Iterator[str]:
    """What is said to us: lines that begin with our name, at the very start. Quotations and our own footer do not."""
    start = f"{name}:".lower()
    lines = text[:_TEXT].split("\n")
    for number, raw in enumerate(lines):
        if _ENDS.fullmatch(raw.rstrip("\r")):
            return
        if raw[: len(start)].lower() != start:
            continue
        found = line(raw[len(start) :])
        if found == Verb.TEST and number + 1 < len(lines):  # a long Message-ID was put on a line of its own
            following = lines[number + 1].strip()
            found += f" {following}" if _REFERENCE.fullmatch(following) else ""
        yield found


def _command(text: str) -> Command | str:
    """A command, or what is wrong with it."""
    first, _, rest = text.partition(" ")
    value = rest.strip()
    match first.lower():
        case Verb.TEST:
            bare = value.removeprefix("<").removesuffix(">")
            return Command(Verb.TEST, bare) if _ID.fullmatch(bare) else _wrong(Verb.TEST)
        case Verb.INVALID | Verb.EXPECTED as verb:
            return Command(Verb(verb), line(value, _WHY)) if value else _wrong(Verb(verb))
        case Verb.NO_CC:
            return _wrong(Verb.NO_CC) if value else Command(Verb.NO_CC)
        case Verb.FIXED_BY:
            return _commit(Verb.FIXED_BY, value)
        case Verb.CULPRIT if value.startswith("is "):
            return _commit(Verb.CULPRIT, value.removeprefix("is ").strip())
    return f"no such command; there are {', '.join(USAGE.values())}"


def _commit(verb: Verb, value: str) -> Command | str:
    found = _SHA.fullmatch(value)
    return Command(verb, found[1]) if found else _wrong(verb)


def _wrong(verb: Verb) -> str:
    return f"{verb}: it is said so: {USAGE[verb]}"
