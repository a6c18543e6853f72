"""What a report claims of machine types that were run again at the culprit and its parent."""

from __future__ import annotations

from dataclasses import replace

from bot.model import Outcome
from bot.report import words
from tests.testing.reports import first_bad, run


def test_a_type_is_claimed_only_if_culprit_and_parent_differ_on_it() -> None:
    report = first_bad()
    assert report.culprit is not None
    culprit, parent = report.culprit, report.commits[report.culprit.parents[0]]
    claimed = words.machines(report)
    others = [machine for machine in claimed if machine != report.case.machine]
    assert len(others) > 3
    table = (
        *report.table,
        run(culprit, replace(report.case, machine=others[0]), Outcome.PASS),
        run(parent, replace(report.case, machine=others[1])),
    )
    assert words.machines(replace(report, table=table)) == tuple(m for m in claimed if m not in others[:2])
