"""The outbox as rows. Each step is a transaction: on the disk before anything leaves, and after each answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from bot.core.outbox import (
    ANSWER,
    DIGEST,
    OPERATOR,
    Died,
    Event,
    Held,
    Item,
    NotNowError,
    Rendered,
    State,
    after,
    begun,
)
from bot.errors import UserError
from bot.store import ids, schema
from bot.store.blobs import Blobs

_LISTS = ("held", "delivered", "refused")
_TABLE = schema.outbox


@dataclass(frozen=True, slots=True)
class Post:
    """What is to go out about a regression, to one destination, with what holds it ("name: why")."""

    kind: str
    message_id: str
    destination: str
    held: tuple[str, ...]
    text: str


class Outbox:
    """Items of one database. Raises as `Store` does."""

    def __init__(
        self, write: Callable[[], AbstractContextManager[Connection]], blobs: Blobs, clock: Callable[[], float]
    ) -> None:
        self._write, self._blobs, self._clock = write, blobs, clock

    def put(self, connection: Connection, regression: int, posts: Iterable[tuple[Post, str]]) -> None:
        """Add what is new, in the caller's transaction; each post comes with the digest of its text.

        One that is there and has not gone out gets the new text; one that went out stays as it is. What waited to tell
        something else of the same regression is held: there is one mail about a finding. An answer is no such news.
        """
        now = self._clock()
        for post, body in posts:
            same = (_TABLE.c.message_id == post.message_id) & (_TABLE.c.destination == post.destination)
            known = connection.execute(select(_TABLE).where(same)).mappings().first()
            if known is None:
                about = DIGEST if post.kind == DIGEST else ids.name(regression)
                item = Item(about, post.kind, post.message_id, post.destination, body, post.held)
                connection.execute(insert(_TABLE), _row(begun(item, now)))
            elif known["body"] != body:
                self._step(connection, known, Rendered(body, post.held), now)
            if post.kind == ANSWER:
                continue
            other = (_TABLE.c.regression == regression) & (_TABLE.c.destination == post.destination) & ~same
            waiting = _TABLE.c.state.in_([State.HELD, State.QUEUED]) & (_TABLE.c.kind != ANSWER)
            for row in connection.execute(select(_TABLE).where(other & waiting)).mappings().all():
                self._step(connection, row, Held(f"by {post.message_id}", "superseded"), now)

    def add(self, connection: Connection, post: Post, body: str) -> None:
        """Add what is about the bot itself, in the caller's transaction; `body` is the digest of its text."""
        item = Item("", post.kind, post.message_id, post.destination, body, post.held)
        connection.execute(insert(_TABLE), _row(begun(item, self._clock())))

    def hold(self, connection: Connection, regression: int, event: Held) -> None:
        """Keep back the news of a regression that have not gone out, in the caller's transaction."""
        waiting = (_TABLE.c.regression == regression) & _TABLE.c.state.in_([State.HELD, State.QUEUED])
        for row in connection.execute(select(_TABLE).where(waiting, _TABLE.c.kind != ANSWER)).mappings().all():
            self._step(connection, row, event, self._clock())

    @staticmethod
    def _step(connection: Connection, row: RowMapping, event: Event, now: float) -> None:
        with suppress(NotNowError):  # it went out, or may have: that stays as it is
            item = after(_item(row), event, now)
            connection.execute(update(_TABLE).where(_TABLE.c.id == item.id).values(**_row(item)))

    def items(self, regression: int | None = None) -> list[Item]:
        """All items, or those of one regression, oldest first."""
        query = select(_TABLE).order_by(_TABLE.c.id)
        if regression is not None:
            query = query.where(_TABLE.c.regression == regression)
        with self._write() as connection:
            return [_item(row) for row in connection.execute(query).mappings().all()]

    def text(self, item: Item) -> str:
        """What is sent. Raises `UserError` if its blob was deleted."""
        text = self._blobs.get(item.body)
        if text is None:
            raise UserError(f"{item.regression}: the text of {item.message_id} is not in the work directory any more")
        return text

    def change(self, item: Item, event: Event) -> Item:
        """The item after an event, from what the database has now, on the disk. Raises `NotNowError`."""
        with self._write() as connection:
            row = connection.execute(select(_TABLE).where(_TABLE.c.id == item.id)).mappings().one()
            changed = after(_item(row), event, self._clock())
            connection.execute(update(_TABLE).where(_TABLE.c.id == item.id).values(**_row(changed)))
        return changed

    def end_orphans(self, repeatable: Callable[[str], bool], *, operator: bool = False) -> list[Item]:
        """What a process was sending that is gone: mails to the operator, or all else, for those have a sender of their
        own. To be called by the one that may send it.

        `repeatable` says of a destination whether it knows a repetition.
        """
        orphans = [item for item in self.items() if item.state is State.SENDING]
        orphans = [item for item in orphans if (item.destination == OPERATOR) is operator]
        return [self.change(item, Died(repeatable(item.destination))) for item in orphans]


def _row(item: Item) -> dict[str, Any]:
    row = asdict(item) | {name: json.dumps(getattr(item, name)) for name in _LISTS}
    del row["id"]
    return row | {"regression": ids.number(item.regression) if item.regression else 0, "key": item.key}


def _item(row: RowMapping) -> Item:
    fields = {name: value for name, value in row.items() if name != "key"}
    fields |= {name: tuple(json.loads(row[name])) for name in _LISTS}
    about = ids.name(row["regression"]) or (DIGEST if row["kind"] == DIGEST else "")
    return Item(**fields | {"regression": about, "state": State(row["state"])})
