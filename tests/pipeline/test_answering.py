"""Mails with commands to their answers, on a real Maildir and a real mail server: one for each, killed anywhere."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bot.config import Config, load
from bot.core.outbox import ANSWER, DAY, Approved, Item, State
from bot.host.git import Repository
from bot.pipeline import answering, look, sending
from bot.pipeline.obeying import obey
from bot.report import data
from bot.store.replies import Fate
from bot.store.store import Store
from tests.pipeline import test_replying
from tests.pipeline.test_sending import APPROVAL, Clock, Place
from tests.testing import reports
from tests.testing.forked import KILLED, die, forked
from tests.testing.history import History, draw
from tests.testing.sink import Sink, sink

ANN = "ann@example.org"


class Desk(test_replying.Desk):
    """A work directory whose one mail was sent; the answers to mails that come go out to a server."""

    def __init__(self, place: Place, box: Path, server: Sink, history: History) -> None:
        super().__init__(place, box)
        self.server, self.history, self.given = server, history, ["report.send=smtp", "report.domains=[example.org]"]

    @property
    def config(self) -> Config:
        mine = [f"replies.mailbox.path={self.box}", "replies.trusted=mx.example.org", "replies.day=4",
                "replies.allowed=[ann@example.org]", "report.sender=Bot <migbot@example.com>"]  # fmt: skip
        return load(overrides=[*mine, *self.given], environ={})

    def cycle(self) -> list[EmailMessage]:
        """What a cycle does with answers; the mails that go out."""
        self.hear()
        obey(self.store, self.config, Repository(self.history.repository.path), self.place.said.append)
        return self.write()

    def write(self) -> list[EmailMessage]:
        before = len(self.server.mails)
        answering.answer(self.store, self.config, self.place.said.append)
        self.place.office(self.server.port).flush()
        found = []
        for taken in self.server.mails[before:]:
            message = email.message_from_bytes(taken.data, policy=email.policy.default)
            assert isinstance(message, EmailMessage) and taken.recipients == (str(message["To"]),)
            found.append(message)
        return found

    def answers(self) -> list[Item]:
        return [item for item in self.place.items() if item.kind == ANSWER]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    place = Place(tmp_path, Clock(), [])
    place.conclude()
    report = replace(reports.first_bad(), regression=replace(reports.first_bad().regression, id="r0001"))
    place.store.conclude("r0001", "first-bad", data.dump(report), "")
    with sink() as server:
        place.office(server.port).flush()
        yield Desk(place, tmp_path / "box", server, draw(tmp_path / "clone", "1 2"))


def text(message: EmailMessage) -> str:
    return " ".join(message.get_content().split())


def test_who_told_something_has_one_answer(desk: Desk) -> None:
    desk.answer(f"migbot: fixed-by {desk.history['2'][:12]}\nmigbot: invalid secret words\nmigbot: thanks")
    (mail,) = desk.cycle()
    assert str(mail["To"]) == ANN and mail["In-Reply-To"] == mail["References"] == "<1@example.org>"
    assert mail["Auto-Submitted"] == "auto-replied" and mail["Cc"] is None
    assert str(mail["Subject"]).startswith("Re: [regression] ")
    said = text(mail)
    assert f"migbot: fixed-by {desk.history['2'][:12]} noted; {desk.history['2'][:12]} is run once" in said
    assert "migbot: invalid retracted; those who had the report are told" in said and "secret" not in said
    assert "Not taken: no such command; there are test <message-id>" in said
    desk.answer(f"migbot: fixed-by {desk.history['2'][:12]}", X_Copy="through the list")
    assert desk.cycle() == [] and len(desk.answers()) == 1


def test_what_is_only_wrong_is_answered_too(desk: Desk) -> None:
    desk.answer("migbot: retest")
    (mail,) = desk.cycle()
    assert "Not taken: no such command" in text(mail)


def test_it_waits_for_what_has_to_be_run(desk: Desk) -> None:
    desk.answer(f"migbot: fixed-by 123456789abc\nmigbot: culprit is {desk.history['1'][:12]}")
    assert desk.cycle() == []
    (_, culprit) = desk.store.replies.commands()
    desk.store.replies.settle(culprit.id, "it does not: it fails 0 of 10")
    (mail,) = desk.write()
    assert "it does not: it fails 0 of 10." in text(mail)
    assert "the clone does not have that commit yet" in text(mail), "which may be so for weeks"
    desk.store.replies.settle(1, "noted")
    assert desk.write() == []


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("migbot: invalid x", {"sender": "eve@example.net"}),
        ("migbot: no-cc", {"sender": "rev2@example.org"}),
        ("migbot: invalid x\nmigbot: no-cc", {}),
        ("migbot: invalid x", {"Authentication_Results": "mx.example.org; dkim=none"}),
        ("migbot: invalid x", {"Auto_Submitted": "auto-replied"}),
        ("migbot: invalid x", {"X_Migbot": "id=r0001"}),
        ("migbot: invalid x", {"In_Reply_To": "<another@example.org>"}),
        ("Thanks!", {}),
    ],
    ids=["not-allowed", "no-cc", "no-cc-besides", "not-vouched", "automatic", "ours", "another-thread", "no-command"],
)
def test_who_gets_none(desk: Desk, text: str, more: dict[str, Any]) -> None:
    desk.answer(text, **more)
    assert desk.cycle() == [] and desk.answers() == []


def test_who_may_get_no_mail_gets_no_answer(desk: Desk) -> None:
    desk.given += ["report.domains=[example.com]"]
    desk.answer("migbot: invalid x")
    assert desk.cycle() == [] and desk.answers() == []
    assert f"r0001: {ANN} gets no answer: report.domains and report.no_cc say who may get mail" in desk.place.said
    desk.given.clear()
    assert desk.cycle() == [], "old answers do not go out by themselves"


def test_what_is_written_while_nothing_is_sent_waits_for_a_person(desk: Desk) -> None:
    desk.given[0] = "report.send=never"
    desk.answer("migbot: invalid x")
    assert desk.cycle() == []
    (item,) = desk.answers()
    assert item.state is State.HELD and item.held[0].startswith("sending: ")
    assert sending.chosen(desk.store, "r0001", ANSWER) == [item]
    desk.store.outbox.change(item, Approved("ann"))
    assert len(desk.write()) == 1


def test_answers_and_news_do_not_take_each_others_place(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.server.data = "451 not now"
    desk.answer("migbot: expected x")
    desk.cycle()
    desk.answer("migbot: invalid x", number=2)
    desk.cycle()
    found = [(item.kind, item.state, item.held) for item in desk.place.items()[1:]]
    assert found == [
        (ANSWER, State.QUEUED, ()), ("retract", State.HELD, (APPROVAL,)), (ANSWER, State.QUEUED, ())
    ]  # fmt: skip
    assert [item.kind for item in sending.chosen(desk.store, "r0001", None)] == ["retract"]
    assert look.report(desk.place.work, "r0001", ANSWER, None) == 0
    assert "In-Reply-To: <2@example.org>" in capsys.readouterr().out


def test_no_more_answers_than_commands_in_a_day(desk: Desk) -> None:
    for number in range(6):
        desk.answer("migbot: hello", number=number)
    assert len(desk.cycle()) == 4
    assert f"r0001: {ANN} gets no answer: they had 4 in a day (replies.day)" in desk.place.said
    desk.place.clock.now += DAY + 1
    assert desk.cycle() == []


def test_an_answer_can_be_answered_and_a_machine_that_does_is_not_heard(desk: Desk) -> None:
    desk.answer("migbot: expected x")
    (mail,) = desk.cycle()
    desk.answer("migbot: invalid x", number=2, In_Reply_To=str(mail["Message-ID"]))
    assert len(desk.cycle()) == 1
    back = str(mail.get_content())
    desk.answer(back, number=3, In_Reply_To=str(mail["Message-ID"]))
    desk.answer("migbot: expected x", number=4, In_Reply_To=str(mail["Message-ID"]), Precedence="auto_reply")
    assert desk.cycle() == []


def test_killed_at_each_statement_there_is_one_answer(desk: Desk) -> None:
    desk.answer("migbot: expected x")
    desk.hear()
    obey(desk.store, desk.config, Repository(desk.history.repository.path), desk.place.said.append)
    code, place = KILLED, 0
    while code == KILLED:
        place += 1
        code = forked(lambda place=place: _written_until(desk, place))  # type: ignore[misc]  # bound now
        assert len(desk.answers()) + len(desk.store.replies.owed()) == 1
    assert code == 0 and place > 5
    assert len(desk.write()) == 1 and desk.write() == []


def _written_until(desk: Desk, place: int) -> None:
    left, store = [place], Store(desk.place.work, desk.place.clock)

    def count(*_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            die()

    event.listen(store._engine, "before_cursor_execute", count)
    event.listen(store._engine, "commit", count)
    answering.answer(store, desk.config, print)


def test_mails_of_before_get_none(desk: Desk) -> None:
    """A work directory of a bot that did not answer."""
    desk.answer("migbot: expected x")
    desk.hear()
    with desk.store._write() as connection:
        connection.exec_driver_sql("DROP TABLE answers")
    obey(desk.store, desk.config, Repository(desk.history.repository.path), desk.place.said.append)
    assert desk.write() == [] and [asked.fate for asked in desk.store.replies.commands()] == [Fate.DONE]
