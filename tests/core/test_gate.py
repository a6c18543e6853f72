"""The gate: a table of what may go out and what holds it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.gate import TABLE, Facts, Kind, facts_of, gate, gate_series, kind_of, luck, tally
from bot.model import FirstBad, Flaky, Inconclusive, Outcome, Signature, Tally
from tests.testing import reports, series

GOOD, BAD, PARENT, CULPRIT = "1" * 40, "2" * 40, "3" * 40, "4" * 40
FACTS = Facts(
    good_end=Tally(GOOD, 0, 10),
    bad_end=Tally(BAD, 10, 10),
    parents=(Tally(PARENT, 0, 10),),
    culprit=Tally(CULPRIT, 10, 10),
    one_signature=True,
    binary_differs=True,
    merge=False,
    paths=("hw/core/machine.c",),
    fixed=False,
    trouble=False,
    reproduced=True,
    sandboxed=True,
    posted=True,
    within_caps=True,
    approved=True,
)

HELD = [
    ("ends", {"good_end": Tally(GOOD, 1, 10)}),
    ("ends", {"bad_end": Tally(BAD, 9, 10)}),
    ("ends", {"bad_end": Tally(BAD, 1, 1)}),
    ("parent", {"parents": ()}),
    ("parent", {"parents": (Tally(PARENT, 1, 10),)}),
    ("parent", {"parents": (Tally(PARENT, 0, 10), Tally(GOOD, 2, 10))}),
    ("parent", {"parents": (Tally(PARENT, 0, 9),)}),
    ("culprit", {"culprit": None}),
    ("culprit", {"culprit": Tally(CULPRIT, 2, 200)}),
    ("confidence", {"culprit": Tally(CULPRIT, 4, 10)}),
    ("signature", {"one_signature": False}),
    ("binary", {"binary_differs": None}),
    ("binary", {"binary_differs": False}),
    ("merge", {"merge": True}),
    ("paths", {"paths": None}),
    ("paths", {"paths": ("VERSION",)}),
    ("paths", {"paths": ("docs/system/index.rst", "README.md", "MAINTAINERS")}),
    ("fixed", {"fixed": None}),
    ("fixed", {"fixed": True}),
    ("infrastructure", {"trouble": True}),
    ("reproducer", {"reproduced": False}),
    ("exposed", {"exposed": "v10.0.2 passes in the place of v10.0.13"}),
    ("caps", {"within_caps": False}),
    ("approval", {"approved": False}),
]
OF_SERIES = [
    ("posted", {"posted": False}),
    ("sandbox", {"sandboxed": False}),
    ("base", {"good_end": Tally(GOOD, 1, 10)}),
    ("base", {"good_end": Tally(GOOD, 0, 9)}),
    ("repeats", {"bad_end": Tally(BAD, 9, 10)}),
    ("repeats", {"bad_end": Tally(BAD, 9, 9)}),
    ("signature", {"one_signature": False}),
    ("exposed", {"exposed": "its diff adds the text"}),
    ("infrastructure", {"trouble": True}),
    ("reproducer", {"reproduced": None}),
    ("caps", {"within_caps": False}),
    ("approval", {"approved": False}),
]


def names(kind: Kind, facts: Facts) -> set[str]:
    return {hold.name for hold in gate(kind, facts)}


def test_a_sound_report_goes_out() -> None:
    for kind in Kind:
        assert gate(kind, FACTS) == ()


def test_that_a_stable_branch_lacks_a_fix_that_cures_it_is_what_is_told() -> None:
    assert gate(Kind.REPORT, replace(FACTS, fixed=True, missing=True)) == ()
    assert names(Kind.REPORT, replace(FACTS, fixed=True)) == {"fixed"}
    assert names(Kind.REPORT, replace(FACTS, fixed=None, missing=True)) == {"fixed"}


@pytest.mark.parametrize(("name", "change"), HELD, ids=[f"{n}-{i}" for i, (n, _) in enumerate(HELD)])
def test_each_condition_holds_a_report(name: str, change: dict[str, object]) -> None:
    holds = gate(Kind.REPORT, replace(FACTS, **change))  # type: ignore[arg-type]  # fields by name, checked by the rows
    assert name in {hold.name for hold in holds}
    assert all(hold.why and "\n" not in str(hold) for hold in holds)


@pytest.mark.parametrize(("name", "change"), OF_SERIES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(OF_SERIES)])
def test_each_condition_holds_the_answer_to_a_series(name: str, change: dict[str, object]) -> None:
    assert names(Kind.SERIES, replace(FACTS, **change)) == {name}  # type: ignore[arg-type]  # fields by name, as above


def test_every_row_of_the_table_is_tried() -> None:
    assert {row.name for row in TABLE} == {name for name, _ in (*HELD, *OF_SERIES)}
    assert {row.name for row in TABLE if Kind.SERIES in row.kinds} == {name for name, _ in OF_SERIES}


def test_a_series_stands_on_each_of_its_searches() -> None:
    report = series.series()
    assert [hold.name for hold in gate_series(report, posted=True)] == ["approval"]
    assert gate_series(report, posted=True, approved=True) == ()
    finding = report.reports[1].finding
    assert isinstance(finding, FirstBad)
    few = replace(finding.confirmation, parents=(Tally(PARENT, 0, 9),))
    worse = replace(report.reports[1], finding=replace(finding, confirmation=few))
    more = replace(report, reports=(report.reports[0], worse))
    assert [hold.name for hold in gate_series(more, posted=False)] == ["posted", "parent", "approval"]
    assert [hold.name for hold in gate_series(series.suspects(), posted=True)] == ["approval"]


def test_a_range_needs_no_culprit_but_is_held_by_the_rest() -> None:
    bare = replace(FACTS, parents=(), culprit=None, binary_differs=None, paths=None, fixed=None)
    assert gate(Kind.RANGE, bare) == ()
    assert names(Kind.RANGE, replace(bare, trouble=True, approved=False)) == {"infrastructure", "approval"}


def test_a_merge_may_be_named_only_by_a_merge_mail() -> None:
    assert names(Kind.REPORT, replace(FACTS, merge=True)) == {"merge"}
    assert names(Kind.MERGE, replace(FACTS, merge=True)) == set()


def test_luck_is_that_of_the_parent_run_least() -> None:
    assert luck(Tally(CULPRIT, 5, 10), (Tally(PARENT, 0, 20), Tally(GOOD, 0, 10))) == pytest.approx(0.5**10)
    assert luck(Tally(CULPRIT, 10, 10), ()) == 1.0
    assert luck(Tally(CULPRIT, 0, 0), (Tally(PARENT, 0, 10),)) == 1.0


def test_a_report_is_held_until_a_person_approves_it() -> None:
    report = reports.first_bad()
    assert names(Kind.REPORT, facts_of(report)) == {"approval"}
    assert names(Kind.REPORT, facts_of(report, approved=True)) == set()
    assert names(Kind.REPORT, facts_of(report, approved=True, within_caps=False)) == {"caps"}


def test_facts_of_a_range_come_from_the_steps() -> None:
    report = reports.suspects()
    facts = facts_of(report)
    assert (facts.good_end.bad, facts.good_end.n, facts.bad_end.bad, facts.bad_end.n) == (0, 5, 5, 5)
    assert names(Kind.RANGE, facts) == {"approval"}


def test_another_failure_at_a_bad_step_is_seen() -> None:
    report = reports.first_bad()
    odd = reports.run(reports.BAD, signature=Signature("assert"))
    steps = (replace(report.steps[0], runs=(*report.steps[0].runs, odd)), *report.steps[1:])
    assert "signature" in names(Kind.REPORT, facts_of(replace(report, steps=steps)))


def test_infrastructure_trouble_is_seen_and_never_counted() -> None:
    report = reports.first_bad()
    lost = reports.run(reports.BAD, outcome=Outcome.INFRA)
    steps = (replace(report.steps[0], runs=(*report.steps[0].runs, lost)), *report.steps[1:])
    report = replace(report, steps=steps)
    assert "infrastructure" in names(Kind.REPORT, facts_of(report))
    assert tally(report, reports.BAD.sha) == Tally(reports.BAD.sha, 10, 10)


def test_only_findings_that_name_commits_are_mailed() -> None:
    assert kind_of(reports.first_bad()) is Kind.REPORT
    assert kind_of(reports.exposed()) is Kind.EXPOSED
    assert kind_of(reports.suspects()) is Kind.RANGE
    assert kind_of(reports.merge_conflict()) is Kind.MERGE
    assert kind_of(reports.ended(Inconclusive("no answer"))) is None
    assert kind_of(reports.ended(Flaky(BAD, 1, 3))) is None
    assert isinstance(reports.first_bad().finding, FirstBad)
