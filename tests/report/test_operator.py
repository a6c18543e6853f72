"""Mails to the operator, against golden files; nothing of what they quote gets out of its place."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.alarms import Kind, Trouble
from bot.errors import UserError
from bot.report import operator
from bot.report.operator import Told
from tests.report.test_mail import SETTINGS, TEMPLATES, body, golden

SINCE = 1_700_000_000.0
SAID = {
    Kind.CYCLE: "no cycle has ended within 1.0 h (twice the longer of watch.every and watch.budget)",
    Kind.FAILED: "InfraError: https://gitlab.com/qemu-project/qemu.git: cannot fetch: Could not resolve host",
    Kind.DISK: "1.2 GiB free, build.free_space asks for 5.0 GiB",
    Kind.MAIL: "mail.example.org: [Errno 111] Connection refused",
    Kind.TOOLCHAIN: "master: ram-size ram pc.ram: 12 cases at 9f86d081884c fail, and so they do at 60303ae22b99, where "
    "they passed: toolchain: gcc 12.2.0, Debian 12 (0f3a9c21) then, gcc 14.2.0, Debian 13 (77e01bd4) now; no commit is "
    "to blame",
    Kind.BASELINE: "v10.0.14 does not take the place of v10.0.13: 418 of 420 cases between the two pass; 2 fail, and "
    "nothing explains it",
}


def mail(kind: Kind, lasted: str | None = None, *, said: str = "", host: str = "build1.example.org") -> EmailMessage:
    return operator.mail(
        Told(Trouble(kind, SINCE, said or SAID[kind]), SINCE + 60, lasted), "Ann <ann@example.org>",
        settings=SETTINGS, templates=TEMPLATES, host=host, work=Path("/var/lib/bot"),
        date=datetime.fromtimestamp(SINCE + 60, UTC),
    )  # fmt: skip


@pytest.mark.parametrize("kind", list(Kind))
def test_a_trouble_begins(kind: Kind) -> None:
    raw = mail(kind).as_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n")
    golden(f"operator-{kind}.eml", raw.decode("ascii").replace("\r\n", "\n"))


def test_it_is_over_in_the_same_thread() -> None:
    over = mail(Kind.DISK, "2 h 5 min")
    assert over["In-Reply-To"] == mail(Kind.DISK)["Message-ID"] != over["Message-ID"]
    golden("operator-disk-over.eml", over.as_bytes().decode("ascii").replace("\r\n", "\n"))


def test_it_goes_to_nobody_else_and_asks_for_no_answer_by_a_program() -> None:
    message = mail(Kind.MAIL)
    assert (message["To"], message["Cc"], message["Auto-Submitted"]) == (
        "Ann <ann@example.org>",
        None,
        "auto-generated",
    )
    assert "qemu-devel" not in message.as_string()


def test_an_address_that_is_none() -> None:
    with pytest.raises(UserError, match=r"report\.operator: 'nobody'"):
        operator.mail(
            Told(Trouble(Kind.DISK, SINCE, "x"), SINCE), "nobody", settings=SETTINGS, templates=TEMPLATES,
            host="h", work=Path("/"), date=datetime.fromtimestamp(SINCE, UTC),
        )  # fmt: skip


HOSTILE = st.text(max_size=60) | st.sampled_from(
    [
        "x\r\nBcc: all@example.org",
        "=?utf-8?q?x=0d=0aBcc:_a?=",
        "x\r\n\r\nbody",
        "\x1b[31mred\x1b[0m",
        "{{ 7*7 }}",
        "\u2028",
    ]
)


@settings(max_examples=100, deadline=None)
@given(HOSTILE, HOSTILE, st.sampled_from(list(Kind)), st.booleans())
def test_what_is_quoted_makes_no_header_and_no_line(said: str, host: str, kind: Kind, over: bool) -> None:
    message = mail(kind, "8 s" if over else None, said=said, host=host)
    read = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    names = ["From", "To", "Subject", "Date", "Message-ID"]
    names += ["In-Reply-To", "References"] if over else []
    names += ["Auto-Submitted", "X-Migbot", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
    assert list(read.keys()) == names
    assert read["Subject"] == message["Subject"]
    plain = mail(kind, "8 s" if over else None)
    assert len(body(message).splitlines()) == len(body(plain).splitlines())
    assert "\x1b" not in body(message)
