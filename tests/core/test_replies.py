"""Commands in answers: whose count, where in a mail they count, and that nobody speaks in the name of others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.authentication import vouched
from bot.core.outbox import DAY
from bot.core.replies import MOST, USAGE, Command, Letter, Policy, Reading, Sent, Verb, over, read

OURS = "r0017.1.report.5f0c1e9a@migbot.example.org"
SENT = {OURS: Sent("r0017", frozenset({"rev@example.net", "qemu-devel@nongnu.org", "ann@example.org"}))}
POLICY = Policy(
    "migbot", "migbot@example.org", "mx.example.org", ("ann@example.org",), frozenset({"qemu-devel@nongnu.org"})
)
SIGNED = "v=1; a=rsa-sha256; d=example.org; s=x; h=From:Message-ID:In-Reply-To:References:Subject; bh=x; b=y"
HEADERS = (
    ("Authentication-Results", "mx.example.org; dkim=pass header.d=example.org header.s=x"),
    ("Received", "from mail.example.org by mx.example.org"),
    ("DKIM-Signature", SIGNED),
    ("From", "Ann Example <ann@example.org>"),
    ("Message-ID", "<1@example.org>"),
    ("In-Reply-To", f"<{OURS}>"),
)


def letter(text: str, *more: tuple[str, str], **changed: str | None) -> Letter:
    """Ann's answer. A header that is changed to None is left out; `more` stand at the end."""
    given = {name.replace("_", "-").lower(): value for name, value in changed.items()}
    found = [(name, given.get(name.lower(), value)) for name, value in HEADERS]
    return Letter((*((name, value) for name, value in found if value is not None), *more), text)


def told(mail: Letter, policy: Policy = POLICY) -> tuple[Command, ...]:
    reading = read(mail, SENT, policy)
    return reading.commands if reading else ()


def test_a_command() -> None:
    assert read(letter("Thanks.\n\nmigbot: no-cc\n"), SENT, POLICY) == Reading(
        "1@example.org", "r0017", "ann@example.org", known=True, commands=(Command(Verb.NO_CC),)
    )


LINES = {
    "migbot: test <20200219160953.1-1-a@example.org>": Command(Verb.TEST, "20200219160953.1-1-a@example.org"),
    "migbot: test 20200219160953.1-1-a@example.org": Command(Verb.TEST, "20200219160953.1-1-a@example.org"),
    "migbot: test\n<a@example.org>": Command(Verb.TEST, "a@example.org"),
    "MIGBOT:  No-CC ": Command(Verb.NO_CC),
    "migbot: no-cc\r": Command(Verb.NO_CC),
    "migbot: invalid  the guest was\twrong": Command(Verb.INVALID, "the guest was wrong"),
    "migbot: expected X.Y.0 guests stay broken": Command(Verb.EXPECTED, "X.Y.0 guests stay broken"),
    "migbot: fixed-by d96c4d5f193e": Command(Verb.FIXED_BY, "d96c4d5f193e"),
    'migbot: fixed-by d96c4d5f193e ("vl.c: fix (it)")': Command(Verb.FIXED_BY, "d96c4d5f193e"),
    "migbot: culprit is 900c0ba373aa": Command(Verb.CULPRIT, "900c0ba373aa"),
}


@pytest.mark.parametrize("line", LINES)
def test_what_can_be_told(line: str) -> None:
    assert told(letter(f"Hi,\n{line}\nBye")) == (LINES[line],)
    again = f"migbot: {LINES[line]}"
    assert told(letter(again)) == (LINES[line],), "as we write it, it is read"


WRONG = {
    "migbot: test": "test",
    "migbot: test it please": "test",
    "migbot: test <a@b> --output=x": "test",
    "migbot: test <--upload-pack@x y>": "test",
    "migbot: invalid": "invalid",
    "migbot: no-cc ann@example.org": "no-cc",
    "migbot: fixed-by HEAD": "fixed-by",
    "migbot: fixed-by abc123": "fixed-by",
    "migbot: culprit 900c0ba373aa": "no such command",
    "migbot: culprit is --all": "culprit",
    "migbot: thank you": "no such command",
    "migbot:": "no such command",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_named(line: str) -> None:
    reading = read(letter(line), SENT, POLICY)
    assert reading is not None and reading.commands == ()
    (why,) = reading.refused
    assert why.startswith(WRONG[line]) and ("it is said so: " in why or "; there are test <message-id>, " in why)


NOT_SAID = {
    "a quotation": "> migbot: no-cc",
    "a quotation without its space": ">migbot: no-cc",
    "in a line": "say migbot: no-cc",
    "our own footer": "  migbot: no-cc  |  migbot: invalid <why>",
    "moved to the right": " migbot: no-cc",
    "a signature": "Regards\n-- \nmigbot: no-cc",
    "a forwarded mail": "FYI\n---------- Forwarded message ---------\nmigbot: no-cc",
    "a mail below": "ok\n-----Original Message-----\nmigbot: no-cc",
    "a mail below, with its headers": "ok\nFrom: bot <x@y>\nmigbot: no-cc",
    "a patch": "fix it\n---\n foo.c | 2 +-\nmigbot: no-cc",
    "a diff": "diff --git a/x b/x\nmigbot: no-cc",
    "another bot": "#syz: no-cc",
    "beyond what is looked at": "x" * (1 << 16) + "\nmigbot: no-cc",
}


@pytest.mark.parametrize("name", NOT_SAID)
def test_what_is_not_said_to_us(name: str) -> None:
    assert read(letter(NOT_SAID[name]), SENT, POLICY) is None


AUTOMATIC = {
    "vacation": ("Auto-Submitted", "auto-replied"),
    "generated": ("auto-submitted", "Auto-Generated; x=y"),
    "bulk": ("Precedence", "bulk"),
    "reply": ("Precedence", "auto_reply"),
    "loop": ("X-Loop", "anybody"),
    "our own": ("X-Migbot", "id=r0017; kind=report"),
    "bounce": ("Return-Path", "<>"),
    "report": ("Content-Type", 'multipart/report; report-type=delivery-status; boundary="x"'),
    "autoreply": ("X-Autoreply", "yes"),
}


@pytest.mark.parametrize("name", AUTOMATIC)
def test_what_no_person_wrote(name: str) -> None:
    assert read(letter("migbot: no-cc", AUTOMATIC[name]), SENT, POLICY) is None


@pytest.mark.parametrize("own", ["migbot@example.org", "Bot <MigBot+r0017@Example.org>", "mailer-daemon@example.org"])
def test_our_own_mails_tell_us_nothing(own: str) -> None:
    policy = replace(POLICY, allowed=("*@example.org",))
    assert read(letter("migbot: no-cc", From=own), SENT, policy) is None


@pytest.mark.parametrize("header", [("Auto-Submitted", "no"), ("Precedence", "list"), ("Return-Path", "<ann@x>")])
def test_what_a_person_wrote_through_a_list(header: tuple[str, str]) -> None:
    assert told(letter("migbot: no-cc", header)) == (Command(Verb.NO_CC),)


# -- which mail is answered ----------------------------------------------------------------------------------------


def test_the_nearest_of_our_mails_counts() -> None:
    other = "r0018.1.report.11111111@migbot.example.org"
    sent = SENT | {other: Sent("r0018")}
    mails = {
        "r0018": letter("migbot: no-cc", ("References", f"<{OURS}> <{other}> <2@x>"), In_Reply_To="<2@x>"),
        "r0017": letter("migbot: no-cc", ("References", f"<{other}>")),
    }
    for regression, mail in mails.items():
        reading = read(mail, sent, POLICY)
        assert reading is not None and reading.regression == regression


@pytest.mark.parametrize("field", [None, "", "<other@x>", OURS, f"<{OURS.upper()}>", f"< {OURS} >"])
def test_what_answers_none_of_our_mails(field: str | None) -> None:
    assert read(letter("migbot: no-cc", In_Reply_To=field), SENT, POLICY) is None


# -- who may -------------------------------------------------------------------------------------------------------


def reading_of(sender: str, text: str, *more: tuple[str, str], **changed: str | None) -> Reading:
    """An answer that the sender's own domain vouches for."""
    domain = sender.rpartition("@")[2]
    results = f"mx.example.org; dkim=pass header.d={domain}"
    given = {"From": f"X <{sender}>", "Authentication_Results": results, "DKIM_Signature": None, **changed}
    found = read(letter(text, *more, **given), SENT, POLICY)
    assert found is not None
    return found


def test_who_got_the_mail_may_say_no_cc_and_nothing_else() -> None:
    found = reading_of("rev@example.net", "migbot: no-cc\nmigbot: invalid x")
    assert found.commands == (Command(Verb.NO_CC),)
    assert found.refused == ("invalid: rev@example.net is not among those who may say that (replies.allowed)",)
    assert reading_of("eve@example.net", "migbot: no-cc").commands == ()


def test_a_list_does_not_speak() -> None:
    found = reading_of("qemu-devel@nongnu.org", "migbot: no-cc")
    assert not found.known and "a list hides who wrote it" in found.refused[0]


def test_most_commands_of_a_mail() -> None:
    lines = [f"migbot: invalid {number}" for number in range(MOST + 2)]
    found = read(letter("\n".join(lines)), SENT, POLICY)
    assert found is not None and len(found.commands) == MOST and "more than 3 commands" in found.refused[0]
    assert told(letter("migbot: no-cc\nmigbot: no-cc")) == (Command(Verb.NO_CC),)


def test_enough_for_a_day() -> None:
    times = [float(at) for at in range(5)]
    assert over(times, 5, DAY - 1) and not over(times, 6, DAY - 1) and not over(times, 5, DAY + 1)


NAMES_NOBODY = [
    "", "Ann", "ann@example.org, eve@example.net", "<ann@example.org> <eve@example.net>",
    "friends: ann@example.org;", "ann@example.org <eve@example.net>", '"ann@example.org" eve@example.net',
    "Ann <ann@example.org", "Ann <ann@eve@example.org>", "Änn <änn@example.org>", "a" * 2000 + " <ann@example.org>",
]  # fmt: skip


@pytest.mark.parametrize("field", NAMES_NOBODY, ids=lambda field: field[:40])
def test_a_from_that_names_no_one_address(field: str) -> None:
    found = read(letter("migbot: no-cc", From=field), SENT, POLICY)
    assert found is not None and found.commands == () and found.refused == ("From names no one address",)


@pytest.mark.parametrize(
    "field", ["ann@example.org", '"Ann, \\"<eve@example.net>\\"" <ann@example.org>', "Ann (Lab) <ANN@Example.org>",
              "=?utf-8?q?=C3=84nn?= <ann@example.org>"],
)  # fmt: skip
def test_ways_to_write_an_address(field: str) -> None:
    assert told(letter("migbot: no-cc", From=field)) == (Command(Verb.NO_CC),)


@pytest.mark.parametrize("name", ["From", "Message-ID"])
def test_a_field_that_is_there_twice_is_none(name: str) -> None:
    value = dict(HEADERS)[name]
    assert told(letter("migbot: no-cc", (name, value))) == ()


# -- who vouches ---------------------------------------------------------------------------------------------------

BELIEVED = [
    "mx.example.org; dkim=pass header.d=example.org",
    "MX.example.org 1; spf=fail smtp.mailfrom=x; DKIM=Pass (2048-bit key) header.d=Example.org header.i=@example.org",
    'mx.example.org; dmarc=pass (p=reject) header.from=example.org; dkim=fail header.d=example.org reason="x; y"',
    "mx.example.org; dkim=fail header.d=example.org; dkim=pass header.d=example.org",
    # as OpenDKIM, Gmail and rspamd write it
    "mx.example.org; dkim=pass (2048-bit key; unprotected) header.d=example.org header.i=@example.org"
    " header.a=rsa-sha256 header.s=x header.b=bPZ5/+a=; dkim-atps=neutral",
    "mx.example.org; dkim=pass header.i=@example.org header.s=x header.b=aXyz; spf=pass (example.org: domain of"
    " ann@example.org designates 192.0.2.1 as permitted sender) smtp.mailfrom=ann@example.org;"
    " dmarc=pass (p=NONE sp=QUARANTINE dis=NONE) header.from=example.org",
    "mx.example.org; dkim=none; spf=pass (mx.example.org: domain of ann@example.org designates 192.0.2.1 as permitted"
    " sender) smtp.mailfrom=ann@example.org; dmarc=pass (policy=none) header.from=example.org",
]
NOT_BELIEVED = [
    "mx.example.org",
    "mx.example.org; none",
    "mx.example.org; spf=pass smtp.mailfrom=ann@example.org",
    "mx.example.org; dkim=pass header.d=example.net",
    "mx.example.org; dkim=pass header.d=sub.example.org",
    "mx.example.org; dkim=pass header.d=example.net header.i=@example.org",
    "mx.example.org; dkim=pass header.i=@example.org header.d=org",
    "mx.example.org; dkim=pass",
    "mx.example.org; dkim=fail header.d=example.org",
    "mx.example.org; dkim=passed header.d=example.org",
    "mx.example.org; dmarc=pass header.from=example.net",
    "mx.example.org; dmarc=pass smtp.from=example.org",
    "mx.example.org; arc=pass header.d=example.org",
    "mx.example.org; x-dkim=pass header.d=example.org",
    "mx.example.org; spf=pass (x; dkim=pass header.d=example.org)",
    'mx.example.org; spf=pass reason="; dkim=pass header.d=example.org"',
    'mx.example.org; spf=pass reason="\\"; dkim=pass header.d=example.org"',
    "mx.example.org; spf=pass (\\); dkim=pass header.d=example.org)",
    "mx.example.org; spf=pass smtp.helo=dkim=pass header.d=example.org",
    "mx.example.net; dkim=pass header.d=example.org",
    "(mx.example.org) mx.example.net; dkim=pass header.d=example.org",
    "mx.example.org.example.net; dkim=pass header.d=example.org",
    "; mx.example.org; dkim=pass header.d=example.org",
]


@pytest.mark.parametrize("results", BELIEVED)
def test_what_is_believed(results: str) -> None:
    assert vouched((("Authentication-Results", results),), "example.org", "mx.example.org") is None


@pytest.mark.parametrize("results", NOT_BELIEVED)
def test_what_is_not_believed(results: str) -> None:
    assert vouched((("Authentication-Results", results),), "example.org", "mx.example.org")
    found = read(letter("migbot: invalid x", Authentication_Results=results), SENT, POLICY)
    assert found is not None and not found.known and found.commands == ()


def test_a_result_that_came_with_the_mail_is_below() -> None:
    forged = ("Authentication-Results", BELIEVED[0])
    assert told(letter("migbot: no-cc", forged, Authentication_Results="mx.example.org; dkim=none")) == ()
    assert told(letter("migbot: no-cc", forged, Authentication_Results=None)) == (Command(Verb.NO_CC),), (
        "what the server has to remove, and did not, is taken for its own"
    )


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        (SIGNED + "; l=120", "the whole body"),
        (SIGNED.replace("In-Reply-To:", ""), "in-reply-to"),
        (SIGNED.replace("Message-ID:", ""), "message-id"),
        (SIGNED.replace("d=example.org", "d=mail.example.org").replace("From:", ""), "from"),
        (SIGNED.replace("d=example.org", "d=org") + ";l=0", "the whole body"),
    ],
)
def test_a_mail_that_could_be_sent_again_to_another_thread(signature: str, why: str) -> None:
    found = read(letter("migbot: no-cc", DKIM_Signature=signature), SENT, POLICY)
    assert found is not None and found.refused == (f"its DKIM signature does not cover {why}",)


def test_the_signature_of_a_list_may_be_loose() -> None:
    loose = ("DKIM-Signature", "v=1; d=nongnu.org; h=from; l=5; b=x")
    assert told(letter("migbot: no-cc", loose)) == (Command(Verb.NO_CC),)


# -- hostile mails -------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["ann@example.org", "eve@example.net", "<ann@example.org>", "<eve@example.net>", '"', "\\", "(", ")", ",", ";", ":",
     "Ann", " ", "=?utf-8?q?ann=40example=2Eorg?=", "mx.example.org", "dkim=pass", "dmarc=pass", "header.d=example.org",
     "header.from=example.org", "header.i=@example.org", "=", f"<{OURS}>", "d=example.org", "h=from", "l=1", "\t"]
)  # fmt: skip
VALUES = st.lists(PIECES, max_size=12).map("".join)
NAMES = st.sampled_from(
    ["From", "from", "Sender", "Resent-From", "Authentication-Results", "ARC-Authentication-Results", "DKIM-Signature",
     "Message-ID", "In-Reply-To", "References", "Received", "Reply-To", "X-From"]
)  # fmt: skip
BODIES = st.lists(
    st.sampled_from([f"migbot: {usage}" for usage in USAGE.values()] + ["migbot: invalid x", "> ", "-- ", "", "x"]),
    max_size=6,
).map("\n".join)
GENUINE = (
    "Authentication-Results",
    "mx.example.org; dkim=pass header.d=example.net; dmarc=pass header.from=example.net",
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), BODIES, st.booleans())
def test_nobody_speaks_for_others(fields: list[tuple[str, str]], body: str, ours: bool) -> None:
    """Eve writes any mail she likes; the server says on top that her domain, and no other, vouches for it."""
    usual = [("Message-ID", "<2@example.net>"), ("In-Reply-To", f"<{OURS}>")] if ours else []
    mail = Letter((GENUINE, ("Received", "by mx.example.org"), *fields, *usual), f"migbot: no-cc\n{body}")
    reading = read(mail, SENT, POLICY)
    assert reading is None or reading.commands == ()
    assert reading is None or not reading.known or reading.sender.endswith("@example.net")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20) | NAMES, st.text(max_size=200) | VALUES), max_size=10), st.text())
def test_nothing_makes_it_raise(fields: list[tuple[str, str]], text: str) -> None:
    for mail in (Letter(tuple(fields), text), Letter((*HEADERS, *fields), f"migbot: {text}\nmigbot: no-cc")):
        found = read(mail, SENT, POLICY)
        assert found is None or all(why.isprintable() for why in found.refused)
