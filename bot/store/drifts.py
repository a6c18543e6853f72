"""Failures that no commit is to blame for, as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select, update

from bot.core.drift import Drift
from bot.store import schema

_TABLE = schema.drifts
_DRIFT = TypeAdapter(Drift)


@dataclass(frozen=True, slots=True)
class Known:
    """A drift that is there, and since when, in seconds since the epoch."""

    drift: Drift
    began: float


class Drifts:
    """Rows of one database. Raises as `Store` does."""

    def __init__(self, write: Callable[[], AbstractContextManager[Connection]], clock: Callable[[], float]) -> None:
        self._write, self._clock = write, clock

    def known(self, branch: str | None = None) -> list[Known]:
        """Those that are there, oldest first: of a branch, or all."""
        query = select(_TABLE).where(_TABLE.c.ended.is_(None)).order_by(_TABLE.c.id)
        if branch is not None:
            query = query.where(_TABLE.c.branch == branch)
        with self._write() as connection:
            rows = connection.execute(query).mappings().all()
        return [Known(_DRIFT.validate_json(row["data"]), row["began"]) for row in rows]

    def change(self, begin: Iterable[Drift], over: Iterable[Drift]) -> None:
        """Note those that begin, or have other cases than before, and those that are over."""
        now = self._clock()
        there = _TABLE.c.ended.is_(None)
        with self._write() as connection:
            for drift in over:
                connection.execute(update(_TABLE).where(there, _TABLE.c.key == drift.key).values(ended=now))
            for drift in begin:
                data = _DRIFT.dump_json(drift).decode()
                kept = connection.execute(update(_TABLE).where(there, _TABLE.c.key == drift.key).values(data=data))
                if kept.rowcount == 0:
                    row = {"branch": drift.branch, "key": drift.key, "data": data, "began": now}
                    connection.execute(insert(_TABLE), row)
