"""Series that somebody posted and that break something, as rows. What goes out about one is in the outbox."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, insert, select, update

from bot.errors import UserError
from bot.model import Sha
from bot.store import ids, schema
from bot.store.blobs import Blobs

_TABLE = schema.series


@dataclass(frozen=True, slots=True)
class SeriesEntry:
    """A series as it is kept. `headline` is what a list says of it, as JSON; `at` is in seconds since the epoch.

    Its report is read when it is asked for: who looks over all series wants it of few.
    """

    id: str
    at: float
    headline: str
    blob: str  # of its report; equal ones, equal texts
    read: Callable[[str], str | None] = field(repr=False, compare=False)

    @property
    def report(self) -> str:
        """JSON of the SeriesReport. Raises `UserError` if it is gone."""
        found = self.read(self.blob)
        if found is None:
            raise UserError(f"{self.id}: its report is not in the work directory any more")
        return found


class Series:
    """Rows of one database. Raises as `Store` does."""

    def __init__(
        self, write: Callable[[], AbstractContextManager[Connection]], blobs: Blobs, clock: Callable[[], float]
    ) -> None:
        self._write, self._blobs, self._clock = write, blobs, clock

    def open(self, commit: Sha, signature: str) -> str:
        """The id (s0001, ...) of a series that fails so; the same as before if that was found before."""
        same = (_TABLE.c.sha == commit) & (_TABLE.c.signature == signature)
        with self._write() as connection:
            known = connection.execute(select(_TABLE.c.number).where(same)).scalar_one_or_none()
            if known is None:
                row = {"at": self._clock(), "sha": commit, "signature": signature}
                key = connection.execute(insert(_TABLE), row).inserted_primary_key
                known = key[0] if key else 0
        return ids.name(-int(known))

    def conclude(self, connection: Connection, series_id: str, headline: str, report: str) -> None:
        """Note what was found, in short and as a blob, in the caller's transaction."""
        here = _TABLE.c.number == -ids.number(series_id)
        connection.execute(update(_TABLE).where(here).values(headline=headline, report=report))

    def entries(self) -> list[SeriesEntry]:
        """All series, oldest first."""
        query = select(_TABLE).where(_TABLE.c.report.is_not(None)).order_by(_TABLE.c.number)
        with self._write() as connection:
            rows = connection.execute(query).mappings().all()
        return [self._entry(row) for row in rows]

    def entry(self, series_id: str) -> SeriesEntry:
        """One of them. Raises `UserError` if there is none of that id."""
        found = next((entry for entry in self.entries() if entry.id == series_id), None)
        if found is None:
            raise UserError(f"{series_id}: no such series; `bot list` shows those there are")
        return found

    def _entry(self, row: RowMapping) -> SeriesEntry:
        return SeriesEntry(ids.name(-row["number"]), row["at"], row["headline"] or "{}", row["report"], self._blobs.get)
