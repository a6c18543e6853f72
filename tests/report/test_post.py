"""Ways out: what each makes of every answer, by one contract, on real servers and a real command."""

from __future__ import annotations

import contextlib
import email
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.core.outbox import Accepted, Answer, Deferred, Lost, Rejected
from bot.errors import UserError
from bot.model import GitLab as Project
from bot.model import PostSettings, SmtpServer
from bot.model import Webhook as Hook
from bot.report import render
from bot.report.deliver import as_text
from bot.report.post import Letter, Transport
from bot.report.post.addressing import ORIGINAL, copy, letter
from bot.report.post.gitlab import GitLab
from bot.report.post.sendmail import Sendmail
from bot.report.post.smtp import Smtp
from bot.report.post.webhook import Webhook
from tests.report.test_mail import SETTINGS, TEMPLATES
from tests.testing import reports
from tests.testing.gitlab import Fault, gitlab
from tests.testing.sink import Sink, breaks, certificate, free_port, scripted, sink, web

NOW = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
CANARY = "canary-password-0417"
POST = PostSettings("smtp", "Migration bot <migbot@example.com>", SmtpServer("x"), ("x",), 9, 9, ("*",), ())
MAIL = as_text(render.mail(reports.first_bad(), settings=SETTINGS, templates=TEMPLATES, date=NOW))
LETTER = letter(MAIL, POST, NOW)
PATIENCE = 2.0
"""Seconds that a silent server is waited for. What it answers before has to come within them on a busy machine, too:
only the last answer tells `Lost` from `Deferred`."""


def smtp(port: int, **given: object) -> Smtp:
    password = SecretStr(CANARY) if "user" in given else None
    options = {"tls": "none", "timeout": 20.0, **given}
    return Smtp(SmtpServer("127.0.0.1", port, **options), password)  # type: ignore[arg-type]  # by name


# -- the contract --------------------------------------------------------------------------------------------------

Way = Callable[[Path, str], AbstractContextManager[Transport]]
NEWS = b'{"kind": "report", "thread": "migbot1", "key": "migbot2", "title": "x", "text": "x"}'


@contextlib.contextmanager
def by_smtp(_tmp: Path, what: str) -> Iterator[Transport]:
    talk = {"taken": breaks("-"), "later": breaks("BODY", "451 later"), "never": breaks("BODY", "550 no"),
            "silent": breaks("BODY", "hang"), "broken": breaks("BODY")}  # fmt: skip
    if what == "gone":
        yield smtp(free_port())
        return
    with scripted(talk[what]) as port:
        yield smtp(port, timeout=PATIENCE if what == "silent" else 20.0)


@contextlib.contextmanager
def by_sendmail(tmp: Path, what: str) -> Iterator[Transport]:
    does = {"taken": "cat >/dev/null", "later": "exit 75", "never": "exit 67", "silent": "sleep 9", "broken": "kill $$"}
    if what == "gone":
        yield Sendmail([str(tmp / "not-there")], 5)
        return
    yield Sendmail(["sh", "-c", does[what]], 0.5 if what == "silent" else 60)


@contextlib.contextmanager
def by_webhook(_tmp: Path, what: str) -> Iterator[Transport]:
    status = {"taken": 204, "later": 503, "never": 404, "silent": -1, "broken": 0}
    with web() as there:
        url = f"http://127.0.0.1:{free_port()}" if what == "gone" else there.url
        there.answers = [(status.get(what, 200), {}, {})]
        yield Webhook(Hook("hook", url, timeout=0.5 if what == "silent" else 20.0), None)


@contextlib.contextmanager
def by_gitlab(_tmp: Path, what: str) -> Iterator[Transport]:
    faults = {"later": Fault("POST", 503), "never": Fault("POST", 404),
              "silent": Fault("POST", what="hang"), "broken": Fault("POST", what="dropped")}  # fmt: skip
    with gitlab(CANARY) as there:
        there.faults = [faults[what]] if what in faults else []
        url = f"http://127.0.0.1:{free_port()}" if what == "gone" else there.url
        project = Project(url, there.project, timeout=PATIENCE if what == "silent" else 20.0)
        yield GitLab(project, SecretStr(CANARY))


DATA: dict[Way, bytes] = {by_webhook: b"{}", by_gitlab: NEWS}  # of those that take no mail


@pytest.mark.parametrize("what", ["taken", "later", "never", "gone", "silent", "broken"])
@pytest.mark.parametrize("way", [by_smtp, by_sendmail, by_webhook, by_gitlab])
def test_the_contract(tmp_path: Path, way: Way, what: str) -> None:
    """An answer to everything; `Lost` where it may have gone out, unless the other side knows a repetition."""
    with way(tmp_path, what) as transport:
        answer = transport.send(replace(LETTER, data=DATA[way]) if way in DATA else LETTER)
        lost = Deferred if transport.repeatable else Lost
    wanted: dict[str, type[Answer]] = {
        "taken": Accepted, "later": Deferred, "never": Rejected, "gone": Deferred, "silent": lost, "broken": lost,
    }  # fmt: skip
    assert isinstance(answer, wanted[what]), answer
    told = answer.said if isinstance(answer, Accepted) else answer.why
    assert told and "\n" not in told and len(told) <= 400
    if what == "gone":
        assert isinstance(answer, Deferred) and answer.everything


# -- SMTP ----------------------------------------------------------------------------------------------------------


def test_a_mail_arrives_as_it_is() -> None:
    dots = letter(MAIL.replace("Symptom", "..\r\n.\r\n.x\r\nSymptom", 1), POST, NOW)
    with sink() as there:
        answer = smtp(there.port).send(dots)
        (mail,) = there.mails
    assert answer == Accepted("250 2.0.0 queued as 1", dots.recipients)
    assert (mail.sender, mail.recipients, mail.data) == ("migbot@example.com", dots.recipients, dots.data)


def test_one_recipient_is_refused_and_one_is_for_later() -> None:
    with sink() as there:
        there.answers = {"rev2@example.org": "550 5.1.1 no such user", "qemu-ppc@nongnu.org": "451 greylisted"}
        answer = smtp(there.port).send(LETTER)
        (mail,) = there.mails
    assert isinstance(answer, Accepted)
    assert (answer.refused, answer.later) == (("rev2@example.org",), ("qemu-ppc@nongnu.org",))
    assert mail.recipients == answer.delivered and len(answer.delivered) == 4
    assert "451 greylisted" in answer.said


@pytest.mark.parametrize(("code", "kind"), [("550 no", Rejected), ("451 later", Deferred)])
def test_nobody_is_taken(code: str, kind: type[Answer]) -> None:
    with sink() as there:
        there.answers = dict.fromkeys(LETTER.recipients, code)
        assert isinstance(smtp(there.port).send(LETTER), kind)
        assert there.mails == []


@pytest.mark.parametrize(
    ("at", "how", "wanted"),
    [
        ("GREETING", "drop", Deferred), ("GREETING", "554 go away", Deferred), ("GREETING", "hang", Deferred),
        ("EHLO", "drop", Deferred), ("MAIL", "451 later", Deferred), ("MAIL", "550 not you", Rejected),
        ("RCPT", "421 closing", Deferred), ("RCPT", "drop", Deferred), ("DATA", "451 full", Deferred),
        ("DATA", "554 no", Rejected), ("DATA", "drop", Deferred), ("BODY", "drop", Lost), ("BODY", "hang", Lost),
        ("BODY", "452 full", Deferred), ("BODY", "554 spam", Rejected), ("BODY", "nonsense", Lost),
    ],
)  # fmt: skip
def test_it_breaks(at: str, how: str, wanted: type[Answer]) -> None:
    said: list[bytes] = []
    with scripted(breaks(at, how, said)) as port:
        answer = smtp(port, timeout=PATIENCE if how == "hang" else 20.0).send(LETTER)
    assert isinstance(answer, wanted), answer
    assert bool(said) == (at == "BODY"), "nothing is given away unless the server may keep it"


def test_a_server_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.report.post.smtp._TOTAL", 2)

    def drip(connection) -> None:  # type: ignore[no-untyped-def]  # a Script
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(b"2")
                __import__("time").sleep(0.1)

    with scripted(drip) as port:
        assert isinstance(smtp(port, timeout=0.4).send(LETTER), Deferred)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


def test_tls_from_the_first_byte(pem: Path) -> None:
    with sink(tls="implicit", certificate=pem) as there:
        assert isinstance(smtp(there.port, tls="implicit", ca=pem).send(LETTER), Accepted)
        assert [mail.tls for mail in there.mails] == [True]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_and_login(pem: Path, tls: Literal["starttls", "implicit"]) -> None:
    with sink(tls=tls, certificate=pem, password=CANARY) as there:
        answer = smtp(there.port, tls=tls, ca=pem, user="bot").send(LETTER)
        assert isinstance(answer, Accepted), answer
        (mail,) = there.mails
    assert (mail.tls, mail.user) == (True, "bot")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_certificate_that_nobody_vouches_for(pem: Path, tmp_path: Path, tls: str) -> None:
    other = certificate(tmp_path, "mail.example.org")
    with ExitStack() as stack:
        mine = stack.enter_context(sink(tls=tls, certificate=pem))
        theirs = stack.enter_context(sink(tls=tls, certificate=other))
        tries = (smtp(mine.port, tls=tls), smtp(theirs.port, tls=tls, ca=other))  # unknown; of another name
        for transport in tries:
            answer = transport.send(LETTER)
            assert isinstance(answer, Deferred) and "certificate is not believed" in answer.why
        assert mine.mails == theirs.mails == []


def test_no_mail_and_no_password_without_the_tls_that_was_asked_for() -> None:
    with sink() as there:
        answer = smtp(there.port, tls="starttls", user="bot").send(LETTER)
        assert isinstance(answer, Deferred) and "STARTTLS" in answer.why
        assert there.mails == []


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_wrong_password_loses_nothing_and_is_not_told(pem: Path, tls: Literal["starttls", "implicit"]) -> None:
    with sink(tls=tls, certificate=pem, password=CANARY[1:]) as there:
        answer = smtp(there.port, tls=tls, ca=pem, user="bot").send(LETTER)
        assert there.mails == []
    assert answer == Deferred("535: the server does not take user and password", everything=True)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_server_that_speaks_the_other_kind_of_tls(pem: Path, tls: Literal["starttls", "implicit"]) -> None:
    """Neither mail nor password leaves; where both wait for the other to begin it costs a timeout."""
    other: Literal["starttls", "implicit"] = "implicit" if tls == "starttls" else "starttls"
    with sink(tls=other, certificate=pem, password=CANARY) as there:
        answer = smtp(there.port, tls=tls, ca=pem, user="bot", timeout=0.5).send(LETTER)
        assert there.mails == []
    assert isinstance(answer, Deferred) and answer.everything


def test_a_user_without_a_password_is_told() -> None:
    with pytest.raises(UserError, match="password_file, or the variable BOT_SECRET_SMTP"):
        Smtp(SmtpServer("x", user="bot"), None)


def test_a_server_that_knows_seven_bits_gets_seven() -> None:
    said: list[bytes] = []
    utf8 = letter(MAIL.replace("Symptom", "Störung"), POST, NOW)
    utf8 = replace(utf8, data=utf8.data.replace(b"7bit", b"8bit").replace(b"us-ascii", b"utf-8"))
    with scripted(breaks("-", said=said)) as port:
        assert isinstance(smtp(port).send(utf8), Accepted)
    back = email.message_from_bytes(said[0].removesuffix(b".\r\n"), policy=default)
    assert said[0].isascii() and isinstance(back, EmailMessage) and "Störung" in back.get_content()


# -- sendmail ------------------------------------------------------------------------------------------------------


def test_what_a_command_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING_OF_OURS", CANARY)
    script = tmp_path / "sendmail"
    script.write_text(f'#!/bin/sh\ncd {tmp_path}\nprintf "%s\\n" "$@" >args\nenv >env\ncat >mail\n')
    script.chmod(0o755)
    assert isinstance(Sendmail([str(script), "-i"], 60).send(LETTER), Accepted)
    args = (tmp_path / "args").read_text().split()
    assert args == ["-i", "-f", "migbot@example.com", "--", *LETTER.recipients]
    assert (tmp_path / "mail").read_bytes() == LETTER.data.replace(b"\r\n", b"\n")
    assert CANARY not in (tmp_path / "env").read_text()


# -- webhook -------------------------------------------------------------------------------------------------------


def test_what_a_webhook_gets() -> None:
    with web() as there:
        hook = Webhook(Hook("hook", there.url + "/x"), SecretStr(CANARY))
        assert hook.send(Letter("key-1", b'{"id": "r0001"}')) == Accepted("201 Created")
        ((method, path, headers, body),) = there.asked
    assert (method, path, body) == ("POST", "/x", {"id": "r0001"})
    assert headers["Idempotency-Key"] == "key-1"
    assert headers["Authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    ("status", "headers", "wanted"),
    [
        (429, {"Retry-After": "7"}, Deferred("429 Too Many Requests", 7.0, everything=True)),
        (503, {"Retry-After": "soon"}, Deferred("503 Service Unavailable", 0.0, everything=True)),
        (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, Deferred("503 Service Unavailable", everything=True)),
        (302, {"Location": "http://elsewhere.invalid"}, Rejected("302 Found")),
        (401, {}, Rejected("401 Unauthorized")),
    ],
)
def test_what_a_webhook_answers(status: int, headers: dict[str, str], wanted: Answer) -> None:
    with web() as there:
        there.answers = [(status, headers, {})]
        assert Webhook(Hook("hook", there.url), None).send(Letter("k", b"{}")) == wanted
        assert len(there.asked) == 1


# -- addressing ----------------------------------------------------------------------------------------------------


def parsed(data: bytes) -> EmailMessage:
    back = email.message_from_bytes(data, policy=default)
    assert isinstance(back, EmailMessage)
    return back


def test_only_who_may_get_mail_is_written_to() -> None:
    chosen = replace(POST, domains=("nongnu.org",), no_cc=("qemu-ppc@*",))
    sent = letter(MAIL, chosen, NOW)
    assert sent.recipients == ("qemu-devel@nongnu.org",)
    back = parsed(sent.data)
    assert (back["To"], back["Cc"]) == ("qemu-devel@nongnu.org", None)
    assert letter(MAIL, replace(POST, domains=()), NOW).recipients == ()


def test_who_has_it_is_not_written_to_again_but_named() -> None:
    sent = letter(MAIL, POST, NOW, but=["author@example.org"])
    assert "author@example.org" not in sent.recipients and len(sent.recipients) == 5
    assert "author@example.org" in parsed(sent.data)["To"]


def test_what_goes_out_is_not_held_and_of_today() -> None:
    back = parsed(LETTER.data)
    assert "X-Migbot-Held" in parsed(MAIL.encode())
    assert "X-Migbot-Held" not in back and back["Message-ID"] == parsed(MAIL.encode())["Message-ID"]
    assert back["Date"].datetime == NOW and back["Auto-Submitted"] == "auto-generated"
    assert LETTER.data.partition(b"\r\n\r\n")[2] == MAIL.encode().partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("mark", ["test", "copy"])
def test_a_mail_that_goes_elsewhere_says_so(mark: str) -> None:
    chosen = replace(POST, test_to="Me <me@example.net>" if mark == "test" else None)
    sent = letter(MAIL, chosen, NOW) if mark == "test" else copy(MAIL, POST, NOW, "me@example.net")
    assert sent.recipients == ("me@example.net",)
    back, original = parsed(sent.data), parsed(MAIL.encode())
    assert back["Subject"] == f"[{mark}] {original['Subject']}"
    assert back["Message-ID"] != original["Message-ID"] and back["Message-ID"].startswith(f"<{mark}")
    assert back["Cc"] is None
    assert back[ORIGINAL].replace(",", "").split() == list(LETTER.recipients)


@pytest.mark.parametrize("to", ["nobody", "a@b\r\nBcc: c@d", "a@b, c@d", "-x@", "root@forbidden.org"])
def test_a_copy_goes_to_one_address_that_may_get_it(to: str) -> None:
    with pytest.raises(UserError, match="--send-to"):
        copy(MAIL, replace(POST, domains=("example.net",)), NOW, to)


HOSTILE = st.text(st.sampled_from('aé ,;:<>@"\\()=?\r\n\0\u2028\x1b[]_.-utf8qb'), max_size=60)


@settings(max_examples=60, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE, st.sampled_from(["none", "test", "copy"]))
def test_no_text_gets_out_of_its_header(subject: str, name: str, user: str, mode: str) -> None:
    """Parsed-back headers are the set that was put in, and nobody else is written to."""
    report = reports.first_bad()
    assert report.culprit is not None
    body = f"Reviewed-by: {user} <rev@example.org>\nAcked-by: X <{user}@example.org>\n"
    culprit = replace(report.culprit, author=name, subject=subject, body=body)
    report = replace(report, culprit=culprit, bad_name=subject)
    mail = as_text(render.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW))
    chosen = replace(POST, test_to="me@example.net" if mode == "test" else None)
    sent = copy(mail, POST, NOW, "me@example.net") if mode == "copy" else letter(mail, chosen, NOW)
    before, back = parsed(mail.encode()), parsed(sent.data)
    elsewhere = mode != "none"
    wanted = set(before.keys()) - {"X-Migbot-Held"} - ({"Cc"} if elsewhere else set())
    assert set(back.keys()) == wanted | ({ORIGINAL} if elsewhere else set())
    assert len(back.keys()) == len(set(back.keys()))
    everybody = [a.addr_spec for field in ("To", "Cc") for a in getattr(before[field], "addresses", ())]
    if elsewhere:
        assert sent.recipients == ("me@example.net",)
        assert back[ORIGINAL].replace(",", "").split() == everybody
    else:
        assert list(sent.recipients) == everybody
        assert back["Subject"] == before["Subject"]
    assert all(" " not in one and "\n" not in one and one.count("@") == 1 for one in sent.recipients)
    assert not [text for text in sent.data.partition(b"\r\n\r\n")[0].split(b"\r\n") if len(text) > 998]


def test_a_sink_is_what_it_says() -> None:
    """The sink takes what it did not take before, else none of this means anything."""
    with sink() as there:
        there.data = "554 no"
        assert isinstance(smtp(there.port).send(LETTER), Rejected)
        assert there == Sink(data="554 no", port=there.port)
