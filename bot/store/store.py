"""What the bot remembers: facts are appended the moment they are known and never changed.

SQLite with a rollback journal and synchronous=FULL: versions 3.7.0 to 3.51.2 can corrupt a write-ahead log on reset.
Every write is one transaction (BEGIN IMMEDIATE); blobs are on disk before the row that names them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, RowMapping, create_engine, delete, event, insert, select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import NullPool

from bot.errors import InfraError, UserError
from bot.model import Build, Case, Commit, Inventory, Log, Outcome, Regression, Run, Sha
from bot.store import schema
from bot.store.blobs import Blobs

_BUILD = TypeAdapter(Build)
_COMMIT = TypeAdapter(Commit)
_INVENTORY = TypeAdapter(Inventory)
_RUN = TypeAdapter(Run)
_REGRESSION = TypeAdapter(Regression)


@dataclass(frozen=True, slots=True)
class Entry:
    """A regression as it is kept. `finding` is the name of its kind, None while the search is not done."""

    regression: Regression
    opened: float
    state: str
    finding: str | None
    report: str | None  # JSON of the Report, None if there is none yet
    log: str = ""  # of the search, for `git bisect replay` and `bot replay`


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it was written, with what held it back."""

    regression: str
    kind: str
    message_id: str
    created: float
    held: tuple[str, ...]
    eml: str


@dataclass(frozen=True, slots=True)
class Cycle:
    """One pass of the watch. Times in seconds since the epoch; `ended` None: it runs, or was killed."""

    began: float
    ended: float | None
    result: str | None


class Store:
    """Rows and blobs of one work directory. Raises `InfraError` if the disk fails, `UserError` for a wrong file."""

    def __init__(self, work: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.blobs = Blobs(work / "blobs")
        path = work / "bot.db"
        self._engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        with self._write() as connection:
            version = connection.execute(text("PRAGMA user_version")).scalar_one()
            if version not in (0, schema.VERSION):
                raise UserError(
                    f"{path}: made by another version of bot (schema {version}, this one is {schema.VERSION})"
                )
            schema.metadata.create_all(connection)
            connection.execute(text(f"PRAGMA user_version={schema.VERSION}"))

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise InfraError(f"{self._engine.url.database}: {error.orig}") from error

    def _rows(self, statement: Any) -> Sequence[RowMapping]:
        with self._write() as connection:
            return connection.execute(statement).mappings().all()

    # -- facts ---------------------------------------------------------------------------------------------------

    def record(self, fact: Build | Run) -> None:
        """Keep a build or a run. Returns when it is on the disk."""
        if isinstance(fact, Build):
            log = self.blobs.put(fact.log)
            row: dict[str, Any] = {
                "sha": fact.commit, "target": fact.target, "status": fact.status, "kind": fact.kind,
                "at": self.clock(), "log": log, "data": _BUILD.dump_json(replace(fact, log="")).decode(),
            }  # fmt: skip
            statement = insert(schema.builds)
        else:
            logs = [[log.name, self.blobs.put(log.text)] for log in fact.observation.logs]
            bare = replace(fact, observation=replace(fact.observation, logs=()))
            row = {
                "sha": fact.commit, "case": fact.case.id, "setup": fact.setup, "outcome": fact.outcome,
                "signature": fact.signature.key if fact.signature else None, "at": fact.at,
                "logs": json.dumps(logs), "data": _RUN.dump_json(bare).decode(),
            }  # fmt: skip
            statement = insert(schema.runs)
        with self._write() as connection:
            connection.execute(statement, row)

    def runs(
        self,
        *,
        commit: Sha | None = None,
        cases: Iterable[Case] | None = None,
        setups: Iterable[str] | None = None,
        logs: bool = True,
    ) -> list[Run]:
        """Recorded runs, oldest first, of a commit, of some cases, under some setups (None: any)."""
        query = select(schema.runs).order_by(schema.runs.c.id)
        if commit is not None:
            query = query.where(schema.runs.c.sha == commit)
        wanted = None if cases is None else {case.id for case in cases}
        allowed = None if setups is None else set(setups)
        if wanted is not None and len(wanted) <= 100:
            query = query.where(schema.runs.c.case.in_(wanted))
        found = []
        for row in self._rows(query):
            if wanted is not None and row["case"] not in wanted:
                continue
            if allowed is not None and row["setup"] not in allowed:
                continue
            run = _RUN.validate_json(row["data"])
            if logs:
                kept = tuple(Log(name, self._blob(blob)) for name, blob in json.loads(row["logs"]))
                run = replace(run, observation=replace(run.observation, logs=kept))
            found.append(run)
        return found

    def builds(self, *, commit: Sha | None = None, logs: bool = False) -> list[Build]:
        """Recorded builds, oldest first."""
        query = select(schema.builds).order_by(schema.builds.c.id)
        if commit is not None:
            query = query.where(schema.builds.c.sha == commit)
        found = []
        for row in self._rows(query):
            build = _BUILD.validate_json(row["data"])
            found.append(replace(build, log=self._blob(row["log"])) if logs else build)
        return found

    def _blob(self, sha256: str) -> str:
        found = self.blobs.get(sha256)
        return f"(evicted: blob {sha256})" if found is None else found

    # -- history of a case ---------------------------------------------------------------------------------------

    def good_commits(self, case: Case, setup: str) -> list[Sha]:
        """Commits whose latest run of the case passed, newest run first."""
        table = schema.runs.c
        query = select(table.sha, table.outcome).where(table.case == case.id, table.setup == setup)
        latest: dict[Sha, str] = {}
        for row in self._rows(query.order_by(table.id)):
            if row["outcome"] != Outcome.INFRA:
                latest.pop(row["sha"], None)
                latest[row["sha"]] = row["outcome"]
        return [sha for sha, outcome in reversed(latest.items()) if outcome == Outcome.PASS]

    # -- branches ------------------------------------------------------------------------------------------------

    def see(self, branch: str, commit: Commit) -> bool:
        """Note a branch's tip; True if it was not seen there before."""
        data = _COMMIT.dump_json(commit).decode()
        row = {"branch": branch, "sha": commit.sha, "seen": self.clock(), "data": data}
        try:
            with self._write() as connection:
                connection.execute(insert(schema.commits), row)
        except IntegrityError:
            return False
        return True

    def seen(self) -> dict[str, list[Commit]]:
        """Tips of each branch, in the order they were seen."""
        found: dict[str, list[Commit]] = {}
        for row in self._rows(select(schema.commits).order_by(schema.commits.c.seen)):
            found.setdefault(row["branch"], []).append(_COMMIT.validate_json(row["data"]))
        return found

    def keep_inventory(self, commit: Sha, target: str, inventory: Inventory) -> None:
        """Note which machine types a commit's binary has. One that is kept already is replaced."""
        machines = Inventory(inventory.arch, inventory.version, inventory.machines)
        row = {"sha": commit, "target": target, "data": _INVENTORY.dump_json(machines).decode()}
        table = schema.inventories
        with self._write() as connection:
            connection.execute(delete(table).where(table.c.sha == commit, table.c.target == target))
            connection.execute(insert(table), row)

    def inventories(self, commit: Sha) -> dict[str, Inventory]:
        """What a commit's binaries say of themselves, by target, as far as it was asked."""
        query = select(schema.inventories).where(schema.inventories.c.sha == commit)
        return {row["target"]: _INVENTORY.validate_json(row["data"]) for row in self._rows(query)}

    # -- regressions ---------------------------------------------------------------------------------------------

    def open_regression(self, regression: Regression) -> Regression:
        """Keep a new regression; the answer has its id (r0001, ...)."""
        with self._write() as connection:
            row = {
                "opened": self.clock(), "state": "open", "signature": regression.signature.key,
                "branch": regression.branch, "data": "",
            }  # fmt: skip
            key = connection.execute(insert(schema.regressions), row).inserted_primary_key
            numbered = replace(regression, id=f"r{_only(key):04d}")
            self._update(connection, numbered.id, data=_REGRESSION.dump_json(numbered).decode())
        return numbered

    def change_regression(self, regression: Regression) -> None:
        """Replace what is known of a regression (its cases, say)."""
        with self._write() as connection:
            self._update(connection, regression.id, data=_REGRESSION.dump_json(regression).decode())

    def conclude(self, regression_id: str, finding: str, report: str, log: str) -> None:
        """Note how the search ended, with the report as JSON and the search's log."""
        values = {"finding": finding, "report": self.blobs.put(report), "log": self.blobs.put(log)}
        with self._write() as connection:
            self._update(connection, regression_id, **values)

    @staticmethod
    def _update(connection: Connection, regression_id: str, **values: Any) -> None:
        table = schema.regressions
        connection.execute(update(table).where(table.c.number == number(regression_id)).values(**values))

    def regressions(self, regression_id: str | None = None) -> list[Entry]:
        """Regressions, oldest first, or the one asked for. Raises `UserError` for an id that is none."""
        query = select(schema.regressions).order_by(schema.regressions.c.number)
        if regression_id is not None:
            query = query.where(schema.regressions.c.number == number(regression_id))
        found = [
            Entry(
                regression=_REGRESSION.validate_json(row["data"]),
                opened=row["opened"],
                state=row["state"],
                finding=row["finding"],
                report=self._blob(row["report"]) if row["report"] else None,
                log=self._blob(row["log"]) if row["log"] else "",
            )
            for row in self._rows(query)
        ]
        if regression_id is not None and not found:
            raise UserError(f"{regression_id}: no such regression; `bot list` shows those there are")
        return found

    # -- mails and cycles ----------------------------------------------------------------------------------------

    def keep_mail(self, mail: Mail) -> None:
        """Keep a rendered mail. One with the same Message-ID is replaced: it was rendered again."""
        table = schema.reports
        with self._write() as connection:
            row = {
                "regression": number(mail.regression), "kind": mail.kind, "message_id": mail.message_id,
                "created": mail.created, "held": json.dumps(mail.held), "eml": self.blobs.put(mail.eml),
            }  # fmt: skip
            done = connection.execute(update(table).where(table.c.message_id == mail.message_id).values(**row))
            if done.rowcount == 0:
                connection.execute(insert(table), row)

    def mails(self, regression_id: str) -> list[Mail]:
        """Mails of a regression, oldest first."""
        table = schema.reports
        query = select(table).where(table.c.regression == number(regression_id)).order_by(table.c.id)
        return [
            Mail(
                regression=regression_id,
                kind=row["kind"],
                message_id=row["message_id"],
                created=row["created"],
                held=tuple(json.loads(row["held"])),
                eml=self._blob(row["eml"]),
            )
            for row in self._rows(query)
        ]

    def begin_cycle(self) -> int:
        """Note that a cycle begins; returns its number for `end_cycle`."""
        with self._write() as connection:
            key = connection.execute(insert(schema.cycles), {"began": self.clock()}).inserted_primary_key
            return _only(key)

    def end_cycle(self, cycle: int, result: str) -> None:
        table = schema.cycles
        with self._write() as connection:
            connection.execute(update(table).where(table.c.id == cycle).values(ended=self.clock(), result=result))

    def cycles(self, last: int = 10) -> list[Cycle]:
        """The last cycles, newest first."""
        query = select(schema.cycles).order_by(schema.cycles.c.id.desc()).limit(last)
        return [Cycle(row["began"], row["ended"], row["result"]) for row in self._rows(query)]


def number(regression_id: str) -> int:
    """r0017 -> 17. Raises `UserError` for anything else."""
    digits = regression_id.removeprefix("r")
    if not digits.isascii() or not digits.isdigit():
        raise UserError(f"{regression_id}: not the id of a regression (r0001); `bot list` shows those there are")
    return int(digits)


def _only(key: Row[Any] | None) -> int:
    """The one column of a primary key that SQLite gave."""
    if key is None:
        raise InfraError("SQLite gave no key for a new row")
    return int(key[0])


def _configure(connection: Any, _record: Any) -> None:
    """Per connection: we begin transactions ourselves; durability before speed."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=30000")
