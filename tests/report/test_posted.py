"""The answer to a posted series: whole mails against golden files, who gets it, and what it never carries out."""

from __future__ import annotations

from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import UserError
from bot.model import Origin, ReportSettings, SeriesReport
from bot.report import data, posted, safe
from tests.report.test_mail import HEADERS, NOW, SETTINGS, TEMPLATES, body, golden, parsed
from tests.testing import series


def mail(report: SeriesReport, set_up: ReportSettings = SETTINGS, *, approved: bool = False) -> EmailMessage:
    message, _ = posted.mail(report, settings=set_up, templates=TEMPLATES, date=NOW, approved=approved)
    return message


def held(report: SeriesReport) -> set[str]:
    return {hold.name for hold in posted.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW)[1]}


@pytest.mark.parametrize(("name", "report"), [("series", series.series()), ("series-range", series.suspects())])
def test_whole_mail(name: str, report: SeriesReport) -> None:
    raw = mail(report).as_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n"), "RFC 5322 line ends"
    assert len(raw) < 8192
    for text in body(mail(report)).splitlines():
        assert len(text) <= 76 or text.startswith("  destination exits 1: "), text
    golden(f"{name}.eml", raw.decode("ascii").replace("\r\n", "\n"))


def test_the_same_series_has_the_same_message_id() -> None:
    one, other = (posted.signature(series.series()) for _ in range(2))
    assert one == other and mail(series.series())["Message-ID"] == f"<s4471.1.series.{one}@migbot.example.org>"
    alone = series.suspects()
    assert posted.signature(alone) == alone.reports[0].regression.signature.key != one


def test_machine_types_with_the_same_first_failing_patch_are_told_together() -> None:
    found = {patch.what: patch.machines for patch in posted.patches(series.series())}
    assert list(found) == ["patch 33/79", "patch 38/79", "patch 43/79", "patch 67/79"]
    assert "pc-i440fx" in found["patch 43/79"] and "pc-q35" in found["patch 43/79"]
    two = series.series()
    moved = replace(two.reports[2], finding=two.reports[1].finding)
    found = {patch.what: patch.machines for patch in posted.patches(replace(two, reports=(*two.reports[:2], moved)))}
    assert list(found) == ["patch 43/79", "patch 67/79"] and "s390-ccw-virtio" in found["patch 43/79"]


def test_what_is_not_about_the_series_is_not_counted() -> None:
    """A machine type that fails otherwise, on the base as well, is in no figure."""
    report = series.series()
    odd = series.run(series.PATCHES[-1], series.cases("ppc64", "pseries", ("2.5",))[0], "other.ram")
    before = series.run(series.BASE, odd.case, "other.ram")
    assert posted.figures(replace(report, compared=(*report.compared, odd, before))) == posted.figures(report)


# -- who gets it ---------------------------------------------------------------------------------------------------


def test_only_lists_that_it_was_posted_to_get_a_copy() -> None:
    report = series.series()
    assert [a.addr_spec for a in posted.recipients(report, SETTINGS).cc] == ["qemu-devel@nongnu.org"]
    private = replace(report, origin=replace(report.origin, to="Ann <ann@example.org>"))
    found = posted.recipients(private, SETTINGS)
    assert ([a.addr_spec for a in found.to], found.cc) == (["author@example.org"], ())


def test_where_a_list_hides_who_wrote_it_the_first_patch_says() -> None:
    hidden = replace(series.ORIGIN, sender="A via qemu-devel <qemu-devel@nongnu.org>")
    found = posted.recipients(replace(series.series(), origin=hidden), SETTINGS)
    assert [a.addr_spec for a in found.to] == ["author@example.org"]


def test_who_wants_no_mail_gets_none() -> None:
    found = posted.recipients(series.series(), replace(SETTINGS, no_cc=("author@*",)))
    assert [a.addr_spec for a in found.to] == ["qemu-devel@nongnu.org"] and found.cc == ()


# -- what holds it -------------------------------------------------------------------------------------------------


def test_it_is_held_until_a_person_approves_it() -> None:
    assert held(series.series()) == {"approval"}
    assert "X-Migbot-Held" not in mail(series.series(), approved=True)


@pytest.mark.parametrize("message_id", ["", "<a b@x>", "none", "<=?utf-8?q?x?=@x>"])
def test_without_a_mail_to_answer_it_is_held(message_id: str) -> None:
    report = replace(series.series(), origin=replace(series.ORIGIN, message_id=message_id))
    assert held(report) == {"posted", "approval"}
    assert "In-Reply-To" not in mail(report)


def test_a_search_that_would_not_be_reported_holds_it() -> None:
    report = series.series()
    for change, name in (
        ({"reproduction": None}, "reproducer"),
        ({"paths": ("docs/index.rst",)}, "paths"),
    ):
        odd = replace(report.reports[2], **change)
        assert held(replace(report, reports=(*report.reports[:2], odd))) == {name, "approval"}
    assert held(replace(report, sandboxed=False)) == {"sandbox", "approval"}


# -- what others wrote ---------------------------------------------------------------------------------------------

HOSTILE = st.text(alphabet=st.sampled_from('a <>@:,;"\\=?()\r\n\t\x1b[\x00é=?utf-8?b?DQpCY2M6IHg=?= '), max_size=60)


@settings(max_examples=60, deadline=None)
@given(sender=HOSTILE, to=HOSTILE, subject=HOSTILE, message_id=HOSTILE, title=HOSTILE)
def test_no_field_of_a_posted_mail_gets_out_of_its_place(
    sender: str, to: str, subject: str, message_id: str, title: str
) -> None:
    report = series.suspects()
    patches = tuple(replace(patch, subject=title, author=sender, email=to) for patch in report.patches)
    origin = Origin(message_id, sender, to, subject, 1)
    message = parsed(mail(replace(report, origin=origin, patches=patches)))
    assert set(message.keys()) <= set(HEADERS)
    assert len(message.keys()) == len(set(message.keys()))
    assert safe.clean(body(message)) == body(message)
    for name in ("To", "Cc"):
        for found in message[name].addresses if message[name] else ():
            assert found.addr_spec == safe.parse_address(found.addr_spec).addr_spec  # type: ignore[union-attr]


# -- as JSON -------------------------------------------------------------------------------------------------------


def test_it_is_read_back_from_json() -> None:
    for report in (series.series(), series.suspects()):
        assert data.load_series(data.dump_series(report)) == report


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 1}', '{"schema": 2, "series": {}}', '{"schema": 1, "series": {}}']
)
def test_what_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="here"):
        data.load_series(text, "here")
