"""Histories of cases on branches, folded as runs come in: what pages show of years costs no more than what is new.

The rows can be made again from those of the runs at any time. A commit is folded once, and again if more of its runs
came; where it is not a case's last one, the case is folded anew from all its runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from bot.core.history import History, point, told
from bot.model import Case, Run, Sha
from bot.store import schema

_HISTORY = TypeAdapter(History)
_RUN = TypeAdapter(Run)
_Key = TypeVar("_Key")
_COMMITS = 500  # of a branch that are looked at, the last ones
_AT_ONCE = 20  # commits that are folded in one transaction


class Histories:
    """Rows of one database. Raises as `Store` does."""

    def __init__(self, write: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._write = write

    def of(self, branch: str, tips: Sequence[Sha]) -> tuple[History, ...]:
        """The histories of all cases that ran on a branch's tips, which are given oldest first, by the cases' ids."""
        tips = tips[-_COMMITS:]
        while True:
            with self._write() as connection:
                if not self._fold(connection, branch, tips):
                    return tuple(_kept(connection, branch).values())

    def _fold(self, connection: Connection, branch: str, tips: Sequence[Sha]) -> bool:
        """Fold some commits that have runs which are not in yet; False if there is none."""
        table, runs = schema.folded, schema.runs.c
        rows = connection.execute(select(table).where(table.c.branch == branch)).mappings()
        done = {row["sha"]: row["run"] for row in rows}
        newest = connection.execute(select(func.max(runs.id))).scalar_one() or 0
        query = select(runs.sha, func.max(runs.id).label("run")).where(runs.id > done.get("", 0)).group_by(runs.sha)
        more = {row["sha"] for row in connection.execute(query).mappings() if row["run"] > done.get(row["sha"], 0)}
        todo = [sha for sha in tips if sha not in done or sha in more]
        now = todo[:_AT_ONCE]
        if now:
            places = {sha: place for place, sha in enumerate(tips)}
            _put(connection, branch, _folded(connection, branch, now, places, done))
        _note(connection, branch, dict.fromkeys([*now, *([""] if now == todo else [])], newest))
        return bool(now)


def _folded(
    connection: Connection, branch: str, shas: Iterable[Sha], places: Mapping[Sha, int], done: Iterable[Sha]
) -> dict[Case, History]:
    """The histories that change with the runs of some commits."""
    every, changed = _kept(connection, branch), dict[Case, History]()
    known, anew = set(done), set[Case]()
    for sha in shas:
        known.add(sha)
        for case, runs in _by(lambda run: run.case, _runs(connection, schema.runs.c.sha == sha)).items():
            history = every.get(case, History(case))
            if history.now is not None and places.get(history.now.last, -1) > places[sha]:
                anew.add(case)
            elif (at := point(runs)) is not None:
                changed[case] = every[case] = history.put(at)
    for case in anew:
        found = _by(lambda run: run.commit, _runs(connection, schema.runs.c.case == case.id))
        changed[case] = told(case, (found[sha] for sha in places if sha in found and sha in known))
    return changed


def _by(key: Callable[[Run], _Key], runs: Iterable[Run]) -> dict[_Key, list[Run]]:
    found: dict[_Key, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found


def _runs(connection: Connection, which: ColumnElement[bool]) -> list[Run]:
    query = select(schema.runs.c.data).where(which).order_by(schema.runs.c.id)
    return [_RUN.validate_json(data) for data in connection.execute(query).scalars()]


def _kept(connection: Connection, branch: str) -> dict[Case, History]:
    table = schema.histories
    query = select(table.c.data).where(table.c.branch == branch).order_by(table.c.case)
    found = [_HISTORY.validate_json(data) for data in connection.execute(query).scalars()]
    return {history.case: history for history in found}


def _put(connection: Connection, branch: str, changed: Mapping[Case, History]) -> None:
    table = schema.histories
    if changed:
        rows = [
            {"branch": branch, "case": case.id, "data": _HISTORY.dump_json(history).decode()}
            for case, history in changed.items()
        ]
        connection.execute(insert(table).prefix_with("OR REPLACE"), rows)


def _note(connection: Connection, branch: str, done: Mapping[Sha, int]) -> None:
    table = schema.folded
    for sha, run in done.items():
        connection.execute(delete(table).where(table.c.branch == branch, table.c.sha == sha))
        connection.execute(insert(table), {"branch": branch, "sha": sha, "run": run})
