"""The picture of what became of a regression: places follow time, states follow events, nothing runs out of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bot.core.lifecycle import Accepted, Claimed, Event, Happened, Record, Refuted, Reopened, Surveyed, replay
from bot.report import timeline
from tests.core.test_lifecycle import CURE, NONE_PASSES, PARTLY, RUNS, STUCK
from tests.report.test_mail import TEMPLATES
from tests.testing import reports

DAY = 86400.0
OPENED = 1582697564.0  # 2020-02-26
FIX = replace(reports.CULPRIT, sha=CURE.commit, subject="</svg><script>", committed="2020-02-28T00:00:00+00:00")
SVG = "{http://www.w3.org/2000/svg}"


def record(*events: Event) -> Record:
    return replay(Happened(OPENED + DAY * i, event) for i, event in enumerate(events, 1))


def draw(of: Record, now: float = OPENED + 30 * DAY) -> ElementTree.Element:
    svg = timeline.draw(reports.first_bad(), of, OPENED, now, TEMPLATES, FIX)
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


def per_cent(of: ElementTree.Element, name: str) -> float:
    return float(of.get(name, "").removesuffix("%"))


def test_commits_and_events_stand_in_their_order() -> None:
    moments = timeline.moments(reports.first_bad(), record(Claimed(CURE.commit, "Fixes: x"), CURE), OPENED, FIX)
    assert [(moment.shape, moment.label) for moment in moments] == [
        ("commit", "first bad commit ab74e5431129"),
        ("event", "found at db736e0437aa"),
        ("event", "222222222222 says it cures it"),
        ("commit", "fix 222222222222"),
        ("event", "fixed by 222222222222"),
    ]


def test_a_partial_cure_is_a_moment() -> None:
    moments = timeline.moments(reports.first_bad(), record(PARTLY, NONE_PASSES), OPENED)
    assert [(moment.style, moment.label) for moment in moments[-2:]] == [
        ("skip", "1 of 3 cases pass"),
        ("bad", "all cases fail again"),
    ]
    tip = PARTLY.tip[:12]
    assert moments[-2].told == f"at {tip} 1 case (a) passes, 2 cases (b, c) fail still"
    assert moments[-1].told == f"at {tip} none passes any more, 3 cases (a, b, c) fail"


def test_that_nobody_can_run_it_is_a_moment() -> None:
    moments = timeline.moments(reports.first_bad(), record(STUCK, RUNS), OPENED)
    assert [moment.label for moment in moments[-2:]] == ["not run any more", "run again"]
    assert moments[-2].told == f"at {STUCK.tip[:12]} none of its cases can be run any more: {STUCK.why}"
    assert moments[-1].told == f"its cases are run again, at {STUCK.tip[:12]}"


def test_places_follow_the_time_and_the_band_has_no_gap() -> None:
    drawn = draw(record(Claimed(CURE.commit, "Fixes: x"), CURE))
    places = [per_cent(use, "x") for use in drawn.iter(f"{SVG}use")]
    assert places == sorted(places) and places[0] == 2.0 and places[-1] < 98.0  # 98 is now
    spans = [rect for rect in drawn.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    assert [span.findtext(f"{SVG}title") for span in spans] == ["open", "fix posted", "fixed"]
    for one, other in pairwise(spans):
        assert per_cent(one, "x") + per_cent(one, "width") == pytest.approx(per_cent(other, "x"), abs=0.02)
    last = spans[-1]
    assert per_cent(last, "x") + per_cent(last, "width") == pytest.approx(98.0, abs=0.02)


def test_what_others_wrote_is_text_in_it() -> None:
    drawn = draw(record(Claimed(CURE.commit, "<script>\ufffe\u202e"), CURE))
    said = [title.text or "" for title in drawn.iter(f"{SVG}title")]
    assert any("<script>" in text for text in said) and any("</svg><script>" in text for text in said)
    assert drawn.find(f".//{SVG}script") is None


def test_of_a_long_history_the_beginning_and_the_end_are_drawn() -> None:
    again = Reopened("c" * 40, "d" * 40)
    drawn = draw(record(*(CURE, again) * 30, CURE), OPENED + 90 * DAY)
    assert len(list(drawn.iter(f"{SVG}use"))) == 24
    assert drawn.findtext(f"{SVG}title") == f"fixed, found {datetime.fromtimestamp(OPENED, UTC):%Y-%m-%d}, 40 left out"


def test_a_clock_that_was_set_back_and_a_date_that_is_none_are_no_trouble() -> None:
    report = replace(reports.first_bad(), culprit=replace(reports.CULPRIT, committed="yesterday"))
    svg = timeline.draw(report, record(CURE), OPENED, OPENED - DAY, TEMPLATES)
    assert "first bad commit" not in svg and "fixed by 222222222222" in svg
    assert not re.search(r"nan|-\d+\.\d+%", svg)


@pytest.mark.parametrize(
    "event", [Claimed("b" * 40, "x"), Accepted("Ann", "2020-06-30", "why", "Ben")], ids=["claimed", "accepted"]
)
def test_labels_leave_room_for_the_day(event: Event) -> None:
    after = (event, Refuted("b" * 40, "x"), CURE, Surveyed(())) if isinstance(event, Claimed) else (event,)
    for moment in timeline.moments(reports.first_bad(), record(*after), OPENED, FIX):
        assert len(moment.label) <= 34
