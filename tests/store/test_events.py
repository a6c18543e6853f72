"""What happened to regressions: kept with the mail about it, never changed; and files of older versions."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.core.drift import Seen
from bot.core.lifecycle import Claimed, Event, NotNowError, Refuted, Reopened, Retracted, State
from bot.core.outbox import State as Sent
from bot.model import Outcome, Regression
from bot.store.outbox import Post
from bot.store.store import Mail, Store
from tests.core.test_lifecycle import (
    ACCEPT,
    AGAIN,
    CLAIM,
    CORRECT,
    CURE,
    DISPUTE,
    DONE,
    EVENT,
    EXPIRE,
    GONE,
    MISSING,
    OFFER,
    PARTLY,
    RETRACT,
    STUCK,
    TRIED,
    WRONG,
)
from tests.store.test_store import CASE, SIGNATURE, A, B

REPORT = Post("report", "<r0001.1.report@x>", "mail", ("approval: not approved by a person",), "body")
FIXED = Post("fixed", "<r0001.2.fixed@x>", "mail", (), "it is fixed")
MAIL = Mail("r0001", "fixed", "<r0001.2.fixed@x>", 1.0, (), "it is fixed")


def opened(path: Path, *, reported: bool = True) -> Store:
    store = Store(path)
    store.open_regression(Regression("", SIGNATURE, (CASE,), A, B, "master"))
    store.conclude("r0001", "first-bad", '{"first": 1}', "log", posts=(REPORT,) if reported else ())
    return store


def test_every_kind_of_event_is_read_as_it_was_written(tmp_path: Path) -> None:
    now = iter(range(1000, 2000))
    store = Store(tmp_path, clock=lambda: float(next(now)))
    store.open_regression(Regression("", SIGNATURE, (CASE,), A, B))
    record = store.regressions()[0].record
    events: list[Event] = [
        ACCEPT, EXPIRE, CLAIM, WRONG, OFFER, TRIED, DISPUTE, CORRECT, GONE, PARTLY, STUCK, CURE, MISSING, DONE, AGAIN,
        RETRACT,
    ]  # fmt: skip
    assert {type(event) for event in events} == {type(event) for event in EVENT.elements}  # type: ignore[attr-defined]
    for event in events:
        after = store.happened("r0001", event, record)
        assert after is not None
        record = after
    kept = Store(tmp_path).regressions("r0001")[0]
    assert kept.record == record
    assert [happened.event for happened in kept.record.history] == events
    assert kept.state is State.RETRACTED
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        rows = connection.execute("SELECT kind, [commit], person FROM events").fetchall()
    assert ("cured", CURE.commit, None) in rows and ("accepted", None, "bob") in rows


def test_an_event_has_its_mail_and_what_waits_is_held_if_it_is_moot(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.happened("r0001", CURE, store.regressions()[0].record, mail=MAIL, posts=(FIXED,))
    report, fixed = store.outbox.items(1)
    assert (report.state, report.held[-1]) == (Sent.HELD, f"superseded: by {FIXED.message_id}")
    assert fixed.state is Sent.QUEUED
    assert [mail.kind for mail in store.mails("r0001")] == ["fixed"]


def test_without_a_mail_the_report_is_held_all_the_same(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.happened("r0001", Retracted("random", "bob"), store.regressions()[0].record)
    (report,) = store.outbox.items(1)
    assert report.held[-1] == "superseded: it is retracted"


def test_who_did_not_see_the_last_event_notes_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    before = store.regressions()[0].record
    assert store.happened("r0001", CLAIM, before) is not None
    assert store.happened("r0001", CURE, before, mail=MAIL, posts=(FIXED,)) is None
    assert len(store.regressions()[0].record.history) == 1
    assert [item.kind for item in store.outbox.items(1)] == ["report"] and store.mails("r0001") == []


def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(NotNowError):
        store.happened("r0001", Refuted(A, "no"), store.regressions()[0].record, mail=MAIL, posts=(FIXED,))
    assert len(store.outbox.items(1)) == 1 and store.mails("r0001") == []


def test_what_is_searched_anew_keeps_the_report_until_then(tmp_path: Path) -> None:
    store = opened(tmp_path)
    record = store.happened("r0001", CURE, store.regressions()[0].record)
    assert record is not None
    again = Regression("r0001", SIGNATURE, (CASE,), B, A, "master")
    store.happened("r0001", Reopened(B, A), record, again=again)
    entry = store.regressions()[0]
    assert (entry.finding, entry.regression, entry.state) == (None, again, State.REOPENED)
    store.conclude("r0001", "first-bad", '{"second": 1}', "log")
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        (blob,) = connection.execute("SELECT report FROM events WHERE kind = 'reopened'").fetchone()
    assert store.blobs.get(blob) == '{"first": 1}'
    assert store.regressions()[0].earlier == ((1, blob),), "the event after CURE"


@pytest.mark.parametrize("statement", ["UPDATE events SET at = 0", "DELETE FROM events"])
def test_an_event_cannot_be_changed(tmp_path: Path, statement: str) -> None:
    store = opened(tmp_path)
    store.happened("r0001", CLAIM, store.regressions()[0].record)
    with sqlite3.connect(tmp_path / "bot.db") as connection, pytest.raises(sqlite3.IntegrityError, match="appended"):
        connection.execute(statement)


VERSION_1 = """
CREATE TABLE regressions (
    number INTEGER NOT NULL, opened FLOAT NOT NULL, state VARCHAR NOT NULL, signature VARCHAR(8) NOT NULL,
    branch VARCHAR NOT NULL, data TEXT NOT NULL, finding VARCHAR, report VARCHAR(64), log VARCHAR(64),
    PRIMARY KEY (number)
);
CREATE TABLE runs (
    id INTEGER NOT NULL, sha VARCHAR(40) NOT NULL, "case" VARCHAR NOT NULL, setup VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL, signature VARCHAR(8), at FLOAT NOT NULL, logs TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (id)
);
INSERT INTO runs VALUES (1, '{sha}', '{case}', 's', 'PASS', NULL, 7.0, '[]', '{run}');
INSERT INTO regressions VALUES (1, 1000.0, 'open', '5950f51e', 'master', ?, NULL, NULL, NULL);
PRAGMA user_version=1;
"""


def test_a_file_of_the_first_version_is_brought_on(tmp_path: Path) -> None:
    """Its regressions are all open, the toolchain of its runs is not known; nothing else of it changes. It is done
    once, and whole."""
    (tmp_path / "other").mkdir()
    data = opened(tmp_path / "other").regressions()[0]
    with sqlite3.connect(tmp_path / "other" / "bot.db") as connection:
        (row,) = connection.execute("SELECT data FROM regressions").fetchone()
    run = (
        '{"commit": "%s", "case": {"target": "t", "machine": "m", "profile": "p"}, "observation": {"outcome": "PASS"}}'
    )
    version_1 = VERSION_1.format(sha=A, case=CASE.id, run=run % A)
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        for statement in version_1.strip().split(";\n"):
            connection.execute(statement, (row,) if "?" in statement else ())
    for _ in range(2):
        (entry,) = Store(tmp_path).regressions()
        assert (entry.regression, entry.state, entry.opened) == (data.regression, State.OPEN, 1000.0)
    layouts = []
    for place in (tmp_path, tmp_path / "other"):
        with sqlite3.connect(place / "bot.db") as connection:
            tables = sorted(row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
            layouts.append({table: connection.execute(f"PRAGMA table_info({table})").fetchall() for table in tables})
    assert layouts[0] == layouts[1]
    store = Store(tmp_path)
    assert store.history(CASE) == [Seen(A, "s", "", Outcome.PASS, 7.0)] and store.runs()[0].toolchain == ""
    store.happened("r0001", CLAIM, entry.record)
    assert store.open_regression(data.regression).id == "r0002"
    assert [e.state for e in Store(tmp_path).regressions()] == [State.POSTED, State.OPEN]


WRITER = """
import sys
from pathlib import Path
from bot.core.lifecycle import Claimed
from bot.store.outbox import Post
from bot.store.store import Mail, Store
store = Store(Path(sys.argv[1]))
n = 0
while True:
    record = store.regressions()[0].record
    post = Post("fixed", f"<{n}@x>", "mail", (), "it is fixed")
    mail = Mail("r0001", "fixed", f"<{n}@x>", 1.0, (), "it is fixed")
    store.happened("r0001", Claimed(f"{n:040x}", "Fixes: it"), record, mail=mail, posts=(post,))
    n += 1
    print(n, flush=True)
"""


@pytest.mark.parametrize("delay", [0.04, 0.09, 0.21])
def test_killed_between_event_and_mail_both_are_there_or_neither(tmp_path: Path, delay: float) -> None:
    opened(tmp_path, reported=False)
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", WRITER, str(tmp_path)]
    writer = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "1\n"
    time.sleep(delay)
    os.kill(writer.pid, signal.SIGKILL)
    said = [1, *map(int, writer.stdout.read().split())][-1]
    writer.wait()
    writer.stdout.close()
    store = Store(tmp_path)
    events = [happened.event for happened in store.regressions()[0].record.history]
    assert len(events) in (said, said + 1)
    assert events == [Claimed(f"{n:040x}", "Fixes: it") for n in range(len(events))]
    ids = [f"<{n}@x>" for n in range(len(events))]
    assert [mail.message_id for mail in store.mails("r0001")] == ids
    assert [item.message_id for item in store.outbox.items(1)] == ids
