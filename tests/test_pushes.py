"""What the watch tests besides each tip: what was pushed since the last cycle."""

from __future__ import annotations

import signal
from pathlib import Path

from bot.store.store import Store
from tests.test_cli import Place, interrupted, place, wait_gone
from tests.testing import fastqemu
from tests.testing.fastqemu import GOOD, SMALLER

RUN = ("--set", "bisect.min_runs=3", "run", "--once")


def runs_of(here: Place) -> list[str]:
    """Commits of the branch with runs of the sweep, in the order in which they were first run."""
    runs = Store(here.path / "work").runs(logs=False)
    return list(dict.fromkeys(run.commit for run in runs if run.case.direction == "same"))


def pushed(here: Place, *arguments: tuple[str, ...]) -> list[str]:
    return [
        here.project.commit({"dev.c": fastqemu.dev_c(one, f"push {i}")}, f"hw/core: push {i}")
        for i, one in enumerate(arguments)
    ]


def test_pushes_are_tested_oldest_first_and_bring_the_last_good_close(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    four = ("--set", "watch.pushes=4", *RUN)
    here.run(*four, code=0)
    (first,) = runs_of(here)
    shas = pushed(here, *[GOOD] * 6, *[SMALLER] * 4)
    done = here.run(*four, code=10)
    assert runs_of(here)[:5] == [first, shas[1], shas[4], shas[6], shas[9]]
    assert f"first bad commit: {shas[6][:12]}" in done.stdout
    (entry,) = Store(tmp_path / "work").regressions()
    assert (entry.regression.good, entry.regression.bad) == (shas[4], shas[9])
    assert "master: push 3 of 3: " in done.stderr
    assert "push 1" not in here.run(*four, code=0).stderr, "what was tested is not tested again"


def test_what_a_merge_brought_is_one_push(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    all_of_them = ("--set", "watch.pushes=8", *RUN)
    here.run(*all_of_them, code=0)
    git = here.project.git
    git("checkout", "-q", "-b", "topic")
    inner = pushed(here, GOOD, GOOD)
    git("checkout", "-q", "master")
    git("merge", "-q", "--no-ff", "-m", "Merge topic", "topic")
    merge = git("rev-parse", "HEAD").strip()
    (after,) = pushed(here, SMALLER)
    here.run(*all_of_them, code=10)
    assert runs_of(here)[1:3] == [merge, after] and not set(inner) & set(runs_of(here))


def test_a_cycle_that_is_killed_among_the_pushes_goes_on_there(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    eight = ("--set", "watch.pushes=8", *RUN)
    here.run(*eight, code=0)
    shas = pushed(here, *[GOOD] * 5)
    assert interrupted(here, "push 3 of 4", signal.SIGKILL, *eight) == -signal.SIGKILL
    wait_gone(here.path, besides="bwrap")
    before = Store(tmp_path / "work").runs(logs=False)
    said = here.run(*eight, code=0).stderr
    assert "push 1 of 2: " + shas[2][:12] in said, said
    assert runs_of(here)[1:] == shas
    again = [run for run in Store(tmp_path / "work").runs(logs=False)[len(before) :] if run.commit in shas[:2]]
    assert again == [], "what was recorded is not run again"


def test_a_cycle_over_its_budget_leaves_pushes_to_the_next(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    eight = ("--set", "watch.pushes=8", "--set")
    here.run(*eight, "watch.budget=1h", *RUN, code=0)
    shas = pushed(here, *[GOOD] * 3)
    first = here.run(*eight, "watch.budget=1s", *RUN, code=0)
    assert "1 branches and 0 searches left for the next cycle (watch.budget)" in first.stderr
    assert shas[-1] not in runs_of(here)
    here.run(*eight, "watch.budget=1h", *RUN, code=0)
    assert runs_of(here)[1:] == shas
