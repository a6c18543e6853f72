"""An event and who is told of it: only those who had the report, once, also where it goes out later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import Config, load
from bot.core.gate import kind_of
from bot.core.lifecycle import Event, NotNowError, Record
from bot.core.outbox import Accepted as Taken
from bot.core.outbox import Approved, Began, Held, Item, Lost, State
from bot.model import Report
from bot.pipeline import tracking
from bot.pipeline.posting import posts
from bot.report import data, render
from bot.report.deliver import as_text
from bot.store.store import Mail, Store
from tests.core.test_lifecycle import ACCEPT, AGAIN, CLAIM, CURE, DONE, MISSING, RETRACT
from tests.report.test_mail import NOW, TEMPLATES
from tests.testing import reports

HOOKS = "report.webhooks={chat: {url: 'https://chat.example.org/hook'}}"


class Desk:
    """A store with one regression whose report waits."""

    def __init__(self, work: Path, *overrides: str) -> None:
        self.store = Store(work)
        self.config: Config = load(None, ("report.send=smtp", "report.domains=['*']", *overrides))
        self.report: Report = replace(
            reports.first_bad(), regression=replace(reports.first_bad().regression, id="r0001")
        )
        self.store.open_regression(replace(self.report.regression, id=""))
        settings, kind = self.config.report_settings, kind_of(self.report)
        assert kind is not None
        message = render.mail(self.report, settings=settings, templates=TEMPLATES, date=NOW)
        mail = Mail("r0001", kind, str(message["Message-ID"]), 1.0, (), as_text(message))
        self.original = mail.message_id
        waiting = posts(self.report, kind, mail, self.config)
        self.store.conclude("r0001", "first-bad", data.dump(self.report), "", mail=mail, posts=waiting)

    def note(self, event: Event) -> Record:
        return tracking.note(self.store, self.config, "r0001", event, None)

    def late(self) -> None:
        tracking.late(self.store, self.config, None)

    def items(self, kind: str = "", destination: str = "") -> list[Item]:
        found = self.store.outbox.items()
        return [i for i in found if kind in ("", i.kind) and destination in ("", i.destination)]

    def send(self, item: Item, *, test: bool = False) -> None:
        going = self.store.outbox.change(item, Began(hurry=True, test=test))
        self.store.outbox.change(going, Taken("250 ok", ("author@example.org",)))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_who_had_the_report_is_told_in_the_same_transaction(desk: Desk) -> None:
    desk.send(desk.items()[0])
    assert desk.note(CLAIM).wanted is None
    assert desk.items("fixed") == []
    desk.note(CURE)
    (fixed,) = desk.items("fixed")
    assert fixed.held == ("approval: not approved by a person",)
    assert f"In-Reply-To: {desk.original}" in desk.store.outbox.text(fixed)
    desk.late()
    desk.late()
    assert desk.items("fixed") == [fixed]


def test_nobody_is_told_of_what_was_not_reported(desk: Desk) -> None:
    desk.note(CURE)
    assert desk.items("fixed") == [] and [mail.kind for mail in desk.store.mails("r0001")] == ["report"]
    desk.late()
    assert desk.items("fixed") == []
    (report,) = desk.items()
    assert report.state is State.HELD
    desk.store.outbox.change(report, Approved("ann"))
    assert desk.items()[0].state is State.HELD, "a person cannot let it go: it is no news"


def test_stable_branches_are_asked_by_a_mail_that_stands_alone(desk: Desk) -> None:
    (report,) = desk.items()
    desk.note(CURE)
    desk.note(MISSING)
    (asked,) = desk.items("stable")
    assert asked.held == ("approval: not approved by a person",)
    text = desk.store.outbox.text(asked)
    assert "\r\nIn-Reply-To:" not in text and "Subject: Re:" not in text
    desk.late()
    assert desk.items("stable") == [asked]
    desk.send(desk.store.outbox.change(asked, Approved("ann")))
    desk.note(DONE)
    (done,) = desk.items("fixed-in-stable")
    assert f"In-Reply-To: {asked.message_id}" in desk.store.outbox.text(done)
    assert tracking.thread(desk.store, desk.config, "r0001") == asked.message_id
    assert desk.items("report")[0].message_id == report.message_id and desk.items("report")[0].state is State.HELD


def test_what_held_the_report_holds_what_stands_alone(desk: Desk) -> None:
    (report,) = desk.items()
    desk.store.outbox.change(report, Held("I doubt it (by ann)"))
    desk.note(CURE)
    desk.note(MISSING)
    (asked,) = desk.items("stable")
    assert asked.held == ("person: I doubt it (by ann)", "approval: not approved by a person")


def test_while_the_report_goes_out_nothing_stands_alone(desk: Desk) -> None:
    going = desk.store.outbox.change(desk.items()[0], Began())
    desk.note(CURE)
    desk.note(MISSING)
    desk.late()
    assert desk.items("stable") == []
    desk.store.outbox.change(going, Taken("250 ok", ("author@example.org",)))
    desk.late()
    (asked,) = desk.items("stable")
    assert f"In-Reply-To: {desk.original}" in desk.store.outbox.text(asked)


def test_a_report_that_is_on_its_way_has_its_follow_up_when_it_is_out(desk: Desk) -> None:
    going = desk.store.outbox.change(desk.items()[0], Began())
    desk.note(CURE)
    assert desk.items("fixed") == []
    desk.store.outbox.change(going, Taken("250 ok", ("author@example.org",)))
    desk.late()
    (fixed,) = desk.items("fixed")
    assert fixed.message_id.startswith("<r0001.2.fixed.")


def test_what_is_told_late_is_not_out_of_date(desk: Desk) -> None:
    going = desk.store.outbox.change(desk.items()[0], Began())
    desk.note(CURE)
    desk.note(DONE)
    desk.note(AGAIN)
    desk.note(ACCEPT)
    desk.store.outbox.change(going, Taken("250 ok", ("author@example.org",)))
    desk.late()
    assert [item.kind for item in desk.items()] == ["report"]


def test_where_the_report_may_have_gone_out_a_person_looks_first(desk: Desk) -> None:
    going = desk.store.outbox.change(desk.items()[0], Began())
    desk.store.outbox.change(going, Lost("no answer"))
    desk.note(RETRACT)
    (told,) = desk.items("retract")
    assert told.held[-1] == "person: the report may have gone out, or not: look for it first"


def test_a_report_that_went_to_a_test_address_counts_while_all_go_there(desk: Desk, tmp_path: Path) -> None:
    desk.send(desk.items()[0], test=True)
    desk.note(CURE)
    assert desk.items("fixed") == [], "its readers never had it"
    (tmp_path / "two").mkdir()
    testing = Desk(tmp_path / "two", "report.test_to=me@example.org")
    testing.send(testing.items()[0], test=True)
    testing.note(CURE)
    assert len(testing.items("fixed")) == 1


def test_each_destination_is_told_that_had_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, HOOKS, "report.approval=automatic")
    mail, hook = desk.items()
    desk.send(hook)
    going = desk.store.outbox.change(mail, Began())
    desk.note(CURE)
    assert [item.destination for item in desk.items("fixed")] == ["chat"]
    desk.store.outbox.change(going, Taken("250 ok", ("author@example.org",)))
    desk.late()
    assert [item.destination for item in desk.items("fixed")] == ["chat", "mail"]
    assert {item.state for item in desk.items("fixed")} == {State.QUEUED}, "nobody has to approve"


def test_somebody_notes_something_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was thought out on an old state is thought over; here it does not fit any more."""
    happened = Store.happened
    person = iter([True])

    def beside(store: Store, name: str, event: Event, known: Record, **given: object) -> Record | None:
        if next(person, False):
            happened(store, name, RETRACT, known)
        return happened(store, name, event, known, **given)  # type: ignore[arg-type] # as it was given

    monkeypatch.setattr(Store, "happened", beside)
    with pytest.raises(NotNowError, match="it is retracted"):
        desk.note(CURE)
    assert [type(h.event).__name__ for h in desk.store.regressions()[0].record.history] == ["Retracted"]
    assert desk.items("fixed") == []


def test_what_a_person_accepts_is_known(desk: Desk) -> None:
    runs = reports.first_bad().table
    branch = desk.report.regression.branch
    assert tracking.accepted(desk.store, branch, runs) == {}
    desk.note(ACCEPT)
    known = tracking.accepted(desk.store, branch, runs)
    assert set(known) == {run.case for run in runs if run.signature and run.case in desk.report.regression.cases}
    assert {entry.id for entry in known.values()} == {"r0001"}
    assert tracking.accepted(desk.store, "another", runs) == {}
