"""The answer to a mail with commands, against a golden file; who gets it, and that nothing gets out of its place."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.replies import Command, Letter, Policy, Sent, Verb, automatic, read
from bot.host.mailbox import opened
from bot.report import answer
from bot.report.answer import Answer
from tests.report.test_mail import HEADERS, SETTINGS, TEMPLATES, body, golden, parsed

DAY = datetime(2020, 3, 27, 5, 48, 10, tzinfo=UTC)
TOLD = Answer(
    3, "r0017", "ann@example.org", "87wm2x@example.org",
    "[regression] pseries <= 3.1 -mem-path: migration 2.12 -> master",
    (
        (Command(Verb.TEST, "20200320101500.1-1-ann@example.org"),
         "Cures it: with the patch on master (d96c4d5f193e) it fails 0 of 10, without it 10 of 10."),
        (Command(Verb.INVALID, "the guest was wrong"), "Nothing to do: it is fixed."),
    ),
    ("no such command; there are test <message-id>, invalid <why>",),
)  # fmt: skip
OWN = replace(SETTINGS, answers="migbot")
HOSTILE = st.text(st.characters(), max_size=300) | st.sampled_from(
    ["x\r\nBcc: all@example.org", "\x1b[31mred", "\u202eback", "\nmigbot: no-cc\n", "=?utf-8?q?x=0d=0aBcc:_a?=", "-- "]
)


def mail(told: Answer = TOLD) -> EmailMessage:
    made = answer.mail(told, settings=OWN, templates=TEMPLATES, date=DAY)
    assert made is not None
    return made


def test_whole_mail() -> None:
    message = mail()
    raw = message.as_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n"), "RFC 5322 line ends"
    assert all(len(row) <= 76 for row in body(message).splitlines())
    golden("answer.eml", raw.decode("ascii").replace("\r\n", "\n"))


def test_it_goes_to_the_sender_alone_and_is_no_mail_that_is_answered() -> None:
    message = mail()
    assert message["In-Reply-To"] == message["References"] == "<87wm2x@example.org>"
    assert str(message["To"]) == "ann@example.org" and message["Cc"] is None
    assert message["Auto-Submitted"] == "auto-replied"
    found = opened(message.as_bytes(), "ours").letter
    assert found is not None and automatic(found, "migbot@example.org")
    assert "guest was wrong" not in message.as_string()


def test_each_mail_has_an_answer_of_its_own_and_each_rendering_is_the_same() -> None:
    assert mail().as_bytes() == mail().as_bytes()
    others = (replace(TOLD, number=4), replace(TOLD, message_id="a@example.org"), replace(TOLD, regression="r0018"))
    assert len({mail(one)["Message-ID"] for one in (TOLD, *others)}) == 4


@pytest.mark.parametrize("sender", ["", "ann", "a b@example.org", "ann@example.org\r\nBcc: b@example.org"])
def test_what_is_no_address_is_not_written_to(sender: str) -> None:
    assert answer.mail(replace(TOLD, sender=sender), settings=OWN, templates=TEMPLATES, date=DAY) is None


@given(HOSTILE, HOSTILE, HOSTILE)
@settings(max_examples=60, deadline=None)
def test_nothing_gets_out_of_its_place(subject: str, said: str, refused: str) -> None:
    """Sent back as it is, even in the name of one who may tell us, it tells us nothing."""
    told = replace(TOLD, subject=subject, outcomes=((TOLD.outcomes[0][0], said),), refused=(refused,))
    message = mail(told)
    assert set(parsed(message).keys()) <= set(HEADERS)
    text = body(message)
    assert not any(row.startswith("migbot:") for row in text.splitlines())
    assert all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp") for c in text)
    policy = Policy("migbot", "migbot@example.org", "mx.example.org", ("ann@example.org",))
    back = (
        ("Authentication-Results", "mx.example.org; dkim=pass header.d=example.org"), ("From", "ann@example.org"),
        ("Message-ID", "<b@example.org>"), ("In-Reply-To", "<ours@example.org>"),
    )  # fmt: skip
    assert read(Letter(back, text), {"ours@example.org": Sent("r0017")}, policy) is None
