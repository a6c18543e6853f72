"""What the bot remembers: facts are appended the moment they are known and never changed.

SQLite with a rollback journal and synchronous=FULL: versions 3.7.0 to 3.51.2 can corrupt a write-ahead log on reset.
Every write is one transaction (BEGIN IMMEDIATE); blobs are on disk before the row that names them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, RowMapping, create_engine, delete, event, insert, select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import NullPool

from bot.core.drift import Seen
from bot.core.lifecycle import Event, Record, State, after, overtaken, replay
from bot.core.outbox import DIGEST, Held
from bot.core.verdict import FAILURES
from bot.errors import InfraError, UserError
from bot.model import Build, Case, Commit, Inventory, Log, Outcome, Regression, Run, Sha
from bot.store import happenings, schema
from bot.store.alarms import Alarms
from bot.store.blobs import Blobs
from bot.store.drifts import Drifts
from bot.store.histories import Histories
from bot.store.ids import is_series, name
from bot.store.ids import number as number
from bot.store.nights import Nights
from bot.store.outbox import Outbox, Post
from bot.store.posted import Series
from bot.store.releases import Releases
from bot.store.replies import Replies

_BUILD = TypeAdapter(Build)
_COMMIT = TypeAdapter(Commit)
_INVENTORY = TypeAdapter(Inventory)
_RUN = TypeAdapter(Run)
_REGRESSION = TypeAdapter(Regression)


@dataclass(frozen=True, slots=True)
class Entry:
    """A regression as it is kept. `finding` is the name of its kind, None while the search is not done.

    Its texts are read when they are asked for: most who look over all regressions want none of them.
    """

    regression: Regression
    opened: float
    record: Record  # what became of it
    finding: str | None
    blobs: tuple[str | None, str | None]  # of report and log; equal ones, equal texts
    earlier: tuple[tuple[int, str], ...]  # reports that were set aside: (place in the record's history, blob)
    read: Callable[[str], str] = field(repr=False, compare=False)

    @property
    def state(self) -> State:
        return self.record.state

    @property
    def reported(self) -> bool:
        """Whether there is a report, perhaps one that is to be replaced."""
        return self.blobs[0] is not None

    @property
    def report(self) -> str | None:
        """JSON of the Report, None if there is none yet."""
        return self.read(self.blobs[0]) if self.blobs[0] else None

    @property
    def log(self) -> str:
        """Of the search, for `git bisect replay` and `bot replay`."""
        return self.read(self.blobs[1]) if self.blobs[1] else ""


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
class Letter:
    """The same without its text, whose blob is `eml`."""

    kind: str
    message_id: str
    eml: str
    held: tuple[str, ...]


STOPPED = "stopped"  # the result of a cycle that somebody stopped


@dataclass(frozen=True, slots=True)
class Cycle:
    """One pass of the watch. Times in seconds since the epoch; `ended` None: it runs, or was stopped or killed."""

    began: float
    ended: float | None
    result: str | None


class Store:
    """Rows and blobs of one work directory. Raises `InfraError` if the disk fails, `UserError` for a wrong file."""

    def __init__(self, work: Path, clock: Callable[[], float] = time.time) -> None:
        self.work, self.clock = work, clock
        self.blobs = Blobs(work / "blobs")
        path = work / "bot.db"
        self._engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        with self._write() as connection:
            version = connection.execute(text("PRAGMA user_version")).scalar_one()
            if version > schema.VERSION:
                raise UserError(
                    f"{path}: made by a newer bot (schema {version}, this one knows up to {schema.VERSION})"
                )
            for old in range(version or schema.VERSION, schema.VERSION):
                for statement in schema.STEPS[old]:
                    connection.execute(text(statement))
            schema.metadata.create_all(connection)
            for statement in schema.APPENDED:
                connection.execute(text(statement))
            connection.execute(text(f"PRAGMA user_version={schema.VERSION}"))
        self.outbox = Outbox(self._write, self.blobs, clock)
        self.replies = Replies(self._write, self.blobs, self.outbox, clock)
        self.nights = Nights(self._write, clock)
        self.histories = Histories(self._write)
        self.drifts = Drifts(self._write, clock)
        self.releases = Releases(self._write, clock)
        self.alarms = Alarms(self._write, self.blobs, self.outbox, clock)
        self.series = Series(self._write, self.blobs, clock)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise InfraError(f"{self._engine.url.database}: {error.orig}") from error

    def rows(self, statement: Any) -> Sequence[RowMapping]:
        """What a query gives. Raises `InfraError` if the database cannot be read."""
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
                "sha": fact.commit, "case": fact.case.id, "setup": fact.setup, "toolchain": fact.toolchain,
                "outcome": fact.outcome,
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
        for row in self.rows(query):
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
        for row in self.rows(query):
            build = _BUILD.validate_json(row["data"])
            found.append(replace(build, log=self._blob(row["log"])) if logs else build)
        return found

    def _blob(self, sha256: str) -> str:
        found = self.blobs.get(sha256)
        return f"(evicted: blob {sha256})" if found is None else found

    # -- history of a case ---------------------------------------------------------------------------------------

    def good_commits(self, case: Case, setup: str) -> list[Sha]:
        """Commits whose latest run of the case passed, newest run first; not those where it failed as well, for what is
        flaky there would be broken anew wherever it fails next."""
        table = schema.runs.c
        query = select(table.sha, table.outcome).where(table.case == case.id, table.setup == setup)
        latest: dict[Sha, str] = {}
        failed: set[Sha] = set()
        for row in self.rows(query.order_by(table.id)):
            if row["outcome"] != Outcome.INFRA:
                latest.pop(row["sha"], None)
                latest[row["sha"]] = row["outcome"]
            if row["outcome"] in FAILURES:
                failed.add(row["sha"])
        return [sha for sha, outcome in reversed(latest.items()) if outcome == Outcome.PASS and sha not in failed]

    def history(self, case: Case) -> list[Seen]:
        """All recorded runs of a case, oldest first."""
        table = schema.runs.c
        query = select(table.sha, table.setup, table.toolchain, table.outcome, table.at).where(table.case == case.id)
        return [
            Seen(row["sha"], row["setup"], row["toolchain"], Outcome(row["outcome"]), row["at"])
            for row in self.rows(query.order_by(table.id))
        ]

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
        for row in self.rows(select(schema.commits).order_by(schema.commits.c.seen)):
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
        return {row["target"]: _INVENTORY.validate_json(row["data"]) for row in self.rows(query)}

    # -- regressions ---------------------------------------------------------------------------------------------

    def open_regression(self, regression: Regression, narrowed: Regression | None = None) -> Regression:
        """Keep a new regression; the answer has its id (r0001, ...).

        `narrowed` is the one that it is split off from, as that is then: both or neither is kept.
        """
        with self._write() as connection:
            row = {
                "opened": self.clock(), "signature": regression.signature.key, "branch": regression.branch, "data": "",
            }  # fmt: skip
            key = connection.execute(insert(schema.regressions), row).inserted_primary_key
            numbered = replace(regression, id=f"r{_only(key):04d}")
            for kept in (numbered, narrowed):
                if kept is not None:
                    self._update(connection, kept.id, data=_REGRESSION.dump_json(kept).decode())
        return numbered

    def change_regression(self, regression: Regression) -> None:
        """Replace what is known of a regression (its cases, say)."""
        with self._write() as connection:
            self._update(connection, regression.id, data=_REGRESSION.dump_json(regression).decode())

    def conclude(
        self, regression_id: str, finding: str, report: str, log: str, *, mail: Mail | None = None,
        posts: Iterable[Post] = (),
    ) -> None:  # fmt: skip
        """Note how the search ended, with the report as JSON, the search's log, its mail, and what is to go out.

        All in one transaction: a regression that is concluded has its mail, and what is to go out cannot get lost.
        A mail with the same Message-ID is replaced: it was rendered again.
        """
        values = {"finding": finding, "report": self.blobs.put(report), "log": self.blobs.put(log)}
        kept = None if mail is None else self.blobs.put(mail.eml)
        written = [(post, self.blobs.put(post.text)) for post in posts]
        with self._write() as connection:
            self._update(connection, regression_id, **values)
            if mail is not None:
                self._keep(connection, mail, kept)
            self.outbox.put(connection, number(regression_id), written)

    def happened(
        self,
        regression_id: str,
        event: Event,
        known: Record,
        *,
        mail: Mail | None = None,
        posts: Iterable[Post] = (),
        again: Regression | None = None,
    ) -> Record | None:
        """Note what happened to a regression, with the mail about it; the record after, when it is on the disk.

        None, and nothing is noted, if something else was noted since `known`. All in one transaction: an event has its
        mail, and what waits to go out and is moot by it is held. `again` replaces what is searched for: its search is
        not done, and the report until then is kept with the event. Raises `NotNowError` if there is no such step.
        """
        key, now = number(regression_id), self.clock()
        kept = None if mail is None else self.blobs.put(mail.eml)
        written = [(post, self.blobs.put(post.text)) for post in posts]
        with self._write() as connection:
            history = happenings.of(connection, key)
            if history != known.history:
                return None
            before = replay(history)
            record = after(before, event, now)
            table, report = schema.regressions, None
            if again is not None:
                report = connection.execute(select(table.c.report).where(table.c.number == key)).scalar_one()
                self._update(connection, regression_id, data=_REGRESSION.dump_json(again).decode(), finding=None)
            happenings.put(connection, key, now, event, report)
            if hold := overtaken(before, event, record):
                self.outbox.hold(connection, key, Held(hold.why, hold.name))
            if mail is not None:
                self._keep(connection, mail, kept)
            self.outbox.put(connection, key, written)
        return record

    @staticmethod
    def _update(connection: Connection, regression_id: str, **values: Any) -> None:
        table = schema.regressions
        connection.execute(update(table).where(table.c.number == number(regression_id)).values(**values))

    def regressions(self, regression_id: str | None = None) -> list[Entry]:
        """Regressions, oldest first, or the one asked for. Raises `UserError` for an id that is none."""
        if regression_id is not None and is_series(regression_id):
            raise UserError(f"{regression_id}: a series that somebody posted, and no regression (r0001)")
        query = select(schema.regressions).order_by(schema.regressions.c.number)
        only = None if regression_id is None else number(regression_id)
        if only is not None:
            query = query.where(schema.regressions.c.number == only)
        with self._write() as connection:
            rows = connection.execute(query).mappings().all()
            histories = happenings.all_of(connection, only)
            earlier = happenings.set_aside(connection, only)
        found = [
            Entry(
                regression=_REGRESSION.validate_json(row["data"]),
                opened=row["opened"],
                record=replay(histories.get(row["number"], ())),
                finding=row["finding"],
                blobs=(row["report"] or None, row["log"] or None),
                earlier=earlier.get(row["number"], ()),
                read=self._blob,
            )
            for row in rows
        ]
        if regression_id is not None and not found:
            raise UserError(f"{regression_id}: no such regression; `bot list` shows those there are")
        return found

    # -- mails and cycles ----------------------------------------------------------------------------------------

    @staticmethod
    def _keep(connection: Connection, mail: Mail, eml: str | None) -> None:
        table = schema.reports
        row = {
            "regression": number(mail.regression), "kind": mail.kind, "message_id": mail.message_id,
            "created": mail.created, "held": json.dumps(mail.held), "eml": eml,
        }  # fmt: skip
        done = connection.execute(update(table).where(table.c.message_id == mail.message_id).values(**row))
        if done.rowcount == 0:
            connection.execute(insert(table), row)

    def post(self, regression_id: str, posts: Iterable[Post], mail: Mail | None = None) -> None:
        """Put something into the outbox of a regression that was concluded before, with a mail that was not kept."""
        written = [(post, self.blobs.put(post.text)) for post in posts]
        kept = None if mail is None else self.blobs.put(mail.eml)
        with self._write() as connection:
            if mail is not None:
                self._keep(connection, mail, kept)
            self.outbox.put(connection, number(regression_id), written)

    def answer(self, series_id: str, headline: str, report: str, mail: Mail, posts: Iterable[Post]) -> None:
        """Note what was found about a posted series, both as JSON, with the answer to it, and what is to go out.

        All in one transaction, as `conclude`.
        """
        kept = self.blobs.put(mail.eml)
        written = [(post, self.blobs.put(post.text)) for post in posts]
        data = self.blobs.put(report)
        with self._write() as connection:
            self.series.conclude(connection, series_id, headline, data)
            self._keep(connection, mail, kept)
            self.outbox.put(connection, number(series_id), written)

    def known(self, name: str) -> None:
        """Raises `UserError` if there is no such regression, or no such series."""
        if name == DIGEST:
            return
        if is_series(name):
            self.series.entry(name)
        else:
            self.regressions(name)

    def mails(self, regression_id: str) -> list[Mail]:
        """Mails of a regression, or of a series, oldest first."""
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
            for row in self.rows(query)
        ]

    def letters(self) -> dict[str, list[Letter]]:
        """The mails of all regressions and series without their texts, by its id, oldest first."""
        found: dict[str, list[Letter]] = {}
        for row in self.rows(select(schema.reports).order_by(schema.reports.c.id)):
            letter = Letter(row["kind"], row["message_id"], row["eml"], tuple(json.loads(row["held"])))
            found.setdefault(name(row["regression"]), []).append(letter)
        return found

    def letter(self, letter: Letter) -> str:
        """The text of one."""
        return self._blob(letter.eml)

    def begin_cycle(self) -> int:
        """Note that a cycle begins; returns its number for `end_cycle`."""
        with self._write() as connection:
            key = connection.execute(insert(schema.cycles), {"began": self.clock()}).inserted_primary_key
            return _only(key)

    def end_cycle(self, cycle: int, result: str) -> None:
        table = schema.cycles
        with self._write() as connection:
            connection.execute(update(table).where(table.c.id == cycle).values(ended=self.clock(), result=result))

    def stop_cycle(self) -> None:
        """Note of the cycle that goes on, if there is one, that somebody stopped it."""
        table = schema.cycles
        last = select(table.c.id).order_by(table.c.id.desc()).limit(1).scalar_subquery()
        here = (table.c.id == last) & table.c.ended.is_(None)
        with self._write() as connection:
            connection.execute(update(table).where(here).values(result=STOPPED))

    def cycles(self, last: int = 10) -> list[Cycle]:
        """The last cycles, newest first."""
        query = select(schema.cycles).order_by(schema.cycles.c.id.desc()).limit(last)
        return [Cycle(row["began"], row["ended"], row["result"]) for row in self.rows(query)]


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
