"""What a person reads of the weights before the first probe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.model import Inconclusive, Reason, Weight
from bot.report import data, reasons
from tests.testing import reports

RARE = Reason("the failure's `ppc_spapr.ram` is in its changed lines (in 1 of 1,858 commits)", 761.0)
SIZE = Reason("it changes 4-10 lines", 0.638)
REST = Reason("5 smaller things together", 0.9)
WEIGHTS = (
    Weight(reports.CULPRIT.sha, 1, 0.683, (RARE, Reason("it is late in the range", 1.3), SIZE, REST)),
    Weight(reports.PARENT.sha, 2, 0.0041, (RARE, SIZE, REST, SIZE)),
    Weight("7" * 40, 1204, 0.000036, ()),
)


def test_the_one_that_was_found_has_all_its_reasons_and_the_others_the_main_ones() -> None:
    shown = reasons.lines(replace(reports.first_bad(), weights=WEIGHTS))
    assert [text.replace(f" {reasons.TIMES}", " x") for text in shown] == [
        "before the first probe, of 1,858 commits (place, share of the weight, what moved it):",
        '     1.   68 %  ab74e5431129 ("ppc/spapr: use memdev for RAM"), found',
        "         x761  the failure's `ppc_spapr.ram` is in its changed lines (in 1 of 1,858 commits)",
        "         x1.3  it is late in the range",
        "        x0.64  it changes 4-10 lines",
        "         x0.9  5 smaller things together",
        '     2. 0.41 %  b28f01880eda ("ppc/{ppc440_bamboo, sam460ex}: drop RAM size fixup")',
        "         x761  the failure's `ppc_spapr.ram` is in its changed lines (in 1 of 1,858 commits)",
        "        x0.64  it changes 4-10 lines",
        "         x0.9  5 smaller things together",
        "  1,204. 0.0036 %  777777777777",
    ]


def test_suspects_are_told_from_others() -> None:
    report = reports.suspects()
    weights = tuple(Weight(sha, i, 0.1, ()) for i, sha in enumerate((reports.sha("2" * 12), reports.GOOD.sha), 1))
    shown = reasons.lines(replace(report, weights=weights))
    assert [text.endswith(", suspect") for text in shown[1:]] == [True, False]


def test_nothing_weighed_says_nothing_and_older_reports_keep_their_phrases() -> None:
    assert reasons.lines(reports.first_bad()) == []
    assert reasons.lines(replace(reports.first_bad(), evidence=("a\x1b[31m reason",))) == [
        "before the first probe: a reason"
    ]
    assert reasons.weighed(reports.ended(Inconclusive("no"))) == ()


def test_weights_are_in_the_json() -> None:
    report = replace(reports.first_bad(), weights=WEIGHTS)
    assert data.load(data.dump(report)) == report


@pytest.mark.parametrize(
    ("share", "said"), [(1.0, "100 %"), (0.683, "68 %"), (0.0995, "10 %"), (0.0994, "9.9 %"), (0.0, "0 %")]
)
def test_percent(share: float, said: str) -> None:
    assert reasons.percent(share) == said
