"""Pages in a real browser: layout, contrast, filters, buttons, paper, and what hostile text does there (nothing)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from itertools import combinations
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest

from bot.core.lifecycle import Claimed, Event
from bot.host import web
from bot.model import Case, Direction, Log, Reason, Report, SeriesReport, Sha, Weight
from bot.report import accuracy, seriespage, site
from tests.core.test_lifecycle import CURE
from tests.report.test_accuracy import many
from tests.report.test_health import ill
from tests.report.test_mail import NOW, TEMPLATES
from tests.report.test_seriespage import entry as posted_entry
from tests.report.test_seriespage import swept
from tests.report.test_site import COURSE, entry, make
from tests.testing import reports, series
from tests.testing.browser import CHROMIUM, Browser, Page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

EVIL = '</script><script>window.hacked = 1</script>"\'><img src=x onerror="window.hacked = 1">\u202eevil\u2066'
SHOWN = '</script><script>window.hacked = 1</script>"\'><img src=x onerror="window.hacked = 1">evil'
"""The same on a page: characters that turn the direction of what follows are gone."""
LONG = "memory_region_allocate_system_memory_and_more_without_any_break" * 3
PLACES = (
    *("index.html", "matrix-master.html", "accuracy.html", "many.html", "health.html", "ill.html"),
    *(f"{i}/index.html" for i in ("r0017", "r0021", "r0033", "r0041", "r0099", "s4470", "s4471", "s4499")),
)
INSECURE = "pages.example"


def hostile() -> Report:
    """A report in which all that others may write is markup."""
    report = reports.first_bad()
    culprit = replace(reports.CULPRIT, subject=EVIL, author=EVIL)
    case = Case("x86_64-softmmu", f'm"{EVIL}', f"p'{EVIL}", Direction.FORWARD, "2.12")
    failing = reports.run(reports.BAD, case)
    seen = replace(failing.observation, message=EVIL, logs=(Log(EVIL, EVIL),), argv=((EVIL, EVIL),))
    failing = replace(failing, observation=seen)
    steps = (replace(report.steps[0], commit=culprit, runs=(failing,), why=EVIL), *report.steps[1:])
    assert report.reproduction is not None
    return replace(
        report, culprit=culprit, case=case, symptom=EVIL, steps=steps, table=(failing,), bad_name=EVIL,
        commits={culprit.sha: culprit}, reproduction=replace(report.reproduction, text=EVIL),
        regression=replace(report.regression, id="r0099", cases=(case,)),
    )  # fmt: skip


def world() -> list[site.Entry]:
    wide = replace(reports.CULPRIT, subject=LONG)
    weights = (Weight(wide.sha, 1, 0.68, (Reason(f"its message says `{'x' * 70}`", 24.0),) * 8),)
    first = replace(reports.first_bad(), culprit=wide, commits={wide.sha: wide}, weights=weights, course=COURSE)
    claimed: Event = Claimed(Sha("b" * 40), f"Fixes: {EVIL}")
    return [
        entry(first, claimed),
        entry(reports.exposed()),
        entry(reports.suspects()),
        entry(reports.merge_conflict(), CURE),
        entry(hostile(), claimed),
    ]


def hostile_series() -> SeriesReport:
    """A series of which all that its author and QEMU may write is markup."""
    report = series.suspects()
    patches = tuple(replace(patch, subject=EVIL, author=EVIL, email=EVIL) for patch in report.patches)
    one = hostile()
    one = replace(
        one, finding=report.reports[0].finding, commits={patch.sha: patch for patch in patches}, good_name=EVIL,
        steps=tuple(replace(step, commit=patches[-1]) for step in one.steps), profile=None, culprit=None,
    )  # fmt: skip
    failing = replace(one.table[0], commit=report.posted.commit)
    return replace(
        report, id="s4499", patches=patches, base=replace(report.base, subject=EVIL),
        posted=replace(report.posted, subject=EVIL, revision=EVIL), untold=(EVIL,), not_run=(EVIL,),
        origin=replace(report.origin, subject=EVIL, sender=f"{EVIL} <a@example.org>", message_id=f"<{EVIL}>"),
        reports=(replace(one, table=(failing,)),), compared=(failing,), others=(failing,),
    )  # fmt: skip


def posted_series() -> list[seriespage.Entry]:
    """Of several searches; of one, that was swept, with names as long as any; and a hostile one."""
    wide = swept()
    origin = replace(wide.origin, subject=f"[PATCH] {LONG}", sender=f"{LONG} <author@example.org>")
    wide = replace(wide, id="s4470", origin=origin, posted=replace(wide.posted, revision=LONG), untold=(LONG,))
    return [posted_entry(series.series()), posted_entry(wide), posted_entry(hostile_series())]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages")
    make(out, *world(), series=posted_series())
    html, _ = accuracy.page([(report, "open") for report in many()], templates=TEMPLATES, now=NOW, twin="accuracy.json")
    (out / "many.html").write_text(html)
    html, _ = ill(EVIL)
    (out / "ill.html").write_text(html)
    return out


@pytest.fixture(scope="module")
def base(root: Path) -> Iterator[str]:
    """Where they are served; ends in a slash."""
    said: Queue[str] = Queue()
    stop = threading.Event()
    serving = threading.Thread(
        target=web.serve, args=(root, "127.0.0.1", 0), kwargs={"names": [INSECURE], "say": said.put, "stop": stop}
    )
    serving.start()
    yield said.get(timeout=30).removesuffix("index.html")
    stop.set()
    serving.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser") / "profile", hosts=INSECURE) as started:
        yield started


def until(page: Page, condition: str) -> None:
    """Wait until a JavaScript expression is true."""
    end = time.monotonic() + 30
    while not page.do(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.02)


# -- what is drawn -------------------------------------------------------------------------------------------------

CONTRAST = (Path(__file__).parents[1] / "testing" / "contrast.js").read_text()
DRAWN = """(() => ({
  width: document.documentElement.clientWidth, overflow: document.documentElement.scrollWidth,
  heading: document.querySelector("h1").innerText, font: getComputedStyle(document.body).fontSize,
  texts: [...document.querySelectorAll("figure > svg text")].map(text => {
    const box = text.getBoundingClientRect(), size = getComputedStyle(text).fontSize;
    return {said: text.textContent, size, x: box.left, right: box.right, y: box.top, bottom: box.bottom};
  }),
  marks: [...document.querySelectorAll("svg.course use")].map(mark => {
    const style = getComputedStyle(mark);
    return [mark.getAttribute("class"), style.fill, style.stroke];
  }),
}))()"""


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1200, False)])
def test_every_page_fits_and_can_be_read(browser: Browser, base: str, width: int, dark: bool) -> None:
    with browser.page(width=width, dark=dark) as page:
        for place in PLACES:
            page.open(base + place)
            contrast = page.do(CONTRAST)
            assert contrast["seen"] > 10 and not contrast["poor"], (place, contrast)
            page.show(width, dark=not dark)
            contrast = page.do(CONTRAST)
            assert not contrast["poor"], (place, contrast)
            page.show(width, dark=dark)
            drawn = page.do(DRAWN)  # with all logs open
            assert drawn["overflow"] == drawn["width"] <= width, (place, drawn)
            assert drawn["heading"] and drawn["font"] == "16px"
            if place == "r0017/index.html":
                marks(drawn, dark)
                assert len(drawn["texts"]) > 30
            readable(drawn)
        assert page.complaints() == []


def test_a_text_that_is_too_faint_would_be_found(browser: Browser, base: str) -> None:
    with browser.page() as page:
        page.open(base)
        page.do("document.documentElement.style.setProperty('--soft', '#8a8a8a')")
        assert len(page.do(CONTRAST)["poor"]) > 10


def marks(drawn: dict[str, Any], dark: bool) -> None:
    """Those of a search are told apart by their colours as well."""
    colors = {kind: (fill, stroke) for kind, fill, stroke in drawn["marks"]}  # what `use` has, its shape inherits
    assert set(colors) == {"good", "bad", "skip"} and len(set(colors.values())) == 3
    assert colors["bad"] == ("none", "rgb(255, 154, 140)" if dark else "rgb(163, 35, 24)")


def readable(drawn: dict[str, Any]) -> None:
    """The texts of pictures are large enough, within it, and none is written over another."""
    texts = drawn["texts"]
    for text in texts:
        assert text["size"] in ("12px", "13px") and 10 < text["bottom"] - text["y"] < 25, text
        assert 0 <= text["x"] < text["right"] <= drawn["width"], text
    for one, other in combinations(texts, 2):
        apart = one["right"] <= other["x"] or other["right"] <= one["x"]
        assert apart or one["bottom"] <= other["y"] + 3 or other["bottom"] <= one["y"] + 3, (one, other)


def test_without_javascript_it_says_the_same(browser: Browser, base: str) -> None:
    said: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for script in (True, False):
        with browser.page(script=script) as page:
            for place in PLACES:
                page.open(base + place)
                shown = page.do("[...document.querySelectorAll('.filters, button')].filter(e => e.offsetHeight).length")
                assert (shown > 0) is (script and page.do("!!document.querySelector('.filters, button')")), place
                page.do("document.querySelectorAll('.filters, button').forEach(e => e.hidden = true)")
                said[script][place] = page.do("document.body.innerText")
    assert said[True] == said[False]
    assert all(len(text) > 300 for text in said[True].values())


def test_paper_has_all_and_no_buttons(browser: Browser, base: str) -> None:
    with browser.page(width=700, dark=True, media="print") as page:
        page.open(f"{base}r0017/index.html")
        heights = page.do("[...document.querySelectorAll('details pre')].map(e => e.getBoundingClientRect().height)")
        assert len(heights) > 3 and all(height > 10 for height in heights)
        assert page.do("[...document.querySelectorAll('button, .contents')].every(e => !e.offsetHeight)")
        assert page.do("getComputedStyle(document.body).backgroundColor") == "rgb(251, 251, 249)"
        assert page.do("[...document.querySelectorAll('pre')].every(e => e.scrollWidth <= e.clientWidth)")


# -- where it leads ------------------------------------------------------------------------------------------------


ARCHIVED = f"https://lore.kernel.org/qemu-devel/{series.ORIGIN.message_id.strip('<>')}/"


def test_every_link_leads_somewhere(browser: Browser, base: str) -> None:
    links: set[str] = set()
    with browser.page() as page:
        for place in PLACES:
            page.open(base + place)
            links |= set(page.do("[...document.querySelectorAll('a[href], link[rel=alternate]')].map(a => a.href)"))
        assert page.complaints() == []
    ids = {url: None if "#" not in url else urldefrag(url)[1] for url in links}
    found: dict[str, str] = {}
    for url, anchor in ids.items():
        if url == ARCHIVED:
            continue
        assert url.startswith(base), url
        bare = urldefrag(url)[0]
        if bare not in found:
            found[bare] = get(bare)
        assert anchor is None or f'id="{anchor}"' in found[bare], url
    assert ARCHIVED in links
    names = {url.removeprefix(base) for url in found}
    assert {"index.json", "matrix-master.json", "feed.xml", "r0017/report.json", "r0017/mail.eml"} <= names
    assert {f"s4471/{name}" for name in ("index.html", "report.json", "mail.eml")} <= names
    for place in PLACES:
        again = re.findall(r' id="([^"]*)"', get(urljoin(base, place)))
        assert len(again) == len(set(again)), place


def get(url: str) -> str:
    at = urlsplit(url)
    connection = HTTPConnection(at.netloc, timeout=30)
    connection.request("GET", at.path)
    answer = connection.getresponse()
    assert answer.status == 200, url
    assert answer.headers["Content-Type"] != "application/octet-stream", url
    text = answer.read().decode()
    connection.close()
    return text


# -- filters -------------------------------------------------------------------------------------------------------

CARDS = (
    "[...document.querySelectorAll('.card.item')].filter(e => e.offsetHeight)"
    ".map(e => e.querySelector('a').pathname.split('/')[1])"
)
NAMES = "[...document.querySelectorAll('tr.item')].filter(e => e.offsetHeight).map(e => e.cells[0].innerText.trim())"
ROWS = f"{NAMES}.length"
EMPTY = (
    "[...document.querySelectorAll('.group')].filter(g => g.offsetHeight && !g.querySelector('.item:not([hidden])'))"
)
FOCUS = "document.activeElement.name || document.activeElement.textContent"
COUNT = "document.querySelector('.filters output').textContent"


SHOWN_FIRST = ["r0017", "r0041", "r0021", "r0099", "s4499", "s4471", "s4470"]


def test_filters_are_used_by_keyboard(browser: Browser, base: str) -> None:
    with browser.page() as page:
        page.open(f"{base}index.html")
        assert page.do(CARDS) == [*SHOWN_FIRST, "r0033"]
        rows = page.do(ROWS)
        for _ in range(10):
            page.press("Tab")
            if page.do(FOCUS) == "text":
                break
        page.type("PSERIES-2.3 r0041")
        assert page.do(CARDS) == ["r0041"]  # a type within a range, and words in any order
        assert page.do(ROWS) == 0
        assert page.do(COUNT) == f"1 of {8 + rows} regressions, series and rows"
        assert page.do("location.hash") == "#text=PSERIES-2.3+r0041"
        assert page.do(f"{EMPTY}.length") == 0
        page.press("Tab")
        assert page.do(FOCUS) == "state"
        while page.do(FOCUS) != "Show all":
            page.press("Tab")
        page.press("Enter")
        assert page.do(CARDS) == [*SHOWN_FIRST, "r0033"]
        assert (page.do(ROWS), page.do(FOCUS), page.do("location.hash")) == (rows, "text", "")
        page.press("Tab")
        page.press("ArrowDown")  # any, fix posted, fixed, open
        assert page.do("document.activeElement.value") == "fix posted"
        assert page.do(CARDS) == ["r0017", "r0099"]
        assert page.do(ROWS) == rows  # what has no state is not asked about it
        page.press("Tab")
        assert page.do(FOCUS) == "target"
        page.press("ArrowDown")
        page.press("ArrowDown")  # after aarch64, of the series
        assert page.do("document.activeElement.value") == "ppc64-softmmu"
        assert page.do(CARDS) == ["r0017"]
        assert page.complaints() == []


def test_what_is_filtered_has_an_address(browser: Browser, base: str) -> None:
    with browser.page() as page:
        page.open(f"{base}index.html#state=fixed&text=pseries")
        assert page.do(CARDS) == ["r0033"]
        page.do("location.hash = '#state=nonsense&target=x86_64-softmmu'")
        until(page, f"{CARDS}.join() === 'r0099,s4499,s4471'")
        assert page.do("document.querySelector('[name=state]').value") == ""
        page.open(f"{base}index.html#state=series&target=s390x-softmmu")
        assert page.do(CARDS) == ["s4471"]
        page.open(f"{base}index.html#closed")
        assert len(page.do(CARDS)) == 8
        assert page.do("document.querySelector(':target').textContent") == "Closed"


def test_the_matrix_is_filtered(browser: Browser, base: str) -> None:
    with browser.page(width=360) as page:
        page.open(f"{base}matrix-master.html")
        rows = page.do(ROWS)
        page.click("[name=text]")
        page.type("pseries-2.12 fail")
        shown = page.do(NAMES)
        assert 0 < len(shown) < rows and all(name.startswith("pseries-2.12") for name in shown)
        page.click(".filters button")
        assert page.do(ROWS) == rows


# -- buttons -------------------------------------------------------------------------------------------------------

FIXES = 'Fixes: ab74e5431129 ("ppc/spapr: use memdev for RAM")'


@pytest.mark.parametrize("secure", [True, False])
def test_buttons_copy_exactly_what_is_shown(browser: Browser, base: str, root: Path, secure: bool) -> None:
    """Over plain HTTP from another host there is no navigator.clipboard, and another way is taken."""
    make(root / "plain", entry(reports.first_bad()))
    tags = f"{FIXES}\nReported-by: QEMU migration bot <migbot+r0017@example.org>\n"
    at = base if secure else base.replace("127.0.0.1", INSECURE)
    with browser.page() as page, browser.page() as reader:
        reader.open(base)
        for source, text in (("reproducer", reports.REPRODUCER), ("fixes", FIXES), ("tag-lines", tags)):
            reader.do("navigator.clipboard.writeText('before')")
            page.open(f"{at}plain/r0017/index.html")
            assert page.do("isSecureContext") is secure
            page.call("Page.bringToFront")
            page.click(f"[data-copy={source}]")
            until(page, "[...document.querySelectorAll('[role=status]')].some(e => e.textContent === 'Copied.')")
            assert page.do("document.activeElement.dataset.copy") == source
            reader.call("Page.bringToFront")
            assert reader.do("navigator.clipboard.readText()") == text
        assert page.complaints() == []


# -- hostile text --------------------------------------------------------------------------------------------------


def test_hostile_text_is_text(browser: Browser, base: str) -> None:
    with browser.page() as page:
        for place in ("index.html", "r0099/index.html", "s4499/index.html", "matrix-master.html", "ill.html"):
            page.open(f"{base}{place}#text=%3Cimg+src%3Dx+onerror%3D%22window.hacked%3D1%22%3E&state=%3Cscript%3E")
            assert page.do("typeof window.hacked") == "undefined"
            assert page.do("document.images.length") == 0
            assert page.do("document.scripts.length") == 1
            page.do("location.hash = '#text='")
            assert not page.do(r"/[\u202a-\u202e\u2066-\u2069]/.test(document.documentElement.outerHTML)")
        page.open(f"{base}r0099/index.html")
        for place in ("s4499", "r0099"):
            page.open(f"{base}{place}/index.html")
            assert SHOWN in page.do("document.body.textContent")
            assert page.do("document.getElementById('reproducer').textContent") == SHOWN
        assert page.complaints() == []
        page.do(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked = 1'}))"
        )
        assert page.do("typeof window.hacked") == "undefined"  # what gets in all the same is not run
        assert any("Content Security Policy" in said for said in page.complaints())
