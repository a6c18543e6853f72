"""Mails that answered ours: what was told, what came of it, the answers to them, and who wants no more mails."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, RowMapping, insert, select, update

from bot.core.outbox import DAY
from bot.core.replies import Command, Reading, Verb
from bot.errors import UserError
from bot.store import ids, schema
from bot.store.blobs import Blobs
from bot.store.outbox import Outbox, Post

_REPLIES, _COMMANDS, _ANSWERS = schema.replies, schema.commands, schema.answers
_NO_CC, _PLACES = schema.no_cc, schema.mailboxes


class Fate(StrEnum):
    """What came of a command."""

    DONE = "done"
    WAITING = "waiting"  # for its turn
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Asked:
    """A command as it is kept. Times are seconds since the epoch."""

    id: int
    at: float
    regression: str
    sender: str
    message_id: str  # of the mail that it came in
    command: Command
    fate: Fate
    said: str


@dataclass(frozen=True, slots=True)
class Told:
    """A mail that held commands, and what came of each; `refused` says what was not taken of it, and why."""

    id: int
    at: float
    regression: str
    sender: str
    message_id: str
    refused: tuple[str, ...] = ()
    commands: tuple[Asked, ...] = ()


class Replies:
    """Rows of one database. Raises as `Store` does."""

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Connection]],
        blobs: Blobs,
        outbox: Outbox,
        clock: Callable[[], float],
    ) -> None:
        self._write, self._blobs, self._outbox, self._clock = write, blobs, outbox, clock

    # -- where we are --------------------------------------------------------------------------------------------

    def position(self, source: str) -> str | None:
        """How far a source was read; None: never."""
        with self._write() as connection:
            query = select(_PLACES.c.position).where(_PLACES.c.source == source)
            return connection.execute(query).scalar_one_or_none()

    def move(self, source: str, position: str) -> None:
        """Note how far it was read."""
        with self._write() as connection:
            moved = connection.execute(
                update(_PLACES).where(_PLACES.c.source == source).values(position=position)
            ).rowcount
            if not moved:
                connection.execute(insert(_PLACES), {"source": source, "position": position})

    # -- what was told -------------------------------------------------------------------------------------------

    def known(self, digest: str, reading: Reading) -> bool:
        """Whether these very bytes were read, or another copy of the mail: by its Message-ID and sender."""
        same = (_REPLIES.c.message_id == reading.message_id) & (_REPLIES.c.sender == reading.sender)
        query = select(_REPLIES.c.id).where((_REPLIES.c.digest == digest) | same).limit(1)
        with self._write() as connection:
            return connection.execute(query).first() is not None

    def keep(
        self, digest: str, reading: Reading, fates: Sequence[tuple[Command, Fate, str]], *, answer: bool = False
    ) -> None:
        """Note a mail and what comes of each of its commands, all at once; `no-cc` that is done counts from then on.

        `answer`: its sender is to have one.
        """
        now, number = self._clock(), ids.number(reading.regression)
        with self._write() as connection:
            row = {
                "digest": digest, "at": now, "message_id": reading.message_id, "sender": reading.sender,
                "regression": number, "refused": json.dumps(reading.refused),
            }  # fmt: skip
            key = connection.execute(insert(_REPLIES), row).inserted_primary_key
            if answer and key:
                connection.execute(insert(_ANSWERS), {"reply": key[0]})
            for command, fate, said in fates:
                told = {
                    "reply": key[0] if key else None, "at": now, "regression": number, "sender": reading.sender,
                    "verb": command.verb, "value": command.value, "fate": fate, "said": said,
                }  # fmt: skip
                connection.execute(insert(_COMMANDS), told)
                if command.verb is Verb.NO_CC and fate is Fate.DONE:
                    there = select(_NO_CC.c.address).where(_NO_CC.c.address == reading.sender)
                    if connection.execute(there).first() is None:
                        connection.execute(insert(_NO_CC), {"address": reading.sender, "since": now})

    def commands(self, fate: Fate | None = None) -> list[Asked]:
        """Commands, oldest first."""
        query = select(_COMMANDS, _REPLIES.c.message_id).join(_REPLIES, _COMMANDS.c.reply == _REPLIES.c.id)
        if fate is not None:
            query = query.where(_COMMANDS.c.fate == fate)
        with self._write() as connection:
            return [_asked(row) for row in connection.execute(query.order_by(_COMMANDS.c.id)).mappings().all()]

    def times(self, sender: str) -> list[float]:
        """When somebody gave commands within the last day, refused ones too."""
        query = select(_COMMANDS.c.at).where(_COMMANDS.c.sender == sender, _COMMANDS.c.at > self._clock() - DAY)
        with self._write() as connection:
            return list(connection.execute(query).scalars())

    def settle(self, number: int, said: str, fate: Fate = Fate.DONE) -> Asked:
        """Note what came of a command that waited. Raises `UserError` if it does not wait."""
        here = (_COMMANDS.c.id == number) & (_COMMANDS.c.fate == Fate.WAITING)
        with self._write() as connection:
            if not connection.execute(update(_COMMANDS).where(here).values(fate=fate, said=said)).rowcount:
                raise UserError(f"{number}: no command that waits; `bot replies` lists them")
        return next(asked for asked in self.commands() if asked.id == number)

    # -- answers -------------------------------------------------------------------------------------------------

    def owed(self) -> list[Told]:
        """Mails whose senders are to have an answer that is not written yet, oldest first."""
        query = select(_REPLIES).join(_ANSWERS, _ANSWERS.c.reply == _REPLIES.c.id).where(_ANSWERS.c.at.is_(None))
        asked = select(_COMMANDS, _REPLIES.c.message_id).join(_REPLIES, _COMMANDS.c.reply == _REPLIES.c.id)
        found = []
        with self._write() as connection:
            for row in connection.execute(query.order_by(_REPLIES.c.id)).mappings().all():
                mine = asked.where(_COMMANDS.c.reply == row["id"]).order_by(_COMMANDS.c.id)
                commands = tuple(_asked(one) for one in connection.execute(mine).mappings().all())
                told = Told(
                    row["id"], row["at"], ids.name(row["regression"]), row["sender"], row["message_id"],
                    tuple(json.loads(row["refused"])), commands,
                )  # fmt: skip
                found.append(told)
        return found

    def answer(self, told: Told, post: Post | None) -> None:
        """Put the answer to a mail into the outbox; None: there is none. Only the first time."""
        body = None if post is None else self._blobs.put(post.text)
        due = (_ANSWERS.c.reply == told.id) & _ANSWERS.c.at.is_(None)
        own = None if post is None else post.message_id
        with self._write() as connection:
            done = connection.execute(update(_ANSWERS).where(due).values(at=self._clock(), message_id=own))
            if done.rowcount and post is not None and body is not None:
                self._outbox.put(connection, ids.number(told.regression), [(post, body)])

    def answered(self, sender: str) -> list[float]:
        """When answers to somebody were written within the last day."""
        query = select(_ANSWERS.c.at).join(_REPLIES, _ANSWERS.c.reply == _REPLIES.c.id)
        recent = (_ANSWERS.c.at > self._clock() - DAY) & _ANSWERS.c.message_id.is_not(None)
        with self._write() as connection:
            return list(connection.execute(query.where(recent, _REPLIES.c.sender == sender)).scalars())

    # -- who wants none ------------------------------------------------------------------------------------------

    def no_cc(self) -> tuple[str, ...]:
        """Addresses of people who want no mails."""
        with self._write() as connection:
            return tuple(connection.execute(select(_NO_CC.c.address).order_by(_NO_CC.c.address)).scalars())


def _asked(row: RowMapping) -> Asked:
    return Asked(
        id=row["id"],
        at=row["at"],
        regression=ids.name(row["regression"]),
        sender=row["sender"],
        message_id=row["message_id"],
        command=Command(Verb(row["verb"]), row["value"]),
        fate=Fate(row["fate"]),
        said=row["said"],
    )
