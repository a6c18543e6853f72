"""Posted series in the database: ids, the answer with its mail or not at all, and that all else leaves them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.outbox import Accepted, Again, Approved, Began, State
from bot.core.replies import Command, Reading, Verb
from bot.errors import UserError
from bot.store import ids
from bot.store.outbox import Post
from bot.store.replies import Fate
from bot.store.retention import needed
from bot.store.store import Mail, Store
from tests.store.test_outbox import REGRESSION

ONE, OTHER = "a" * 40, "b" * 40
OWN = "<s0001.1.series.5f0c1e9a@x>"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, clock=lambda: 100.0)


def answer(store: Store, name: str, text: str = "the text", own: str = OWN) -> None:
    mail = Mail(name, "series", own, 1.0, ("approval: no",), text)
    store.answer(name, '{"subject": "a"}', "{}", mail, [Post("series", own, "mail", mail.held, text)])


@pytest.mark.parametrize(("name", "number"), [("r0001", 1), ("r12345", 12345), ("s0001", -1), ("s0017", -17), ("7", 7)])
def test_names_and_numbers(name: str, number: int) -> None:
    assert ids.number(name) == number
    assert ids.number(ids.name(number)) == number
    assert ids.is_series(name) is (number < 0)


@pytest.mark.parametrize("name", ["", "x1", "s", "sr1", "rs1", "s-1", "s²", "r"])
def test_what_is_no_id(name: str) -> None:
    assert not ids.is_series(name)
    with pytest.raises(UserError, match=r"r0001.*s0001"):
        ids.number(name)


def test_a_series_that_fails_in_the_same_way_keeps_its_id(store: Store) -> None:
    assert store.series.open(ONE, "5f0c1e9a") == store.series.open(ONE, "5f0c1e9a") == "s0001"
    assert store.series.open(ONE, "00000000") == "s0002"
    assert store.series.open(OTHER, "5f0c1e9a") == "s0003"
    assert store.series.entries() == []  # nothing was found out yet
    with pytest.raises(UserError, match="s0001: no such series"):
        store.known("s0001")


def test_the_answer_is_kept_with_its_mail_and_its_item(store: Store, tmp_path: Path) -> None:
    answer(store, store.series.open(ONE, "5f0c1e9a"))
    (entry,) = Store(tmp_path).series.entries()
    assert (entry.id, entry.at, entry.headline, entry.report) == ("s0001", 100.0, '{"subject": "a"}', "{}")
    assert [mail.eml for mail in store.mails("s0001")] == ["the text"]
    (item,) = store.outbox.items(ids.number("s0001"))
    assert (item.regression, item.kind, item.state) == ("s0001", "series", State.HELD)
    assert set(needed(store, 0.0)) == {path.name.removesuffix(".zst") for path in store.blobs.all()}


def test_one_that_was_sent_is_not_written_anew(store: Store) -> None:
    name = store.series.open(ONE, "5f0c1e9a")
    answer(store, name)
    (item,) = store.outbox.items(-1)
    for step in (Approved("ann"), Began(), Accepted("250 ok", ("a@x",))):
        item = store.outbox.change(item, step)
    answer(store, name, "another text")
    assert store.outbox.items(-1) == [item] and store.outbox.text(item) == "the text"
    with pytest.raises(ValueError, match="it was sent"):
        store.outbox.change(item, Again("ann"))


def test_a_regression_of_the_same_number_is_another(store: Store) -> None:
    store.open_regression(REGRESSION)
    answer(store, store.series.open(ONE, "5f0c1e9a"))
    post = Post("report", "<r0001.1.report.x@x>", "mail", (), "a report")
    store.post("r0001", [post])
    assert [item.kind for item in store.outbox.items(1)] == ["report"]
    assert [item.kind for item in store.outbox.items(-1)] == ["series"]
    assert [item.state for item in store.outbox.items()] == [State.HELD, State.QUEUED]
    assert [entry.regression.id for entry in store.regressions()] == ["r0001"]
    with pytest.raises(UserError, match="s0001: a series that somebody posted, and no regression"):
        store.regressions("s0001")


def test_who_answers_the_answer_is_heard(store: Store) -> None:
    command = Command(Verb.NO_CC)
    reading = Reading("m@x", "s0001", "author@example.org", known=True, commands=(command,))
    store.replies.keep("d" * 64, reading, [(command, Fate.DONE, "gets no more mails")])
    assert [asked.regression for asked in store.replies.commands()] == ["s0001"]
    assert store.replies.no_cc() == ("author@example.org",)
