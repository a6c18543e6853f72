"""Pages of a lab in a real browser: histories and logs of builds, narrow and wide, light and dark, without script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from bot.config import load
from bot.host import web
from bot.pipeline.publish import write_site
from bot.store.store import Store
from tests.report.test_pages import CONTRAST, DRAWN
from tests.testing import lab
from tests.testing.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

Q35, PSERIES = "history/master/x86_64-pc-q35.html", "history/master/ppc64-pseries.html"
FAILED = f"builds/{lab.TIPS[-1].short}-aarch64.html"
PLACES = (
    *(Q35, PSERIES, "history/master/x86_64-boards.html", FAILED, f"builds/{lab.NEWEST.short}-ppc64.html"),
    *("index.html", "matrix-master.html", "health.html", "accuracy.html", "r0001/index.html", "r0002/index.html"),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    work, said, stop = tmp_path_factory.mktemp("lab"), Queue[str](), threading.Event()
    store = Store(work)
    lab.fill(store)
    write_site(store, load(None, lab.EXPECTED, {}), work / "out", None)
    serving = threading.Thread(
        target=web.serve, args=(work / "out", "127.0.0.1", 0), kwargs={"names": [], "say": said.put, "stop": stop}
    )
    serving.start()
    yield said.get(timeout=30).removesuffix("index.html")
    stop.set()
    serving.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(Path(tmp_path_factory.mktemp("browser")) / "profile") as started:
        yield started


@pytest.mark.parametrize("width", [360, 1200])
def test_every_page_fits_and_can_be_read(browser: Browser, base: str, width: int) -> None:
    with browser.page(width=width) as page:
        for place in PLACES:
            page.open(base + place)
            for dark in (False, True):
                page.show(width, dark=dark)
                contrast = page.do(CONTRAST)
                assert contrast["seen"] > 10 and not contrast["poor"], (place, dark, contrast)
                drawn = page.do(DRAWN)
                assert drawn["overflow"] == drawn["width"] <= width, (place, drawn)
        assert page.complaints() == []


def test_a_cell_leads_to_its_place_and_that_is_seen(browser: Browser, base: str) -> None:
    with browser.page() as page:
        page.open(f"{base}matrix-master.html")
        page.do("[...document.querySelectorAll('tr.item')].find(r => r.innerText.startsWith('pseries-2.7'))"
                ".querySelector('td.fail a').id = 'this'")  # fmt: skip
        page.click("#this")
        page.wait_for("location.pathname.endsWith('ppc64-pseries.html') && document.querySelector(':target') !== null")
        card = "document.querySelector(':target').closest('.card')"
        assert page.do(f"{card}.querySelector('.word').innerText") == "FAIL"
        assert "pseries-2.1 ... 2.7, 2.12 (8 types)" in page.do(f"{card}.innerText")
        assert page.do(f"getComputedStyle({card}).outlineStyle") == "solid"
        assert page.do(f"{card}.getBoundingClientRect().top") < 800
        assert page.do("location.hash") == "#pseries-2.7.forward.2.12"


def test_histories_are_filtered(browser: Browser, base: str) -> None:
    shown = "[...document.querySelectorAll('.card.item')].filter(e => e.offsetHeight).length"
    with browser.page(width=360) as page:
        page.open(f"{base}{Q35}")
        every = page.do(shown)
        page.click("[name=text]")
        page.type("pc-q35-9.1 flaky")
        assert page.do(shown) == 1 < every
        page.open(f"{base}{Q35}#pc-q35-9.2.same")  # a place is no filter
        assert page.do(shown) == every


def test_the_jump_to_the_first_error_shows_its_line(browser: Browser, base: str) -> None:
    with browser.page(width=360) as page:
        page.open(base + FAILED)
        page.click("a[href='#error']")
        seen = page.do("(b => [b.top, b.bottom])(document.getElementById('error').getBoundingClientRect())")
        assert 0 <= seen[0] < seen[1] <= 800
        line = page.do("document.getElementById('error').innerText")
        assert "machine.c:12:5: error:" in line
        assert page.do("document.querySelector('pre').innerText").strip() in line.replace("\u2018", "'").replace(
            "\u2019", "'"
        )


def test_without_javascript_they_say_the_same(browser: Browser, base: str) -> None:
    said: dict[bool, list[str]] = {True: [], False: []}
    for script in (True, False):
        with browser.page(script=script) as page:
            for place in (Q35, PSERIES, FAILED):
                page.open(base + place)
                page.do("document.querySelectorAll('.filters').forEach(e => e.hidden = true)")
                said[script].append(page.do("document.body.innerText"))
    assert said[True] == said[False]
