"""The nightly sweeps of branches, as rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from bot.model import Sha
from bot.store import schema

_TABLE = schema.nights


@dataclass(frozen=True, slots=True)
class Night:
    """A nightly sweep of a branch's commit. Times are seconds since the epoch; `ended` None: it is gone on with."""

    branch: str
    sha: Sha
    began: float
    ended: float | None = None


class Nights:
    """Rows of one database. Raises as `Store` does."""

    def __init__(self, write: Callable[[], AbstractContextManager[Connection]], clock: Callable[[], float]) -> None:
        self._write, self._clock = write, clock

    def last(self) -> dict[str, Night]:
        """The last one of each branch."""
        with self._write() as connection:
            rows = connection.execute(select(_TABLE).order_by(_TABLE.c.id)).mappings().all()
        return {row["branch"]: Night(row["branch"], row["sha"], row["began"], row["ended"]) for row in rows}

    def begin(self, branch: str, sha: Sha) -> None:
        with self._write() as connection:
            connection.execute(insert(_TABLE), {"branch": branch, "sha": sha, "began": self._clock()})

    def end(self, branch: str) -> None:
        """Note that all of it was run, and what broke was looked at."""
        here = (_TABLE.c.branch == branch) & _TABLE.c.ended.is_(None)
        with self._write() as connection:
            connection.execute(update(_TABLE).where(here).values(ended=self._clock()))
