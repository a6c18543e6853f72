"""What a terminal, a CI system and a program are told: summary, matrix, JUnit, JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.alarms import Kind
from bot.errors import UserError
from bot.model import (
    BadAtGoodEnd,
    Expected,
    Finding,
    Flaky,
    Inconclusive,
    Log,
    NotReproduced,
    Observation,
    Outcome,
    Report,
    Run,
    Signature,
    Suspects,
)
from bot.report import data, junit, render
from tests.report.test_follow import MAILS as FOLLOW_UPS
from tests.report.test_mail import HOSTILE, golden
from tests.testing import reports

BARE = ("Give an older good end", "the same command goes on")
ENDINGS: list[tuple[Finding, str, str]] = [
    (
        NotReproduced(reports.BAD.sha, (Outcome.PASS, Outcome.PASS)),
        "the bad end, master, is not bad: 2 x PASS",
        "fails",
    ),
    (NotReproduced(reports.BAD.sha, ()), "the bad end, master, is not bad: never run", "fails"),
    (BadAtGoodEnd(reports.GOOD.sha, Outcome.FAIL_DST), "the good end, v4.2.0, is not good: FAIL_DST", BARE[0]),
    (
        BadAtGoodEnd(reports.GOOD.sha, Outcome.HANG, merge_base=True),
        "the merge base of v4.2.0 and master, b0ca999a43a2, is not good: HANG",
        BARE[0],
    ),
    (
        Flaky(reports.CULPRIT.sha, 3, 40),
        'flaky: ab74e5431129 ("ppc/spapr: use memdev for RAM") failed 3 of 40 times; nobody is blamed',
        "no commit can be named",
    ),
    (Inconclusive("KVM went away"), "inconclusive: KVM went away", BARE[1]),
]


@pytest.mark.parametrize(("finding", "first", "advice"), ENDINGS)
def test_a_search_that_names_no_commit_says_so_and_what_to_do(finding: Finding, first: str, advice: str) -> None:
    said = render.summary(reports.ended(finding)).splitlines()
    assert said[0] == first
    assert any(advice in line for line in said[1:])
    assert not any("Fixes:" in line for line in said)


def test_summaries_of_what_is_mailed() -> None:
    for make in (reports.first_bad, reports.exposed, reports.suspects, reports.merge_conflict, reports.first_fixed):
        golden(f"{make.__name__}.txt", render.summary(make()))


@pytest.mark.parametrize(
    ("finding", "first", "advice"),
    [
        (NotReproduced(reports.GOOD.sha, (Outcome.PASS,)), "the broken end, v4.2.0, is not broken: 1 x PASS", "older"),
        (
            NotReproduced(reports.PARENT.sha, (Outcome.PASS,)),
            "the merge base of v4.2.0 and master, b28f01880eda, is not broken: 1 x PASS",
            "older",
        ),
        (BadAtGoodEnd(reports.BAD.sha, Outcome.FAIL_DST), "the fixed end, master, is not fixed: FAIL_DST", "nobody"),
        (
            Suspects((reports.PARENT.sha, reports.CULPRIT.sha), (reports.PARENT.sha,)),
            "the first fixed commit is one of 2 suspects; 1 commit could not be tested",
            "not tested  ab74e5431129",
        ),
    ],
)
def test_a_search_for_a_fix_says_which_end_is_wrong(finding: Finding, first: str, advice: str) -> None:
    report = replace(reports.first_fixed(), finding=finding, releases=None)
    said = render.summary(report).splitlines()
    assert said[0] == first
    assert any(advice in line for line in said[1:])


def test_summary_without_any_run() -> None:
    report = replace(reports.ended(Inconclusive("stopped")), steps=(), table=(), symptom="")
    assert render.summary(report).startswith("inconclusive: stopped\n")


# -- JSON ----------------------------------------------------------------------------------------------------------


def findings() -> list[Report]:
    named = [reports.first_bad(), reports.exposed(), reports.suspects(), reports.merge_conflict()]
    named += [reports.first_fixed()]
    return named + [reports.ended(finding) for finding, _, _ in ENDINGS]


def test_json_gives_back_every_finding() -> None:
    seen = set()
    for report in findings():
        dumped = data.dump(report)
        assert data.load(dumped) == report
        assert data.dump(data.load(dumped)) == dumped
        seen.add(json.loads(dumped)["report"]["finding"]["kind"])
    assert seen == set(data.KINDS)
    assert {cls.__name__ for cls in get_args(Finding)} == set(data.KINDS.values())


def test_json_is_stable() -> None:
    report = reports.first_bad()
    golden("first_bad.json", data.dump(replace(report, table=report.table[:1], steps=report.steps[5:6])))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("", "not the JSON of a report"),
        ("[]", "not the JSON of a report"),
        ("{}", "not the JSON of a report"),
        ('{"schema": 1, "report": 3}', "not the JSON of a report: an object was expected"),
        ('{"schema": 2, "report": {}}', "schema 2; this program reads schema 1"),
        ('{"schema": 1, "report": {"finding": {"kind": "guess"}}}', "finding.kind: not one of first-bad, "),
        ('{"schema": 1, "report": {"finding": {"kind": "flaky"}}}', r"report\.commit: Field required"),
    ],
)
def test_json_of_something_else_is_refused(damage: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        data.load(damage, "r0017.json")
    assert str(caught.value).startswith("r0017.json: ")


ENTRY = Expected("slb", "it is known", "somebody", expires="2027")

# -- JUnit ---------------------------------------------------------------------------------------------------------


def run(outcome: Outcome, machine: str = "pc-q35-7.2", message: str = "", log: str = "") -> Run:
    case = replace(reports.CASE, target="x86_64-softmmu", machine=machine)
    signature = None if outcome is Outcome.PASS else Signature("ramblock", "pc.ram")
    return Run(reports.BAD.sha, case, Observation(outcome, signature, message, 0.25, logs=(Log("output", log),)))


def test_junit_tells_failures_from_trouble() -> None:
    root = ET.fromstring(junit.junit([run(outcome) for outcome in Outcome]))  # noqa: S314 - we wrote it
    suite = root.find("testsuite")
    assert suite is not None
    tags = [(case[0].tag if len(case) else "pass") for case in suite]
    expected = {
        Outcome.PASS: "pass",
        Outcome.INFRA: "error",
        Outcome.UNTESTABLE: "skipped",
        Outcome.NOT_BUILT: "skipped",
    }
    assert tags == [expected.get(outcome, "failure") for outcome in Outcome]
    count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert count == {"tests": len(Outcome), "failures": tags.count("failure"), "errors": 1, "skipped": 2}


@settings(max_examples=100, deadline=None)
@given(HOSTILE, HOSTILE, st.text())
def test_junit_is_always_xml(machine: str, message: str, log: str) -> None:
    root = ET.fromstring(junit.junit([run(Outcome.FAIL_DST, machine, message, log)]))  # noqa: S314 - we wrote it
    assert [element.tag for element in root.iter()] == ["testsuites", "testsuite", "testcase", "failure"]


def test_junit_of_what_is_expected_and_how_it_was_run() -> None:
    failing = run(Outcome.FAIL_DST)
    odd = replace(failing, case=replace(failing.case, method="exec", accel="kvm,a=b.c"))
    root = ET.fromstring(junit.junit([failing, odd], {failing.case: ENTRY}))  # noqa: S314 - we wrote it
    known, other = root.iter("testcase")
    assert known[0].tag == "skipped"
    assert known[0].attrib["message"] == "expected: slb: it is known"
    assert other[0].tag == "failure"
    assert known.attrib["classname"] == "x86_64-softmmu.mem-path.forward.2_12"
    assert other.attrib["classname"] == "x86_64-softmmu.mem-path.forward.2_12.exec.kvm,a=b_c"


def test_json_of_runs_names_what_is_expected() -> None:
    failing, passing = run(Outcome.FAIL_DST), run(Outcome.PASS, "isapc")
    rows = json.loads(data.dump_runs([failing, passing], {failing.case: ENTRY}))["runs"]
    assert [row.get("expected") for row in rows] == ["slb", None]
    assert json.loads(data.dump_runs([failing]))["runs"][0].keys() == rows[1].keys()


def test_golden_files_are_all_used() -> None:
    names = {path.name for path in (Path(__file__).parent / "golden").iterdir()}
    makers = ("first_bad", "exposed", "suspects", "merge_conflict")
    assert names == {f"{n}.{e}" for n in makers for e in ("eml", "txt")} | {
        "first_bad.json", "first_fixed.txt", "summary.txt", "summary.ansi", "heat.txt", "series.eml",
        "series-range.eml", "answer.eml", "digest.eml",
    } | {f"follow-{name}.eml" for name, _ in FOLLOW_UPS} | {
        "operator-disk-over.eml", "follow-stable-alone.eml", *(f"operator-{kind}.eml" for kind in Kind)
    }  # fmt: skip
