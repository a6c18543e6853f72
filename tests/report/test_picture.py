"""The picture of a search: an XML parser reads it, its figures are those of the course, and no search breaks it."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.bisection import Bisection
from bot.core.course import BINS, ROWS, course
from bot.core.dag import Dag
from bot.model import Course, CourseRow, Inconclusive, Probed, Sha
from bot.report import data, picture
from tests.core.test_bisection import fold, line, noisy, oracle, play, start
from tests.core.test_dag import dags
from tests.report.test_mail import HOSTILE, TEMPLATES
from tests.testing import reports
from tests.testing.world import run

SVG = "{http://www.w3.org/2000/svg}"
LIMIT = 60_000  # bytes


def drawn(found: Course, culprit: Sha | None = None, **subjects: str) -> ET.Element:
    """The picture, read by a parser; small whatever it shows."""
    text = picture.draw(found, TEMPLATES, ends=("v4.2.0", "master"), found=culprit, subjects=subjects)
    assert len(text.encode()) < LIMIT
    return ET.fromstring(text)  # noqa: S314 - our own


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def rows(root: ET.Element) -> list[ET.Element]:
    return [group for group in root.findall(f"{SVG}g") if group.find(f"{SVG}title") is not None]


def marks(row: ET.Element) -> list[tuple[str, str]]:
    """(kind, place) of the probes of a row."""
    return [(str(use.get("href")).removeprefix("#course-"), str(use.get("x"))) for use in row.iter(f"{SVG}use")]


def heights(row: ET.Element) -> list[float]:
    """The heights of a row's bars by bin, read from their outline."""
    bars = next(path for path in row.iter(f"{SVG}path") if path.get("class") == "bar")
    box = next(svg.get("viewBox") for svg in row.iter(f"{SVG}svg") if svg.get("viewBox"))
    found = [0.0] * int(str(box).split()[2])
    place = level = 0
    for letter, number, other in re.findall(r"([MVhz])(\d*) ?(\d*)", str(bars.get("d"))):
        if letter == "M":
            place = int(number)
            assert other == "100"
        elif letter == "V":
            level = 100 - int(number)
        elif letter == "h":
            found[place : place + int(number)] = [level / 100] * int(number)
            place += int(number)
    return found


def search(dag: Dag, culprit: str, **more: object) -> Bisection:
    return play(start(dag, "c0", **more), oracle(dag, culprit))[0]


def test_a_row_shows_what_was_run_and_what_is_left() -> None:
    found = course(search(line(16), "c5"))
    root = drawn(found, "c5", c5='break <everything> & "more"')
    assert texts(root)[0] == root.findtext(f"{SVG}title") == "16 commits, 6 of them tested"
    said = [[text.text for text in row.findall(f"{SVG}text")] for row in rows(root)]
    assert said == [
        ["before the first probe", "16 left, top 6.2 %"],
        ["c8 bad", "8 left, top 12 %"],
        ["c4 good", "4 left, top 25 %"],
        ["c6 bad", "2 left, top 50 %"],
        ["c5 bad", "1 left, top 100 %"],
        ["confirmation, 36 runs", "1 left, top 100 %"],
    ]
    assert marks(rows(root)[0]) == [("good", "1%"), ("bad", "95.00%")]
    assert marks(rows(root)[1]) == [("bad", "47.00%")]
    assert texts(root)[-3:] == ["good: v4.2.0", "bad: master", "first bad commit c5"]
    for row, its in zip(rows(root), found.rows, strict=True):
        assert heights(row) == pytest.approx([math.sqrt(weight) for weight in its.weights], abs=0.006)
        assert sum(height**2 for height in heights(row)) == pytest.approx(1, abs=0.1)


def test_it_is_told_in_words_as_well() -> None:
    root = drawn(course(search(line(16), "c5")), "c5", c5='break <everything> & "more"')
    assert root.get("role") == "img"
    title, desc = (root.find(f"{SVG}{name}") for name in ("title", "desc"))
    assert title is not None and desc is not None and desc.text
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert 'c5 bad (midpoint): 1 left, top 100 % (c5); c5 bad "break <everything> & "more"".' in desc.text
    said = desc.text
    assert [str(row.findtext(f"{SVG}title")) in said for row in rows(root)] == [True] * 6


def test_marks_that_would_hide_each_other_are_moved_aside() -> None:
    last = rows(drawn(course(search(line(400), "c200")), "c200"))[-1]
    places = [x for _, x in marks(last)]
    assert [kind for kind, _ in marks(last)] == ["good", "good", "bad", "bad"]
    moved = [use.get("transform") for use in last.iter(f"{SVG}use") if use.get("transform")]
    assert moved == ["translate(-4.5)", "translate(4.5)"] and len(set(places)) == 4


@pytest.mark.parametrize("n", [1, 2, 3, BINS, BINS + 1])
def test_small_ranges(n: int) -> None:
    root = drawn(course(search(line(n), "c1")), "c1")
    assert len(heights(rows(root)[0])) == min(n, BINS)
    assert heights(rows(root)[-1])[0] == 1.0


def test_a_culprit_that_is_not_known_or_not_in_the_range_has_no_line() -> None:
    found = course(search(line(4), "c1"))
    for sha in (None, "c0", "x"):
        root = drawn(found, sha)
        assert not [element for element in root.iter() if element.get("class") == "found"]


def test_skips_and_merges() -> None:
    dag = Dag.of({"a1": ("good",), "b1": ("good",), "a2": ("a1",), "b2": ("b1",), "m": ("a2", "b2"), "t": ("m",)})
    state = fold(start(dag), {"t": "B", "good": "G", "m": "N", "a2": "G", "b2": "N", "b1": "G"})
    root = drawn(course(state))
    kinds = [kind for row in rows(root) for kind, _ in marks(row)]
    assert sorted(kinds) == ["bad", "good", "good", "good", "skip", "skip"]
    assert "m skip" in texts(root)
    spans = [path.get("d") for path in root.iter(f"{SVG}path") if path.get("class") == "span"]
    assert spans[-1] == "M3 0h3v100h-3z"


def test_under_noise_it_says_that_it_may_be_nobody() -> None:
    root = drawn(course(noisy(60, "c20", 0.5, 0.0, 1)), "c20")
    assert any(re.fullmatch(r"top [\d.]+ %, nobody [\d.]+ %", text) for text in texts(root))
    assert any(re.search(r" \d+ of \d+[,.]", row.findtext(f"{SVG}title") or "") for row in rows(root))


def test_the_largest_course_is_a_small_file() -> None:
    """All rows, every bin with a bar of its own height, twenty gaps, many commits in each row, long subjects."""
    weights = tuple((1 + i % 7) / BINS / 4 for i in range(BINS))
    spans = tuple((6 * i, 6 * i + 2) for i in range(20))
    for n in (1, 5, 8, 60):  # sixty are near each other, as under noise
        probes = tuple(Probed(f"{i:040x}", i * (20_000 if n < 9 else 500), i % 2, i % 3, 1) for i in range(n))
        row = CourseRow("search", "halves the weight", probes, 123_456, spans, weights, 0.3, "f" * 40, 0.1)
        subjects = {probe.commit: "a long subject of a commit " * 9 for probe in probes}
        drawn(Course(200_000, (row,) * ROWS), **subjects)
    prior = {f"c{i}": float(1 + i * 7919 % 104729) for i in range(1, 20_001)}
    real = course(start(line(20_000), "c0", prior=prior))
    assert len(rows(drawn(replace(real, rows=real.rows * ROWS)))) == ROWS


def test_of_many_marks_those_in_one_place_are_one() -> None:
    found = course(search(line(16), "c5"))
    probes = tuple(Probed(f"p{i}", i * 10, good=1) for i in range(100))
    row = replace(found.rows[1], probes=probes)
    (shown,) = rows(drawn(replace(found, commits=10_000, rows=(row,))))
    assert len(marks(shown)) == 2
    assert "p4 good, and 95 more" in str(shown.findtext(f"{SVG}title"))


@settings(deadline=None)
@given(dags(), st.data())
def test_no_search_breaks_it(parents: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    dag = Dag.of(parents)
    state = start(dag)
    shas = st.sampled_from([*dag.commits, *sorted(dag.outside | {"good"})])
    for sha, letter in data.draw(st.lists(st.tuples(shas, st.sampled_from("GGBBONUSI")), max_size=30)):
        state = state.observe(run(sha, letter))
    found = course(state)
    root = drawn(found, data.draw(st.sampled_from([None, *dag.commits])))
    assert len(rows(root)) == len(found.rows)
    for row, its in zip(rows(root), found.rows, strict=True):
        kinds = {"bad" if p.bad else "good" if p.good else "skip" for p in its.probes}
        assert {kind for kind, _ in marks(row)} == kinds
        assert len(marks(row)) == len(its.probes) or len(its.probes) > 8
        assert heights(row) == pytest.approx([math.sqrt(weight) for weight in its.weights], abs=0.006)


@settings(deadline=None)
@given(HOSTILE, HOSTILE, st.text(max_size=60))
def test_nothing_hostile_becomes_markup(subject: str, name: str, why: str) -> None:
    found = course(search(line(4), "c2"))
    rows_ = tuple(replace(row, why=why, likeliest=name) for row in found.rows)
    text = picture.draw(
        replace(found, rows=rows_), TEMPLATES, ends=(name, subject), found="c2", subjects={"c2": subject}
    )
    root = ET.fromstring(text)  # noqa: S314 - our own
    known = {"svg", "title", "desc", "style", "rect", "text", "g", "path", "line", "circle", "defs", "use"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= known
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]
    links = {value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")}
    assert links == {"#course-good", "#course-bad", "#course-skip"}


def test_a_report_has_its_picture() -> None:
    state = search(line(16), "c5")
    report = replace(reports.first_bad(), course=course(state))
    assert data.load(data.dump(report)) == report
    assert "good: v4.2.0" in texts(ET.fromstring(picture.of_report(report, TEMPLATES)))  # noqa: S314 - our own
    assert picture.of_report(reports.first_bad(), TEMPLATES) == ""
    ended = replace(reports.ended(Inconclusive("no")), course=report.course)
    assert "first bad" not in picture.of_report(ended, TEMPLATES)
