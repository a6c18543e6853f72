"""From a commit that breaks migration to a mail that a server took, an issue, and an answer: all as real processes."""

from __future__ import annotations

import email
import email.message
import email.policy
import mailbox
from collections.abc import Iterator

import pytest

from tests.test_cli import Place, place
from tests.testing import fastqemu
from tests.testing.fastqemu import GOOD, SMALLER
from tests.testing.gitlab import Server, gitlab
from tests.testing.sink import Received, Sink, sink

FEW = ("--set", "bisect.min_runs=10")  # what the gate asks for


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A regression that was found; its mail waits for a person."""
    here = place(tmp_path_factory.mktemp("outgoing"), GOOD)
    config = here.path / "config.yaml"
    (here.path / "token").write_text("token-of-the-bot\n")
    (here.path / "token").chmod(0o600)
    config.write_text(
        config.read_text() + "  send: smtp\n  domains: [example.org]\n  smtp: {tls: none}\n"
        "  gitlab: {url: 'http://127.0.0.1:1', project: group/project, token_file: token}\n"
    )
    here.run(*FEW, "run", "--once", code=0)
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER)}, "hw/core: make it smaller")
    here.run(*FEW, "run", "--once", code=10, timeout=240)
    return here


@pytest.fixture
def server() -> Iterator[Sink]:
    with sink() as made:
        yield made


@pytest.fixture
def tracker() -> Iterator[Server]:
    with gitlab("token-of-the-bot") as made:
        yield made


def own_id(mail: Received) -> str:
    return str(email.message_from_bytes(mail.data)["Message-ID"])


def answered(place: Place, mail: email.message.Message) -> str:
    """What `bot run` says of an answer to a mail that came to a Maildir."""
    answer = email.message.EmailMessage()
    answer["Authentication-Results"] = "mx.example.org; dkim=pass header.d=example.org"
    answer["From"], answer["Message-ID"], answer["In-Reply-To"] = (
        "ann@example.org",
        "<1@example.org>",
        mail["Message-ID"],
    )
    answer.set_content("migbot: no-cc\nmigbot: culprit is d96c4d5f193e\nmigbot: invalid it was the guest\n")
    mailbox.Maildir(place.path / "box", create=True).add(answer.as_bytes())
    keys = ("mailbox.path=box", "trusted=mx.example.org", "allowed=[ann@example.org]")
    given = [word for key in keys for word in ("--set", f"replies.{key}")]
    told = place.run(*given, *FEW, "run", "--once", code=0).stderr
    assert "replies:" not in place.run("status", code=0).stdout
    assert "nothing waits" in place.run("replies", code=0).stdout
    assert "r0001  retracted" in place.run("list", code=0).stdout
    assert "retracted by ann@example.org: it was the guest" in place.run("show", "r0001", code=0).stdout
    assert "approval: not approved by a person" in place.run("report", "r0001", "--send", code=129).stderr
    everything = place.run("replies", "--all", code=0).stdout
    assert "culprit is d96c4d5f193e" in everything and "get no mails: ann@example.org" in everything
    assert "nothing waits" in place.run("replies", code=0).stdout
    place.run("replies", "--done", "2", code=129)
    place.run("replies", "--why", "x", code=129)
    return told


@pytest.mark.timeout(400)
def test_a_mail_is_approved_by_a_person_and_sent_once(found: Place, server: Sink, tracker: Server) -> None:
    port = ("--set", f"report.smtp.port={server.port}", "--set", f"report.gitlab.url={tracker.url}")
    host = ("--set", "report.smtp.host=127.0.0.1")
    waits = found.run("report", "r0001", "--send", code=129)
    assert "approval: not approved by a person" in waits.stderr
    found.run(*port, *host, *FEW, "run", "--once", code=0)
    assert server.mails == [] and tracker.asked == []  # nobody has read it
    copy = found.run(*port, *host, "report", "r0001", "--send-to", "me@example.org", code=0)
    assert "sent to me@example.org" in copy.stdout
    approved = found.run("report", "r0001", "--approve", code=0)
    assert "queued" in approved.stdout
    assert "2 queued" in found.run("status", code=0).stdout
    found.run(*port, *host, *FEW, "run", "--once", code=0)  # sends what waits
    found.run(*port, *host, *FEW, "run", "--once", code=0)
    first, second = server.mails
    (issue,) = tracker.issues
    assert "make it smaller" in issue["description"] and tracker.actions == []
    assert f"gitlab {own_id(second)}: sent: opened #1" in found.run("show", "r0001", code=0).stdout
    assert first.recipients == ("me@example.org",)
    assert "list@example.org" in second.recipients
    message = email.message_from_bytes(second.data, policy=email.policy.default)
    assert message["Auto-Submitted"] == "auto-generated" and "X-Migbot-Held" not in message
    assert "make it smaller" in message["Subject"] + message.get_content()
    assert "approved by" in found.run("show", "r0001", code=0).stdout
    assert "r0001: ann@example.org says: no-cc: done: gets no more mails" in answered(found, message)
    again = found.run(*port, *host, "report", "r0001", "--kind", "report", "--send", code=129)
    assert "it is sent" in again.stderr
    assert len(server.mails) == 2 and len(tracker.issues) == 1


@pytest.mark.timeout(400)
def test_the_operator_hears_of_a_cycle_that_failed_and_of_one_that_went_well(found: Place, server: Sink) -> None:
    config = found.path / "config.yaml"
    before = config.read_text()
    try:
        config.write_text(
            before.replace("send: smtp", "operator: ops@example.net\n  send: smtp").replace(
                "{tls: none}", f"{{tls: none, host: 127.0.0.1, port: {server.port}}}"
            )
        )
        gone = ("--set", f"upstream.url={found.path / 'gone'}")
        for _ in range(2):
            found.run(*gone, "run", "--once", code=131)
        assert "trouble: failed, since " in found.run("status", code=0).stdout
        for _ in range(2):
            found.run(*FEW, "run", "--once", code=0)
        assert "trouble" not in found.run("status", code=0).stdout
    finally:
        config.write_text(before)
    own = [email.message_from_bytes(mail.data) for mail in server.mails if mail.recipients == ("ops@example.net",)]
    assert [text["Subject"].rpartition("] ")[2] for text in own] == ["a cycle failed", "a cycle failed: over"]
    assert "gone" in own[0].get_payload()
