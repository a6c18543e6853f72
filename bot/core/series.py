"""A posted series, as the subjects of its mails tell it: `[PATCH v3 2/5] hw/foo: mend bar`.

What people write between brackets differs (RFC, for-9.2, PULL, PATCHv2); a place `n/N` and a version `vX` are found in
all of it. 0/N is the cover letter. Replies are no part of a series, whatever they quote or propose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_BEFORE = re.compile(r"\s*(?:\[[^\[\]]*\]\s*|:\s*|(?:re|aw|sv|antw|fwd?)\s*:\s*)", re.IGNORECASE)
_REPLY = re.compile(r"\s*(?:\[[^\[\]]*\]\s*)?(?:re|aw|sv|antw)\s*:", re.IGNORECASE)
_PLACE = re.compile(r"(?<![\w./-])(\d{1,4})/(\d{1,4})(?![\w./-])")
_VERSION = re.compile(r"(?:(?<![\w.-])|(?<=PATCH)|(?<=PATCH-)|(?<=RFC)|(?<=RFC-))v(\d{1,3})(?![\w.])", re.IGNORECASE)
_NAMED = 8  # missing patches that an error names


class NotASeries(ValueError):
    """The mails are no series, or not one whole; the text says which mail, or what is missing."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject, taken apart. `text` is what is left as the commit's; `number` and `total` are None without a place."""

    text: str
    version: int = 1
    number: int | None = None
    total: int | None = None
    reply: bool = False

    @property
    def place(self) -> str:
        """`2/5`; `patch` for one that does not say its place."""
        return "patch" if self.number is None else f"{self.number}/{self.total}"

    def __str__(self) -> str:
        version = f"v{self.version} " if self.version != 1 else ""
        return f'{version}{self.place} "{self.text}"'


@dataclass(frozen=True, slots=True)
class Piece:
    """A mail of a series as its header tells it: Message-IDs without brackets, `refers` are those that it answers."""

    message_id: str
    refers: frozenset[str]
    sender: str
    subject: Subject


@dataclass(frozen=True, slots=True)
class Order:
    """Mails by their index: the patches in the order they are applied, the cover letter, and replies with a patch."""

    patches: tuple[int, ...]
    cover: int | None
    replies: tuple[int, ...]


def subject(text: str) -> Subject:
    """A subject on one line, decoded."""
    tags, at = "", 0
    while match := _BEFORE.match(text, at):
        tags, at = tags + match[0], match.end()
    place, version = _PLACE.search(tags), _VERSION.search(tags)
    return Subject(
        text[at:].strip(),
        int(version[1]) if version else 1,
        int(place[1]) if place else None,
        int(place[2]) if place else None,
        _REPLY.match(text) is not None,
    )


def order(mails: Sequence[tuple[Subject, bool]]) -> Order:
    """Which of the mails (subject, whether it holds a patch) are the patches of the series that they are.

    Raises `NotASeries` for none, for more than one, and for one that is not whole.
    """
    replies = tuple(i for i, (mail, holds) in enumerate(mails) if mail.reply and holds)
    own = [i for i, (mail, holds) in enumerate(mails) if not mail.reply and (holds or mail.number is not None)]
    _alike([mails[i][0] for i in own])
    covers = [i for i in own if mails[i][0].number == 0]
    patches = [i for i in own if mails[i][0].number != 0]
    if not any(mails[i][1] for i in patches):
        more = "; there is one in a reply, but replies are not taken" if replies else ""
        raise NotASeries(f"there is no patch in it{more}")
    empty = next((mails[i][0] for i in patches if not mails[i][1]), None)
    if empty is not None:
        raise NotASeries(f"there is no patch in {empty}")
    if any(mails[i][0].number is not None for i in patches):
        patches.sort(key=lambda i: mails[i][0].number or 0)
        _whole([mails[i][0] for i in patches])
    return Order(tuple(patches), covers[0] if covers else None, replies)


def _alike(subjects: Iterable[Subject]) -> None:
    """All are of one version and one length."""
    kinds: dict[tuple[int, int | None], Subject] = {}
    for one in subjects:
        kinds.setdefault((one.version, one.total), one)
    if len(kinds) > 1:
        first, second, *_ = kinds.values()
        versions = first.version != second.version
        what = f"versions {first.version} and {second.version}" if versions else "more than one series"
        raise NotASeries(f"there are {what} in it: {first} and {second}; give one of them")


def _whole(patches: Sequence[Subject]) -> None:
    """Each from 1/N to N/N is there once."""
    numbers: dict[int | None, Subject] = {}
    for patch in patches:
        if patch.number in numbers:
            raise NotASeries(f"{patch.place} is there twice: {numbers[patch.number]} and {patch}")
        numbers[patch.number] = patch
    total = patches[0].total or 0
    beyond = next((patch for patch in patches if (patch.number or 0) > total), None)
    if beyond is not None:
        raise NotASeries(f"{beyond} is beyond the end of its series")
    missing = [f"{number}/{total}" for number in range(1, total + 1) if number not in numbers]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise NotASeries(f"{', '.join(missing[:_NAMED])}{more} missing; a series is tested whole")


def members(asked: Piece, others: Iterable[Piece]) -> tuple[Piece, ...]:
    """The mails of the series that one mail is of, itself first; alone if it does not say its place in one.

    They are of one sender, version and length, and answer the first of them: the cover letter, else the first patch.
    """
    found = {asked.message_id: asked}
    if asked.subject.number is None:
        return (asked,)
    kind = (asked.sender, asked.subject.version, asked.subject.total)
    for one in others:
        place = one.subject
        if (one.sender, place.version, place.total) == kind and place.number is not None and not place.reply:
            found.setdefault(one.message_id, one)
    above = (one for one in found.values() if one.message_id in asked.refers)
    first = min((asked, *above), key=lambda one: one.subject.number or 0)
    near = (one for one in found.values() if one is first or first.message_id in one.refers)
    return tuple(dict.fromkeys((asked, *near)))
