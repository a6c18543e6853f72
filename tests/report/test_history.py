"""Pages of histories: one for a family, what did alike told once, a place for each cell of the heat map."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.history import told
from bot.model import Case, Direction, Expected, Outcome, Run
from bot.report import history
from bot.report.history import About, Told
from tests.report.test_mail import HOSTILE, NOW, TEMPLATES
from tests.report.test_site import ALLOWED, Reader, words
from tests.testing import reports
from tests.testing.world import LETTERS

COMMITS = tuple(reports.commit(f"{i}" * 12, f"Merge tag 'pull-{i}'") for i in range(1, 9))
ABOUT = About("master", "matrix-master.html", {commit.sha: commit for commit in COMMITS}, {"7.2": "v7.2.0"}, ("KVM",))
KNOWN = Expected("cpu", "no such CPU", "Ann")


def case(machine: str = "pc-q35-9.2", direction: Direction = Direction.FORWARD, profile: str = "bare") -> Case:
    return Case("x86_64-softmmu", machine, profile, direction, None if direction is Direction.SAME else "7.2")


def of(what: Case, letters: str, **known: dict[int, object]) -> Told:
    """A history in which commits came to letters; `?` is flaky."""
    runs = [
        [Run(commit.sha, what, LETTERS[letter]) for letter in ("BG" if letter == "?" else letter)]
        for commit, letter in zip(COMMITS, letters, strict=False)
    ]
    return Told(told(what, runs), **known)  # type: ignore[arg-type]


def page(*given_: Told) -> tuple[str, str]:
    ((path, members),) = history.groups("master", given_).items()
    made = history.pages(path, members, ABOUT, templates=TEMPLATES, now=NOW)
    assert list(made) == [path, path.replace(".html", ".json")]
    return made[path], made[path.replace(".html", ".json")]


def test_only_changes_are_told_newest_first_with_commit_date_and_figures() -> None:
    html, twin = page(of(case(), "GGGBBB?G", regressions={1: "r0017"}))
    said = words(html)
    order = [
        "since 888888888888 2020-02-26 Merge tag 'pull-8'", "since 777777777777", "1 of 2 runs failed",
        "since 444444444444 2020-02-26 Merge tag 'pull-4'", "FAIL_DST ramblock ram pc.ram , r0017",
        "until 666666666666 2020-02-26 : 3 commits, 3 runs", "first tested at 111111111111", "until 333333333333",
    ]  # fmt: skip
    day = COMMITS[0].committed[:10]
    places = [said.index(text.replace("2020-02-26", day)) for text in order]
    assert places == sorted(places)
    assert "222222222222" not in said and "555555555555" not in said
    assert re.findall(r'<span class="word \w+">([^<]*)', html) == ["ok", "flaky", "FAIL", "ok"]
    assert '<a href="../../r0017/index.html">r0017</a>' in html
    assert "Not run: KVM." in said
    (found,) = json.loads(twin)["histories"]
    assert [(its["outcome"], its["flaky"], its["commits"], its["regression"]) for its in found["stretches"]] == [
        ("PASS", False, 3, None), ("FAIL_DST", False, 3, "r0017"), ("FAIL_DST", True, 1, None),
        ("PASS", False, 1, None),
    ]  # fmt: skip
    assert found["cases"] == [case().id] and found["stretches"][1]["first"] == COMMITS[3].sha


def test_a_failure_that_is_expected_says_why_and_is_not_called_one() -> None:
    html, _ = page(of(case(), "GB", expected={1: KNOWN}))
    assert "known" in words(html) and "expected, cpu: no such CPU" in words(html)
    assert 'class="word fail"' not in html


def test_what_did_alike_is_told_once_and_what_fails_now_comes_first() -> None:
    machines = [f"pc-q35-{version}" for version in ("8.0", "8.1", "8.2", "9.0", "9.1", "9.2")]
    alike = [of(case(machine, direction), "GGG") for machine in machines for direction in Direction]
    other = [of(case("pc-q35-9.1", profile="virtio"), "GGB"), of(case("pc-q35-9.0", profile="usb"), "GBG")]
    html, twin = page(*alike, *other)
    said = words(html)
    assert html.count('class="card item past"') == 3
    assert said.index("pc-q35-9.1") < said.index("pc-q35-9.0") < said.index("pc-q35-8.0 ... 9.2 (6 types)")
    assert "to itself, from v7.2.0, to v7.2.0: bare" in said
    assert "3 commits, 3 runs each" in said
    assert [len(found["cases"]) for found in json.loads(twin)["histories"]] == [1, 1, 18]


def test_every_cell_has_one_place_where_its_worst_case_is() -> None:
    members = [of(case(profile=profile), letters) for profile, letters in (("bare", "GG"), ("usb", "GB"))]
    members += [of(case("pc-q35-9.1", direction), "GG") for direction in Direction]
    html, _ = page(*members)
    ids = re.findall(r' id="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    for one in members:
        assert history.link("master", one.case).partition("#")[2] in ids
    first = html.partition('class="card item past"')[2].partition("</section>")[0]
    assert history.anchor("pc-q35-9.2", (Direction.FORWARD, "7.2")) in first


def test_there_is_a_page_for_a_family_and_one_for_boards() -> None:
    cases = [case("pc-q35-9.2"), case("pc-i440fx-9.2"), case("pc-q35-10.0"), case("microvm"), case("isapc")]
    cases.append(replace(case("virt-9.2"), target="aarch64-softmmu"))
    groups = history.groups("stable/9.2", [of(one, "G") for one in cases])
    assert [(path.rpartition("/")[2], len(members)) for path, members in groups.items()] == [
        ("aarch64-virt.html", 1), ("x86_64-boards.html", 2), ("x86_64-pc-i440fx.html", 1), ("x86_64-pc-q35.html", 2),
    ]  # fmt: skip
    assert {path.split("/")[1] for path in groups} == {history.slug("stable/9.2")}
    assert history.slug("stable/9.2") != history.slug("stable_9.2") == "stable_9.2"


def test_of_many_changes_the_last_are_shown_and_the_rest_counted() -> None:
    commits = [reports.commit(f"{i:012x}", "x") for i in range(60)]
    runs = [[Run(commit.sha, case(), LETTERS["GB"[i % 2]])] for i, commit in enumerate(commits)]
    html, twin = page(Told(told(case(), runs)))
    assert html.count("<li>") - html.count("<li><a") == 12
    (found,) = json.loads(twin)["histories"]
    hidden = found["earlier"] + len(found["stretches"]) - 12
    assert hidden == 48 and f"{hidden} earlier changes not shown" in words(html)
    assert "first tested" not in words(html)


def test_what_cannot_be_tested_is_no_failure_and_another_setup_is_named() -> None:
    html, _ = page(of(case(), "UU"))
    assert "n/a" in words(html) and "FAIL" not in re.findall(r'<span class="word \w+">([^<]*)', html)
    runs = [
        [Run(commit.sha, case(), LETTERS[letter], setup=letter)] for commit, letter in zip(COMMITS, "GB", strict=False)
    ]
    html, _ = page(Told(told(case(), runs)))
    assert "the commit may have no part in it" in words(html)


@settings(max_examples=40, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE, st.sampled_from(list(Outcome)))
def test_nothing_hostile_becomes_markup_or_a_path(machine: str, name: str, why: str, outcome: Outcome) -> None:
    hostile = Case("x86_64-softmmu", machine or "m", name or "p", Direction.FORWARD, name or "b")
    seen = replace(
        LETTERS["B"],
        outcome=outcome,
        signature=replace(reports.SIGNATURE, device=why.encode(errors="replace").decode()),
    )
    run = Run(COMMITS[0].sha, hostile, seen, host=why)
    one = Told(told(hostile, [[run]]), expected={0: replace(KNOWN, why=why, id=name)})
    about = replace(ABOUT, branch=name or "b", not_run=(why,), names={name or "b": machine})
    for path, members in history.groups(name or "b", [one]).items():
        assert re.fullmatch(r"history/[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*\.html", path)
        for text in history.pages(path, members, about, templates=TEMPLATES, now=NOW).values():
            assert "\x1b" not in text
            if text.startswith("<!"):
                found = Reader(text)
                assert set(found.tags) <= ALLOWED | {"ol", "b"} and not found.handlers
                assert found.tags.count("script") == 1
                links = {link for link in found.links if not link.startswith("../../")}
                assert links <= {"data:,", path.rpartition("/")[2].replace(".html", ".json")}
