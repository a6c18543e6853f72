"""Every kind of page on a telephone, with names as long as they come: the page stands still, a wide table moves in its
own box, and that box says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from bot.config import load
from bot.core.gate import Kind
from bot.host import web
from bot.model import (
    Build,
    BuildKind,
    BuildStatus,
    Case,
    Direction,
    Observation,
    Outcome,
    Report,
    Run,
    SeriesReport,
    Signature,
)
from bot.pipeline.publish import write_site
from bot.report import data, posted
from bot.store.outbox import Post
from bot.store.store import Mail, Store
from tests.report.test_pages import CONTRAST
from tests.testing import lab, reports, series
from tests.testing.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

WIDTH = 360
WORD = "memory_region_allocate_system_memory_and_more_without_any_break" * 2
HYPHENS = "-".join(["a-word-with-hyphens-of-28-chs"] * 4)
SUBJECT = f"{WORD}: {HYPHENS} {WORD}"
MACHINE, BOARD = f"pc-q35-{WORD}-9.2", f"{HYPHENS}-{WORD}"
SHORT = "pc-q35-9.2"
BRANCH = f"stable-{HYPHENS}"
WIDE = reports.commit("f0" * 6, SUBJECT)
SEEN = Observation(Outcome.FAIL_DST, Signature("device", WORD, HYPHENS), f"{WORD} {HYPHENS}", releases=("7.2.22", WORD))
COLUMNS = tuple(f"baseline-{number}-{WORD[:40]}" for number in range(8))


def runs() -> Iterator[Run]:
    for machine in (MACHINE, BOARD, SHORT, "pc-q35-9.1"):
        for at, baseline in enumerate(COLUMNS):
            case = Case("x86_64-softmmu", machine, f"profile_{WORD}", Direction.FORWARD, baseline, WORD)
            yield Run(WIDE.sha, case, SEEN if at % 2 else Observation(Outcome.PASS), host=WORD)
        case = Case("x86_64-softmmu", machine, f"profile_{HYPHENS}", Direction.SAME, None)
        yield Run(WIDE.sha, case, SEEN)
        yield Run(WIDE.sha, case, Observation(Outcome.PASS))
    lost = Case("x86_64-softmmu", BOARD, WORD, Direction.SAME, None)
    yield Run(WIDE.sha, lost, Observation(Outcome.INFRA, message=f"no {WORD}"))


def wide_report() -> Report:
    """A regression of that machine type, whose culprit, options and figures are as long."""
    report, case = reports.first_bad(), Case("x86_64-softmmu", MACHINE, WORD, Direction.FORWARD, COLUMNS[0], WORD)
    culprit = replace(reports.CULPRIT, subject=SUBJECT)
    failing = [Run(report.bad.sha, replace(case, machine=m), SEEN) for m in (MACHINE, BOARD)]
    steps = (replace(report.steps[0], commit=culprit, why=HYPHENS), *report.steps[1:])
    return replace(
        report, case=case, culprit=culprit, commits={culprit.sha: culprit}, steps=steps, table=tuple(failing),
        symptom=f"{WORD} {HYPHENS}", bad_name=BRANCH, not_run=(WORD, HYPHENS), host=WORD, toolchain=HYPHENS,
        regression=replace(report.regression, signature=SEEN.signature or reports.SIGNATURE, cases=(case,)),
    )  # fmt: skip


def wide_series() -> SeriesReport:
    report = series.suspects()
    case = Case("ppc64-softmmu", MACHINE, WORD, Direction.FORWARD, COLUMNS[0], WORD)
    patches = tuple(replace(patch, subject=SUBJECT, author=WORD) for patch in report.patches)
    one = replace(
        report.reports[0], case=case, commits={patch.sha: patch for patch in patches},
        regression=replace(report.reports[0].regression, cases=(case,)),
    )  # fmt: skip
    origin = replace(report.origin, subject=f"[PATCH v6 00/79] {SUBJECT}", sender=f"{WORD[:60]} <a@example.org>")
    return replace(
        report, id="s0001", patches=patches, base=replace(report.base, subject=SUBJECT), reports=(one,),
        posted=replace(report.posted, subject=SUBJECT, revision=WORD),
        origin=replace(origin, message_id=f"<{WORD}@x.y>"),
        compared=(Run(report.posted.commit, case, SEEN), Run(report.posted.base, case, Observation(Outcome.PASS))),
        others=tuple(Run(report.posted.commit, run.case, run.observation) for run in runs() if not run.flaky),
        untold=(f"{MACHINE}, {BOARD}: {WORD}",), not_run=(WORD, HYPHENS),
    )  # fmt: skip


def fill(store: Store) -> None:
    """A lab, and a branch beside its own of which everything is long."""
    lab.fill(store)
    for run in runs():
        store.record(run)
    broken = Build(
        WIDE.sha, f"x86_64-{WORD}-softmmu", "v4.2", BuildStatus.FAILED, BuildKind.FULL, 20.0, 399, HYPHENS,
        error=f"{WORD}.c:12:5: error: {WORD}", log=f"{lab.LOG}\n{WORD * 5}", host=WORD,
    )  # fmt: skip
    store.record(broken)
    store.see(BRANCH, WIDE)
    lab.conclude(store, wide_report(), BRANCH)
    answer(store, wide_series())
    store.end_cycle(store.begin_cycle(), f"{WORD} {HYPHENS}")


def answer(store: Store, report: SeriesReport) -> None:
    """Keep what was found of a series, with its answer."""
    name = store.series.open(report.posted.commit, posted.signature(report))
    report = replace(report, id=name)
    mail = Mail(name, Kind.SERIES, f"<{name}.1@example.org>", 1.0, ("approval: no",), f"Subject: {SUBJECT}\n\n{WORD}\n")
    post = Post(Kind.SERIES, mail.message_id, "mail", (f"approval: {WORD}",), mail.eml)
    store.answer(name, json.dumps(posted.headline(report)), data.dump_series(report), mail, [post])


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The URLs of all pages that were written."""
    work, said, stop = tmp_path_factory.mktemp("long"), Queue[str](), threading.Event()
    store, out = Store(work), work / "out"
    fill(store)
    write_site(store, load(None, lab.EXPECTED, {}), out, None)
    serving = threading.Thread(
        target=web.serve, args=(out, "127.0.0.1", 0), kwargs={"names": [], "say": said.put, "stop": stop}
    )
    serving.start()
    base = said.get(timeout=30).removesuffix("index.html")
    yield [base + str(path.relative_to(out)) for path in sorted(out.rglob("*.html"))]
    stop.set()
    serving.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(Path(tmp_path_factory.mktemp("browser")) / "profile") as started:
        yield started


LOOK = """(() => {
  document.querySelectorAll("details").forEach(d => d.open = true);
  const alpha = color => { const parts = color.match(/[\\d.]+/g).map(Number); return parts.length < 4 ? 1 : parts[3]; };
  const moves = e => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  const boxes = [...document.querySelectorAll("body *")].filter(e => moves(e) && e.scrollWidth > e.clientWidth);
  const covered = box => {
    if (!box.matches(".scroll")) return [];
    const edge = box.getBoundingClientRect(), over = [];
    for (const row of box.querySelectorAll("tbody tr")) {
      const at = row.getBoundingClientRect();
      row.scrollIntoView({block: "center"});
      const moved = row.getBoundingClientRect();
      let seen = document.elementFromPoint(edge.right - 4, moved.top + moved.height / 2);
      for (; seen && seen !== box; seen = seen.parentElement)
        if (alpha(getComputedStyle(seen).backgroundColor) > 0.5) over.push(seen.outerHTML.slice(0, 80));
    }
    return over;
  };
  return {
    width: document.documentElement.clientWidth, overflow: document.documentElement.scrollWidth,
    out: [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1
      && !e.closest(".scroll, pre, svg, .aside, option")).map(e => e.outerHTML.slice(0, 100)),
    boxes: boxes.map(box => ({
      what: box.tagName + "." + box.className, focus: box.tabIndex, hint: getComputedStyle(box).backgroundImage,
      covered: covered(box),
    })),
  };
})()"""


def test_no_page_moves_sideways_and_what_does_says_so(browser: Browser, places: list[str]) -> None:
    kinds = {url.rpartition("/")[2].partition("-")[0] for url in places}
    assert kinds >= {"index.html", "matrix", "accuracy.html", "health.html"}
    assert {"history", "builds", "r0003", "s0001"} <= {part for url in places for part in url.split("/")}
    tables, seen = 0, dict[str, Any]()
    with browser.page(width=WIDTH) as page:
        for url in places:
            page.open(url)
            seen[url] = look = page.do(LOOK)
            assert look["overflow"] == look["width"] <= WIDTH, (url, look["out"])
            assert not look["out"], (url, look["out"])
            for box in look["boxes"]:
                assert box["focus"] == 0, (url, box)  # moved by keys as well
                if box["what"].startswith("PRE"):
                    continue
                tables += 1
                assert "gradient" in box["hint"] and not box["covered"], (url, box)
        assert page.complaints() == []
    assert tables > 8, seen


def test_names_that_are_long_are_read_as_well(browser: Browser, places: list[str]) -> None:
    with browser.page(width=WIDTH, dark=True) as page:
        for url in places:
            page.open(url)
            contrast = page.do(CONTRAST)
            assert contrast["seen"] > 10 and not contrast["poor"], (url, contrast)
