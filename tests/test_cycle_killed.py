"""kill -9 at each step of whole cycles, on real git, QEMU, mail server, GitLab and webhook: nothing lost, none twice.

Until something goes out the steps are taken in a row: a process dies at the first one, the next goes on and dies at the
second, and so on. What follows each death is thereby what the next start makes of it. From there on each step is tried
by itself, on a copy of the directory, for what it leaves behind differs.
"""

from __future__ import annotations

import email
import email.policy
import json
import mailbox
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from bot.core.lifecycle import Claimed, Cured
from bot.core.lifecycle import State as Life
from bot.core.outbox import DAY, State
from bot.store.replies import Fate
from bot.store.store import Store
from tests.test_cli import Place as Home
from tests.test_cli import place, wait_gone
from tests.testing import fastqemu
from tests.testing.fastqemu import GOOD, SMALLER
from tests.testing.gitlab import Fault, Server, gitlab
from tests.testing.killing import KILLED, Place, bot, ended
from tests.testing.sink import Sink, Web, breaks, free_port, scripted, sink, web

pytestmark = pytest.mark.timeout(900)
FEWER = {
    "[same, forward]": "[forward]",
    "'pc-q35-*'": "'pc-q35-*', '*-7.[01]'",
    "reproducer_wait: 3s": "reproducer_wait: 1s",
    "[list@example.org]": "[list@example.org, other@example.org]",
}
"""What makes a cycle short, and a mail have several recipients."""
SUBJECT, PATCH = "hw/core: make it smaller", "<20200219160953.13771-68-t@example.org>"
MORE = """\
  approval: automatic
  send: smtp
  domains: [example.org]
  smtp: {{tls: none, host: 127.0.0.1, port: {port}}}
  webhooks: {{hook: {{url: '{hook}'}}}}
  gitlab: {{url: '{gitlab}', project: group/project, token_file: token}}
bisect: {{min_runs: 10}}
replies: {{mailbox: {{path: box}}, trusted: mx.example.org, allowed: [ann@example.org]}}
"""


@dataclass
class World:
    """A place that is watched, and everybody who is told."""

    home: Home
    mails: Sink
    tracker: Server
    hook: Web

    def cycle(self, code: int, dies: Place | None = None, *options: str, later: float = 0.0) -> str:
        """`bot OPTIONS run --once`; what it said. The database is whole, and nothing goes on."""
        said = ended(bot(self.home.path, *options, "run", "--once", dies=dies, later=later), code)
        # a sandbox that was just being made ran nothing, and is ended at the next start
        wait_gone(self.home.path, besides="bwrap" if dies is not None else "")
        with sqlite3.connect(self.home.path / "work" / "bot.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert len(self.store.regressions()) <= 1
        had = [(read(mail.data)["Message-ID"], one) for mail in self.mails.mails for one in mail.recipients]
        assert len(had) == len(set(had)), "somebody has a mail twice"
        assert len(self.tracker.issues) <= 1
        return said

    def restored(self) -> None:
        """As it was when nothing had gone out, under the same paths."""
        shutil.rmtree(self.home.path)
        shutil.copytree(self.aside, self.home.path, symlinks=True)
        self.mails.mails.clear()
        self.tracker.issues.clear()
        self.tracker.notes.clear()
        self.hook.asked.clear()
        self.back()

    def back(self) -> None:
        """Everybody takes everything."""
        self.mails.answers, self.mails.data = {}, "250 2.0.0 queued as 1"
        self.tracker.faults = []
        self.hook.answers = [(201, {}, {})]

    @property
    def aside(self) -> Path:
        return self.home.path.with_name(f"{self.home.path.name}-aside")

    @property
    def store(self) -> Store:
        return Store(self.home.path / "work")

    def ids(self) -> list[str]:
        """Message-IDs of the mails that arrived."""
        return [str(read(mail.data)["Message-ID"]) for mail in self.mails.mails]

    def told(self) -> list[str]:
        """What the webhook was told, by the keys that it knows a repetition by."""
        return list(dict.fromkeys(headers["Idempotency-Key"] for _, _, headers, _ in self.hook.asked))

    def states(self) -> dict[str, list[State]]:
        """By destination where each item stands, oldest first."""
        found: dict[str, list[State]] = {}
        for item in self.store.outbox.items():
            found.setdefault(item.destination, []).append(item.state)
        return found

    def runs(self) -> list[tuple[str, str, str]]:
        return [(run.commit, run.case.id, str(run.outcome)) for run in self.store.runs(logs=False)]


def read(data: bytes) -> EmailMessage:
    found = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Watched since a good commit; a bad one was pushed, and no cycle has seen it."""
    with sink() as mails, gitlab("t0k") as tracker, web() as hook:
        home = place(tmp_path_factory.mktemp("cycle"), GOOD)
        config = home.path / "config.yaml"
        text = config.read_text() + MORE.format(port=mails.port, hook=hook.url, gitlab=tracker.url)
        for was, wanted in FEWER.items():
            assert was in text
            text = text.replace(was, wanted)
        config.write_text(text)
        (home.path / "token").write_text("t0k\n")
        (home.path / "token").chmod(0o600)
        made = World(home, mails, tracker, hook)
        made.cycle(0)
        home.project.commit({"dev.c": fastqemu.dev_c(SMALLER)}, f"{SUBJECT}\n\nMessage-Id: {PATCH}\n")
        yield made


# -- until something is to go out ----------------------------------------------------------------------------------

RECORD = "bot.store.store:Store.record"
BUILD, RUN = "type(args[1]).__name__ == 'Build'", "type(args[1]).__name__ == 'Run'"
FINDING: Mapping[str, Place] = {
    "nothing is done yet": Place("bot.pipeline.cycle:hear", before=True),
    "fetched": Place("bot.pipeline.cycle:clone"),
    "the cycle has begun": Place("bot.store.store:Store.begin_cycle"),
    "built, not recorded": Place(RECORD, before=True, which=BUILD),
    "built": Place(RECORD, which=BUILD),
    "smoked, not recorded": Place(RECORD, before=True, which=RUN),
    "smoked": Place(RECORD, which=RUN),
    "the tip is seen": Place("bot.store.store:Store.see"),
    "the regression is opened": Place("bot.store.store:Store.open_regression"),
    "searching": Place("bot.pipeline.investigate:search", before=True),
    "confirming": Place(RECORD, number=9, which=RUN),
    "confirmed": Place("bot.pipeline.investigate:search"),
    "reverted, and built": Place(RECORD, which=BUILD),
    "rendered, not kept": Place("bot.store.store:Store.conclude", before=True),
    "kept, with what is to go out": Place("bot.store.store:Store.conclude"),
    "some files are written": Place("bot.report.memory:renew", number=9),
    "the cycle is about to end": Place("bot.store.store:Store.end_cycle", before=True),
    "some pages are written": Place("bot.report.memory:renew", number=4),
    "nothing is sent yet": Place("bot.pipeline.cycle:flush", before=True),
}


@pytest.fixture(scope="module")
def found(world: World) -> World:
    """The regression is found, by as many processes as there are steps, and all is queued; a copy of it is kept."""
    for dies in FINDING.values():
        world.cycle(KILLED, dies)
        assert not world.mails.mails and not world.tracker.asked and not world.hook.asked
    shutil.copytree(world.home.path, world.aside, symlinks=True)
    return world


def test_killed_at_each_step_of_a_search_nothing_is_done_twice(found: World) -> None:
    found.restored()
    (entry,) = found.store.regressions()
    assert entry.finding == "first-bad" and entry.report is not None
    assert sorted(Counter(found.runs()).values()) == [3, 10, 10], "as often as a search asks that nobody disturbs"
    assert len(found.store.builds()) == 3
    assert found.states() == {to: [State.QUEUED] for to in ("mail", "gitlab", "hook")}
    found.cycle(0)
    assert found.states() == {to: [State.SENT] for to in ("mail", "gitlab", "hook")}
    out = found.home.path / "out"
    (mail,) = found.mails.mails
    assert read(mail.data)["In-Reply-To"] == PATCH
    assert read(mail.data)["Message-ID"] == read((out / "r0001" / "mail.eml").read_bytes())["Message-ID"]
    assert SUBJECT in (out / "r0001" / "index.html").read_text()
    assert json.loads((out / "r0001" / "report.json").read_text())["report"]["regression"]["id"] == "r0001"
    assert [row["id"] for row in json.loads((out / "index.json").read_text())["regressions"]] == ["r0001"]
    assert not list(out.rglob(".*.part")), "no file is half written"


# -- what goes out -------------------------------------------------------------------------------------------------

STEP = "bot.store.outbox:Outbox.change"


def step(destination: str, event: str, *, before: bool = False) -> Place:
    """Where an item's step is about to be recorded, or was."""
    return Place(STEP, before=before, which=f"(args[1].destination, type(args[2]).__name__) == {(destination, event)}")


SENDING: Mapping[str, tuple[Place, State, int]] = {
    # the place, what the mail is after the next start, how many mails arrive in all
    "marked, not connected": (step("mail", "Began"), State.UNKNOWN, 0),
    "connected": (Place("bot.report.post.smtp:_hand_over", before=True), State.UNKNOWN, 0),
    "in the message": (Place("bot.report.post.smtp:_stuffed"), State.UNKNOWN, 0),
    "taken, not marked": (step("mail", "Accepted", before=True), State.UNKNOWN, 1),
    "taken and marked": (step("mail", "Accepted"), State.SENT, 1),
    "the issue is opened, not marked": (step("gitlab", "Accepted", before=True), State.SENT, 1),
    "the webhook is told, not marked": (step("hook", "Accepted", before=True), State.SENT, 1),
}


@pytest.mark.parametrize("name", SENDING)
def test_killed_while_it_is_sent(found: World, name: str) -> None:
    """No mail is lost without a word, none is sent twice; the issue is one, and the webhook knows a repetition."""
    dies, wanted, arrived = SENDING[name]
    found.restored()
    found.cycle(KILLED, dies)
    said = found.cycle(0)
    assert found.states() == {"mail": [wanted], "gitlab": [State.SENT], "hook": [State.SENT]}
    told = "may have gone out: bot ended while it was being sent. Look for it in the archive"
    assert (told in said) == (wanted is State.UNKNOWN)
    found.cycle(0, later=DAY)
    assert len(found.ids()) == arrived
    assert len(found.tracker.issues) == 1
    assert found.told() == [found.store.outbox.items()[0].key]
    assert found.states() == {"mail": [wanted], "gitlab": [State.SENT], "hook": [State.SENT]}


def test_everybody_is_gone_for_a_day(found: World) -> None:
    """A server that cannot be reached, one that answers 451, 503 elsewhere: all goes out once, when they are back."""
    found.restored()
    hour = 3600.0
    port = ("--set", f"report.smtp.port={free_port()}")
    found.tracker.faults = [Fault("*", 503) for _ in range(99)]
    found.hook.answers = [(503, {}, {})]
    for hours in (0, 5, 10):
        found.cycle(0, None, *port, later=hours * hour)
    found.mails.data = "451 4.3.0 later"
    for hours in (15, 20):
        found.cycle(0, later=hours * hour)
    assert found.states() == {to: [State.QUEUED] for to in ("mail", "gitlab", "hook")}
    assert found.ids() == [] and found.tracker.issues == []
    assert {item.attempts for item in found.store.outbox.items()} == {5}
    found.back()
    for hours in (25, 26):
        found.cycle(0, later=hours * hour)
    assert found.states() == {to: [State.SENT] for to in ("mail", "gitlab", "hook")}
    assert len(found.ids()) == len(found.tracker.issues) == len(found.told()) == 1


def test_a_connection_that_breaks_after_the_message(found: World) -> None:
    """Nobody knows whether it was taken: that is said, and nothing is sent again."""
    found.restored()
    got: list[bytes] = []
    found.tracker.faults = [Fault("POST", what="dropped")]
    found.hook.answers = [(0, {}, {}), (201, {}, {})]
    with scripted(breaks("BODY", "drop", got)) as port:
        said = found.cycle(0, None, "--set", f"report.smtp.port={port}")
    assert "may have gone out: the whole message was sent and no answer came" in said
    found.cycle(0, later=DAY)
    assert found.states() == {"mail": [State.UNKNOWN], "gitlab": [State.SENT], "hook": [State.SENT]}
    assert len(got) == 1 and found.ids() == []
    assert len(found.tracker.issues) == len(found.told()) == 1


def test_of_several_recipients_one_is_refused_and_one_waits(found: World) -> None:
    found.restored()
    found.mails.answers = {"t@example.org": "550 5.1.1 no such user", "list@example.org": "451 4.7.1 greylisted"}
    found.cycle(0)
    assert [mail.recipients for mail in found.mails.mails] == [("other@example.org",)]
    found.back()
    said = found.cycle(0, later=DAY)
    assert "sent: 250 2.0.0 queued as 1; not taken for t@example.org" in said
    found.cycle(0, later=2 * DAY)
    assert [mail.recipients for mail in found.mails.mails] == [("other@example.org",), ("list@example.org",)]
    assert found.states()["mail"] == [State.SENT]


# -- what follows --------------------------------------------------------------------------------------------------

HAPPENED = "bot.store.store:Store.happened"
CURE = "type(args[2]).__name__ == 'Cured'"
FOLLOWING: Mapping[str, Place] = {
    "an answer is kept": Place("bot.store.replies:Replies.keep"),
    "its claim is noted, and it is not settled": Place("bot.pipeline.obeying:note"),
    "the fix is built": Place(RECORD, which=BUILD),
    "the fix is smoked": Place(RECORD, which=RUN),
    "running whether it cures": Place(RECORD, number=7, which=RUN),
    "it does, which is not noted": Place(HAPPENED, before=True, which=CURE),
    "noted, with its mail": Place(HAPPENED, which=CURE),
    "the mail is taken and marked": step("mail", "Accepted"),
    "the issue is commented on, not closed": Place(
        "bot.report.post.gitlab:GitLab._one", before=True, which="args[1] == 'PUT'"
    ),
    "the webhook is told, not marked": step("hook", "Accepted", before=True),
}


def answer(to: str, text: str) -> EmailMessage:
    """A mail of somebody who may give commands."""
    made = EmailMessage()
    made["Authentication-Results"] = "mx.example.org; dkim=pass header.d=example.org"
    made["From"], made["Message-ID"], made["In-Reply-To"] = "ann@example.org", "<1@example.org>", to
    made.set_content(text)
    return made


def test_killed_at_each_step_of_what_follows_a_report(found: World) -> None:
    """Somebody answers which commit is the fix; it is run, and those are told who had the report."""
    found.restored()
    found.cycle(0)
    (report,) = found.ids()
    fix = found.home.project.commit({"dev.c": fastqemu.dev_c(GOOD, "mended")}, "hw/core: make it as large again")
    mailbox.Maildir(found.home.path / "box", create=True).add(answer(report, f"migbot: fixed-by {fix}\n").as_bytes())
    for dies in FOLLOWING.values():
        found.cycle(KILLED, dies)
    found.cycle(0)
    found.cycle(0, later=DAY)
    (entry,) = found.store.regressions()
    claimed, cured = (happened.event for happened in entry.record.history)
    assert claimed == Claimed(fix, "fixed-by, ann@example.org")
    assert isinstance(cured, Cured) and cured.commit == fix and entry.state is Life.FIXED
    assert [asked.fate for asked in found.store.replies.commands()] == [Fate.DONE]
    assert found.states() == {"mail": [State.SENT] * 3, "gitlab": [State.SENT] * 2, "hook": [State.SENT] * 2}
    sent = {own.split(".")[2]: read(mail.data) for own, mail in zip(found.ids(), found.mails.mails, strict=True)}
    assert sorted(sent) == ["answer", "fixed", "report"], "one of each, and one answer to who told us"
    assert sent["fixed"]["In-Reply-To"] == report
    assert sent["fixed"]["References"].split() == [PATCH, report]
    (issue,) = found.tracker.issues
    assert issue["state"] == "closed" and len(found.tracker.notes[1]) == 1
    assert [key.split(".")[2] for key in found.told()] == ["report", "fixed"]
