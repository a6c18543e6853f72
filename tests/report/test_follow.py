"""The mails that follow a report, against golden files; who gets them, and that nothing gets out of its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from bot.core.cure import gate
from bot.core.lifecycle import (
    Accepted,
    Corrected,
    Cured,
    Event,
    Expired,
    Guests,
    Happened,
    Reopened,
    Retracted,
    Standing,
    Surveyed,
    Way,
    replay,
)
from bot.model import Report, ReportSettings, RevertOutcome, Tally
from bot.report import correction, follow, render
from tests.report.test_mail import NOW, SETTINGS, TEMPLATES, body, golden, mail
from tests.testing import reports

DAY = datetime(2020, 3, 27, 5, 48, 10, tzinfo=UTC)
FIX = replace(
    reports.commit("d96c4d5f193e", "vl.c: fix migration failure for 3.1 and older machine types"),
    author="Fix Author", email="fixer@example.org",
)  # fmt: skip
PARENT, TIP = reports.commit("2222222222aa", "before"), reports.commit("333333333333", "later")
PICK = reports.commit("555555555555", "vl.c: fix migration failure for 3.1 and older machine types")
CURE = Cured(
    FIX.sha, Way.NAMED, (Tally(PARENT.sha, 10, 10),), Tally(FIX.sha, 0, 10), Tally(TIP.sha, 0, 10), cases=31
)  # fmt: skip
SEARCHED = replace(CURE, way=Way.SEARCHED, parents=(Tally(PARENT.sha, 9, 10), Tally(TIP.sha, 8, 10)))
CULPRIT = reports.CULPRIT.sha
UNHURT = Standing("stable-4.2", None, None)
BROKEN = Standing("stable-5.0", CULPRIT, None, Tally(TIP.sha, 10, 10), RevertOutcome.OK)
CONFLICT = replace(BROKEN, branch="stable-5.1", pick=RevertOutcome.CONFLICT)
PICKED = Standing("stable-5.0", CULPRIT, PICK.sha, Tally(PICK.sha, 0, 10))
ACCEPT = Accepted("Ann Owner <ann@example.org>", "2020-03-26", "nobody migrates from 2.12", "bob")
EXPIRE = Expired(ACCEPT.owner, ACCEPT.until, ACCEPT.why, TIP.sha)
CORRECT = Corrected(
    TIP.sha, "ann@example.org", Tally(TIP.sha, 10, 10), (Tally(PARENT.sha, 0, 10), Tally(FIX.sha, 0, 10)), PARENT.sha,
    CULPRIT,
)  # fmt: skip
RETRACT = Retracted(
    "On 20 more runs its parent fails 3 of 20, so the failure is older and random. The test needs 20 runs a step.",
    "bob",
)


def followed(
    *events: Event,
    report: Report | None = None,
    settings: ReportSettings = SETTINGS,
    date: datetime = NOW,
    alone: bool = False,
    shipped: tuple[str, ...] | None = None,
) -> EmailMessage:
    """The mail that the last of the events wants, about a report that went out; `alone`: that did not."""
    report = report or reports.first_bad()
    record = replay(Happened(1_585_000_000.0 + i, event) for i, event in enumerate(events))
    assert record.wanted is not None and record.wanted.event == events[-1]
    commits = {c.sha: c for c in (FIX, PARENT, TIP, PICK, UNMASKED)}
    original = "" if alone else mail(report, set_up=settings, date=date).as_bytes().decode()
    one = follow.Followed(report, record, record.wanted, original, commits, shipped)
    return follow.mail(one, settings=settings, templates=TEMPLATES, date=DAY, holds=gate(record.wanted, approved=False))


UNMASKED = replace(
    reports.commit("5ed3dabe57dd", "hw/pci: Disable PCI_ERR_UNCOR_MASK register for machine type < 8.0"),
    author="Fix Author", email="fixer@example.org",
)  # fmt: skip
MASKED = (
    replace(CURE, commit=UNMASKED.sha, fix=Tally(UNMASKED.sha, 0, 10), tip=Tally(UNMASKED.sha, 0, 10), cases=4),
    Surveyed(
        (
            Standing("stable-7.2", None, None),
            Standing("stable-8.0", reports.sha("010746ae1db7"), None, Tally(TIP.sha, 10, 10), RevertOutcome.OK),
        )
    ),
)

MAILS: list[tuple[str, tuple[Event, ...]]] = [
    ("fixed", (CURE,)),
    ("fixed-by-a-search", (SEARCHED,)),
    ("stable", (CURE, Surveyed((UNHURT, BROKEN, CONFLICT)))),
    ("fixed-in-stable", (CURE, Surveyed((UNHURT, PICKED)))),
    ("reopened", (CURE, Reopened(FIX.sha, TIP.sha))),
    ("expired", (ACCEPT, EXPIRE)),
    ("retract", (RETRACT,)),
    ("corrected", (CORRECT,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "events"), MAILS, ids=[name for name, _ in MAILS])
def test_whole_mail(name: str, events: tuple[Event, ...]) -> None:
    message = followed(*events)
    raw = message.as_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n"), "RFC 5322 line ends"
    verbatim = ("://", '("', "  qemu-system-")
    assert all(len(row) <= 76 for row in body(message).splitlines() if not any(text in row for text in verbatim))
    assert "\n\n\n" not in body(message)
    golden(f"follow-{name}.eml", raw.decode("ascii").replace("\r\n", "\n"))


@pytest.mark.parametrize(("name", "events"), MAILS, ids=[name for name, _ in MAILS])
def test_it_answers_the_report(name: str, events: tuple[Event, ...]) -> None:
    report = mail(reports.first_bad())
    message = followed(*events)
    assert message["In-Reply-To"] == report["Message-ID"]
    assert message["References"] == f"{report['References']} {report['Message-ID']}"
    assert message["Subject"].startswith(f"Re: {report['Subject']}")
    assert message["Auto-Submitted"] == "auto-generated"
    had = {a.addr_spec for field in ("To", "Cc") for a in report[field].addresses}
    gets = {a.addr_spec for field in ("To", "Cc") for a in message[field].addresses}
    assert had <= gets


def test_stable_branches_are_asked_also_where_nothing_was_reported() -> None:
    message = followed(*MASKED, report=reports.back_to_7_2(), alone=True, shipped=("v8.0.0",))
    golden("follow-stable-alone.eml", message.as_bytes().decode("ascii").replace("\r\n", "\n"))
    assert "In-Reply-To" not in message and "References" not in message
    assert not message["Subject"].startswith("Re: ") and message["To"] == "qemu-stable@nongnu.org"
    assert "author@example.org" not in str(message["Cc"]), "nobody is blamed for what is mended"


def test_who_has_it_without_the_fix_is_told() -> None:
    def said(*releases: str) -> str:
        return " ".join(body(followed(CURE, shipped=releases)).split())

    left = "Guests that were started there may still fail to get to a QEMU that has it; that was not looked at."
    assert "The culprit is in no release. r0017 is closed" in said()
    assert f"Released without the fix: v5.0.0. {left}" in said("v5.0.0")
    assert f"Released without the fix: v5.0.0 and v5.0.1. {left}" in said("v5.0.0", "v5.0.1")
    assert f"Released without the fix: v5.0.0 to v5.1.0 (3 releases). {left}" in said("v5.0.0", "v5.0.1", "v5.1.0")


@pytest.mark.parametrize(
    ("bad", "stays"),
    [(3, "still fail to get to the tip, which has it: 3 of 3 runs fail."),
     (0, "get to the tip, which has it: 0 of 3 runs fail.")],
)  # fmt: skip
def test_what_stays_broken_is_told_where_it_was_run(bad: int, stays: str) -> None:
    cure = replace(CURE, guests=Guests("v5.1.0", Tally(TIP.sha, bad, 3)))
    text = " ".join(body(followed(cure, shipped=("v5.0.0", "v5.1.0"))).split())
    assert f"Released without the fix: v5.0.0 and v5.1.0. Guests that v5.1.0 started {stays}" in text
    assert "release" not in body(followed(CURE)), "nobody looked"


@pytest.mark.parametrize(("name", "events"), MAILS, ids=[name for name, _ in MAILS])
def test_what_was_not_run_is_said_where_runs_are(name: str, events: tuple[Event, ...]) -> None:
    assert ("Run with TCG. Not run: KVM, profile virtio.\n" in body(followed(*events))) is (name != "retract")


def test_a_command_to_pick_is_given_for_branches_on_which_that_was_tried() -> None:
    assert "git cherry-pick -x d96c4d5f193e  # on stable-5.0\n" in body(followed(CURE, Surveyed((BROKEN, CONFLICT))))
    assert "cherry-pick" not in body(followed(CURE, Surveyed((CONFLICT,))))


def test_no_more_people_are_added_than_a_report_may_have() -> None:
    crowd = tuple(f"Person {i} <p{i}@example.org>" for i in range(20))
    settings = replace(SETTINGS, cc=crowd)
    lists = {"qemu-devel@nongnu.org", "qemu-ppc@nongnu.org"}
    for events in ((CURE,), (CURE, Surveyed((BROKEN,)))):
        named = [found.addr_spec for found in followed(*events, settings=settings)["Cc"].addresses]
        assert lists < set(named) and len(set(named) - lists) == 8 and "fixer@example.org" in named


def test_who_gets_it_besides() -> None:
    fixed, stable = followed(CURE), followed(CURE, Surveyed((BROKEN,)))
    assert "fixer@example.org" in str(fixed["Cc"])
    assert str(stable["To"]) == "qemu-stable@nongnu.org"
    assert str(followed(ACCEPT, EXPIRE)["To"]) == "Ann Owner <ann@example.org>"
    quiet = replace(SETTINGS, no_cc=("fixer@*", "author@*"))
    told = followed(CURE, settings=quiet)
    assert "fixer@" not in str(told["Cc"]) and "author@" not in str(told["To"])
    own = replace(SETTINGS, lists=("list@example.org",))
    assert "qemu-stable" not in str(followed(CURE, Surveyed((BROKEN,)), settings=own)["To"])


def test_nobody_is_blamed_where_nobody_was() -> None:
    text = body(followed(RETRACT, report=reports.suspects()))
    assert "Fixes:" not in text and "to blame" not in text
    text = body(followed(CURE, Surveyed((replace(BROKEN, culprit="1" * 40),)), report=reports.suspects()))
    assert "broken by" not in text


def test_what_others_wrote_stays_in_its_place() -> None:
    nasty = replace(RETRACT, why="x\r\nBcc: all@example.org\n\n-- \n\x1b[31mred\u202e")
    message = followed(nasty)
    assert "Bcc" not in message
    text = body(message)
    assert "\x1b" not in text and "\u202e" not in text and "\nBcc" not in text
    evil = replace(EXPIRE, owner="a@example.org\r\nBcc: b@example.org")
    assert "Bcc" not in followed(replace(ACCEPT, owner=evil.owner), evil)


def test_a_correction_names_both_commits_and_not_who_said_so() -> None:
    message = followed(CORRECT)
    text = " ".join(body(message).split())
    assert "(retracted)" in str(message["Subject"]) and "ann@example.org" not in message.as_string()
    assert f"The report above names {reports.CULPRIT.sha[:12]}" in text
    assert f"gone again at {PARENT.sha[:12]}, which passes 10 of 10, and came with {TIP.sha[:12]}" in text
    assert f"it fails 10 of 10, its parent {FIX.sha[:12]} 0 of 10." in text


def test_the_report_after_a_correction_begins_with_it() -> None:
    said = correction.told(CORRECT, lambda sha: sha[:12])
    message = render.mail(reports.first_bad(), settings=SETTINGS, templates=TEMPLATES, date=DAY, correction=said)
    assert body(message).startswith(f"The report above names {reports.CULPRIT.sha[:12]}")
    assert body(message).endswith(body(mail(reports.first_bad())))
    assert correction.told(replace(CORRECT, instead=None), str) == []
