"""Pages: what they say, and that nothing hostile becomes markup. `test_pages.py` looks at them with a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.lifecycle import Claimed, Event, Happened, replay
from bot.model import Course, CourseRow, Inconclusive, Log, Observation, Outcome, Probed, Reason, Report, Weight
from bot.report import reasons, render, seriespage, site
from bot.report.background import Background
from bot.report.memory import digest
from tests.core.test_lifecycle import CURE
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
ALLOWED = {
    "html", "head", "meta", "link", "title", "style", "body", "header", "main", "footer", "p", "h1", "h2", "h3", "a",
    "ul", "li", "div", "table", "thead", "tbody", "tr", "th", "td", "span", "br", "dl", "dt", "dd", "pre", "details",
    "summary", "figure", "figcaption", "svg", "desc", "g", "rect", "text", "line", "path", "circle", "defs",
    "use", "script", "nav", "section", "button", "label", "input", "select", "option", "output",
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


def entry(report: Report, *events: Event) -> site.Entry:
    eml = ""
    if report.culprit:
        message = render.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW)
        eml = message.as_bytes().decode()
    held = tuple(map(str, render.held(report, SETTINGS)))
    record = replay(Happened(1582697564.0 + 86400 * i, event) for i, event in enumerate(events, 1))
    return site.Entry(report, record, 1582697564.0, eml, held, "git bisect start\n")


def source(of: seriespage.Entry) -> site.SeriesSource:
    return site.SeriesSource(of.report.id, digest(of), lambda: of)


def tip(report: Report) -> site.Tip:
    runs = tuple(run for run in report.table if run.commit == report.bad.sha)
    return site.Tip("master", report.bad, runs, Background("master", report.names))


def make(out: Path, *made: site.Entry, series: Sequence[seriespage.Entry] = ()) -> dict[str, str]:
    tips = [tip(made[0].report)] if made else []
    cycle = "2020-02-26 05:40 UTC, 1 new regression"
    written = site.site(
        out, templates=TEMPLATES, entries=made, tips=tips, settings=SETTINGS, now=NOW, cycle=cycle, not_run=("KVM",),
        series=[source(one) for one in series],
    )  # fmt: skip
    return {str(path.relative_to(out)): path.read_text() for path in written}


def words(page: str) -> str:
    return " ".join(" ".join(Reader(page).text).split())


def test_pages_say_what_is_open_and_where_it_fails(tmp_path: Path) -> None:
    pages = make(tmp_path, entry(reports.first_bad()), entry(reports.merge_conflict(), CURE))
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
    top = {"index.html", "index.json", "feed.xml", "matrix-master.html", "matrix-master.json"}
    top |= {"accuracy.html", "accuracy.json", "health.html", "health.json"}
    assert set(pages) == top | {
        f"{i}/{name}" for i in ("r0017", "r0033") for name in ("index.html", "report.json", "mail.eml", "bisect.log")
    } | {"r0033/timeline.svg"}


def test_a_page_tells_what_happened_since(tmp_path: Path) -> None:
    hostile = Claimed("b" * 40, "Fixes: <script>")
    pages = make(tmp_path, entry(reports.first_bad(), hostile, CURE))
    assert pages["r0017/timeline.svg"].strip() in pages["r0017/index.html"]
    page = words(pages["r0017/index.html"])
    assert page.index("What happened") < page.index("What was found")
    assert "2020-02-27 06:12 bbbbbbbbbbbb says that it cures it (Fixes: <script>)" in page
    assert f"fixed by {CURE.commit[:12]}, as it says: fails 10 of 10 before it, 0 of 10 with it" in page
    assert "Tags for a fix" not in page
    assert f"r0017, fixed by {CURE.commit[:12]}, opened 2020-02-26" in words(pages["index.html"])
    assert "What happened" not in words(make(tmp_path, entry(reports.first_bad()))["r0017/index.html"])


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
                assert link == "data:," or link.startswith("#") or (tmp_path / name).parent.joinpath(link).is_file(), (
                    name,
                    link,
                )


def test_programs_read_beside_the_pages_what_people_read_on_them(tmp_path: Path) -> None:
    evil = entry(replace(reports.first_bad(), bad_name="<b>&\ufffe"))
    pages = make(tmp_path, evil, entry(reports.merge_conflict(), CURE))
    index = json.loads(pages["index.json"])
    assert (index["schema"], index["made"]) == (1, "2020-02-26T06:12:44Z")
    first, second = index["regressions"]
    assert (first["id"], first["state"], first["live"]) == ("r0017", "open", True)
    assert first["targets"] == ["ppc64-softmmu"] and "pseries-2.12" in first["machines"]
    assert (second["state"], second["note"]) == ("fixed", f"by {CURE.commit[:12]}")
    assert second["changed"] == "2020-02-27T06:12:44Z"
    assert first["history"] == [] and second["history"][0]["at"] == "2020-02-27 06:12"
    (branch,) = index["branches"]
    assert branch["summary"] == "76 cases: 45 pass, 31 fail"
    for name in (first["json"], first["page"], branch["json"], branch["page"]):
        assert name in pages
    cases = json.loads(pages[branch["json"]])["cases"]
    assert len(cases) == 76
    assert sum(case["outcome"] == "FAIL_DST" for case in cases) == 31
    assert cases[0]["case"] == "ppc64-softmmu/pseries-2.1/bare/forward/2.12"


def test_a_feed_is_atom_and_has_what_changed_last_first(tmp_path: Path) -> None:
    evil = entry(replace(reports.first_bad(), bad_name="<b>&\ufffe"))
    pages = make(tmp_path, evil, entry(reports.merge_conflict(), CURE))
    atom = "{http://www.w3.org/2005/Atom}"
    feed = ElementTree.fromstring(pages["feed.xml"])  # noqa: S314 - our own
    assert feed.findtext(f"{atom}updated") == "2020-02-27T06:12:44Z"
    titles = [item.findtext(f"{atom}title") or "" for item in feed.iter(f"{atom}entry")]
    assert titles[0].startswith("r0033: ") and titles[0].endswith(" (fixed)")
    assert titles[1].startswith("r0017: ") and "<b>&" in titles[1]
    ids = [item.findtext(f"{atom}id") for item in feed.iter(f"{atom}entry")]
    assert ids == [f"{SETTINGS.url}/{name}/" for name in ("r0033", "r0017")]


def test_made_again_it_is_the_same(tmp_path: Path) -> None:
    assert make(tmp_path, entry(reports.first_bad())) == make(tmp_path, entry(reports.first_bad()))


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    make(tmp_path, entry(reports.first_bad()))
    log, page = tmp_path / "r0017" / "bisect.log", tmp_path / "r0017" / "index.html"
    kept, seen = log.stat(), page.stat()
    page.write_text("another")
    make(tmp_path, entry(reports.first_bad()))
    assert (log.stat().st_ino, log.stat().st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)
    assert page.stat().st_ino != seen.st_ino and "first bad commit" in page.read_text()


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
    assert [cell.word for _, (cell,), _ in matrix.rows] == ["ok"]


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
    page = jinja.get_template("page.html.j2").render(**context, picture="", timeline="", files=[], made="now")
    found = Reader(page)
    assert set(found.tags) <= ALLOWED
    assert not found.handlers
    assert {link for link in found.links if not link.startswith("#")} <= {"data:,", "../index.html"}
    assert found.tags.count("script") == 1
    assert "\x1b" not in page


# -- colours -------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", ["search", "timeline"])
def test_a_picture_has_enough_contrast_in_both_schemes(name: str) -> None:
    light, dark = re.findall(r"^\.\w+ \{ (--.*?)\}", (TEMPLATES / f"{name}.svg.j2").read_text(), re.MULTILINE)
    for scheme in (light, dark):
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        for ink, least in {"ink": 4.5, "soft": 4.5, "bar": 3.0, "good": 3.0, "bad": 3.0, "skip": 3.0}.items():
            one, other = sorted((luminance(colors[ink]), luminance(colors["card"])), reverse=True)
            assert (one + 0.05) / (other + 0.05) >= least, ink
