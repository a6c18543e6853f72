"""A regression's report names others that may have the same cause: from a real clone and what is stored."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import load
from bot.core.dag import Dag
from bot.errors import InfraError
from bot.host import diffs
from bot.model import Commit, FirstBad, Related, Report, Suspects
from bot.pipeline.bench import Bench, bench
from bot.pipeline.relating import related
from bot.progress import Silent
from bot.report import data, render, words
from tests.build.project import Project
from tests.testing import fastqemu, reports

OLD = "int machine_old(void);\n"
MAIL = "Message-Id: <20200219160953.13771-{}-author@example.org>"


class Place:
    """A clone in which a commit brings `board_ram_id`, two others use it, and some are of one series."""

    def __init__(self, path: Path) -> None:
        self.project = Project(path / "qemu", {"boards.h": OLD, "pc.c": OLD, "spapr.c": OLD, "VERSION": "7.2.0\n"})
        self.good = self.project.first
        self.commit("old.c", "int machine_old_too;\n", "not new: machine_old_too is not, either")
        self.cause = self.commit("boards.h", f"{OLD}const char *board_ram_id;\n", "machine: bring it")
        self.commit("other.c", "int other;\n", "something else")
        self.pc = self.commit("pc.c", f'{OLD}board_ram_id = "pc.ram";\n', "pc: use it", MAIL.format(4))
        self.spapr = self.commit("spapr.c", f'{OLD}board_ram_id = "s.ram";\n', "spapr: use it", MAIL.format(9))
        self.alone = self.commit("alone.c", "int quite_alone;\n", "none of it")
        self.sibling = self.commit(
            "sibling.c", "int sibling_alone;\n", "of the series, without the name", MAIL.format(11)
        )
        config = load(fastqemu.config(self.project, path))
        (path / "work").mkdir()
        self.desk: Bench = bench(
            config, path / "work", self.project.repository, Silent(), threading.Event(),
            baselines=[], profiles=config.profiles.values(),
        )  # fmt: skip
        self.dag = Dag.of(self.desk.repository.parents([self.good], self.sibling))

    def commit(self, file: str, text: str, *message: str) -> str:
        return self.project.commit({file: text}, "\n\n".join(message))

    def report(self, sha: str, name: str = "r0009") -> Report:
        """A report that blames a commit."""
        made = reports.first_bad()
        assert isinstance(made.finding, FirstBad)
        return replace(
            made,
            regression=replace(made.regression, id=name),
            finding=replace(made.finding, commit=sha),
            culprit=self.desk.repository.commit(sha),
        )

    def concluded(self, sha: str) -> str:
        """Keep a regression whose search ended at a commit; its id."""
        name = self.desk.store.open_regression(self.report(sha).regression).id
        self.desk.store.conclude(name, "first-bad", data.dump(self.report(sha, name)), "")
        return name

    def of(self, sha: str) -> tuple[Related, ...]:
        return related(self.desk, self.report(sha), self.dag)


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path)


def subjects(*commits: Commit | None) -> list[str]:
    return [commit.subject if commit else "" for commit in commits]


def test_a_name_that_both_use_leads_to_the_commit_that_brought_it(here: Place) -> None:
    first, other = here.concluded(here.pc), here.concluded(here.alone)
    (found,) = here.of(here.spapr)
    assert (found.regression, found.commit.sha) == (first, here.pc)
    assert (found.name, found.series) == ("board_ram_id", True)
    assert found.cause is not None
    assert found.cause.sha == here.cause
    assert other not in {one.regression for one in here.of(here.spapr)}


def test_a_series_alone_is_a_relation_without_a_cause(here: Place) -> None:
    name = here.concluded(here.pc)
    (found,) = here.of(here.sibling)
    assert (found.regression, found.series, found.name, found.cause) == (name, True, "", None)


def test_unrelated_the_same_and_unfinished_ones_are_not_named(here: Place) -> None:
    here.concluded(here.spapr)
    assert here.of(here.alone) == ()
    assert here.of(here.spapr) == ()
    here.desk.store.open_regression(here.report(here.pc).regression)
    assert here.of(here.sibling)[0].commit.sha == here.spapr
    unnamed = replace(here.report(here.pc), finding=Suspects((here.pc,), ()), culprit=None)
    assert related(here.desk, unnamed, here.dag) == ()


def test_a_name_that_was_there_before_the_range_is_no_cause(tmp_path: Path) -> None:
    """One commit adds `machine_old` to a file that has not had it; the tree has, so nobody brought it."""
    here = Place(tmp_path)
    shas = [here.commit(f"new{i}.c", "int machine_old(void);\n", f"use it {i}") for i in range(3)]
    here.dag = Dag.of(here.desk.repository.parents([here.good], shas[-1]))
    here.concluded(shas[1])
    assert here.of(shas[2]) == ()


def test_a_clone_that_cannot_be_read_costs_the_hint_and_not_the_report(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.concluded(here.pc)

    def broken(*_: object) -> bytes:
        raise InfraError("git log exited 128: bad object")

    monkeypatch.setattr(diffs, "whole", broken)
    assert here.of(here.spapr) == ()


def test_it_is_said_in_one_sentence_and_never_as_a_tag(here: Place) -> None:
    here.concluded(here.pc)
    report = replace(here.report(here.spapr), related=here.of(here.spapr))
    (said,) = words.related(report)
    cause = here.desk.repository.commit(here.cause)
    assert said == (
        f'Inferred, not measured: r0001 (since {here.pc[:12]} ("pc: use it")) may have the same cause, for each '
        f'culprit\'s patch has board_ram_id, which {cause.short} ("machine: bring it") brought, and their patches were '
        "posted in one series."
    )
    assert " ".join(render.summary(report).split()).count(said) == 1
    assert data.load(data.dump(report)) == report
