"""What a report claims of machine types that were run again at the culprit and its parent; how a symptom is cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

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


_WARNING = "qemu: warning: TCG doesn't support requested feature, cap-cfpc=workaround"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param(["a", _WARNING], ["a", _WARNING], id="short"),
        pytest.param([*"abcd", "e"], [*"abcd", "e"], id="one line is no longer than what would stand for it"),
        pytest.param([*"abcdef"], ["a", "b", "[2 more lines]", "e", "f"], id="long"),
        pytest.param([_WARNING] * 4 + ["a", "b"], ["[4 warnings]", "a", "b"], id="warnings go first"),
        pytest.param([_WARNING, *"abcdef"], ["[1 warning]", "a", "b", "[2 more lines]", "e", "f"], id="both"),
        pytest.param([_WARNING] * 6, [_WARNING] * 2 + ["[2 more lines]"] + [_WARNING] * 2, id="nothing but warnings"),
    ],
)
def test_a_long_symptom_is_cut_and_says_so(said: list[str], shown: list[str]) -> None:
    assert words.symptom(replace(first_bad(), symptom="\n".join(said)), 4) == shown
