"""What the operator hears: each trouble once and its end once, killed at each stage, on a real server."""

from __future__ import annotations

import email
import email.policy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.config import Config, load
from bot.core import drift as drifts
from bot.core.alarms import Ended, Kind
from bot.core.drift import Drift
from bot.core.outbox import DAY, HOUR, OPERATOR, Accepted, Began, Deferred, Item, Rejected, State
from bot.core.succession import Release, Trial
from bot.errors import InfraError
from bot.pipeline import alarming
from bot.pipeline.alarming import Doing, Lookout, look
from bot.pipeline.status import status
from bot.report.post import smtp
from bot.store.outbox import Outbox
from bot.store.store import STOPPED, Store
from tests.pipeline.test_sending import Clock, killed_after_commit, killed_before
from tests.testing.forked import KILLED, die, forked
from tests.testing.sink import Sink, breaks, free_port, scripted, sink

IDLE = Doing()
GONE = Deferred("no connection", everything=True)


@dataclass
class Place:
    """A work directory, and who looks after it."""

    work: Path
    clock: Clock = field(default_factory=Clock)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock.now = 1_700_000_000.0

    @property
    def store(self) -> Store:
        return Store(self.work, self.clock)

    def config(self, port: int, *given: str) -> Config:
        keys = ("send=smtp", "operator=ann@example.org", "smtp.host=127.0.0.1", f"smtp.port={port}", "smtp.tls=none")
        mine = [*(f"report.{key}" for key in (*keys, "domains=[nongnu.org]", "sendmail=[/no/such/sendmail]"))]
        mine.append("build.free_space=0")
        return load(overrides=[*mine, *given], environ={})

    def look(self, port: int, *given: str, doing: Doing = IDLE) -> None:
        look(self.config(port, *given), self.work, self.store, doing, self.said.append, threading.Event())

    def failed(self, port: int, *given: str) -> None:
        self.look(port, *given, doing=Doing(ended=Ended("ValueError: no")))

    def went(self, port: int, *given: str) -> None:
        self.look(port, *given, doing=Doing(ended=Ended()))

    def items(self) -> list[Item]:
        return [item for item in self.store.outbox.items() if item.destination == OPERATOR]

    def states(self) -> list[State]:
        return [item.state for item in self.items()]

    def refused_for(self, seconds: float) -> None:
        """Mails to lists are not taken, for so long."""
        self.store.alarms.heard(GONE)
        self.clock.now += seconds
        self.store.alarms.heard(GONE)


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def there() -> Iterator[Sink]:
    with sink() as server:
        yield server


def subjects(server: Sink) -> list[str]:
    found = (email.message_from_bytes(mail.data, policy=email.policy.default) for mail in server.mails)
    return [str(message["Subject"]).partition("] ")[2] for message in found]


def test_a_trouble_is_told_once_and_its_end_once(here: Place, there: Sink) -> None:
    for _ in range(3):
        here.failed(there.port)
        here.clock.now += DAY
    for _ in range(3):
        here.went(there.port)
    here.failed(there.port)
    assert subjects(there) == ["a cycle failed", "a cycle failed: over", "a cycle failed"]
    first, second, third = (email.message_from_bytes(mail.data) for mail in there.mails)
    assert second["In-Reply-To"] == first["Message-ID"] != third["Message-ID"]
    assert {mail.recipients for mail in there.mails} == {("ann@example.org",)}
    assert here.said[0] == "operator: failed: ValueError: no" and "operator: failed: over, after 3 days" in here.said


def test_neither_lists_domains_nor_caps_are_about_it(here: Place, there: Sink) -> None:
    few = ("report.caps.hour=1", "report.no_cc=[ann@example.org]")
    for _ in range(3):
        here.failed(there.port, *few)
        here.went(there.port, *few)
        here.clock.now += 1
    assert len(there.mails) == 6 and here.store.outbox.items() == here.items()


def test_in_a_trial_it_goes_where_all_goes(here: Place, there: Sink) -> None:
    here.failed(there.port, "report.test_to=me@example.net")
    (mail,) = there.mails
    assert mail.recipients == ("me@example.net",) and b"Subject: [test]" in mail.data and here.items()[0].test


def test_a_full_disk(here: Place, there: Sink) -> None:
    here.look(there.port, "build.free_space=1000000G")
    here.look(there.port)
    assert subjects(there) == ["the disk is nearly full", "the disk is nearly full: over"]


def test_a_cycle_that_hangs(here: Place, there: Sink) -> None:
    budget = "watch.budget=1h"
    doing = Doing(since=here.clock.now)
    number = here.store.begin_cycle()
    for _ in range(4):
        here.look(there.port, budget, doing=doing)
        here.clock.now += HOUR
    assert subjects(there) == ["no cycle ends"]
    here.store.end_cycle(number, "nothing new")
    here.went(there.port, budget)
    assert subjects(there) == ["no cycle ends", "no cycle ends: over"]


def test_what_an_upgrade_broke_is_for_the_operator_alone(here: Place, there: Sink) -> None:
    drift = Drift("master", drifts.Kind.TOOLCHAIN, "ramblock ram", "1", "a" * 40, "b" * 40, ("c",), "toolchain: x, y")
    ours = (drifts.Kind.TOOLCHAIN, drifts.Kind.BOTH)
    others = [replace(drift, kind=kind, changed=kind) for kind in drifts.Kind if kind not in ours]
    here.store.drifts.change(others, ())
    here.look(there.port)
    assert there.mails == [], "what was told with the release, or was configured"
    here.store.drifts.change([drift, replace(drift, signature_key="2")], ())
    here.look(there.port)
    here.look(there.port)
    assert subjects(there) == ["cases fail since the toolchain changed"]
    assert b"no commit is to blame (and 1 more)" in there.mails[0].data.replace(b"=\r\n", b"")
    here.store.drifts.change([], [drift, replace(drift, signature_key="2")])
    here.look(there.port)
    assert subjects(there)[1:] == ["cases fail since the toolchain changed: over"]
    here.clock.now += HOUR
    here.store.drifts.change([replace(drift, kind=drifts.Kind.BOTH, changed="both changed")], ())
    here.look(there.port)
    assert subjects(there)[2:] == ["cases fail since the toolchain changed"]
    assert b"both changed; no commit is to blame" in there.mails[2].data.replace(b"=\r\n", b"")


def test_a_release_that_waits_for_a_person(here: Place, there: Sink) -> None:
    store = here.store
    store.releases.take(Release("v10.0", "v10.0.13", "a" * 40, 1.0), "x")
    new = store.releases.see("v10.0", "v10.0.14", "b" * 40)
    here.look(there.port)
    assert there.mails == []
    store.releases.tried(new, Trial(), "v10.0.14 does not take the place of v10.0.13", held=True)
    here.look(there.port)
    here.look(there.port)
    assert subjects(there) == ["a release is not taken as baseline"]
    store.releases.take(Release("v10.0", "v10.0.13", "a" * 40, 1.0), "kept", person="ann", instead=new)
    here.look(there.port)
    assert subjects(there)[1:] == ["a release is not taken as baseline: over"]


def test_one_that_a_person_stopped_is_not_waited_for(here: Place, there: Sink) -> None:
    here.store.begin_cycle()
    here.store.stop_cycle()
    assert here.store.cycles()[0].result == STOPPED
    here.clock.now += DAY
    here.look(there.port)
    assert there.mails == []


def test_without_an_operator_it_is_in_the_log_and_in_the_status(
    here: Place, there: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = "report.operator=null"
    here.failed(there.port, nobody)
    here.failed(there.port)  # somebody is named later: it was not begun for them
    assert here.said == ["operator: failed: ValueError: no"] and there.mails == []
    status(here.config(there.port), here.work)
    assert "trouble: failed, since 2023-11-14 22:13" in capsys.readouterr().out
    here.went(there.port)
    assert there.mails == [], "the end of what was not told is not told"
    status(here.config(there.port), here.work)
    assert "trouble" not in capsys.readouterr().out


# -- mails are the trouble -----------------------------------------------------------------------------------------


def test_it_waits_until_the_server_is_back(here: Place, capsys: pytest.CaptureFixture[str]) -> None:
    here.refused_for(HOUR)
    port = free_port()
    for _ in range(12):
        here.look(port)
        here.clock.now += HOUR
    assert here.states() == [State.QUEUED] and 2 <= here.items()[0].attempts < 8
    status(here.config(port), here.work)
    told = capsys.readouterr().out
    assert "trouble: mail, since 2023-11-14 22:13" in told and "waits for try" in told
    with sink() as back:
        here.store.alarms.heard(Accepted())  # a mail to a list was taken
        here.look(back.port)
        assert subjects(back) == ["mails are not taken", "mails are not taken: over"]
    assert any("operator: operator <operator.mail." in text and "waits for try 2" in text for text in here.said)


def test_its_own_mail_shows_that_the_server_is_back(here: Place) -> None:
    here.refused_for(HOUR)
    here.look(free_port())
    with sink() as back:
        here.clock.now += HOUR
        here.look(back.port)
        here.look(back.port)
        assert subjects(back) == ["mails are not taken", "mails are not taken: over"]


def test_it_goes_by_the_other_way_where_there_is_one(here: Place, tmp_path: Path) -> None:
    program, out = tmp_path / "sendmail", tmp_path / "out"
    program.write_text(f'#!/bin/sh\necho "$@" >>{out}\ncat >>{out}\n')
    program.chmod(0o755)
    way, port = f"report.sendmail=[{program}]", free_port()
    here.failed(port, way)
    assert here.states() == [State.QUEUED] and not out.exists(), "the server may be back soon"
    here.refused_for(HOUR)
    here.failed(port, way)
    assert here.states() == [State.SENT, State.SENT]
    told = out.read_text()
    assert told.count("-f migbot@example.org -- ann@example.org") == 2 and "Subject: [bot on" in told
    here.store.alarms.heard(Accepted())
    with sink() as back:
        here.failed(back.port, way)
        assert subjects(back) == ["mails are not taken: over"]


def test_lists_that_are_refused_are_told_of_by_the_same_server(here: Place, there: Sink) -> None:
    here.store.alarms.heard(Rejected("554 looks like spam"))
    here.clock.now += HOUR
    here.look(there.port)
    assert there.mails == [], "one refusal is about one mail"
    here.store.alarms.heard(Rejected("554 looks like spam"))
    for _ in range(3):
        here.look(there.port)
    assert subjects(there) == ["mails are not taken"] and b"554 looks like spam" in there.mails[0].data
    here.store.alarms.heard(Accepted())
    here.look(there.port)
    assert subjects(there) == ["mails are not taken", "mails are not taken: over"]


def test_a_lost_answer_is_not_sent_again(here: Place, there: Sink) -> None:
    with scripted(breaks("BODY", "drop", got := list[bytes]())) as port:
        here.failed(port)
    here.clock.now += DAY
    here.failed(there.port)
    assert here.states() == [State.UNKNOWN] and len(got) == 1 and there.mails == []
    assert "may have gone out" in here.said[-1] and "It is not sent again" in here.said[-1]


# -- killed --------------------------------------------------------------------------------------------------------


def killed_before_it_is_recorded(_here: Any) -> None:
    setattr(Outbox, "add", lambda *_: die())  # noqa: B010 - in the child alone


STAGES: dict[str, tuple[Callable[[Any], None], int, State]] = {
    # stage: how to die there, mails that arrived by then, state after the next start
    "the trouble and its mail are one": (killed_before_it_is_recorded, 0, State.SENT),
    "recorded, not marked": (lambda _: setattr(alarming, "to_operator", lambda *_: die()), 0, State.SENT),
    "marked, not sent": (killed_after_commit(1), 0, State.UNKNOWN),
    "connected, not sent": (killed_before("_hand_over"), 0, State.UNKNOWN),
    "in the message": (killed_before("_stuffed"), 0, State.UNKNOWN),
    "taken, not marked": (lambda _: vars(smtp).update(Accepted=lambda *_: die()), 1, State.UNKNOWN),
    "marked": (killed_after_commit(2), 1, State.SENT),
}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_each_stage_nothing_is_sent_twice(here: Place, there: Sink, stage: str) -> None:
    arm, arrived, wanted = STAGES[stage]

    def work() -> None:
        arm(here)
        here.failed(there.port)

    assert forked(work) == KILLED
    assert len(there.mails) == arrived
    for _ in range(3):
        here.failed(there.port)
        here.clock.now += DAY
    assert here.states() == [wanted]
    assert len(there.mails) == (wanted is State.SENT or arrived)
    assert [known.trouble.kind for known in here.store.alarms.known()] == [Kind.FAILED]


def test_what_is_sent_about_regressions_leaves_it_alone(here: Place) -> None:
    """Two that send at a time: neither takes what the other has in hand for what a dead process left."""
    here.failed(free_port())
    store = here.store
    store.outbox.change(here.items()[0], Began(hurry=True))
    assert store.outbox.end_orphans(lambda _: False) == []
    assert [item.state for item in store.outbox.end_orphans(lambda _: False, operator=True)] == [State.UNKNOWN]


# -- all the time --------------------------------------------------------------------------------------------------


def test_who_looks_has_a_last_look_when_a_cycle_has_failed(here: Place, there: Sink) -> None:
    config = here.config(there.port)
    with Lookout(config, here.work, here.said.append, threading.Event()) as lookout:
        lookout.begins(config)
        lookout.ended(InfraError("the network\nis gone"))
    assert subjects(there) == ["a cycle failed"] and b"  InfraError: the network is gone" in there.mails[0].data
    with Lookout(config, here.work, here.said.append, threading.Event()) as lookout:
        lookout.begins(config)
        lookout.ended()
    assert subjects(there) == ["a cycle failed", "a cycle failed: over"]


def test_who_looks_sees_a_cycle_that_hangs(here: Place, there: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarming, "_EVERY", 0.05)
    config = here.config(there.port, "watch.every=1s", "watch.budget=1s")
    with Lookout(config, here.work, here.said.append, threading.Event()) as lookout:
        lookout.begins(config)
        deadline = time.monotonic() + 60
        while not there.mails and time.monotonic() < deadline:
            time.sleep(0.05)
        lookout.ended()
    assert subjects(there) == ["no cycle ends", "no cycle ends: over"]


def test_once_stopped_nothing_is_begun(here: Place, there: Sink) -> None:
    stop = threading.Event()
    stop.set()
    with Lookout(config := here.config(there.port), here.work, here.said.append, stop) as lookout:
        lookout.begins(config)
        lookout.ended(InfraError("no"))
    assert there.mails == [] and set(here.states()) <= {State.QUEUED}


def test_what_keeps_it_from_looking_is_said_once(here: Place) -> None:
    config = here.config(1, "report.smtp.tls=starttls", "report.smtp.user=bot")
    with Lookout(config, here.work, here.said.append, threading.Event()) as lookout:
        for _ in range(3):
            lookout.ended(InfraError("no"))
    told = [text for text in here.said if "nothing was told" in text]
    assert len(told) == 1 and "BOT_SECRET_SMTP" in told[0]
