"""The page about the bot itself: counts, and a plot only where there is enough to say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from bot.core.lifecycle import CORRECTED
from bot.model import Course, Inconclusive, Report
from bot.report import accuracy
from tests.core.test_lifecycle import CORRECT
from tests.report.test_mail import NOW, TEMPLATES
from tests.report.test_site import FLAKE, entry, make, words
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


def page(*searches: tuple[Report, str]) -> tuple[str, str]:
    return accuracy.page(searches, templates=TEMPLATES, now=NOW, twin="accuracy.json")


def test_of_few_searches_it_is_said_that_they_are_few() -> None:
    html, twin = page((reports.first_bad(), "open"), (reports.ended(Inconclusive("KVM went away")), "open"))
    said = words(html)
    assert "a first bad commit, confirmed 1 of 2 inconclusive 1 of 2" in said
    assert "0 searches with a record of what was believed named a commit. From 20 on" in said
    assert "<svg" not in html
    assert json.loads(twin)["calibration"] == []
    html, _ = page(*((report, "open") for report in many(19)))
    assert "19 searches with a record" in words(html) and "<svg" not in html


def test_of_many_it_is_drawn_and_told() -> None:
    html, twin = page(*((report, "open") for report in many()))
    data = json.loads(twin)
    low, high = data["calibration"]
    assert (low["low"], low["right"], low["stated"]) == (0.5, 0.75, 0.7)
    assert (high["low"], high["right"], high["searches"]) == (0.9, 1.0, 20)
    assert "50 to 75 % 20 70 % 75 % 53 to 89 %" in words(html)
    assert html.count("<circle") == 2
    assert "<title>stated 70 %, right in 75 % of 20</title>" in html


def test_what_became_of_reports_counts() -> None:
    became = ["retracted", "fixed", "fixed", CORRECTED] * 5
    html, twin = page(*zip(many(), became, strict=True))
    said = words(html)
    assert "fixed 10 of 20 retracted 5 of 20 corrected 5 of 20" in said
    assert "10 of 20 named the wrong commit: 5 retracted, 5 corrected." in said
    data = json.loads(twin)
    assert data["wrong"] == {"retracted": 5, "corrected": 5}
    assert data["calibration"][1]["right"] == 0.5


def test_none_was_wrong() -> None:
    html, twin = page((reports.first_bad(), "open"))
    assert "0 of 1 named the wrong commit: 0 retracted, 0 corrected." in words(html)
    assert json.loads(twin)["wrong"] == {"retracted": 0, "corrected": 0}


def test_a_report_that_was_corrected_counts_beside_the_one_that_took_its_place(tmp_path: Path) -> None:
    first = replace(entry(reports.first_bad(), CORRECT), earlier=((reports.first_bad(), CORRECTED),))
    waits = replace(first, searching=True)
    twin = json.loads(make(tmp_path / "waits", waits)["accuracy.json"])
    assert (twin["searches"], twin["states"]) == (1, {"corrected": 1}), "its search is not done: it says nothing yet"
    twin = json.loads(make(tmp_path / "done", first)["accuracy.json"])
    assert (twin["searches"], twin["states"]) == (2, {"corrected": 1, "open": 1})
    assert twin["wrong"]["corrected"] == 1


def test_it_is_beside_the_other_pages(tmp_path: Path) -> None:
    pages = make(tmp_path, entry(reports.first_bad()))
    assert json.loads(pages["accuracy.json"])["endings"] == {"first-bad": 1}
    assert 'href="accuracy.html"' in pages["index.html"]
