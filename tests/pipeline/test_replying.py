"""Answers from a mailbox to what comes of them: once, killed anywhere; and who said no-cc is left alone."""

from __future__ import annotations

import mailbox
import threading
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bot.config import Config, load
from bot.core.lifecycle import State
from bot.core.outbox import DAY
from bot.core.replies import Command, Reading, Verb
from bot.errors import UserError
from bot.pipeline import replying, sending
from bot.report import data
from bot.report.post.addressing import letter
from bot.store.replies import Asked, Fate
from bot.store.store import Store
from tests.pipeline.test_sending import APPROVAL, Place, settings
from tests.pipeline.test_sending import Clock as Clock
from tests.report.test_post import MAIL, NOW
from tests.testing import reports
from tests.testing.forked import KILLED, die, forked
from tests.testing.sink import sink

OURS = "<r0001.1.report.5f0c1e9a@x>"


@dataclass
class Desk:
    """A work directory whose one mail was sent, and a Maildir that answers come to."""

    place: Place
    box: Path

    @property
    def config(self) -> Config:
        given = [f"replies.mailbox.path={self.box}", "replies.trusted=mx.example.org", "replies.day=4",
                 "replies.allowed=[ann@example.org]", "report.sender=Bot <migbot@example.com>"]  # fmt: skip
        return load(overrides=given, environ={})

    @property
    def store(self) -> Store:
        return self.place.store

    def answer(self, text: str, sender: str = "ann@example.org", number: int = 1, **more: str) -> None:
        message = EmailMessage()
        domain = sender.rpartition("@")[2]
        message["Authentication-Results"] = f"mx.example.org; dkim=pass header.d={domain}"
        message["From"], message["Message-ID"], message["In-Reply-To"] = sender, f"<{number}@{domain}>", OURS
        for name, value in more.items():
            del message[name.replace("_", "-")]
            message[name.replace("_", "-")] = value
        message.set_content(text)
        mailbox.Maildir(self.box, create=True).add(message.as_bytes())

    def hear(self) -> list[str]:
        """What is said of it."""
        said: list[str] = []
        replying._hear(self.config, found(self.config), self.store, said.append, threading.Event())
        return said

    def told(self) -> list[tuple[str, Fate]]:
        return [(str(asked.command), asked.fate) for asked in self.store.replies.commands()]


def found(config: Config) -> Any:
    assert config.reply_settings is not None
    return config.reply_settings


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    place = Place(tmp_path, Clock(), [])
    place.conclude()
    with sink() as there:
        place.office(there.port).flush()
    mailbox.Maildir(tmp_path / "box", create=True)
    return Desk(place, tmp_path / "box")


def test_what_is_told_is_kept_once(desk: Desk) -> None:
    desk.answer("Thanks!\nmigbot: invalid the guest was wrong\nmigbot: fixed-by d96c4d5f193e\n")
    assert desk.hear() == [
        "r0001: ann@example.org says: invalid the guest was wrong: waiting: for its turn",
        "r0001: ann@example.org says: fixed-by d96c4d5f193e: waiting: for its turn",
    ]
    assert desk.hear() == []
    desk.answer("migbot: invalid the guest was wrong", number=1, X_Copy="through the list")
    assert desk.hear() == []
    assert desk.told() == [("invalid the guest was wrong", Fate.WAITING), ("fixed-by d96c4d5f193e", Fate.WAITING)]
    (first, _) = desk.store.replies.commands()
    assert first == Asked(1, desk.place.clock.now, "r0001", "ann@example.org", "1@example.org",
                          Command(Verb.INVALID, "the guest was wrong"), Fate.WAITING,
                          "for its turn")  # fmt: skip


def test_the_log_of_a_mailbox_that_begins_anew_is_not_heard_twice(desk: Desk) -> None:
    desk.answer("migbot: invalid x")
    desk.hear()
    desk.store.replies.move(f"maildir:{desk.box}", "{}")
    assert desk.hear() == [] and len(desk.told()) == 1


def test_who_said_no_cc_gets_no_mail(desk: Desk) -> None:
    """Rev got the mail, and is not among those who may say more."""
    desk.answer("migbot: no-cc", sender="rev2@example.org")
    assert desk.hear() == ["r0001: rev2@example.org says: no-cc: done: gets no more mails"]
    assert desk.store.replies.no_cc() == ("rev2@example.org",)
    desk.place.conclude()
    with sink() as there:
        config: Any = type("Configured", (), {"post_settings": settings(there.port)})
        sending.flush(config, desk.place.work, desk.place.said.append, threading.Event())
        (mail,) = there.mails
    assert "rev2@example.org" not in mail.recipients and b"rev2@" not in mail.data.partition(b"\r\n\r\n")[0]
    changed = desk.config.without(desk.store.replies.no_cc())
    assert changed.report_settings.no_cc == changed.post_settings.no_cc == ("rev2@example.org",)


def test_an_address_is_no_pattern(desk: Desk) -> None:
    chosen = desk.config.without(["*@example.org"]).post_settings
    everybody = replace(chosen, domains=("*",))
    assert "author@example.org" in letter(MAIL, everybody, NOW).recipients


def test_who_may_not_is_told_in_the_log_alone(desk: Desk) -> None:
    desk.answer("migbot: invalid x", sender="eve@example.net")
    desk.answer("migbot: no-cc", sender="eve@example.net", number=2)
    desk.answer("migbot: no-cc", number=3, Authentication_Results="mx.example.org; dkim=none")
    desk.answer("migbot: no-cc", number=4, Auto_Submitted="auto-replied")
    desk.answer("I agree.", number=5)
    desk.answer("migbot: no-cc", number=6, In_Reply_To="<another@example.org>")
    said = sorted(desk.hear())
    assert [text.partition(": ")[2] for text in said[:2]] == [
        f"not taken of eve@example.net: {verb}: eve@example.net is not among those who may say that (replies.allowed)"
        for verb in ("invalid", "no-cc")
    ]
    assert len(said) == 3 and "mx.example.org does not say that example.org vouches for it" in said[2]
    assert desk.told() == [] and desk.store.replies.no_cc() == ()


def test_enough_for_a_day(desk: Desk) -> None:
    for number in range(3):
        desk.answer(f"migbot: invalid {number}\nmigbot: expected {number}", number=number)
    desk.hear()
    assert [fate for _, fate in desk.told()] == [Fate.WAITING] * 4 + [Fate.REFUSED] * 2
    desk.place.clock.now += DAY + 1
    desk.answer("migbot: no-cc", number=9)
    assert desk.hear() == ["r0001: ann@example.org says: no-cc: done: gets no more mails"]


def test_what_is_wrong_is_told_and_a_cycle_goes_on(desk: Desk) -> None:
    said: list[str] = []
    missing = load(overrides=["replies.mailbox.path=/not/there", "replies.trusted=mx"], environ={})
    replying.hear(missing, desk.place.work, said.append, threading.Event())
    assert said == ["replies: /not/there/cur: no Maildir that can be read: No such file or directory"]
    stopped = threading.Event()
    stopped.set()
    for config, stop in ((load(environ={}), threading.Event()), (missing, stopped)):
        replying.hear(config, desk.place.work, said.append, stop)
    assert len(said) == 1


def test_mails_that_are_held_or_wait_cannot_be_answered(tmp_path: Path) -> None:
    place = Place(tmp_path, Clock(), [])
    place.conclude(held=(APPROVAL,))
    desk = Desk(place, tmp_path / "box")
    desk.answer("migbot: invalid x")
    assert desk.hear() == []


def test_a_mail_of_a_trial_can_be_answered(tmp_path: Path) -> None:
    place = Place(tmp_path, Clock(), [])
    place.conclude()
    with sink() as there:
        place.office(there.port, test_to="ann@example.org").flush()
    desk = Desk(place, tmp_path / "box")
    desk.answer("migbot: invalid x", In_Reply_To=OURS.replace("<", "<test."))
    assert len(desk.hear()) == 1 and desk.told() == [("invalid x", Fate.WAITING)]


def test_a_loop_of_answers_ends_at_once(desk: Desk) -> None:
    """Our own mail comes back, and so does the answer of a machine."""
    own = EmailMessage()
    own["From"], own["X-Migbot"], own["Auto-Submitted"] = "migbot@example.com", "id=r0001", "auto-generated"
    own["In-Reply-To"], own["Message-ID"] = OURS, OURS
    own.set_content("migbot: no-cc")
    for _ in range(50):
        mailbox.Maildir(desk.box).add(own.as_bytes())
    assert desk.hear() == [] and desk.told() == []


def test_killed_at_each_statement_nothing_is_lost_or_heard_twice(desk: Desk) -> None:
    desk.answer("migbot: no-cc\nmigbot: invalid x")
    code, place = KILLED, 0
    while code == KILLED:
        place += 1
        code = forked(lambda place=place: _heard_until(desk, place))  # type: ignore[misc]  # bound now
        assert len(desk.told()) in (0, 2) and bool(desk.told()) == bool(desk.store.replies.no_cc())
    assert code == 0 and place > 8
    assert desk.told() == [("no-cc", Fate.DONE), ("invalid x", Fate.WAITING)]


def _heard_until(desk: Desk, place: int) -> None:
    left, store = [place], desk.store

    def count(*_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            die()

    event.listen(store._engine, "before_cursor_execute", count)
    event.listen(store._engine, "commit", count)
    replying._hear(desk.config, found(desk.config), store, print, threading.Event())


# -- at a person's word --------------------------------------------------------------------------------------------


def test_what_waits_is_listed_and_settled(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    work = desk.place.work
    desk.answer("migbot: test <20200219160953.1-1-a@example.org>\nmigbot: no-cc")
    desk.hear()
    assert replying.listing(work, everything=False) == 0
    listed = capsys.readouterr().out
    assert "   1  r0001  1970-01-12 13:46 UTC  ann@example.org: test <20200219160953.1-1-a@example.org>\n" in listed
    assert "<1@example.org>, waiting: for its turn" in listed and "no-cc" not in listed
    assert replying.settle(work, 1, "good on\nmaster") == 0
    assert "done: good on master" in capsys.readouterr().out
    with pytest.raises(UserError, match="1: no command that waits"):
        replying.settle(work, 1, "again")
    replying.listing(work, everything=False)
    replying.listing(work, everything=True)
    listed = capsys.readouterr().out
    assert listed.startswith("nothing waits") and listed.endswith("get no mails: ann@example.org\n")


def test_a_patch_that_says_so_makes_it_posted_once(desk: Desk) -> None:
    """Not an answer, not vouched for, and from anybody: it is a hint, and nobody is told."""
    culprit = reports.CULPRIT
    text = f"mend it\n\nFixes: {culprit.short}\n---\n\ndiff --git a/a.c b/a.c\n+x\n"
    desk.place.store.conclude("r0001", "first-bad", data.dump(reports.first_bad()), "")
    away = {"In_Reply_To": "<other@example.org>", "Authentication_Results": "none"}
    desk.answer(text, "somebody@example.org", 1, **away)
    desk.answer(text, "somebody@example.org", 1, X_Copy="through the list", **away)
    desk.answer(text.replace("diff", "> diff"), "reviewer@example.org", 2, **away)
    mails = len(desk.store.outbox.items())
    assert desk.hear() == [f"r0001: <1@example.org> says that it cures it (Fixes: {culprit.short})"]
    assert desk.hear() == []
    (entry,) = desk.store.regressions()
    assert entry.state is State.POSTED and entry.record.note == "1@example.org, not in a branch yet"
    assert len(desk.store.outbox.items()) == mails


def test_a_report_that_cannot_be_read_keeps_no_mail_from_being_heard(desk: Desk) -> None:
    desk.answer("mend it\n\nFixes: 12345678\n\ndiff --git a/a.c b/a.c\n", number=1)
    desk.answer("migbot: no-cc", number=2)
    first, second = desk.hear()
    assert first.startswith("r0001: fixes of it are not noticed: ") and "no-cc: done" in second


def test_about_a_posted_series_nothing_waits_for_ever(desk: Desk) -> None:
    commands = (Command(Verb.INVALID, "so it is"), Command(Verb.NO_CC))
    reading = Reading("1@example.org", "s0001", "ann@example.org", known=True, commands=commands)
    said: list[str] = []
    replying._take(desk.store.replies, found(desk.config), "d" * 64, reading, 1.0, said.append)
    assert [fate for _, fate in desk.told()] == [Fate.REFUSED, Fate.DONE]
    assert "about no regression of its own" in said[0]
