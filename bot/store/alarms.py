"""Troubles of the bot itself, as rows: which there are, and whether mails are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from bot.core.alarms import Kind, Known, Trouble, Way, heard
from bot.core.outbox import MAIL, Answer
from bot.store import schema
from bot.store.blobs import Blobs
from bot.store.outbox import Outbox, Post

_TROUBLES, _WAYS = schema.troubles, schema.ways


class Alarms:
    """Rows of one database. A trouble and its mail are one transaction. Raises as `Store` does."""

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Connection]],
        blobs: Blobs,
        outbox: Outbox,
        clock: Callable[[], float],
    ) -> None:
        self._write, self._blobs, self._outbox, self._clock = write, blobs, outbox, clock

    def known(self) -> list[Known]:
        """Troubles that are not over, oldest first."""
        query = select(_TROUBLES).where(_TROUBLES.c.ended.is_(None)).order_by(_TROUBLES.c.id)
        with self._write() as connection:
            return [_known(row) for row in connection.execute(query).mappings().all()]

    def begin(self, trouble: Trouble, now: float, post: Post | None) -> None:
        """Keep a trouble, with the mail that tells of it."""
        row = {**asdict(trouble), "began": now, "told": post is not None}
        with self._posted(post) as connection:
            connection.execute(insert(_TROUBLES), row)

    def end(self, kind: Kind, now: float, post: Post | None) -> None:
        """Note that it is over, with the mail that tells so."""
        here = (_TROUBLES.c.kind == kind) & _TROUBLES.c.ended.is_(None)
        with self._posted(post) as connection:
            connection.execute(update(_TROUBLES).where(here).values(ended=now))

    @contextmanager
    def _posted(self, post: Post | None) -> Iterator[Connection]:
        """A transaction that puts a mail into the outbox."""
        body = None if post is None else self._blobs.put(post.text)
        with self._write() as connection:
            yield connection
            if post is not None and body is not None:
                self._outbox.add(connection, post, body)

    def way(self) -> Way | None:
        """What is known of the way of mails; None: they are taken."""
        with self._write() as connection:
            return _way(connection)

    def heard(self, answer: Answer, *, own: bool = False) -> None:
        """Note what came of a mail; `own`: it was one to the operator."""
        with self._write() as connection:
            before = _way(connection)
            after = heard(before, answer, self._clock(), own=own)
            if after != before:
                connection.execute(delete(_WAYS).where(_WAYS.c.way == MAIL))
                if after is not None:
                    connection.execute(insert(_WAYS), {"way": MAIL, **asdict(after)})

    def recorded(self) -> float | None:
        """When the last build or run was recorded, seconds since the epoch; None: there is none."""
        with self._write() as connection:
            last = [connection.execute(select(func.max(table.c.at))).scalar() for table in (schema.builds, schema.runs)]
        return max((at for at in last if at is not None), default=None)


def _way(connection: Connection) -> Way | None:
    row = connection.execute(select(_WAYS).where(_WAYS.c.way == MAIL)).mappings().first()
    return None if row is None else Way(row["since"], row["last"], row["why"], row["down"])


def _known(row: RowMapping) -> Known:
    return Known(Trouble(Kind(row["kind"]), row["since"], row["said"]), row["began"], row["told"])
