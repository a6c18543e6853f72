"""What goes out: nothing twice and nothing lost, killed at each stage, on a real server; caps, approval, secrets."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.core.gate import Kind
from bot.core.outbox import DAY, Approved, Began, Item, State
from bot.errors import UserError
from bot.host import lock, secret
from bot.model import PostSettings, SmtpServer, Webhook
from bot.pipeline import sending
from bot.pipeline.sending import Office, Wish, chosen
from bot.report.post import smtp
from bot.store.outbox import Post
from bot.store.store import Mail, Store
from tests.report.test_post import MAIL
from tests.testing import reports
from tests.testing.forked import KILLED, die, forked
from tests.testing.sink import Sink, breaks, free_port, scripted, sink, web

CANARY = "canary-secret-2209"
APPROVAL = "approval: not approved by a person"
EVERYBODY = 6  # recipients of that mail


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def settings(port: int, **given: Any) -> PostSettings:
    server = SmtpServer("127.0.0.1", port, tls="none", timeout=20.0)
    options = {"hour": 9, "day": 99, "domains": ("*",), "no_cc": (), **given}
    return PostSettings("smtp", "Migration bot <migbot@example.com>", server, ("false",), **options)


@dataclass
class Place:
    """A work directory with regressions whose mails wait, and who sends them."""

    work: Path
    clock: Clock
    said: list[str]

    @property
    def store(self) -> Store:
        return Store(self.work, self.clock)

    def office(self, port: int, **given: Any) -> Office:
        return Office(self.store, settings(port, **given), self.said.append)

    def conclude(self, *destinations: str, held: tuple[str, ...] = (), count: int = 1) -> None:
        for _ in range(count):
            regression = self.store.open_regression(replace(reports.first_bad().regression, id=""))
            own = f"<{regression.id}.1.report.5f0c1e9a@x>"
            text = MAIL.replace("<r0017.1.report.5950f51e@migbot.example.org>", own)
            assert own in text
            posts = [Post("report", own, to, held, text if to == "mail" else "{}") for to in destinations or ("mail",)]
            mail = Mail(regression.id, "report", own, 1.0, held, text)
            self.store.conclude(regression.id, "first-bad", "{}", "", mail=mail, posts=posts)

    def items(self) -> list[Item]:
        return self.store.outbox.items()

    def states(self) -> list[State]:
        return [item.state for item in self.items()]


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path, Clock(), [])


@pytest.fixture
def there() -> Iterator[Sink]:
    with sink() as server:
        yield server


# -- one after another ---------------------------------------------------------------------------------------------


def test_what_is_due_goes_out_once(here: Place, there: Sink) -> None:
    here.conclude(count=2)
    here.conclude(held=(APPROVAL,))
    for _ in range(3):
        here.office(there.port).flush()
        here.clock.now += DAY
    assert here.states() == [State.SENT, State.SENT, State.HELD]
    assert len(there.mails) == 2
    assert [item.said for item in here.items()[:2]] == ["250 2.0.0 queued as 1"] * 2
    assert here.said == [f"r000{i}: mail <r000{i}.1.report.5f0c1e9a@x>: sent: 250 2.0.0 queued as 1" for i in (1, 2)]


def test_a_server_that_is_gone_for_a_day_loses_nothing(here: Place) -> None:
    here.conclude(count=3)
    port, tries = free_port(), 0
    until = here.clock.now + DAY
    while here.clock.now < until:
        before = sum(item.attempts for item in here.items())
        here.office(port).flush()
        tries += sum(item.attempts for item in here.items()) > before
        here.clock.now += 1800
        assert set(here.states()) == {State.QUEUED}
    assert 6 < tries <= 3 * 11
    with sink() as back:
        for _ in range(9):
            here.office(back.port).flush()
            here.clock.now += 1800
        assert here.states() == [State.SENT] * 3
        assert len(back.mails) == 3


def test_mails_of_a_day_without_a_server_go_out_in_order_within_the_caps_and_once(here: Place) -> None:
    """One an hour is written meanwhile. The oldest asks whether the server is back; it is not asked for each."""
    port, hours, tries = free_port(), 24, 0
    for half in range(2 * hours):
        if half % 2 == 0:
            here.conclude()
        before = sum(item.attempts for item in here.items())
        here.office(port, hour=3, day=20).flush()
        tries += sum(item.attempts for item in here.items()) - before
        here.clock.now += 1800
    assert here.states() == [State.QUEUED] * hours and 6 < tries <= 12
    gone: list[float] = []
    with sink() as back:
        while here.clock.now < 1_000_000.0 + 4 * DAY:
            here.office(back.port, hour=3, day=20).flush()
            gone += [here.clock.now] * (len(back.mails) - len(gone))
            here.clock.now += 900
        arrived = [line for mail in back.mails for line in mail.data.split(b"\r\n") if line.startswith(b"Message-ID")]
    assert here.states() == [State.SENT] * hours
    assert arrived == [f"Message-ID: {item.message_id}".encode() for item in here.items()]
    assert gone[0] <= 1_000_000.0 + DAY + 4 * 3600, "it is not waited for longer than a pause"
    assert all(later - earlier >= 3600 for earlier, later in zip(gone, gone[3:], strict=False))
    assert all(later - earlier >= DAY for earlier, later in zip(gone, gone[20:], strict=False))


def test_a_mail_that_is_not_taken_for_its_own_sake_holds_up_no_other(here: Place, there: Sink) -> None:
    """Also where the server was gone before, and it is the oldest."""
    here.conclude(count=2)
    here.office(free_port()).flush()
    here.clock.now += 300
    there.data = "451 4.7.1 not now"
    here.office(there.port).flush()
    assert [item.attempts for item in here.items()] == [2, 1]
    there.data = "250 2.0.0 queued as 1"
    here.conclude()
    here.office(there.port).flush()
    assert here.states() == [State.QUEUED, State.QUEUED, State.SENT]
    here.clock.now += 300
    here.office(there.port).flush()
    assert here.states() == [State.QUEUED, State.SENT, State.SENT]
    here.clock.now += 300
    here.office(there.port).flush()
    assert here.states() == [State.SENT] * 3 and len(there.mails) == 3


def test_what_one_recipient_waits_for_the_others_have_once(here: Place, there: Sink) -> None:
    here.conclude()
    there.answers = {"rev2@example.org": "451 greylisted", "maint1@example.org": "550 no such user"}
    here.office(there.port).flush()
    (item,) = here.items()
    assert (item.state, item.refused) == (State.QUEUED, ("maint1@example.org",))
    there.answers = {}
    here.office(there.port).flush()  # not due yet
    here.clock.now += 300
    here.office(there.port).flush()
    (item,) = here.items()
    assert item.state is State.SENT and len(item.delivered) == EVERYBODY - 1
    got = [to for mail in there.mails for to in mail.recipients]
    assert len(got) == len(set(got)) == EVERYBODY - 1 and there.mails[1].recipients == ("rev2@example.org",)
    assert "not taken for maint1@example.org" in here.said[-1]


def test_a_mail_that_is_refused_waits_for_a_person(here: Place, there: Sink) -> None:
    here.conclude(count=2)
    there.data = "554 looks like spam"
    for _ in range(3):
        here.office(there.port).flush()
        here.clock.now += DAY
    assert here.states() == [State.REFUSED] * 2
    assert here.items()[0].attempts == 1 and "554 looks like spam" in here.said[0]


def test_a_lost_answer_is_unknown_and_never_sent_again_by_itself(here: Place) -> None:
    here.conclude()
    got: list[bytes] = []
    with scripted(breaks("BODY", "drop", got)) as port:
        for _ in range(3):
            here.office(port).flush()
            here.clock.now += DAY
    assert here.states() == [State.UNKNOWN] and len(got) == 1
    assert "may have gone out" in here.said[0] and "bot report r0001 --send --again" in here.said[0]


def test_caps_hold_over_restarts(here: Place, there: Sink) -> None:
    here.conclude(count=7)
    seen = []
    for _ in range(30):
        here.office(there.port, hour=2, day=5).flush()
        seen.append(len(there.mails))
        here.clock.now += 3600
    assert seen[:4] == [2, 4, 5, 5] and seen[23] == 5 and seen[24] == 7
    assert any("enough for now" in text for text in here.said)


def test_the_same_finding_again_and_again_is_one_mail(here: Place, there: Sink) -> None:
    """A loop: concluded in each cycle, written anew each time."""
    here.conclude()
    (first,) = here.items()
    for i in range(5):
        here.office(there.port).flush()
        text = MAIL.replace("Symptom", f"Symptom {i}")
        posts = [Post("report", first.message_id, "mail", (), text)]
        here.store.conclude("r0001", "first-bad", "{}", "", posts=posts)
        here.clock.now += DAY
    assert len(there.mails) == 1 and here.states() == [State.SENT]


def test_nobody_may_get_it(here: Place, there: Sink) -> None:
    here.conclude()
    here.office(there.port, domains=("elsewhere.org",)).flush()
    assert here.items()[0].held == ("recipients: nobody of To and Cc may get it (report.domains, report.no_cc)",)
    here.store.outbox.change(here.items()[0], Approved("ann"))
    here.office(there.port, domains=("nongnu.org",)).flush()
    assert [mail.recipients for mail in there.mails] == [("qemu-devel@nongnu.org", "qemu-ppc@nongnu.org")]


def test_mode_of_trial(here: Place, there: Sink) -> None:
    here.conclude()
    for _ in range(2):
        here.office(there.port, test_to="me@example.net").flush()
        here.office(there.port).flush()
    assert [mail.recipients for mail in there.mails] == [("me@example.net",)]
    assert b"Subject: [test]" in there.mails[0].data
    assert here.items()[0].test and "to report.test_to alone" in here.said[0]


def test_a_webhook_that_gave_no_answer_is_told_again_by_the_same_key(here: Place) -> None:
    here.conclude("hook")
    with web() as there:
        there.answers = [(0, {}, {}), (503, {"Retry-After": "3600"}, {}), (200, {}, {})]
        hook = Webhook("hook", there.url, timeout=20)
        for wait in (0, 300, 600, 3600):
            here.clock.now += wait
            here.office(1, webhooks=(hook,)).flush()
        keys = [headers["Idempotency-Key"] for _, _, headers, _ in there.asked]
    assert here.states() == [State.SENT] and keys == ["r0001.1.report.5f0c1e9a@x"] * 3


def test_a_destination_that_is_configured_no_more_waits(here: Place, there: Sink) -> None:
    here.conclude("hook", "mail")
    here.office(there.port).flush()
    assert here.states() == [State.QUEUED, State.SENT]


def test_once_stopped_nothing_is_begun(here: Place, there: Sink) -> None:
    here.conclude()
    stop = threading.Event()
    stop.set()
    Office(here.store, settings(there.port), here.said.append, stop).flush()
    assert here.states() == [State.QUEUED] and there.mails == []


# -- killed --------------------------------------------------------------------------------------------------------


def killed_before(name: str) -> Callable[[Place], None]:
    """kill -9 where a function is called."""

    def arm(_here: Place) -> None:
        setattr(smtp, name, lambda *_: die())

    return arm


def killed_after_commit(number: int) -> Callable[[Place], None]:
    """kill -9 once so many steps are on the disk."""

    def arm(_here: Place) -> None:
        from bot.store.outbox import Outbox

        change, left = Outbox.change, [number]

        def counted(self: Outbox, item: Item, event: Any) -> Item:
            changed = change(self, item, event)
            left[0] -= 1
            return changed if left[0] else die()

        Outbox.change = counted  # type: ignore[method-assign]  # in the child alone

    return arm


def killed_at_the_answer(_here: Place) -> None:
    """The server has said 250, and nobody wrote it down."""
    vars(smtp)["Accepted"] = lambda *_: die()


STAGES: dict[str, tuple[Callable[[Place], None], int, list[State]]] = {
    # stage: how to die there, mails that arrived by then, states after the next start
    "before it is marked": (lambda here: setattr(Office, "transport", lambda *_: die()), 0, [State.SENT] * 2),
    "marked, not sent": (killed_after_commit(1), 0, [State.UNKNOWN, State.SENT]),
    "connected, not sent": (killed_before("_hand_over"), 0, [State.UNKNOWN, State.SENT]),
    "in the message": (killed_before("_stuffed"), 0, [State.UNKNOWN, State.SENT]),
    "taken, not marked": (killed_at_the_answer, 1, [State.UNKNOWN, State.SENT]),
    "marked": (killed_after_commit(2), 1, [State.SENT] * 2),
    "the second marked": (killed_after_commit(3), 1, [State.SENT, State.UNKNOWN]),
}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_each_stage_nothing_is_lost_and_nothing_sent_twice(here: Place, there: Sink, stage: str) -> None:
    arm, arrived, wanted = STAGES[stage]
    here.conclude(count=2)

    def work() -> None:
        arm(here)
        here.office(there.port).flush()

    assert forked(work) == KILLED
    assert len(there.mails) == arrived
    for _ in range(3):
        here.office(there.port).flush()
        here.clock.now += DAY
    assert here.states() == wanted
    ids = [text for mail in there.mails for text in mail.data.split(b"\r\n") if text.startswith(b"Message-ID")]
    assert len(ids) == len(set(ids)), "none twice"
    unknown = [item for item in here.items() if item.state is State.UNKNOWN]
    assert len(ids) >= 2 - len(unknown), "none lost: it was sent, or a person is told"
    assert all(f"{item.message_id}: may have gone out" in "\n".join(here.said) for item in unknown)


def test_two_never_send_at_once(here: Place, there: Sink) -> None:
    refused = pytest.raises(UserError, match="mails are being sent by another bot")
    with lock.sender(here.work), refused, lock.sender(here.work):
        raise AssertionError("both")


# -- at a person's word --------------------------------------------------------------------------------------------


@dataclass
class Configured:
    """What `fulfil` asks of a configuration."""

    post_settings: PostSettings


def asked(here: Place, port: int, wish: Wish, kind: str | None = None, **given: Any) -> int:
    config: Any = Configured(settings(port, **given))
    return sending.fulfil(config, here.work, "r0001", kind, wish)


def test_approved_and_sent(here: Place, there: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    here.conclude(held=(APPROVAL,))
    with pytest.raises(UserError, match="r0001: mail: it is held: approval"):
        asked(here, there.port, Wish(send=True))
    assert there.mails == []
    assert asked(here, there.port, Wish(approve=True)) == 0
    assert "mail <r0001.1.report.5f0c1e9a@x>: queued" in capsys.readouterr().out
    assert asked(here, there.port, Wish(send=True)) == 0
    (item,) = here.items()
    assert item.state is State.SENT and item.approved_by and item.approved_at
    assert b"X-Migbot-Held" not in there.mails[0].data
    with pytest.raises(UserError, match="it is sent"):
        asked(here, there.port, Wish(send=True))
    with pytest.raises(UserError, match="--send-to sends a copy"):
        asked(here, there.port, Wish(send=True, again=True))
    assert len(there.mails) == 1


def test_held_by_what_was_measured(here: Place, there: Sink) -> None:
    here.conclude(held=("binary: the same as the parent's",))
    with pytest.raises(UserError, match="binary: the same"):
        asked(here, there.port, Wish(approve=True, send=True))
    assert there.mails == []


def test_held_by_a_person(here: Place, there: Sink) -> None:
    here.conclude()
    assert asked(here, there.port, Wish(hold="the author knows")) == 0
    here.office(there.port).flush()
    assert there.mails == [] and "person: the author knows (by " in here.items()[0].held[0]
    assert asked(here, there.port, Wish(approve=True, send=True)) == 0


def test_unknown_is_sent_again_by_an_explicit_word_alone(here: Place, there: Sink) -> None:
    here.conclude()
    here.store.outbox.change(here.items()[0], Began())
    with pytest.raises(UserError, match="it may have gone out"):
        asked(here, there.port, Wish(send=True))
    assert there.mails == [] and here.states() == [State.UNKNOWN]
    with pytest.raises(UserError, match="--again goes with --send"):
        asked(here, there.port, Wish(again=True))
    assert asked(here, there.port, Wish(send=True, again=True)) == 0
    assert len(there.mails) == 1


@pytest.mark.parametrize(("data", "code"), [("451 later", 131), ("554 no", 129)])
def test_what_is_not_taken(here: Place, there: Sink, data: str, code: int) -> None:
    here.clock.now = time.time()
    here.conclude()
    there.data = data
    assert asked(here, there.port, Wish(send=True)) == code


def test_a_copy_leaves_the_mail_as_it_is(here: Place, there: Sink) -> None:
    here.conclude(held=(APPROVAL,))
    before = here.items()
    assert asked(here, there.port, Wish(send_to="me@example.net")) == 0
    assert here.items() == before
    (mail,) = there.mails
    assert mail.recipients == ("me@example.net",) and b"Message-ID: <copy" in mail.data
    with pytest.raises(UserError, match="may get no mail"):
        asked(here, there.port, Wish(send_to="me@example.net"), domains=("nongnu.org",))
    there.data = "451 later"
    assert asked(here, there.port, Wish(send_to="me@example.net")) == 131


def test_caps_hold_a_person_too(here: Place, there: Sink) -> None:
    here.conclude(count=2)
    assert asked(here, there.port, Wish(send=True)) == 0
    config: Any = Configured(settings(there.port, hour=1, day=1))
    with pytest.raises(UserError, match="caps: enough for now"):
        sending.fulfil(config, here.work, "r0002", None, Wish(send=True))


def test_nothing_is_sent_where_sending_is_off(here: Place, there: Sink) -> None:
    here.conclude()
    config: Any = Configured(replace(settings(there.port), by="never"))
    for wish in (Wish(send=True), Wish(send_to="me@example.net")):
        with pytest.raises(UserError, match=r"report\.send is never"):
            sending.fulfil(config, here.work, "r0001", None, wish)
    sending.flush(config, here.work, here.said.append, threading.Event())
    assert there.mails == [] and here.said == []


def test_a_mail_from_before_there_was_an_outbox(here: Place, there: Sink) -> None:
    here.conclude()
    with sqlite3.connect(here.work / "bot.db") as connection:
        connection.execute("DROP TABLE outbox")
    here.office(there.port).flush()
    assert there.mails == []
    (item,) = chosen(here.store, "r0001", None)
    assert item.held == ("sending: it was written before mails were sent",)
    assert asked(here, there.port, Wish(approve=True, send=True)) == 0


def test_the_kind_that_is_asked_for(here: Place, there: Sink) -> None:
    here.conclude()
    with pytest.raises(UserError, match="has no mail of kind range"):
        asked(here, there.port, Wish(approve=True), kind=Kind.RANGE)


# -- secrets -------------------------------------------------------------------------------------------------------


def test_a_secret_is_in_no_log_database_or_child(
    here: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "password"
    file.write_text(CANARY + "\n")
    file.chmod(0o600)
    here.conclude("mail", "hook", count=2)
    seen: list[str] = []

    def echo(connection: Any) -> None:
        """A server that says back whatever it is told."""
        reader = connection.makefile("rb")
        connection.sendall(b"220 ready\r\n")
        while command := reader.readline():
            seen.append(command.decode())
            words = b"250-x\r\n250 AUTH PLAIN" if command.upper().startswith(b"EHLO") else b"535 no: " + command.strip()
            connection.sendall(words + b"\r\n")

    with scripted(echo) as port, web() as there:
        there.answers = [(401, {}, {})]
        chosen_ = settings(port, webhooks=(Webhook("hook", there.url, token_file=file),))
        chosen_ = replace(chosen_, smtp=replace(chosen_.smtp, user="bot", password_file=file))
        office = Office(here.store, chosen_, here.said.append)
        office.flush()
        told = "\n".join((*here.said, repr(office), repr(office.transport("mail")), *map(repr, here.items())))
        assert there.asked[0][2]["Authorization"] == f"Bearer {CANARY}", "it was used"
    encoded = next(text.split()[-1] for text in seen if text.startswith("AUTH"))
    captured = capsys.readouterr()
    told += captured.out + captured.err
    for hidden in (CANARY, encoded):
        assert hidden not in told
        for path in tmp_path.rglob("*"):
            if path.is_file() and path != file:
                assert hidden.encode() not in path.read_bytes(), path
    assert not [text for item in here.items() for text in (here.store.outbox.text(item),) if CANARY in text]


def test_a_variable_is_taken_before_any_child_sees_it() -> None:
    script = (
        "import os\nfrom bot import cli\nfrom bot.host import process, secret\n"
        "print(process.run(['env']).output)\nprint(secret.secret('SMTP', None, 'k'))\n"
        "print(len(secret.secret('SMTP', None, 'k').get_secret_value()))\n"
    )
    from bot.host import process

    environment = {**os.environ, "BOT_SECRET_SMTP": CANARY}
    done = process.run([sys.executable, "-c", script], env=environment)
    assert done.ok, done.output
    assert CANARY not in done.output and done.output.splitlines()[-1] == str(len(CANARY))


def test_a_command_that_sends_nothing_takes_it_too(tmp_path: Path) -> None:
    """What `bot smoke` starts is a binary that anybody may have made."""
    told, binary = tmp_path / "told", tmp_path / "qemu-system-x86_64"
    binary.write_text(f"#!/bin/sh\nenv >> {told}\nexit 1\n")
    binary.chmod(0o755)
    environment = {**os.environ, "BOT_SECRET_SMTP": CANARY, "BOT_SEEN": "yes"}
    argv = [sys.executable, "-m", "bot", "smoke", "--source", str(binary), "--machine", "pc"]
    done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 129, done.stderr
    assert "BOT_SEEN=yes" in told.read_text() and CANARY not in told.read_text() + done.stdout + done.stderr


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o666])
def test_a_file_that_others_can_get_at_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "password"
    file.write_text(CANARY)
    file.chmod(mode)
    with pytest.raises(UserError, match="chmod 600") as caught:
        secret.secret("SMTP", file, "report.smtp.password_file")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", f"{CANARY}\nX: y", f"{CANARY}\x00", "pässword"])
def test_a_secret_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "password"
    file.write_text(text)
    file.chmod(0o640)
    with pytest.raises(UserError, match="one line of printable ASCII") as caught:
        secret.secret("SMTP", file, "report.smtp.password_file")
    assert CANARY not in str(caught.value)
