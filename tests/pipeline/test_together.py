"""Several regressions in one cycle of the watch, on a history whose commits are built and run."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot.core.bisection import Bisection
from bot.model import Build, BuildKind, Case, Question, Run
from bot.model import Test as Job
from bot.pipeline.bench import Bench
from bot.pipeline.together import Together
from bot.store.store import Store
from tests.core.test_bisection import line
from tests.test_cli import Place, place
from tests.testing import killing
from tests.testing.fastqemu import ABORTS, GOOD, NO_START, QEMU, SMALLER, dev_c, only
from tests.testing.world import CASE, SIGNATURE, run

RUN = ("--set", "bisect.min_runs=3", "run", "--once")


def built(here: Place, work: str) -> set[str]:
    """Commits that something was compiled for."""
    return {b.commit for b in Store(here.path / work).builds() if b.kind is not BuildKind.CACHED}


def culprits(here: Place, work: str) -> dict[str, Any]:
    """By each machine type of each regression: the commit that its report names."""
    found = dict[str, Any]()
    for entry in Store(here.path / work).regressions():
        assert entry.report is not None
        finding = json.loads(entry.report)["report"]["finding"]
        found |= {case.machine: finding.get("commit") for case in entry.regression.cases}
    return found


def history(here: Place, breaks: dict[int, tuple[str, ...]], n: int) -> list[str]:
    """n commits more; those in `breaks` add arguments that stay, and name `board_ram_id`."""
    added: tuple[str, ...] = GOOD
    shas = []
    for number in range(n):
        added += breaks.get(number, ())
        text = dev_c(added, f"by board_ram_id, {number}" if number in breaks else f"number {number}")
        shas.append(here.project.commit({"dev.c": text}, f"hw/core: change number {number}"))
    return shas


# -- what is widened ------------------------------------------------------------------------------------------------

OTHER, ELSEWHERE = replace(CASE, machine="pc-q35-9.1"), replace(CASE, target="ppc64-softmmu", machine="pseries-9.2")


@dataclass
class Desk:
    """What `Together` needs of a bench, and a `perform` in which each case fails from its own commit on."""

    broken: dict[Case, int]
    told: dict[tuple[str, Case], str] = field(default_factory=dict)
    asked: list[Job] = field(default_factory=list)
    kept: list[Run] = field(default_factory=list)

    def keep(self, fact: Run) -> None:
        self.kept.append(fact)

    def perform(self, job: Job, _: threading.Event) -> Iterator[Run]:
        self.asked.append(job)
        for case in job.cases:
            letter = "B" if int(job.commit[1:]) >= self.broken[case] else "G"
            yield run(job.commit, self.told.get((job.commit, case), letter), case=case)

    def together(self, *cases: Case) -> Together:
        """Each of the cases is good at c0 and bad at c64."""
        states = []
        for case in cases:
            state = Bisection.start(Question("c0", "c64", case, SIGNATURE), line(64))
            for sha, letter in (("c0", "G"), ("c64", "B")):
                state = state.observe(run(sha, letter, case=case))
            states.append(state)
        return Together(cast(Bench, self), self.perform, states)


def test_a_test_is_widened_only_where_the_others_answer_is_open() -> None:
    desk = Desk({CASE: 40, OTHER: 20})
    together = desk.together(OTHER)
    seen = [fact for sha in ("c32", "c48", "c40", "c16", "c24", "c32", "c64") for fact in ask(together, sha)]
    assert [(job.commit, OTHER in job.cases) for job in desk.asked] == [
        ("c32", True),  # bad: so all that is newer is
        ("c48", False),
        ("c40", False),
        ("c16", True),  # good
        ("c24", True),
        ("c32", False),  # run already
        ("c64", False),
    ]
    assert {fact.case for fact in seen if isinstance(fact, Run)} == {CASE}
    assert [(fact.commit, fact.case) for fact in desk.kept] == [("c32", OTHER), ("c16", OTHER), ("c24", OTHER)]


def ask(together: Together, sha: str) -> list[Build | Run]:
    return list(together(Job(sha, (CASE,)), threading.Event()))


def test_another_target_would_be_another_build() -> None:
    desk = Desk({CASE: 40, ELSEWHERE: 20})
    ask(desk.together(ELSEWHERE), "c32")
    assert desk.asked == [Job("c32", (CASE,))]


def test_repeated_runs_are_the_searchs_own() -> None:
    desk = Desk({CASE: 40, OTHER: 20})
    list(desk.together(OTHER)(Job("c32", (CASE,), times=3), threading.Event()))
    assert desk.asked == [Job("c32", (CASE,), times=3)]


@pytest.mark.parametrize("letter", ["N", "U"])
def test_what_cannot_be_tested_is_left_for_its_own_search_and_tried_once(letter: str) -> None:
    desk = Desk({CASE: 40, OTHER: 20}, {("c32", OTHER): letter})
    together = desk.together(OTHER)
    ask(together, "c32")
    ask(together, "c32")
    assert [job.cases for job in desk.asked] == [(CASE, OTHER), (CASE,)]
    assert desk.kept == []
    ask(together, "c48")
    assert desk.asked[-1].cases == (CASE, OTHER)  # still open there


# -- a cycle that finds several -------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_three_regressions_take_fewer_builds_together_than_one_by_one(tmp_path: Path) -> None:
    """Three types break in one range, each in its own way: what is built for one is tested for all."""
    here = place(tmp_path, GOOD)
    here.run(*RUN, code=0)
    breaks = {
        4: only("i440fx-7.0", SMALLER),
        11: only("i440fx-7.1", ABORTS),
        19: only("i440fx-7.2", NO_START),
    }
    shas = history(here, breaks, 24)
    done = here.run(*RUN, code=10, timeout=400)
    assert "3 new regressions" in done.stderr
    expected = {f"pc-i440fx-7.{i}": shas[number] for i, number in enumerate(breaks)}
    assert culprits(here, "work") == expected
    together = len(built(here, "work") - {here.shas[1], shas[-1]})
    apart = 0
    for machine, sha in expected.items():
        other = f"work-{machine}"
        asked = ("--set", "bisect.min_runs=3", "bisect", f"{here.shas[1]}..master", "--machine", machine)
        said = here.run("-C", other, *asked, "--source", str(QEMU), code=0, timeout=300).stdout
        assert f"first bad commit: {sha[:12]}" in said
        apart += len(built(here, other) - {here.shas[1], shas[-1]})
    print(f"builds: {together} together, {apart} apart")
    assert together < apart
    recalled = [int(n) for n in re.findall(r"(\d+) runs at \d+ commits were recorded before", done.stderr)]
    assert max(recalled) > 3  # more than the ends: the first search ran the others' cases


@pytest.mark.timeout(400)
def test_types_that_fail_alike_since_other_commits_are_parted_and_followed_at_once(tmp_path: Path) -> None:
    """7.0 and 7.2 fail alike and are one regression, until 7.0 turns out to fail at the parent of 7.2's culprit.

    Killed as they are parted, they are not parted once more. Each culprit names what a commit before them brought, so
    the second report says that of the first.
    """
    here = place(tmp_path, GOOD)
    here.run(*RUN, code=0)
    cause = here.project.commit({"boards.h": "extern char *board_ram_id;\n"}, "machine: bring it")
    shas = history(here, {1: only("i440fx-7.0", SMALLER), 4: only("i440fx-7.2", SMALLER)}, 6)
    parted = killing.Place("bot.store.store:Store.open_regression", number=2)
    killed = killing.ended(killing.bot(here.path, *RUN, dies=parted), killing.KILLED)
    assert re.search(r"master: r0001: .*: \d+ cases fail, good at", killed)
    assert [entry.regression.id for entry in Store(here.path / "work").regressions()] == ["r0001", "r0002"]
    done = here.run(*RUN, code=10, timeout=300)
    assert culprits(here, "work") == {"pc-i440fx-7.0": shas[1], "pc-i440fx-7.2": shas[4]}
    assert "2 new regressions" in done.stderr
    said = " ".join(here.run("show", "r0002", code=0).stdout.split())
    assert f"Inferred, not measured: r0001 (since {shas[4][:12]}" in said
    assert f'patch has board_ram_id, which {cause[:12]} ("machine: bring it") brought.' in said
    assert "Inferred" not in here.run("show", "r0001", code=0).stdout
