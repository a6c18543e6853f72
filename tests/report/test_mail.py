"""Whole mails against golden files, and that nothing hostile gets out of its place."""

from __future__ import annotations

import email
import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.gate import Kind
from bot.errors import UserError
from bot.model import (
    Branch,
    Direction,
    Inconclusive,
    Log,
    Observation,
    Offer,
    Outcome,
    Picked,
    Profile,
    Readers,
    Report,
    ReportSettings,
    Reproduction,
    RevertOutcome,
    Run,
    Signature,
    Verdict,
)
from bot.report import deliver, people, render, safe, table, words
from tests.testing import reports

TEMPLATES = Path(__file__).parents[2] / "templates"
GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2020, 2, 26, 6, 12, 44, tzinfo=UTC)
SETTINGS = ReportSettings(
    lists=("qemu-devel@nongnu.org", "qemu-ppc@nongnu.org"),
    cc=("Migration Maintainer <migration@example.org>",),
    domain="migbot.example.org",
    url="https://migbot.example.org",
    owner="Owner Name <owner@example.org>",
)
HEADERS = [
    "From", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "X-Migbot",
    "X-Migbot-Held", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
]  # fmt: skip


def mail(report: Report, *, date: datetime = NOW, set_up: ReportSettings = SETTINGS) -> EmailMessage:
    return render.mail(report, settings=set_up, templates=TEMPLATES, date=date)


def parsed(message: EmailMessage) -> EmailMessage:
    back = email.message_from_bytes(message.as_bytes(), policy=default)
    assert isinstance(back, EmailMessage)
    return back


def body(message: EmailMessage) -> str:
    text = parsed(message).get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n")


def golden(name: str, text: str) -> None:
    """Compare with a golden file; BOT_GOLDEN=write makes it anew, to be read before it is kept."""
    path = GOLDEN / name
    if os.environ.get("BOT_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("make", [reports.first_bad, reports.exposed, reports.suspects, reports.merge_conflict])
def test_whole_mail(make: Callable[[], Report]) -> None:
    raw = mail(make()).as_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n"), "RFC 5322 line ends"
    assert len(raw) < 8192
    golden(f"{make.__name__}.eml", raw.decode("ascii").replace("\r\n", "\n"))


@pytest.mark.parametrize("make", [reports.first_bad, reports.exposed, reports.suspects, reports.merge_conflict])
def test_form(make: Callable[[], Report]) -> None:
    message = mail(make())
    assert message.get_content_type() == "text/plain"
    assert not message.is_multipart()
    for text in body(message).splitlines():
        free = text.startswith(("Fixes:", "Link:", "Reported-by:", "  qemu-system-")) or "://" in text
        free = free or "does not build: " in text  # verbatim
        assert free or len(text) <= 76, text
    assert len(message["Subject"]) <= 200
    assert not {"List-Id", "Precedence", "Reply-To"} & set(message.keys())


# -- claims --------------------------------------------------------------------------------------------------------


def test_nothing_is_said_that_was_not_measured() -> None:
    bare = replace(
        reports.first_bad(), releases=None, fixed_by=None, reproduction=None, table=(), toolchain="", not_run=()
    )
    text = body(mail(bare))
    for claim in ("release", "run as printed", "Known?", "gcc", "not run", "qemu-stable", "Run again", "FAIL"):
        assert claim not in text, claim
    assert "no reproducer was made" in text
    assert "only ppc64-softmmu/pseries-2.12/mem-path/forward/2.12 was run" in text


@pytest.mark.parametrize(
    ("reproduction", "said"),
    [
        (Reproduction("true\n", 1, 124), "run as printed: 1 here, 124 on the parent)"),
        (Reproduction("true\n", None, None), "not run)"),
        (
            Reproduction("true\n", 1, None),
            "run as printed: 1 here, not run on the parent; it does NOT tell them apart)",
        ),
        (Reproduction("true\n", 124, 124), "124 here, 124 on the parent; it does NOT tell them apart)"),
    ],
)
def test_what_came_of_the_reproducer(reproduction: Reproduction, said: str) -> None:
    message = mail(replace(reports.first_bad(), reproduction=reproduction))
    assert said in body(message)
    assert ("reproducer" in message["X-Migbot-Held"]) is not reproduction.shown


def test_stable_is_suggested_if_and_only_if_the_culprit_is_released() -> None:
    report = reports.first_bad()
    released = body(mail(replace(report, releases=("v5.0.0", "v5.0.1"))))
    assert "\nCc: qemu-stable@nongnu.org\n" in released
    assert "Released in v5.0.0, and still in v5.0.1." in " ".join(released.split())
    assert "\nCc: qemu-stable" not in body(mail(report))
    assert "\nCc: qemu-stable" not in body(mail(replace(report, releases=None)))


@pytest.mark.parametrize("make", [reports.suspects, reports.merge_conflict])
def test_no_blame(make: Callable[[], Report]) -> None:
    message = mail(make())
    assert "\nFixes: " not in body(message)
    assert "author@example.org" not in str(message["To"]) + str(message["Cc"])
    assert "blames nobody" in " ".join(body(message).split())


def test_a_known_fix_is_named_and_holds_the_mail() -> None:
    fix = reports.commit("d96c4d5f193e", "vl.c: fix migration failure for 3.1 and older machine types")
    message = mail(replace(reports.first_bad(), fixed_by=(fix,)))
    assert '  d96c4d5f193e ("vl.c: fix migration failure for 3.1 and older machine types")' in body(message)
    assert "fixed" in message["X-Migbot-Held"]


@pytest.mark.parametrize(
    ("fixed", "offers", "said"),
    [
        (False, None, "Known? No commit in our clone says that it fixes or reverts it; mails and bug trackers were not "
         "searched."),
        (False, (), "Known? No commit in our clone and no patch in our mailbox says that it fixes or reverts it; "
         "bug trackers were not searched."),
        (False, ("a@example.org",), "Known? Patches in our mailbox that say so (hints, not run here): "
         "https://lore.kernel.org/qemu-devel/a@example.org/"),
        (True, ("a@example.org", "b@example.org"),
         'Known? These commits say that they fix or revert it (hints, not run here): d96c4d5f193e ("vl.c: mend it") '
         "Patches in our mailbox that say so (hints, not run here): "
         "https://lore.kernel.org/qemu-devel/a@example.org/ https://lore.kernel.org/qemu-devel/b@example.org/"),
    ],
    ids=["not-read", "none", "posted", "both"],
)  # fmt: skip
def test_who_says_that_it_is_mended(fixed: bool, offers: tuple[str, ...] | None, said: str) -> None:
    fixes = (reports.commit("d96c4d5f193e", "vl.c: mend it"),) if fixed else ()
    given = None if offers is None else tuple(Offer(one, "Fixes: 0123456789ab") for one in offers)
    message = mail(replace(reports.first_bad(), fixed_by=fixes, offers=given))
    assert f"{said} If you fix this" in " ".join(body(message).split())
    assert ("fixed" in message["X-Migbot-Held"]) == fixed, "a patch that was only posted holds nothing"


def lacking(outcome: RevertOutcome) -> Report:
    """What was found on a stable branch, and is mended elsewhere."""
    report = reports.first_bad()
    fix = replace(reports.commit("d96c4d5f193e", "vl.c: mend it"), author="Fixer", email="fixer@example.org")
    regression = replace(report.regression, branch="stable-5.0")
    return replace(
        report, regression=regression, bad_name="stable-5.0", fixed_by=(fix,), picked=(Picked(fix.sha, outcome),)
    )


def test_a_stable_branch_is_told_of_the_fix_that_it_lacks() -> None:
    message = mail(lacking(RevertOutcome.OK))
    text = body(message)
    assert "fixed" not in message["X-Migbot-Held"], "that it is mended elsewhere is what is told"
    assert "qemu-stable@nongnu.org" in str(message["Cc"]) and "fixer@example.org" in str(message["Cc"])
    flat = " ".join(text.split())
    assert 'stable-5.0 lacks the fix, d96c4d5f193e ("vl.c: mend it"). With that picked onto its tip it passes.' in flat
    assert (
        "Known? Not in stable-5.0, but elsewhere in our clone; picked onto its tip: "
        'd96c4d5f193e ("vl.c: mend it") applies clean, builds and passes Nothing new is needed but '
        "git cherry-pick -x d96c4d5f193e # on stable-5.0 Logs"
    ) in flat
    assert "If you fix this" not in flat and "\nFixes: " not in text


def test_a_fix_that_does_not_cure_a_stable_branch_holds_the_mail_as_any_other() -> None:
    message = mail(lacking(RevertOutcome.CONFLICT))
    flat = " ".join(body(message).split())
    assert "fixed" in message["X-Migbot-Held"]
    assert 'd96c4d5f193e ("vl.c: mend it") does not apply as it is If you fix this, please add Fixes: ' in flat
    assert "lacks the fix" not in flat and "fixer@example.org" not in str(message["Cc"])


def test_an_inferred_cause_is_a_sentence_beside_the_measured_culprit_and_no_tag() -> None:
    text = body(mail(replace(reports.first_bad(), related=reports.inferred())))
    assert all(len(row) <= 76 for row in text.splitlines() if "Inferred" in row or "default_ram_id" in row)
    flat = " ".join(text.split())
    assert (
        'Inferred, not measured: r0016 (since bd457782b3b0 ("x86/pc: use memdev for RAM")) may have the same cause, '
        "for each culprit's patch has default_ram_id, which 900c0ba373aa "
        '("machine: alias -mem-path and -mem-prealloc into memory-foo backend") brought, and their patches were posted '
        "in one series."
    ) in flat
    assert (
        'Inferred, not measured: r0015 (since 2f719f195cdc ("arm/virt: use memdev for RAM")) may have the same cause, '
        "for their patches were posted in one series."
    ) in flat
    assert [row for row in text.splitlines() if row.startswith("Fixes:")] == [
        'Fixes: ab74e5431129 ("ppc/spapr: use memdev for RAM")'
    ]


def test_several_with_one_cause_share_a_sentence() -> None:
    (one, _) = reports.inferred()
    five = tuple(replace(one, regression=f"r000{i}") for i in range(5))
    (said,) = words.related(replace(reports.first_bad(), related=five))
    assert said.count("since bd457782b3b0") == 3
    assert "r0002 (since" in said
    assert "and 2 more regressions may have the same cause" in said


def test_other_wordings_of_the_error_are_told() -> None:
    report = reports.first_bad()
    odd = reports.run(reports.BAD)
    odd = replace(odd, observation=replace(odd.observation, message="load of migration failed"))
    steps = (replace(report.steps[0], runs=(*report.steps[0].runs, odd)), *report.steps[1:])
    assert "Same signature at every bad step, in 2 wordings." in body(mail(replace(report, steps=steps)))


@pytest.mark.parametrize(
    ("direction", "outcome", "said"),
    [
        (Direction.FORWARD, Outcome.FAIL_DST, "master no longer loads the stream of v2.12.0 for pseries-2.12"),
        (Direction.BACKWARD, Outcome.FAIL_DST, "master can no longer be migrated to v2.12.0 for pseries-2.12"),
        (Direction.SAME, Outcome.CRASH_DST, "master can no longer be migrated to itself for pseries-2.12"),
        (Direction.FORWARD, Outcome.HANG, "master no longer loads the stream of v2.12.0 for pseries-2.12"),
        (Direction.FORWARD, Outcome.FAIL_START, "master no longer starts pseries-2.12"),
        (Direction.FORWARD, Outcome.TYPE_GONE, "master no longer has pseries-2.12"),
    ],
)
def test_directions_in_plain_words(direction: Direction, outcome: Outcome, said: str) -> None:
    case = replace(reports.CASE, direction=direction, baseline=None if direction is Direction.SAME else "2.12")
    failing = reports.run(reports.BAD, case, outcome)
    report = replace(reports.first_bad(), case=case, table=(failing,), steps=())
    assert words.what_fails(report) == said + ", with -mem-path DIR" + ("; it hangs" if outcome is Outcome.HANG else "")


@pytest.mark.parametrize(
    ("outcome", "exits", "said"),
    [
        (Outcome.FAIL_DST, (0, 1), "destination exits 1"),
        (Outcome.CRASH_DST, (0, -6), "destination dies of SIGABRT"),
        (Outcome.CRASH_SRC, (-11, None), "source dies of SIGSEGV"),
        (Outcome.FAIL_SRC, (None, None), "FAIL_SRC"),
        (Outcome.HANG, (None, None), "no answer in 60 s"),
    ],
)
def test_how_it_ends(outcome: Outcome, exits: tuple[int | None, ...], said: str) -> None:
    seen = Observation(outcome, reports.SIGNATURE, "text", 60.0, exits=exits)
    report = replace(reports.first_bad(), table=(Run(reports.BAD.sha, reports.CASE, seen),), steps=())
    assert words.how_it_ends(report) == said


@pytest.mark.parametrize(
    ("failing", "passing", "subject"),
    [
        (["pseries-2.12"], [], "pseries-2.12 -mem-path"),
        (["pseries-2.12", "pseries-2.9"], ["pseries-4.0"], "pseries <= 2.12 -mem-path"),
        (["pseries-2.12", "pseries-4.0"], ["pseries-3.0"], "pseries (2 types) -mem-path"),
        (["pseries-2.12", "pseries-3.0"], [], "pseries (2 types) -mem-path"),
        (["pseries-2.12", "pseries-3.0"], ["pseries-2.9", "pseries-4.0"], "pseries (2 types) -mem-path"),
    ],
)
def test_subject_bounds_only_what_was_run(failing: list[str], passing: list[str], subject: str) -> None:
    runs = [reports.run(reports.BAD, replace(reports.CASE, machine=m)) for m in failing]
    runs += [reports.run(reports.BAD, replace(reports.CASE, machine=m), Outcome.PASS) for m in passing]
    report = replace(reports.first_bad(), table=tuple(runs))
    assert render.subject(report) == f"[regression] {subject}: migration v2.12.0 -> master"


def test_an_installed_baseline_is_short_in_the_table_and_named_once() -> None:
    named = {"2.12": "qemu-2.12.1 (/usr/bin/qemu-system-ppc64)", "4.2": "v4.2.0"}
    text = body(mail(replace(reports.first_bad(), names=named)))
    assert "  qemu-2.12.1 -> new  pseries-2.1 ... 2.7, 2.12 (8 types)" in text
    assert text.count("qemu-2.12.1 is /usr/bin/qemu-system-ppc64") == 1
    twins = {"one": "qemu-7.2 (/a)", "two": "qemu-7.2 (/b)"}
    assert table.label(twins, "one") == "qemu-7.2 (/a)"


def test_another_failure_on_the_way_is_told_beside() -> None:
    base = reports.first_bad()
    odd = reports.run(reports.GOOD, signature=Signature("assert", "e1000"))
    steps = (*base.steps, replace(base.steps[2], verdict=Verdict.SKIP, runs=(odd,)))
    other = replace(reports.CASE, profile="virtio")
    broken = reports.run(reports.BAD, other, Outcome.CRASH_DST, Signature("assert", "virtio-net"))
    text = body(mail(replace(base, steps=steps, table=(*base.table, broken))))
    assert "  9b52fa6e39a1 fails otherwise: FAIL_DST assert e1000\n" in text
    assert "\n  profile virtio:\n  v2.12.0 -> new   pseries-2.12" in text
    assert "other\n                   (CRASH_DST assert virtio-net)\n" in text


def test_a_command_of_the_user_is_reported_as_one() -> None:
    case = replace(
        reports.CASE, target="any", machine="any", profile="command", direction=Direction.SAME, baseline=None
    )
    seen = Observation(
        Outcome.FAIL_DST, Signature("command"), "exit 3", argv=(("sh", "my test.sh"),), exits=(3,),
        logs=(Log("output", "x"),),
    )  # fmt: skip
    base = reports.first_bad()
    steps = tuple(
        replace(s, runs=tuple(replace(r, case=case, observation=seen) for r in s.runs)) for s in base.steps[:1]
    )
    report = replace(
        base, case=case, steps=steps, table=(), reproduction=None, accel="", toolchain="", profile=None,
        regression=replace(base.regression, signature=Signature("command")),
    )  # fmt: skip
    message = mail(report)
    assert message["Subject"] == "[regression] master: the command exits 3 on master"
    assert "  sh 'my test.sh'\n" in body(message)
    assert "Where it fails" not in body(message)


def test_no_mail_about_the_rest() -> None:
    with pytest.raises(UserError, match="no mail about that"):
        mail(reports.ended(Inconclusive("no answer")))


# -- people and threads --------------------------------------------------------------------------------------------


def test_people_are_few_and_never_the_whole_cc_list() -> None:
    reviewers = "".join(f"Reviewed-by: Rev {i} <rev{i}@example.org>\n" for i in range(12))
    trailers = f"Cc: Someone <someone@example.org>\n{reviewers}Acked-by: Author Name <author@example.org>\n"
    report = replace(reports.first_bad(), culprit=replace(reports.CULPRIT, body=f"subject\n\n{trailers}"))
    who = people.recipients(report, Kind.REPORT, SETTINGS)
    assert [a.addr_spec for a in who.to] == ["author@example.org"]
    specs = [a.addr_spec for a in who.cc]
    assert specs == [f"rev{i}@example.org" for i in range(8)] + ["qemu-devel@nongnu.org", "qemu-ppc@nongnu.org"]


def test_who_maintains_what_the_culprit_changes_is_told_and_migration_always() -> None:
    rev, ppc, mig = ("Rev", "rev@example.org"), ("P. P. C.", "ppc@example.org"), ("Mia", "mia@example.org")
    readers = Readers((rev,), (ppc, ("", "qemu-ppc@nongnu.org"), ("Author", "author@example.org")), (mig, rev))
    who = people.recipients(replace(reports.first_bad(), readers=readers), Kind.REPORT, SETTINGS)
    assert [a.addr_spec for a in who.to] == ["author@example.org"]
    lists = ["qemu-devel@nongnu.org", "qemu-ppc@nongnu.org"]
    cc = ["rev@example.org", "ppc@example.org", "mia@example.org", "migration@example.org", *lists]
    assert [a.addr_spec for a in who.cc] == cc
    blameless = people.recipients(replace(reports.suspects(), readers=readers), Kind.RANGE, SETTINGS)
    assert [a.addr_spec for a in blameless.to] == lists
    assert [a.addr_spec for a in blameless.cc] == ["mia@example.org", "rev@example.org", "migration@example.org"]
    many = replace(readers, maintainers=tuple((f"M{i}", f"m{i}@example.org") for i in range(20)))
    crowd = people.recipients(replace(reports.first_bad(), readers=many), Kind.REPORT, SETTINGS)
    assert len(crowd.cc) == people.MOST_PEOPLE + len(lists)


def test_the_link_is_to_an_archive_that_will_have_the_mail() -> None:
    own = "r0017.1.report.5950f51e@migbot.example.org"
    assert f"\nLink: https://lore.kernel.org/qemu-devel/{own}/\n" in body(mail(reports.first_bad()))
    elsewhere = replace(SETTINGS, lists=("list@example.org",))
    assert "Link:" not in body(mail(reports.first_bad(), set_up=elsewhere))
    own_archive = replace(elsewhere, archive="https://lists.example.org/")
    assert f"\nLink: https://lists.example.org/{own}/\n" in body(mail(reports.first_bad(), set_up=own_archive))


def test_wide_ranges_are_broken_between_families() -> None:
    lines = table.columns(
        [("a -> b", ["pc-i440fx-1.4 ... 3.1 (19 types)", "pc-q35-2.4 ... 3.1 (11 types)"], "FAIL", "")], "", 60
    )
    assert lines == [
        "a -> b  pc-i440fx-1.4 ... 3.1 (19 types),               FAIL",
        "        pc-q35-2.4 ... 3.1 (11 types)",
    ]
    assert table.columns([("a", ["x " * 40], "ok", "")], "", 40)[0].endswith("  ok")


def test_an_end_given_by_its_id_is_called_an_end() -> None:
    text = body(mail(replace(reports.first_bad(), good_name=reports.GOOD.sha)))
    assert "\n  good end  b0ca999a43a2    0 bad of 10\n" in text


def test_an_author_without_a_mail_address_is_left_out() -> None:
    report = replace(reports.first_bad(), culprit=replace(reports.CULPRIT, email="nobody"))
    message = mail(report)
    assert str(message["To"]) == "qemu-devel@nongnu.org, qemu-ppc@nongnu.org"


@pytest.mark.parametrize(
    ("age", "releases", "joined"),
    [(10, (), True), (89, (), True), (91, (), False), (10, ("v5.0.0",), False), (10, None, False)],
)
def test_thread_is_joined_while_young_and_unreleased(age: int, releases: tuple[str, ...] | None, joined: bool) -> None:
    posted = datetime.fromisoformat(reports.CULPRIT.date)
    message = mail(replace(reports.first_bad(), releases=releases), date=posted + timedelta(days=age))
    expected = "<20200219160953.13771-68-author@example.org>" if joined else None
    assert message["In-Reply-To"] == expected
    assert message["References"] == expected


def test_the_same_report_has_the_same_id() -> None:
    one, other = mail(reports.first_bad()), mail(reports.first_bad(), date=NOW + timedelta(days=1))
    assert one["Message-ID"] == other["Message-ID"]
    assert one["Message-ID"] != mail(reports.suspects())["Message-ID"]


def test_wrong_addresses_in_the_settings_are_named() -> None:
    with pytest.raises(UserError, match=r"report.lists: 'not an address' is not a mail address"):
        mail(reports.first_bad(), set_up=replace(SETTINGS, lists=("not an address",)))


def test_templates_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such directory"):
        render.mail(reports.first_bad(), settings=SETTINGS, templates=tmp_path / "gone", date=NOW)


def test_who_only_exposes_it_is_not_accused() -> None:
    report = reports.exposed()
    message = mail(report)
    assert "author@example.org" not in str(message["To"]) + str(message["Cc"])
    assert "Fixes: ab74e5431129" not in body(message)
    assert "exposed" in str(message["X-Migbot-Held"])
    held = render.held(report, SETTINGS, approved=True)
    assert [hold.name for hold in held] == ["exposed"]


def test_suspects_of_a_side_that_did_not_bring_it_are_held() -> None:
    report = replace(reports.suspects(), sides=reports.SIDES)
    assert "exposed" in {hold.name for hold in render.held(report, SETTINGS)}
    assert reports.SIDES.branch is not None
    ends = (
        replace(report.good, sha=reports.SIDES.branch.good), replace(report.bad, sha=reports.SIDES.branch.bad),
    )  # fmt: skip
    turned = replace(report, good=ends[0], bad=ends[1])
    assert "exposed" not in {hold.name for hold in render.held(turned, SETTINGS)}


def test_a_culprit_of_a_stable_branch_is_told_to_its_list() -> None:
    report = reports.first_bad()
    branch = Branch(report.good_name, report.good.sha, report.bad_name, report.bad.sha)
    turned = replace(report, sides=replace(reports.SIDES, branch=branch))
    assert "qemu-stable@nongnu.org" in str(mail(turned)["Cc"])
    assert "qemu-stable@nongnu.org" not in str(mail(report)["Cc"])
    other = replace(SETTINGS, lists=("list@example.org",))
    assert "qemu-stable@nongnu.org" not in str(mail(turned, set_up=other)["Cc"])
    assert "is searched by" not in body(mail(turned))


# -- hostile text --------------------------------------------------------------------------------------------------

PIECES = [
    "\r\nBcc: victim@example.org", "\nBcc: a@b", "=?utf-8?q?x=0d=0aBcc:_a?=", "=?utf-8?b?DQpCY2M6IGE=?=", "=?", "?=",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;", "{{7*7}}", "{% raw %}", "<script>alert(1)</script>", "\x00",
    "\u2028", "\u202e", "\u00ad", "\ud800", '"', "<", ">", ",", ";", ":", "(", ")", "\\", "@", ".", " ", "Ü", "日本",
    "x" * 300, "From ", "\n.\n", "a, b <c@d>",
]  # fmt: skip
HOSTILE = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=8).map("".join)


@settings(max_examples=200, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_headers_come_back_as_they_were_put_in(subject: str, name: str, stderr: str, branch: str, machine: str) -> None:
    report = reports.first_bad()
    trailers = f"subject\n\nReviewed-by: {name} <rev@example.org>\nMessage-Id: <{branch}@x>\n"
    culprit = replace(reports.CULPRIT, subject=subject, author=name, body=trailers)
    case = replace(report.case, machine=machine or "m")
    report = replace(
        report, culprit=culprit, commits={**report.commits, culprit.sha: culprit}, symptom=stderr, case=case,
        bad_name=branch or "b", table=(reports.run(reports.BAD, case),), names={"2.12": name}, not_run=(stderr,),
        reproduction=Reproduction(stderr or "true", 1, 124),
    )  # fmt: skip
    message = mail(report)
    back = parsed(message)
    allowed = [h for h in HEADERS if h not in ("In-Reply-To", "References")]
    assert [h for h in back.keys() if h not in ("In-Reply-To", "References")] == allowed  # noqa: SIM118 - with doubles
    assert str(back["Subject"]) == render.subject(report)
    who = people.recipients(report, Kind.REPORT, SETTINGS)
    assert [(a.display_name, a.addr_spec) for a in back["To"].addresses] == [
        (a.display_name, a.addr_spec) for a in who.to
    ]
    assert [(a.display_name, a.addr_spec) for a in back["Cc"].addresses] == [
        (a.display_name, a.addr_spec) for a in who.cc
    ]
    text = body(message)
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"]
    assert [line for line in text.splitlines() if line.startswith("Fixes: ")] == [
        line for line in text.splitlines() if line.startswith("Fixes: ab74e5431129 (")
    ]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("J. R. Name", b'To: "J. R. Name" <author@example.org>\r\n'),
        ("Jürgen P. Name", b"To: =?utf-8?b?SsO8cmdlbiBQLiBOYW1l?= <author@example.org>\r\n"),
        ("a@b, c <x@y>", b"To: ab c xy <author@example.org>\r\n"),
        ("", b"To: author@example.org\r\n"),
    ],
)
def test_names_as_written(name: str, raw: bytes) -> None:
    message = mail(replace(reports.first_bad(), culprit=replace(reports.CULPRIT, author=name)))
    assert raw in message.as_bytes()
    assert len(parsed(message)["To"].addresses) == 1


def test_template_syntax_is_only_text() -> None:
    hostile = replace(reports.CULPRIT, subject="{{7*7}} {% raw %} {{config}}")
    message = mail(replace(reports.first_bad(), culprit=hostile, symptom="{{ 7*7 }}"))
    assert 'Fixes: ab74e5431129 ("{{7*7}} {% raw %} {{config}}")\n' in body(message)
    assert "  {{ 7*7 }}\n" in body(message)


@pytest.mark.parametrize(
    "text",
    ["<=?utf-8?b?DQpCY2M6IGE=?=@x>", "=?utf-8?q?a=0d=0a?=@x", "a b@c", "a@b@c", "@a", "a@", "a", "a@b\r\nBcc: c@d"],
)
def test_what_is_no_message_id_or_address(text: str) -> None:
    assert safe.message_id(text) is None
    assert safe.address("Name", text.strip("<>")) is None


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("Ann <ann@example.org>", "Ann", "ann@example.org"),
        ("ann@example.org", "", "ann@example.org"),
        ('"B., Ann" <ann@example.org>', "B. Ann", "ann@example.org"),
        ("Bcc: b@example.com <ann@example.org>", "Bcc bexample.com", "ann@example.org"),
        ("Bcc: b@example.com< <ann@example.org>", "Bcc bexample.com", "ann@example.org"),
        ("b@example.com via list <ann@example.org>", "bexample.com via list", "ann@example.org"),
    ],
)
def test_an_address_is_what_stands_between_the_brackets(text: str, name: str, found: str) -> None:
    address = safe.parse_address(text)
    assert address is not None and (address.display_name, address.addr_spec) == (name, found)


def test_two_addresses_are_none() -> None:
    assert safe.parse_address("Ann <ann@example.org>, Ben <ben@example.org>") is None


def test_long_and_foreign_lines_survive() -> None:
    line = "qemu-system-ppc64: " + "é" * 2000
    message = mail(replace(reports.first_bad(), symptom=line))
    assert line in body(message)
    assert max(map(len, message.as_bytes().split(b"\r\n"))) <= 998
    short = mail(replace(reports.first_bad(), symptom="qemu: é"))
    assert short["Content-Transfer-Encoding"] == "8bit"
    assert "qemu: é" in body(short)


def test_deliver_writes_whole_files(tmp_path: Path) -> None:
    message = mail(reports.first_bad())
    path = deliver.deliver(message, tmp_path / "out" / "r0017.eml")
    assert path.read_bytes() == message.as_bytes() == deliver.as_text(message).encode()
    assert [p.name for p in path.parent.iterdir()] == ["r0017.eml"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write there"):
        deliver.deliver(message, tmp_path / "file" / "r0017.eml")


def test_a_mail_says_how_it_can_be_answered_where_answers_are_read() -> None:
    def text(answers: str | None) -> str:
        chosen = replace(SETTINGS, answers=answers)
        return deliver.as_text(mail(reports.first_bad(), set_up=chosen))

    assert "no-cc" not in text(None)
    below = text("migbot").partition("-- \r\n")[2]
    assert "  migbot: no-cc  |  migbot: invalid <why>  |  migbot: test <message-id>\r\n" in below


def test_two_failures_of_one_machine_have_two_subjects() -> None:
    report = reports.first_bad()
    devices = Profile("devices", ("-nodefaults",))
    case = replace(report.case, profile="devices")
    iommu = Signature("footer", "iommu-intel")
    other = replace(report, profile=devices, case=case, regression=replace(report.regression, signature=iommu))
    assert render.subject(other) == "[regression] pseries-2.12 (iommu-intel): migration v2.12.0 -> master"
    nameless = replace(other, regression=replace(report.regression, signature=Signature("hang")))
    assert "()" not in render.subject(nameless)


@pytest.mark.parametrize("made", [reports.first_bad, reports.suspects, reports.exposed, reports.merge_conflict])
def test_an_issue_is_named_in_the_tags(made: Callable[[], Report]) -> None:
    url = "https://gitlab.com/qemu-project/qemu/-/issues/17"
    named = render.mail(made(), settings=SETTINGS, templates=TEMPLATES, date=NOW, issue=url)
    assert body(named).replace(f"Resolves: {url}\n", "") == body(mail(made())) != body(named)
