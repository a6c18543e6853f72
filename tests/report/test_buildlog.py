"""The page of a build: the first error on top, and a way from there to its line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from bot.build.diagnosis import place
from bot.model import Build, BuildKind, BuildStatus
from bot.report import buildlog
from bot.report.buildlog import BuildLog
from tests.report.test_mail import HOSTILE, NOW, TEMPLATES
from tests.report.test_site import ALLOWED, Reader, words
from tests.testing import lab, reports

BUILD = Build(
    reports.BAD.sha, "x86_64-softmmu", "v4.2", BuildStatus.FAILED, BuildKind.FULL, 41.0, 399, "gcc 12.2.0",
    error=lab.ERROR, host="h1",
)  # fmt: skip


def page(build: Build = BUILD, log: str = lab.LOG) -> str:
    at = place(log, build.error or "")
    return buildlog.page(BuildLog(build, lambda: (log, at), reports.BAD), templates=TEMPLATES, now=NOW)


def test_the_first_error_is_on_top_and_its_line_is_marked() -> None:
    html = page()
    said = words(html)
    line = lab.LOG.split("\n").index(next(text for text in lab.LOG.split("\n") if ": error: " in text)) + 1
    assert said.index(lab.ERROR) < said.index(f"In the log, line {line} of ") < said.index("Compiling C object")
    assert '<a href="#error">' in html
    (marked,) = [part.partition("</mark>")[0] for part in html.split('<mark id="error">')[1:]]
    assert marked.startswith("../../../src/hw/core/machine.c:12:5: error: ")
    assert "full, 399 steps, 41 s" in said and "gcc 12.2.0" in said and reports.BAD.subject in said
    log = "".join(html.partition('<pre class="log" tabindex="0">')[2].partition("</pre>")[0].split('<mark id="error">'))
    assert log.replace("</mark>", "").count("\n") == lab.LOG.count("\n")  # all of it, and no line more


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("[1/2] CC\n[... 900 bytes dropped ...]\n[2/2] LD\n", "It is not in what is kept of the log."),
        ("", "its log is not kept any more"),
    ],
)
def test_an_error_that_is_not_in_the_log_has_no_link(log: str, said: str) -> None:
    html = page(log=log)
    assert said in words(html) and lab.ERROR in words(html)
    assert "#error" not in html and "<mark" not in html


def test_a_first_line_and_a_last_one_are_found_too() -> None:
    for log in ("a.c:1:1: error: x\nrest", "rest\na.c:1:1: error: x", "a.c:1:1: error: x"):
        html = page(replace(BUILD, error="a.c:1:1: error: x"), log)
        assert '<mark id="error">a.c:1:1: error: x</mark>' in html


def test_what_was_built_has_no_error() -> None:
    html = page(replace(BUILD, status=BuildStatus.BUILT, error=None), "[1/1] Linking target qemu\n")
    assert "First error" not in words(html) and "Linking target" in words(html)


@settings(max_examples=30, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_nothing_hostile_becomes_markup(error: str, log: str, name: str) -> None:
    commit = replace(reports.BAD, subject=name)
    build = replace(BUILD, error=error, target=name or "t", host=log, toolchain=name)
    of = BuildLog(build, lambda: (f"{log}\n{error}\n{log}", log.count("\n") + 1), commit)
    found = Reader(buildlog.page(of, templates=TEMPLATES, now=NOW))
    assert set(found.tags) <= ALLOWED | {"mark"} and not found.handlers
    assert set(found.links) <= {"data:,", "../index.html", "../health.html", "#error"}
    assert found.tags.count("script") == 1
    assert Path(of.path).parent == Path("builds") and ".." not in Path(of.path).parts
