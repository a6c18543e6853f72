"""What a search thinks that its tests cost, from what was recorded and what is in the cache."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from bot.bisect.runner import BUILD, TEST
from bot.config import load
from bot.core.dag import Dag
from bot.model import Build, BuildKind, BuildStatus, Case, Observation, Outcome, Run
from bot.pipeline.bench import Bench, bench
from bot.pipeline.costing import Costing
from bot.progress import Silent
from tests.testing import fastqemu

CASE = Case("x86_64-softmmu", "pc-i440fx-7.2", "bare")


@pytest.fixture
def desk(tmp_path: Path) -> tuple[Bench, list[str]]:
    project, shas = fastqemu.history(tmp_path / "qemu", *[fastqemu.GOOD] * 5)
    config = load(fastqemu.config(project, tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    made = bench(
        config, work, project.repository, Silent(), threading.Event(), baselines=[], profiles=config.profiles.values()
    )
    return made, shas


def costing(desk: Bench, shas: list[str], runs: Iterable[Run] = ()) -> Costing:
    return Costing.of(desk, Dag.of(desk.repository.parents([shas[0]], shas[-1])), CASE, runs)


def built(sha: str, seconds: float, kind: BuildKind = BuildKind.INCREMENTAL) -> Build:
    return Build(sha, CASE.target, "fast", BuildStatus.BUILT, kind, seconds)


def test_without_records_all_cost_the_same(desk: tuple[Bench, list[str]]) -> None:
    here, shas = desk
    cost = costing(here, shas)
    assert {cost(sha) for sha in shas} == {BUILD + TEST}


def test_tests_cost_what_the_case_took_in_the_mean(desk: tuple[Bench, list[str]]) -> None:
    here, shas = desk
    runs = [Run(shas[0], CASE, Observation(Outcome.PASS, seconds=s)) for s in (1.0, 2.0)]
    cost = costing(here, shas, runs)
    assert cost(shas[3]) == BUILD + 1.5
    cost.keep(Run(shas[1], CASE, Observation(Outcome.PASS, seconds=6.0)))
    cost.keep(Run(shas[1], CASE, Observation(Outcome.NOT_BUILT)))
    assert cost(shas[3]) == BUILD + 3.0
    assert len(here.store.runs()) == 2


def test_a_commit_that_the_cache_has_costs_a_test_and_one_that_was_evicted_a_build(
    desk: tuple[Bench, list[str]],
) -> None:
    here, shas = desk
    here.keep(here.rig.build(shas[2], CASE.target))
    here.keep(built(shas[4], 1.0))  # recorded, and no longer in the cache
    cost = costing(here, shas)
    assert cost(shas[2]) == TEST
    assert cost(shas[4]) > TEST
    cost.keep(here.rig.build(shas[4], CASE.target))
    assert cost(shas[4]) == TEST


def test_a_build_costs_the_median_of_those_that_were_measured(desk: tuple[Bench, list[str]]) -> None:
    here, shas = desk
    for sha, seconds in ((shas[0], 9.0), (shas[1], 100.0), (shas[3], 30.0)):
        here.keep(built(sha, seconds))
    here.keep(built(shas[4], 500.0, BuildKind.FULL))
    cost = costing(here, shas)
    assert cost(shas[2]) == 30.0 + TEST
    cost.keep(built(shas[5], 20.0))
    assert cost(shas[2]) == 25.0 + TEST
