"""Whatever others wrote, in every kind of mail and on every page: parsed back, it is text in its place, nothing else.

Commit subjects, names, addresses, branches, machine types, stderr, logs and people's reasons are made of pieces that
would do something if they got out: header lines, markup, template and terminal code, what turns text around.
"""

from __future__ import annotations

import json
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.gate import Kind, kind_of
from bot.core.lifecycle import (
    Accepted,
    Claimed,
    Event,
    Expired,
    Happened,
    Refuted,
    Reopened,
    Retracted,
    Standing,
    Surveyed,
    replay,
)
from bot.model import (
    Build,
    BuildKind,
    BuildStatus,
    Expected,
    Log,
    Observation,
    Outcome,
    Reason,
    Report,
    Reproduction,
    Run,
    SeriesReport,
    Tally,
    Weight,
)
from bot.report import follow, render, seriespage, site
from bot.report.background import Background
from bot.report.health import Work
from bot.report.post.notice import notice
from bot.store.store import Cycle
from tests.report.test_follow import BROKEN, CURE, FIX, PARENT, PICK, TIP
from tests.report.test_mail import HEADERS, HOSTILE, NOW, SETTINGS, TEMPLATES, body, parsed
from tests.report.test_site import ALLOWED, COURSE, Reader, source
from tests.testing import reports, series

BIDI = "".join(map(chr, (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))
"""Characters that turn the order of text around (Unicode TR 9)."""
LONG = "long " + "x" * 100_000 + "\n" + "y " * 20_000
MARKUP = ["</pre></svg>]]>--><!--", "' onload='x", '" onload="x', "&lt;b&gt;", "javascript:x"]
TAGGED = ["\nFixes: 0123456789ab (", "\r\nReported-by: X <x@example.org>", "\n-- \n", "\nLink: x"]
NAME = st.one_of(HOSTILE, st.sampled_from([BIDI, *MARKUP]))
TEXT = st.one_of(NAME, st.sampled_from(TAGGED))
SEARCHED: list[Callable[[], Report]] = [
    reports.first_bad, reports.exposed, reports.suspects, reports.merge_conflict
]  # fmt: skip


def evil(report: Report, *texts: str) -> Report:
    """The report with these texts wherever others have a say."""
    subject, name, said, branch, machine = texts
    message = f"{subject}\n\nReviewed-by: Rev <rev@example.org>\n{said}\n"
    spoilt = {sha: replace(c, subject=subject, author=name, body=message) for sha, c in report.commits.items()}
    culprit = report.culprit and replace(report.culprit, subject=subject, author=name, body=message)
    case = replace(report.case, machine=machine or "m", profile=name or "p")
    failing = replace(
        reports.run(report.bad, case),
        observation=Observation(
            Outcome.FAIL_DST, reports.SIGNATURE, said, 0.5, ((said, name),), (0, 1), (Log(name, said),)
        ),
    )
    steps = tuple(
        replace(step, commit=replace(step.commit, subject=subject), why=said, runs=(failing,) if i == 0 else step.runs)
        for i, step in enumerate(report.steps)
    )
    return replace(
        report, culprit=culprit, commits=spoilt, case=case, symptom=said, steps=steps, table=(failing,),
        good=replace(report.good, subject=subject), bad=replace(report.bad, subject=subject),
        good_name=branch or "g", bad_name=branch or "b", names={"2.12": name, "4.2": said}, not_run=(said, name),
        toolchain=said, host=name, reproduction=Reproduction(said or "true", 1, 124, said),
        fixed_by=(replace(reports.CULPRIT, subject=subject, author=name),), evidence=(said, name),
        weights=(Weight(reports.CULPRIT.sha, 1, 0.7, (Reason(said, 24.0), Reason(name, 2.0))),),
        regression=replace(report.regression, branch=branch, cases=(case,)),
        course=replace(COURSE, rows=tuple(replace(row, why=said) for row in COURSE.rows)),
    )  # fmt: skip


def plain(text: str, besides: str = "\n\t") -> bool:
    """Whether nothing in it acts on a terminal, or cannot be seen."""
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return not [c for c in text if c not in besides and unicodedata.category(c) in hidden]


def assert_a_mail(message: EmailMessage, kind: str, *, tags: set[str]) -> None:
    """It has the headers of a mail of ours, each once, goes to whom it is for, and has no tag that we did not write."""
    raw = message.as_bytes()
    back = parsed(message)
    names = list(back.keys())
    assert names == [name for name in HEADERS if name in names], names
    assert {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Migbot"} <= set(names)
    for name in ("From", "To", "Cc"):
        given, found = (getattr(one[name], "addresses", ()) for one in (message, back))
        assert [(a.display_name, a.addr_spec) for a in given] == [(a.display_name, a.addr_spec) for a in found]
        assert all(a.domain.endswith(("example.org", "nongnu.org")) for a in found)
    assert back["Subject"] == message["Subject"] and plain(str(back["Subject"]), "") and len(back["Subject"]) <= 220
    assert f".{kind}." in str(back["Message-ID"]) and f"kind={kind};" in str(back["X-Migbot"])
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    text = body(message)
    assert plain(text)
    written = [line for line in text.splitlines() if line.startswith(("Fixes:", "Link:", "Reported-by:", "Resolves:"))]
    assert all(any(line.startswith(tag) for tag in tags) for line in written), written
    assert text.splitlines().count("-- ") <= 1


TAGS = {
    "Fixes: ab74e5431129 (",
    "Link: https://lore.kernel.org/qemu-devel/r00",
    "Reported-by: QEMU migration bot <migbot+r00",
}
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("make", SEARCHED)
@SLOW
@given(TEXT, TEXT, TEXT, TEXT, NAME)
def test_mails_about_what_a_search_found(
    make: Callable[[], Report], subject: str, name: str, said: str, branch: str, machine: str
) -> None:
    report = evil(make(), subject, name, said, branch, machine)
    message = render.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW)
    kind = kind_of(report)
    assert kind is not None
    assert_a_mail(message, kind, tags=TAGS)
    assert message["Subject"] == render.subject(report)
    told = json.loads(notice(report, kind, "<x@y>", SETTINGS, TEMPLATES, None))
    assert list(told) == ["schema", "regression", "kind", "message_id", "subject", "culprit", "culprit_subject", "good",
                          "bad", "signature", "url"]  # fmt: skip
    assert all(plain(value, "") for value in told.values() if isinstance(value, str))


def happenings(subject: str, said: str, name: str, branch: str) -> dict[Kind, tuple[Event, ...]]:
    """By the kind of mail that the last event wants: events with these texts."""
    claimed, accepted = Claimed(FIX.sha, said), Accepted(f"{name} <o@example.org>", "2020-03-26", said, name)
    standing = (replace(BROKEN, branch=branch), Standing(subject, None, None))
    picked = replace(BROKEN, branch=branch, fix=PICK.sha, runs=Tally(PICK.sha, 0, 10))
    return {
        Kind.FIXED: (claimed, Refuted(FIX.sha, said), CURE),
        Kind.STABLE: (CURE, Surveyed(standing)),
        Kind.PICKED: (CURE, Surveyed((picked,))),
        Kind.REOPENED: (CURE, Reopened(FIX.sha, TIP.sha)),
        Kind.EXPIRED: (accepted, Expired(accepted.owner, "2020-03-26", said, TIP.sha)),
        Kind.RETRACT: (Retracted(said, name),),
    }


FOLLOWING = list(happenings("", "", "", ""))


def recorded(events: tuple[Event, ...]) -> Iterator[Happened]:
    return (Happened(NOW.timestamp() + 86400 * i, event) for i, event in enumerate(events, 1))


@pytest.mark.parametrize("kind", FOLLOWING)
@SLOW
@given(TEXT, TEXT, TEXT, TEXT, NAME)
def test_mails_that_follow(kind: Kind, subject: str, name: str, said: str, branch: str, machine: str) -> None:
    report = evil(reports.first_bad(), subject, name, said, branch, machine)
    original = render.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW)
    record = replay(recorded(happenings(subject, said, name, branch)[kind]))
    assert record.wanted is not None and record.wanted.kind is kind
    commits = {c.sha: replace(c, subject=subject, author=name) for c in (FIX, PARENT, TIP, PICK)}
    followed = follow.Followed(report, record, record.wanted, original.as_bytes().decode(), commits)
    message = follow.mail(followed, settings=SETTINGS, templates=TEMPLATES, date=NOW + timedelta(days=30))
    assert_a_mail(message, kind, tags=TAGS)
    assert message["In-Reply-To"] == original["Message-ID"]


LIST = "qemu-devel@nongnu.org"


def evil_series(one: Report, *texts: str) -> SeriesReport:
    """A posted series with these texts wherever its author, git or QEMU have a say; `one` is spoilt already."""
    subject, name, said, branch, machine = texts
    whole = series.suspects()
    patches = tuple(replace(p, subject=subject, author=name, email=said, body=said) for p in whole.patches)
    one = replace(
        one, finding=whole.reports[0].finding, commits={p.sha: p for p in patches}, culprit=None, profile=None,
        steps=tuple(replace(step, commit=replace(patches[-1], subject=said)) for step in one.steps),
    )  # fmt: skip
    failing = replace(one.table[0], commit=whole.posted.commit)
    odd = replace(failing, case=replace(failing.case, machine=f"{machine} 2"))
    return replace(
        whole, patches=patches, base=replace(whole.base, subject=subject), reports=(replace(one, table=(failing,)),),
        posted=replace(whole.posted, subject=subject, revision=branch or "b"), untold=(said,), not_run=(said, name),
        origin=replace(whole.origin, subject=subject, sender=name, message_id=said, to=f"{LIST}, {name}"),
        compared=(failing, replace(failing, commit=whole.posted.base)), others=(odd,), expected=(odd.case,),
    )  # fmt: skip


# -- pages ---------------------------------------------------------------------------------------------------------


def every_page(out: Path, report: Report, texts: tuple[str, ...], events: tuple[Event, ...]) -> dict[str, str]:
    """All that is written about a branch with one regression, by its path."""
    subject, name, said, branch, machine = texts
    mail = render.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW).as_bytes().decode()
    fix = replace(FIX, subject=subject, author=name)
    entry = site.Entry(report, replay(recorded(events)), NOW.timestamp(), mail, (said, name), f"# {subject!r}\n", fix)
    about = Background(
        branch or "b", report.names, expected={report.case: Expected(name or "e", said, name, "2999-01-01")},
        before={}, old=branch, deprecated=frozenset({(report.case.target, report.case.machine)}),
    )  # fmt: skip
    flaky = replace(report.table[0], beside=(Outcome.PASS,), case=replace(report.case, machine=f"{machine} 2"))
    lost = Run(report.bad.sha, report.case, Observation(Outcome.INFRA, message=said))
    tip = site.Tip(branch or "b", report.bad, (*report.table, flaky), about, (lost,))
    build = Build(
        report.bad.sha, name or "t", branch, BuildStatus.FAILED, BuildKind.FULL, 1.0, toolchain=name, error=said,
        log=said, host=name,
    )  # fmt: skip
    work = Work((Cycle(1.0, 2.0, said), Cycle(3.0, None, None)), [(branch, build)])
    url = replace(SETTINGS, url="https://migbot.example.org")
    written = site.site(
        out, templates=TEMPLATES, entries=[entry], tips=[tip], settings=url, now=NOW, cycle=said, not_run=(said, name),
        work=work, series=[source(seriespage.Entry(evil_series(report, *texts), NOW.timestamp(), mail, said))],
    )  # fmt: skip
    return {str(path.relative_to(out)): path.read_text() for path in written}


ARCHIVED = re.compile(r"https://lore\.kernel\.org/qemu-devel/[A-Za-z0-9_.~%-]+@[A-Za-z0-9_.~%-]+/\Z")
"""The one link to elsewhere: where a posted mail can be read."""


def assert_a_page(page: str) -> None:
    """Markup of ours alone: no element, handler, script, form or address that a text brought."""
    found = Reader(page)
    assert set(found.tags) <= ALLOWED and not found.handlers
    assert found.tags.count("script") == 1
    local = {link for link in found.links if not link.startswith(("#", "data:,"))}
    local = {link for link in local if not ARCHIVED.match(link)}
    assert all("://" not in link and not link.startswith("/") and ":" not in link for link in local), local
    assert plain(page)


TOP = {f"{name}.{end}" for name in ("index", "accuracy", "health") for end in ("html", "json")} | {
    "feed.xml",
    "r0017",
    "s4471",
    ".made.json",
}
BESIDE = ("index.html", "report.json", "mail.eml", "search.svg", "timeline.svg")
SVG = {"svg", "title", "desc", "style", "rect", "text", "g", "path", "line", "circle", "defs", "use"}


def assert_a_picture(text: str) -> None:
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= SVG
    attributes = {name: value for element in root.iter() for name, value in element.attrib.items()}
    assert not [name for name in attributes if name.startswith("on")]
    assert all(value.startswith("#") for name, value in attributes.items() if name.endswith("href"))


@SLOW
@given(TEXT, TEXT, TEXT, TEXT, NAME, st.sampled_from(FOLLOWING))
def test_all_pages(subject: str, name: str, said: str, branch: str, machine: str, kind: Kind) -> None:
    texts = (subject, name, said, branch, machine)
    report = evil(reports.first_bad(), *texts)
    with tempfile.TemporaryDirectory() as folder:
        pages = every_page(Path(folder), report, texts, happenings(subject, said, name, branch)[kind])
        names = {path.relative_to(folder).parts[0] for path in Path(folder).rglob("*")}
    assert all(one in TOP or one.startswith("matrix-") for one in names)
    assert {f"r0017/{one}" for one in BESIDE} <= set(pages)
    assert {f"s4471/{one}" for one in BESIDE[:3]} <= set(pages)
    for path, text in pages.items():
        if path.endswith(".html"):
            assert_a_page(text)
        elif path.endswith(".json"):
            assert json.loads(text)["schema"] == 1 and text.isascii()
        elif path.endswith(".svg"):
            assert_a_picture(text)
    feed = ElementTree.fromstring(pages["feed.xml"])  # noqa: S314 - our own
    assert {element.tag.rpartition("}")[2] for element in feed.iter()} == {
        "feed", "title", "id", "link", "updated", "author", "name", "entry", "summary"
    }  # fmt: skip
    links = [element.get("href", "") for element in feed.iter() if "href" in element.attrib]
    assert links and all(link.startswith("https://migbot.example.org/") for link in links)


def test_template_syntax_is_text_on_pages_too(tmp_path: Path) -> None:
    texts = ("{{7*7}} {% raw %}", "{{config}}", "{{ 7*7 }}", "{# x", "{{7*7}}")
    pages = every_page(tmp_path, evil(reports.first_bad(), *texts), texts, happenings(*texts[:4])[Kind.RETRACT])
    said = {path: "".join(Reader(text).text) for path, text in pages.items() if path.endswith(".html")}
    for path in ("index.html", "r0017/index.html", "s4471/index.html"):
        assert "{{7*7}}" in said[path]
    for path in ("health.html", "r0017/index.html"):
        assert "{{ 7*7 }}" in said[path]


def test_lines_of_100_kb(tmp_path: Path) -> None:
    """A commit and a QEMU can say as much as they want; a mail is still one that a list takes, a page can be opened."""
    report = reports.first_bad()
    assert report.culprit is not None
    culprit = replace(report.culprit, subject=LONG, author=LONG, body=LONG)
    log = Log("destination.stderr", LONG)
    seen = replace(reports.run(report.bad).observation, message=LONG, logs=(log,), argv=((LONG,),))
    steps = tuple(replace(step, runs=(replace(reports.run(report.bad), observation=seen),)) for step in report.steps)
    report = replace(
        report, culprit=culprit, commits={**report.commits, culprit.sha: culprit}, symptom=LONG, steps=steps,
        reproduction=Reproduction("true", 1, 124, LONG), fixed_by=(culprit,),
    )  # fmt: skip
    message = render.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW)
    assert_a_mail(message, Kind.REPORT, tags=TAGS)
    assert len(message.as_bytes()) < 16_000
    pages = every_page(tmp_path, report, (LONG, LONG, LONG, "b", "m"), (Retracted(LONG, LONG),))
    assert len(pages["r0017/index.html"]) < 1_000_000
    assert len(pages["s4471/index.html"]) < 1_000_000
