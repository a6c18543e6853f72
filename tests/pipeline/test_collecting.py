"""`bot gc`: only what is old and can be spared goes; what is told, and every verdict, stays."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.host.lock import coordinator
from bot.model import Outcome, Run
from bot.pipeline.collecting import collect
from bot.store.store import Store
from tests.pipeline.test_sending import Clock, Place
from tests.store.test_store import A, B, run

DAY = 86400.0


class Desk:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.place = Place(work, Clock(), [])
        self.place.clock.now = 1000 * DAY
        self.store: Store = self.place.store

    def run(self, sha: str, text: str, age: float) -> Run:
        """A run so many days old, with its log's file as old."""
        made = replace(run(sha, Outcome.FAIL_DST, text=text), at=self.place.clock.now - age * DAY)
        self.store.record(made)
        return made

    def age(self, days: float) -> None:
        """All blobs' files are so many days old."""
        for path in self.store.blobs.all():
            when = self.place.clock.now - days * DAY
            os.utime(path, (when, when))

    def logs(self) -> list[str]:
        return [log.text for run in self.store.runs() for log in run.observation.logs]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    found = Desk(tmp_path)
    monkeypatch.setattr("bot.pipeline.collecting.Store", lambda work: Store(work, found.place.clock))
    return found


def test_old_logs_go_and_outcomes_stay(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = desk.run(A, "old\n", 100), desk.run(B, "new\n", 10)
    both = [desk.run(A, "said twice\n", 100), desk.run(B, "said twice\n", 1)]
    desk.age(10)
    assert collect(desk.work, 90, dry=True) == 0
    assert "logs: 1 would go" in capsys.readouterr().out
    assert "old\n" in desk.logs()
    collect(desk.work, 90, dry=False)
    assert "logs: 1 removed" in capsys.readouterr().out
    evicted, *others = desk.logs()
    assert evicted != "old\n" and sorted(others) == ["new\n", "said twice\n", "said twice\n"]
    bare = [replace(r, observation=replace(r.observation, logs=())) for r in (old, new, *both)]
    assert desk.store.runs(logs=False) == bare
    collect(desk.work, 90, dry=False)
    assert "logs: nothing to remove" in capsys.readouterr().out


def test_reports_mails_and_searches_stay_for_ever(desk: Desk) -> None:
    """Each column that names a blob is asked for, also one that is added later."""
    desk.place.conclude("mail", "chat")
    with sqlite3.connect(desk.work / "bot.db") as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        held = {value for name in names for row in db.execute(f"SELECT * FROM {name}") for value in row}  # noqa: S608
    desk.age(999)
    before = {path.name.removesuffix(".zst") for path in desk.store.blobs.all()}
    assert before and before <= held
    collect(desk.work, 1, dry=False)
    assert {path.name.removesuffix(".zst") for path in desk.store.blobs.all()} == before
    assert desk.store.regressions("r0001")[0].report == "{}"


def test_what_nobody_names_yet_is_left_alone_for_a_day(desk: Desk) -> None:
    """Somebody may be about to: it is on the disk before the row that names it."""
    name = desk.store.blobs.put("about to be named\n")
    desk.age(0.5)
    collect(desk.work, 90, dry=False)
    assert desk.store.blobs.get(name) is not None
    desk.age(2)
    desk.store.blobs.put("about to be named\n")  # young again
    (path,) = desk.store.blobs.all()
    assert path.stat().st_mtime != desk.place.clock.now - 2 * DAY
    desk.age(2)
    collect(desk.work, 90, dry=False)
    assert desk.store.blobs.get(name) is None


def test_trees_that_were_not_used_go(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    def tree(name: str, used: float) -> Path:
        path = desk.work / "trees" / name
        (path / "build").mkdir(parents=True)
        (path / "build/object.o").write_bytes(b"x" * 100_000)
        (path / "state.json").write_text("{}")
        for part in (path / "state.json", path):
            os.utime(part, (used, used))
        return path

    now = desk.work.stat().st_mtime
    old, used = tree("make-all-x86_64-softmmu", now - 100 * DAY), tree("meson-x86_64-softmmu", now - 5 * DAY)
    os.utime(used, (now - 100 * DAY,) * 2)  # its state is newer
    desk.work.joinpath("scratch").mkdir()
    (desk.work / "scratch/left").symlink_to("/usr")
    collect(desk.work, 90, dry=False)
    said = capsys.readouterr().out
    assert "build trees: 1 removed, 0.1 MiB" in said and "temporary files: 1 removed" in said
    assert (
        not old.exists()
        and used.exists()
        and not (desk.work / "scratch/left").is_symlink()
        and Path("/usr/bin").exists()
    )


def test_not_while_another_works_here(desk: Desk) -> None:
    with coordinator(desk.work):
        check: Callable[[], int] = lambda: collect(desk.work, 90, dry=True)  # noqa: E731
        with pytest.raises(UserError):
            check()
