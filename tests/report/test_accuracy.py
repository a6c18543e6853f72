"""The page about the bot itself: counts, and a plot only where there is enough to say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from bot.core.lifecycle import Happened, Record, Retracted, replay
from bot.model import Course, Inconclusive, Report
from bot.report import accuracy
from tests.core.test_lifecycle import CURE
from tests.report.test_mail import NOW, TEMPLATES
from tests.report.test_site import FLAKE, words
from tests.testing import reports


def many(n: int = accuracy.ENOUGH) -> list[Report]:
    """Searches that were sure of the right commit in the end, and now and then of another one before."""
    first = reports.first_bad()
    found = []
    for i in range(n):
        likeliest = reports.CULPRIT.sha if i % 4 else reports.PARENT.sha
        before = replace(FLAKE, phase="search", likeliest=likeliest, share=0.7)
        after = replace(before, likeliest=reports.CULPRIT.sha, share=0.97)
        course = Course(2_750, (before, after))
        found.append(replace(first, course=course, regression=replace(first.regression, id=f"r{i + 100:04d}")))
    return found


def page(*searches: tuple[Report, Record]) -> tuple[str, str]:
    return accuracy.page(searches, templates=TEMPLATES, now=NOW, twin="accuracy.json")


def test_of_few_searches_it_is_said_that_they_are_few() -> None:
    html, twin = page((reports.first_bad(), Record()), (reports.ended(Inconclusive("KVM went away")), Record()))
    said = words(html)
    assert "a first bad commit, confirmed 1 of 2 inconclusive 1 of 2" in said
    assert "0 searches with a record of what was believed named a commit. From 20 on" in said
    assert "<svg" not in html
    assert json.loads(twin)["calibration"] == []
    html, _ = page(*((report, Record()) for report in many(19)))
    assert "19 searches with a record" in words(html) and "<svg" not in html


def test_of_many_it_is_drawn_and_told() -> None:
    html, twin = page(*((report, Record()) for report in many()))
    data = json.loads(twin)
    low, high = data["calibration"]
    assert (low["low"], low["right"], low["stated"]) == (0.5, 0.75, 0.7)
    assert (high["low"], high["right"], high["searches"]) == (0.9, 1.0, 20)
    assert "50 to 75 % 20 70 % 75 % 53 to 89 %" in words(html)
    assert html.count("<circle") == 2
    assert "<title>stated 70 %, right in 75 % of 20</title>" in html


def test_what_became_of_reports_counts() -> None:
    back = replay([Happened(1.0, Retracted("random", "me"))])
    fixed = replay([Happened(1.0, CURE)])
    html, twin = page(*((report, record) for report, record in zip(many(), [back, fixed] * 10, strict=True)))
    assert "fixed 10 of 20 retracted 10 of 20" in words(html)
    assert json.loads(twin)["calibration"][1]["right"] == 0.5


def test_it_is_beside_the_other_pages(tmp_path: Path) -> None:
    from tests.report.test_site import entry, make

    pages = make(tmp_path, entry(reports.first_bad()))
    assert json.loads(pages["accuracy.json"])["endings"] == {"first-bad": 1}
    assert 'href="accuracy.html"' in pages["index.html"]
