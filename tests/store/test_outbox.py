"""The outbox in the database: with the verdict or not at all, one item a destination, files of before go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bot.core.outbox import Accepted, Again, Approved, Began, Item, NotNowError, State
from bot.model import Case, Direction, Regression, Signature
from bot.store.outbox import Post
from bot.store.store import Mail, Store
from tests.testing.forked import KILLED, die, forked

CASE = Case("x86_64-softmmu", "pc-q35-3.1", "mem-path", Direction.FORWARD, "qemu-7.2")
REGRESSION = Regression("", Signature("ramblock", "ram", "pc.ram"), (CASE,), "a" * 40, "b" * 40, "master")
ID = "<r0001.1.report.5f0c1e9a@x>"


def post(text: str = "the text", held: tuple[str, ...] = (), destination: str = "mail", own: str = ID) -> Post:
    return Post("report", own, destination, held, text)


def store(work: Path, now: float = 100.0) -> Store:
    return Store(work, clock=lambda: now)


def conclude(kept: Store, *posts: Post) -> list[Item]:
    if not kept.regressions():
        kept.open_regression(REGRESSION)
    mail = Mail("r0001", "report", posts[0].message_id, 1.0, posts[0].held, posts[0].text)
    kept.conclude("r0001", "first-bad", "{}", "", mail=mail, posts=posts)
    return kept.outbox.items(1)


def test_an_item_comes_back_as_it_went_in(tmp_path: Path) -> None:
    kept = store(tmp_path)
    (item,) = conclude(kept, post(held=("approval: no",)))
    assert (item.regression, item.state, item.held) == ("r0001", State.HELD, ("approval: no",))
    assert kept.outbox.text(item) == "the text"
    for step in (Approved("ann"), Began(), Accepted("250 ok", ("a@x",), ("b@x",))):
        item = kept.outbox.change(item, step)
        assert store(tmp_path).outbox.items() == [item]
    assert (item.state, item.approved_by, item.approved_at) == (State.SENT, "ann", 100.0)
    assert (item.delivered, item.refused, item.tried) == (("a@x",), ("b@x",), 100.0)


def test_concluded_again_there_is_still_one_item(tmp_path: Path) -> None:
    kept = store(tmp_path)
    first = conclude(kept, post(), post(destination="hook"))
    again = conclude(kept, post("another text"), post("another text", destination="hook"))
    assert [item.id for item in first] == [item.id for item in again]
    assert {kept.outbox.text(item) for item in again} == {"another text"}


def test_what_went_out_keeps_its_text(tmp_path: Path) -> None:
    kept = store(tmp_path)
    (item,) = conclude(kept, post())
    kept.outbox.change(kept.outbox.change(item, Began()), Accepted())
    (item,) = conclude(kept, post("another text", held=("approval: no",)))
    assert item.state is State.SENT and kept.outbox.text(item) == "the text"
    assert [mail.eml for mail in kept.mails("r0001")] == ["another text"]


def test_a_new_text_has_to_be_approved_anew_and_the_same_has_not(tmp_path: Path) -> None:
    kept = store(tmp_path)
    held = ("approval: no",)
    (item,) = conclude(kept, post(held=held))
    kept.outbox.change(item, Approved("ann"))
    (item,) = conclude(kept, post(held=held))
    assert (item.state, item.approved_by) == (State.QUEUED, "ann")
    (item,) = conclude(kept, post("another text", held=held))
    assert (item.state, item.approved_by) == (State.HELD, None)


def test_another_finding_holds_the_mail_about_the_first(tmp_path: Path) -> None:
    kept = store(tmp_path)
    conclude(kept, post(own="<range@x>"), post(own="<range@x>", destination="hook"))
    items = conclude(kept, post())
    assert [(i.message_id, i.destination, i.state) for i in items] == [
        ("<range@x>", "mail", State.HELD), ("<range@x>", "hook", State.QUEUED), (ID, "mail", State.QUEUED),
    ]  # fmt: skip
    assert items[0].held == (f"superseded: by {ID}",)


def test_a_step_is_taken_from_what_the_database_has(tmp_path: Path) -> None:
    (item,) = conclude(store(tmp_path), post())
    store(tmp_path).outbox.change(item, Began())
    with pytest.raises(NotNowError, match="it is being sent"):
        store(tmp_path).outbox.change(item, Began())


def test_what_a_dead_process_was_sending_is_unknown(tmp_path: Path) -> None:
    kept = store(tmp_path)
    for item in conclude(kept, post(), post(destination="hook")):
        kept.outbox.change(item, Began())
    ended = store(tmp_path).outbox.end_orphans(lambda destination: destination == "hook")
    assert [item.state for item in ended] == [State.UNKNOWN, State.QUEUED]
    assert store(tmp_path).outbox.end_orphans(lambda _: False) == []
    assert store(tmp_path).outbox.change(ended[0], Again("ann")).state is State.QUEUED


def test_a_file_without_an_outbox_goes_on(tmp_path: Path) -> None:
    """What was made before there was one has the same version, and gets the table."""
    kept = store(tmp_path)
    kept.open_regression(REGRESSION)
    kept.conclude("r0001", "first-bad", "{}", "", mail=Mail("r0001", "report", ID, 1.0, ("approval: no",), "old"))
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        connection.execute("DROP TABLE outbox")
    again = store(tmp_path)
    assert [mail.eml for mail in again.mails("r0001")] == ["old"]
    again.post("r0001", [post(held=("approval: no",))])
    assert len(store(tmp_path).outbox.items()) == 1


def test_killed_at_each_statement_the_verdict_has_its_mail_or_neither_is_there(tmp_path: Path) -> None:
    """Each SQL statement and each commit of the conclusion is a place to die at."""
    seen, code, place = set(), KILLED, 0
    while code == KILLED:
        place += 1
        work = tmp_path / str(place)
        work.mkdir()
        kept = Store(work)
        kept.open_regression(REGRESSION)
        code = forked(lambda kept=kept, place=place: _concluded_until(kept, place))  # type: ignore[misc]  # bound now
        (entry,) = kept.regressions()
        whole = {entry.finding is not None, bool(kept.mails("r0001")), bool(kept.outbox.items())}
        assert len(whole) == 1, f"killed at {place}"
        seen |= {(code, *whole)}
    assert seen == {(KILLED, False), (0, True)}
    assert place >= 8


def _concluded_until(kept: Store, place: int) -> None:
    left = [place]

    def count(*_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            die()

    event.listen(kept._engine, "before_cursor_execute", count)
    event.listen(kept._engine, "commit", count)
    kept.conclude("r0001", "first-bad", "{}", "", mail=Mail("r0001", "report", ID, 1.0, (), "text"), posts=[post()])
