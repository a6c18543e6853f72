"""Which release each baseline is, was, and waits to be, as rows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from pydantic import TypeAdapter
from sqlalchemy import Connection, RowMapping, Select, insert, or_, select, update

from bot.core.succession import Release, Trial
from bot.model import Sha
from bot.store import schema

_TABLE = schema.releases
_TRIAL = TypeAdapter(Trial)
_THERE = _TABLE.c.gone.is_(None)
_USED = _THERE & _TABLE.c.used.is_not(None)
_WAITS = _THERE & _TABLE.c.used.is_(None)


class Releases:
    """Rows of one database. A baseline has one release in use, and at most one that waits. Raises as `Store` does."""

    def __init__(self, write: Callable[[], AbstractContextManager[Connection]], clock: Callable[[], float]) -> None:
        self._write, self._clock = write, clock

    def used(self) -> dict[str, Release]:
        """The release that each baseline is, by the baseline's name."""
        return self._by_name(select(_TABLE).where(_USED))

    def waiting(self) -> dict[str, Release]:
        """The release that each baseline may become."""
        return self._by_name(select(_TABLE).where(_WAITS))

    def at(self, baseline: str, when: float) -> str | None:
        """The release that a baseline was at a time; None: that is not known."""
        then = (_TABLE.c.used <= when) & or_(_TABLE.c.gone.is_(None), _TABLE.c.gone > when)
        query = select(_TABLE.c.ref).where(_TABLE.c.baseline == baseline, then).order_by(_TABLE.c.id.desc())
        with self._write() as connection:
            return connection.execute(query).scalars().first()

    def last(self, baseline: str) -> Release | None:
        """The release that a baseline is, or was last; None: it was none yet."""
        return next(iter(self.were(baseline)), None)

    def were(self, baseline: str) -> list[Release]:
        """The releases that a baseline is or was, the last one first; one that it was twice is there twice."""
        query = select(_TABLE).where(_TABLE.c.baseline == baseline, _TABLE.c.used.is_not(None))
        with self._write() as connection:
            rows = connection.execute(query.order_by(_TABLE.c.id.desc())).mappings().all()
        return [_release(row) for row in rows]

    def drop(self, others: Collection[str]) -> None:
        """Note that those are no baselines any more which are none of the `others`."""
        with self._write() as connection:
            connection.execute(
                update(_TABLE).where(_THERE, _TABLE.c.baseline.not_in(others)).values(gone=self._clock())
            )

    def forget(self, release: Release) -> None:
        """Note that one which waits does not any more."""
        here = _WAITS & (_TABLE.c.baseline == release.baseline)
        with self._write() as connection:
            connection.execute(update(_TABLE).where(here).values(gone=self._clock()))

    def see(self, baseline: str, ref: str, sha: Sha) -> Release:
        """Note a release that may become the baseline, in the place of one that waits."""
        now = self._clock()
        release = Release(baseline, ref, sha, now)
        with self._write() as connection:
            connection.execute(update(_TABLE).where(_WAITS, _TABLE.c.baseline == baseline).values(gone=now))
            connection.execute(insert(_TABLE), _row(release))
        return release

    def tried(self, release: Release, trial: Trial, said: str, *, held: bool) -> None:
        """Note what came of one that waits, and whether a person has to decide. A person's word is not overruled."""
        here = _WAITS & (_TABLE.c.baseline == release.baseline) & (_TABLE.c.ref == release.ref)
        values = {"said": said, "held": held, "data": _TRIAL.dump_json(trial).decode()}
        with self._write() as connection:
            connection.execute(update(_TABLE).where(here, _TABLE.c.person.is_(None)).values(**values))

    def take(self, release: Release, said: str, *, person: str | None = None, instead: Release | None = None) -> None:
        """Note that a release is the baseline from now on. `instead` is one that a person wants not to be it."""
        now = self._clock()
        mine = _TABLE.c.baseline == release.baseline
        row = _row(release) | {"used": now, "said": said, "person": person, "held": False}
        with self._write() as connection:
            connection.execute(update(_TABLE).where(_THERE, mine).values(gone=now))
            connection.execute(insert(_TABLE), row)
            if instead is not None:
                connection.execute(insert(_TABLE), _row(instead) | {"said": said, "person": person, "held": True})

    def _by_name(self, query: Select[tuple[object, ...]]) -> dict[str, Release]:
        with self._write() as connection:
            rows = connection.execute(query.order_by(_TABLE.c.id)).mappings().all()
        return {row["baseline"]: _release(row) for row in rows}


def _release(row: RowMapping) -> Release:
    trial = _TRIAL.validate_json(row["data"])
    names = ("baseline", "ref", "sha", "seen", "used", "person", "said", "held")
    return Release(**{name: row[name] for name in names}, trial=trial)


def _row(release: Release) -> dict[str, object]:
    return {
        "baseline": release.baseline, "ref": release.ref, "sha": release.sha, "seen": release.seen, "used": None,
        "person": None, "said": release.said, "held": release.held,
        "data": _TRIAL.dump_json(release.trial).decode(),
    }  # fmt: skip
