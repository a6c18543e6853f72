"""Where the cases of a regression stand."""

from __future__ import annotations

from dataclasses import replace

from bot.model import Observation, Outcome, Report
from bot.pipeline.curing import standing
from tests.testing import reports


def alone_with(device: str) -> Report:
    """The report, whose failing runs say what fails when plugged alone."""
    report = reports.first_bad()
    steps = tuple(
        replace(step, runs=tuple(replace(r, observation=replace(r.observation, blamed=(device,))) for r in step.runs))
        for step in report.steps
    )
    return replace(report, steps=steps)


def test_a_case_that_passes_without_the_device_that_fails_is_not_passing() -> None:
    report = alone_with("e1000,netdev=n0")
    run = replace(report.table[0], case=report.case)
    whole = replace(run, observation=Observation(Outcome.PASS, left_out=("nvme (source: no such device)",)))
    lacks = replace(run, observation=Observation(Outcome.PASS, left_out=("e1000 (source: no such device)",)))
    fails = replace(run, observation=Observation(Outcome.FAIL_DST, report.regression.signature))
    assert standing(report, {report.case: whole}) == ([], [whole])
    assert standing(report, {report.case: lacks}) == ([], [])
    assert standing(report, {report.case: fails}) == ([fails], [])
