"""Pages: what they say, that nothing hostile becomes markup, and how a real browser lays them out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.model import Course, CourseRow, Inconclusive, Log, Observation, Outcome, Probed, Reason, Report, Weight
from bot.report import reasons, render, site
from bot.report.background import Background
from tests.report.test_mail import HOSTILE, NOW, SETTINGS, TEMPLATES
from tests.testing import reports

WIDE = Probed(reports.CULPRIT.sha, 2_000, good=20, bad=20)
SKIPPED = CourseRow(
    "search", "halves the weight", (replace(WIDE, good=0, bad=0, skip=1),), 2_750, ((0, 128),), (1 / 128,) * 128, 0.0,
    "a" * 40, 0.00036,
)  # fmt: skip
FLAKE = replace(SKIPPED, probes=(WIDE,), weights=(0.6 / 128,) * 128, nobody=0.4, share=0.00036)
COURSE = Course(2_750, (replace(SKIPPED, phase="ends", probes=()), *(SKIPPED, FLAKE) * 6))
"""Each row as wide as it can be."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ALLOWED = {
    "html", "head", "meta", "link", "title", "style", "body", "header", "main", "footer", "p", "h1", "h2", "h3", "a",
    "ul", "li", "div", "table", "thead", "tbody", "tr", "th", "td", "span", "br", "dl", "dt", "dd", "pre", "details",
    "summary", "figure", "figcaption", "svg", "desc", "g", "rect", "text", "line", "path", "circle", "defs",
    "use",
}  # fmt: skip


class Reader(HTMLParser):
    """Elements, attributes that run code or load things, and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def entry(report: Report, state: str = "open") -> site.Entry:
    eml = ""
    if report.culprit:
        message = render.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW)
        eml = message.as_bytes().decode()
    held = tuple(map(str, render.held(report, SETTINGS)))
    return site.Entry(report, state, 1582697564.0, eml, held, "git bisect start\n")


def tip(report: Report) -> site.Tip:
    runs = tuple(run for run in report.table if run.commit == report.bad.sha)
    return site.Tip("master", report.bad, runs, Background("master", report.names))


def make(out: Path, *made: site.Entry) -> dict[str, str]:
    tips = [tip(made[0].report)] if made else []
    cycle = "2020-02-26 05:40 UTC, 1 new regression"
    written = site.site(
        out, templates=TEMPLATES, entries=made, tips=tips, settings=SETTINGS, now=NOW, cycle=cycle, not_run=("KVM",)
    )
    return {str(path.relative_to(out)): path.read_text() for path in written}


def words(page: str) -> str:
    return " ".join(" ".join(Reader(page).text).split())


def test_pages_say_what_is_open_and_where_it_fails(tmp_path: Path) -> None:
    pages = make(tmp_path, entry(reports.first_bad()), entry(reports.merge_conflict(), "fixed in master"))
    index = words(pages["index.html"])
    assert "1 open regression " in index
    assert "pseries <= 3.1 -mem-path : migration v2.12.0 -> master" in index.replace("-mem-path:", "-mem-path :")
    assert index.index("r0017") < index.index("Closed") < index.index("r0033")
    assert "Last cycle: 2020-02-26 05:40 UTC, 1 new regression" in index
    assert "Not run: KVM." in index
    page = words(pages["r0017/index.html"])
    for said in (
        'first bad commit: ab74e5431129 ("ppc/spapr: use memdev for RAM")', "0 bad of 10",
        'Unknown ramblock "ppc_spapr.ram"',
        "run as printed: 1 here, 124 on the parent", "Held back by: approval: not approved by a person",
        'Fixes: ab74e5431129 ("ppc/spapr: use memdev for RAM")', "destination.stderr", "7 tested",
    ):  # fmt: skip
        assert said in page, said
    assert "<svg" not in pages["r0017/index.html"]
    assert "76 cases: 45 pass, 31 fail. All machine types by baselines" in index
    assert set(pages) == {"index.html", "matrix-master.html"} | {
        f"{i}/{name}" for i in ("r0017", "r0033") for name in ("index.html", "report.json", "mail.eml", "bisect.log")
    }


def test_a_page_says_what_was_weighed_before_the_first_probe(tmp_path: Path) -> None:
    weights = (Weight(reports.CULPRIT.sha, 1, 0.68, (Reason("its message says `<b>`", 24.0),)),)
    page = make(tmp_path, entry(replace(reports.first_bad(), weights=weights)))["r0017/index.html"]
    assert "68 % ab74e5431129" in words(page)
    assert f"{reasons.TIMES}24 its message says `<b>`" in words(page)
    assert "Before the first probe" not in words(make(tmp_path, entry(reports.first_bad()))["r0017/index.html"])


def test_a_page_shows_its_search_and_the_same_picture_is_a_file(tmp_path: Path) -> None:
    report = replace(reports.first_bad(), course=COURSE)
    pages = make(tmp_path, entry(report))
    page = pages["r0017/index.html"]
    assert pages["r0017/search.svg"].strip() in page
    assert re.search(r'<a href="search.svg">', page)
    assert page.index("<svg") < page.index('aria-label="Steps of the search"')  # the table says the same without it
    assert pages["r0017/search.svg"].startswith("<svg xmlns=")


def test_a_page_says_what_only_exposes_and_asks_for_no_tags(tmp_path: Path) -> None:
    page = words(make(tmp_path, entry(reports.exposed()))["r0041/index.html"])
    assert "which exposes the failure and did not introduce it" in page
    assert "It exposes the failure and did not introduce it: v2.12.0 passes in the place of v2.12.1" in page
    assert "v2.12.0 as the source passes (10 of 10)" in page
    assert "The pinned side is searched by: bot bisect v2.12.0..v2.12.1 --source-side" in page
    assert "Tags for a fix" not in page


def test_an_inferred_cause_is_on_the_page_once(tmp_path: Path) -> None:
    report = replace(reports.first_bad(), related=reports.inferred())
    page = words(make(tmp_path, entry(report))["r0017/index.html"])
    before_the_mail = page[: page.index("As it would be sent")]
    assert before_the_mail.count("Inferred, not measured: r0016 (since bd457782b3b0") == 1
    tags = before_the_mail[before_the_mail.index("Tags for a fix") :]
    assert tags.count("Fixes:") == 1
    assert "900c0ba373aa" not in tags


def test_links_lead_somewhere(tmp_path: Path) -> None:
    pages = make(tmp_path, entry(reports.first_bad()), entry(reports.suspects()))
    for name, page in pages.items():
        if name.endswith(".html"):
            for link in Reader(page).links:
                assert link == "data:," or (tmp_path / name).parent.joinpath(link).is_file(), (name, link)


def test_made_again_it_is_the_same(tmp_path: Path) -> None:
    assert make(tmp_path, entry(reports.first_bad())) == make(tmp_path, entry(reports.first_bad()))


def test_nothing_open_is_said(tmp_path: Path) -> None:
    index = words(make(tmp_path)["index.html"])
    assert "No open regression" in index
    assert "No branch was tested yet." in index


def test_a_finding_without_commits_has_a_page(tmp_path: Path) -> None:
    page = words(make(tmp_path, entry(reports.ended(Inconclusive("KVM went away"))))["r0017/index.html"])
    assert "inconclusive: KVM went away" in page
    assert "Fixes:" not in page


def test_types_that_do_alike_share_a_row() -> None:
    bare, mem_path = site.matrices(tip(reports.first_bad()))
    assert bare.profile == "bare"
    assert mem_path.columns == ("to itself", "from v2.12.0", "from v4.2.0", "to v2.12.0")
    assert [row[0] for row in mem_path.rows] == [
        "pseries-2.1 ... 2.7, 2.12 (8 types)",
        "pseries-2.8 ... 2.11, 3.0, 3.1, 2.12-sxxm (7 types)",
        "pseries-4.0 ... 4.2 (3 types)",
        "pseries-5.0",
    ]
    assert [cell.word for cell in mem_path.rows[0][1]] == ["ok", "FAIL", "FAIL", "FAIL"]
    assert [cell.word for cell in mem_path.rows[3][1]] == ["ok", "", "", ""]


def test_the_latest_run_of_a_case_counts() -> None:
    runs = (reports.run(reports.BAD), reports.run(reports.BAD, outcome=Outcome.PASS))
    (matrix,) = site.matrices(site.Tip("master", reports.BAD, runs, Background()))
    assert [cell.word for _, (cell,) in matrix.rows] == ["ok"]


def test_long_logs_are_cut_on_the_page_only(tmp_path: Path) -> None:
    report = reports.first_bad()
    log = Log("destination.stderr", "x" * 100_000)
    seen = Observation(Outcome.FAIL_DST, reports.SIGNATURE, "text", exits=(0, 1), logs=(log,))
    steps = (replace(report.steps[0], runs=(replace(reports.run(reports.BAD), observation=seen),)), *report.steps[1:])
    pages = make(tmp_path, entry(replace(report, steps=steps)))
    assert "80000 characters left out, see report.json" in pages["r0017/index.html"]
    assert "x" * 100_000 in pages["r0017/report.json"]


@settings(max_examples=40, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE, st.text(alphabet="<>&\"'{}%/ a\x1b[", max_size=20))
def test_nothing_hostile_becomes_markup(subject: str, stderr: str, name: str, machine: str) -> None:
    report = reports.first_bad()
    culprit = replace(reports.CULPRIT, subject=subject, author=name)
    case = replace(report.case, machine=machine or "m", profile=name or "p")
    failing = reports.run(reports.BAD, case)
    seen = replace(failing.observation, message=stderr, logs=(Log(name, stderr),), argv=((stderr, name),))
    failing = replace(failing, observation=seen)
    steps = (replace(report.steps[0], commit=culprit, runs=(failing,), why=name), *report.steps[1:])
    report = replace(
        report, culprit=culprit, case=case, symptom=stderr, steps=steps, table=(failing,), bad_name=name or "b"
    )
    jinja = render.environment(TEMPLATES)
    context = site.page_context(site.Entry(report, eml=stderr, held=(stderr,)), SETTINGS)
    page = jinja.get_template("page.html.j2").render(**context, picture="", files=[], made="now")
    found = Reader(page)
    assert set(found.tags) <= ALLOWED
    assert not found.handlers
    assert set(found.links) <= {"data:,", "../index.html"}
    assert "\x1b" not in page


# -- a real browser ------------------------------------------------------------------------------------------------

HARNESS = """<!DOCTYPE html><meta charset="utf-8"><body>{frames}<pre id="out"></pre><script>
onload = () => {{
  const frames = [...document.querySelectorAll("iframe")];
  document.getElementById("out").textContent = JSON.stringify(frames.map(frame => {{
    const root = frame.contentDocument.documentElement;
    root.querySelectorAll("details").forEach(d => d.open = true);
    return {{
      name: frame.title, width: root.clientWidth, overflow: root.scrollWidth, height: root.scrollHeight,
      heading: root.querySelector("h1").innerText,
      texts: [...root.querySelectorAll("svg.course text")].map(text => {{
        const box = text.getBoundingClientRect(), size = frame.contentWindow.getComputedStyle(text).fontSize;
        return {{said: text.textContent, size, x: box.left, right: box.right, y: box.top, bottom: box.bottom}};
      }}),
      marks: [...root.querySelectorAll("svg.course use")].map(mark => {{
        const style = frame.contentWindow.getComputedStyle(mark);
        return [mark.getAttribute("class"), style.fill, style.stroke];
      }}),
      font: frame.contentWindow.getComputedStyle(frame.contentDocument.body).fontSize,
    }};
  }}));
}};
</script>"""


def browse(harness: Path, profile: Path) -> list[dict[str, Any]]:
    """What a headless Chromium measured in the frames of a page."""
    argv = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", "--window-size=1400,900", "--dump-dom", harness.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    measured = json.loads(unescape(found[1]))
    assert isinstance(measured, list)
    return measured


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_every_page_without_overflow(tmp_path: Path) -> None:
    wide = replace(reports.CULPRIT, subject="memory_region_allocate_system_memory_and_more_without_any_break" * 3)
    weights = (Weight(wide.sha, 1, 0.68, (Reason(f"its message says `{'x' * 70}`", 24.0),) * 8),)
    report = replace(reports.first_bad(), culprit=wide, commits={wide.sha: wide}, weights=weights, course=COURSE)
    made = [entry(report), entry(reports.exposed()), entry(reports.suspects()), entry(reports.merge_conflict())]
    pages = {name: page for name, page in make(tmp_path / "out", *made).items() if name.endswith(".html")}
    frames = "".join(
        f'<iframe title="{name}" style="width:{width}px;height:700px;border:0" srcdoc="{escape(page)}"></iframe>'
        for name, page in pages.items()
        for width in (360, 1200)
    )
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS.format(frames=frames))
    measured = browse(harness, tmp_path / "profile")
    assert len(measured) == 2 * len(pages) == 12
    for frame in measured:
        assert frame["overflow"] == frame["width"], frame
        assert frame["width"] in (345, 360, 1185, 1200)  # with and without a scroll bar
        assert frame["heading"]
        assert frame["font"] == "16px"
    readable([frame for frame in measured if frame["name"] == "r0017/index.html"])


def readable(frames: list[dict[str, Any]]) -> None:
    """The texts of a picture are large enough, within it, and none is written over another, on both screens."""
    assert len(frames) == 2
    for frame in frames:
        colors = {kind: (fill, stroke) for kind, fill, stroke in frame["marks"]}  # what `use` has, its shape inherits
        assert set(colors) == {"good", "bad", "skip"} and len(set(colors.values())) == 3
        assert colors["bad"] == ("none", "rgb(163, 35, 24)")
        texts = frame["texts"]
        assert len(texts) > 20
        for text in texts:
            assert text["size"] in ("12px", "13px") and 10 < text["bottom"] - text["y"] < 25, text
            assert 0 <= text["x"] < text["right"] <= frame["width"], text
        for one, other in combinations(texts, 2):
            apart = one["right"] <= other["x"] or other["right"] <= one["x"]
            assert apart or one["bottom"] <= other["y"] + 3 or other["bottom"] <= one["y"] + 3, (one, other)


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_enough_contrast_in_both_schemes() -> None:
    css = (TEMPLATES / "base.html.j2").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    for scheme in (light, dark):
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        pairs = [(ink, ground) for ink in ("ink", "soft", "link") for ground in ("ground", "card", "code")]
        pairs += [(word, f"{word}-ground") for word in ("bad", "ok", "odd", "none")]
        for ink, ground in pairs:
            one, other = sorted((luminance(colors[ink]), luminance(colors[ground])), reverse=True)
            assert (one + 0.05) / (other + 0.05) >= 4.5, (ink, ground)


def test_a_picture_has_enough_contrast_in_both_schemes() -> None:
    light, dark = re.findall(r"\.course \{(.*?)\}", (TEMPLATES / "search.svg.j2").read_text())
    for scheme in (light, dark):
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        for ink, least in {"ink": 4.5, "soft": 4.5, "bar": 3.0, "good": 3.0, "bad": 3.0, "skip": 3.0}.items():
            one, other = sorted((luminance(colors[ink]), luminance(colors["card"])), reverse=True)
            assert (one + 0.05) / (other + 0.05) >= least, ink
