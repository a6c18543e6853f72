"""What people ask the bot to run: real mails in a Maildir, real git and QEMU, and answers on a real mail server."""

from __future__ import annotations

import email
import email.policy
import json
import mailbox
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from bot.core.lifecycle import Corrected, Disputed, Offered, State, Tried
from bot.core.outbox import State as Sending
from bot.host.git import Repository
from tests.test_cli import place
from tests.test_lifecycle import Life
from tests.testing import fastqemu
from tests.testing.fastqemu import BROKEN, GOOD, SMALLER
from tests.testing.sink import sink

pytestmark = pytest.mark.timeout(900)
ANN = "ann@example.org"
MORE = """\
  send: smtp
  domains: [example.org]
  smtp: {tls: none, host: 127.0.0.1}
replies:
  mailbox: {path: box}
  trusted: mx.example.org
  allowed: [ann@example.org]
"""


class Asked(Life):
    """A place whose reports are answered."""

    def ask(self, original: EmailMessage, text: str, number: int = 1) -> None:
        mail = EmailMessage()
        mail["Authentication-Results"] = "mx.example.org; dkim=pass header.d=example.org"
        mail["From"], mail["Message-ID"] = ANN, f"<{number}@example.org>"
        mail["In-Reply-To"] = str(original["Message-ID"])
        mail.set_content(text)
        self.deliver(mail.as_bytes())

    def deliver(self, data: bytes) -> None:
        mailbox.Maildir(self.here.path / "box", create=True).add(data)

    def answered(self, code: int = 0, *, more: str = "") -> str:
        """The one answer of a cycle."""
        before = len(self.server.mails)
        said = self.cycle(code)
        assert more in said
        (taken,) = self.server.mails[before:]
        message = email.message_from_bytes(taken.data, policy=email.policy.default)
        assert taken.recipients == (ANN,) and message["Auto-Submitted"] == "auto-replied"
        assert isinstance(message, EmailMessage)
        return " ".join(message.get_content().split())


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Asked]:
    with sink() as server:
        here = place(tmp_path, GOOD)
        config = here.path / "config.yaml"
        text = config.read_text().replace("directions: [same, forward]", "directions: [forward]")
        config.write_text(text.replace("pc-i440fx-[1-6]*", "pc-i440fx-[1-6]*', 'pc-i440fx-7.0") + MORE)
        mailbox.Maildir(tmp_path / "box", create=True)
        made = Asked(here, server)
        made.cycle()
        yield made


def test_another_commit_is_run_and_what_it_fails_by_today_is_reported(life: Asked) -> None:
    """The failure came, went and came again. The search of the whole range names the first, a person the second."""
    first = life.commit(SMALLER, "hw/core: smaller")
    broken = life.here.project.commit({"dev.c": BROKEN}, "hw/core: rework, first half")
    still = life.commit(SMALLER, "hw/core: rework, second half")
    life.commit(SMALLER, "hw/core: nothing", "1")
    gone = life.commit(GOOD, "hw/core: large again")
    again = life.commit(SMALLER, "hw/core: smaller after all")
    life.cycle(10)
    report = life.send()
    assert f"Fixes: {first[:12]}" in report.get_content()
    life.ask(report, "".join(f"migbot: culprit is {sha[:12]}\n" for sha in (broken, still, again)))
    said = life.answered(10)
    assert f"{broken[:12]} does not build: " in said
    assert f"{still[:12]} was run: it fails 10 of 10, but its parent {broken[:12]} could not be run. Nothing" in said
    shown = f"it fails 10 of 10, its parent {gone[:12]} 0 of 10"
    assert f"{again[:12]} was run: {shown}. So the report of {first[:12]} is taken back" in said
    entry = life.entry()
    disputed, corrected = (happened.event for happened in entry.record.history)
    assert isinstance(disputed, Disputed) and isinstance(corrected, Corrected)
    assert (corrected.commit, corrected.instead, corrected.good) == (again, first, gone)
    assert entry.state is State.OPEN and entry.regression.good == gone
    assert life.kinds() == ["report", "corrected", "answer", "report"]
    assert life.store.outbox.items()[1].held[-1].startswith("superseded"), "one mail says both"
    twin = json.loads((life.here.path / "out" / "accuracy.json").read_text())
    assert (twin["searches"], twin["states"]) == (2, {"corrected": 1, "open": 1})
    assert twin["wrong"] == {"corrected": 1, "retracted": 0}
    mail = life.send()
    assert mail["In-Reply-To"] == report["Message-ID"] and mail["Message-ID"].startswith("<r0001.3.report.")
    text = " ".join(mail.get_content().split())
    assert text.startswith(f'The report above names {first[:12]} ("hw/core: smaller"). What fails today did not come')
    assert f"Fixes: {again[:12]}" in text
    life.ask(mail, f"migbot: culprit is {first}\nmigbot: culprit is {again}\nmigbot: culprit is 1234abcd", 2)
    said = life.answered()
    assert f"{first[:12]} is in the history of {gone[:12]}, where it passes; nothing was run" in said
    assert f"that is what the report says of {again[:12]}" in said
    assert "the clone has no commit 1234abcd; nothing was run" in said
    assert [item.state for item in life.store.outbox.items()].count(Sending.SENT) == 4


def fix(says: str, to: str, message_id: str) -> bytes:
    """A patch as somebody posts it."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = "Bob <bob@example.net>", to, f"<{message_id}>"
    mail["Subject"] = "[PATCH] hw/core: mend it"
    mail.set_content(f"It is broken.\n\n{says}\n---\n\ndiff --git a/dev.c b/dev.c\n+x\n")
    return mail.as_bytes()


def posted(life: Asked, *changes: str) -> tuple[str, ...]:
    """The Message-IDs of series that turn up in the mailbox, each of what `dev.c` becomes with it."""
    git, found = life.here.project.git, []
    base = git("rev-parse", "HEAD")
    for change in changes:
        for file, text in (("notes.txt", f"for {change}"), ("dev.c", change)):
            life.here.project.commit({file: text}, f"hw/core: mend {file}")
        mails = git("format-patch", "--stdout", "--thread", base) + "\n"
        git("reset", "--quiet", "--hard", base)
        for mail in re.split("^From (?=[0-9a-f]{40} )", mails, flags=re.MULTILINE)[1:]:
            life.deliver(mail.partition("\n")[2].encode())
        first = re.search("^Message-I[Dd]: <(.+)>$", mails, re.MULTILINE)
        assert first is not None
        found.append(first[1])
    return tuple(found)


def test_a_posted_series_is_put_on_the_tip_and_run(life: Asked) -> None:
    old = posted(life, fastqemu.dev_c(GOOD, "of another base"))
    culprit = life.commit(SMALLER, "hw/core: rework")
    life.deliver(fix(f"Fixes: {culprit[:12]}", "list@example.org", "a@example.org"))
    life.deliver(fix(f"Fixes: {culprit[:12]}", "ann@example.org", "private@example.org"))
    life.cycle(10)
    report = life.send()
    known = "Known? Patches in our mailbox that say so (hints, not run here): <a@example.org> If you fix this"
    assert known in " ".join(report.get_content().split())
    assert life.entry().record.note == "a@example.org, not in a branch yet"
    mends, idle, breaks = posted(life, fastqemu.dev_c(GOOD), fastqemu.dev_c(SMALLER, "idle"), BROKEN)
    branches = life.here.project.git("for-each-ref")
    life.ask(report, "".join(f"migbot: test <{key}>\n" for key in (mends, idle, breaks)))
    said = life.answered()
    on = f"2 patches on master ({culprit[:12]})"
    cured = f"it cures it: with {on} it fails 0 of 10, without it 10 of 10"
    assert f"{cured}; 1 other case of the report that failed without it passed, too." in said
    assert f"it does not cure it: with {on} it fails 10 of 10, without it 10 of 10" in said
    assert f"{on}: it does not build: " in said
    assert life.entry().state is State.POSTED, "nobody took it in"
    assert [type(happened.event) for happened in life.entry().record.history] == [Offered, *[Tried] * 3]
    life.ask(report, f"migbot: test <{old[0]}>\nmigbot: test <nobody@example.org>\n", 2)
    said = life.answered()
    assert f'on master ({culprit[:12]}): 2/2 "hw/core: mend dev.c" does not apply: dev.c: git says: ' in said
    assert "<nobody@example.org> is not in the mailbox that the bot reads; nothing was run" in said
    clone = Repository(life.here.path / "work" / "upstream.git")
    assert life.here.project.git("for-each-ref") == branches and set(clone.branches().values()) == {culprit}
    assert "trees/fast-x86_64-softmmu-posted" in {str(p.relative_to(life.here.path / "work"))
                                                  for p in (life.here.path / "work" / "trees").iterdir()}  # fmt: skip
