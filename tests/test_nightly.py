"""The whole matrix, once a night: what it alone sees is found, and one that was cut or killed goes on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.config import load
from bot.host.git import Repository
from bot.model import Run
from bot.pipeline import sweeping
from bot.pipeline.bench import Bench, bench
from bot.pipeline.nightly import nightly
from bot.progress import Silent
from bot.store.store import Store
from bot.watch.upstream import Tip
from tests.test_cli import Place, interrupted, place, wait_gone
from tests.testing import fastqemu
from tests.testing.fastqemu import GOOD, SMALLER

PARTS = [
    "bisect.min_runs=3",
    "each_tip.directions=[same]",
    "nightly.profiles=[bare]",
    "nightly.directions=[same, forward]",
    *(f"nightly.methods.{method}=[]" for method in ("exec", "ping-pong", "savevm", "multifd", "postcopy")),
]
SET = [word for part in PARTS for word in ("--set", part)]


def run(here: Place, every: str, code: int) -> str:
    done = here.run(*SET, "--set", f"watch.nightly={every}", "run", "--once", code=code)
    return done.stdout + done.stderr


def forward(here: Place) -> list[Run]:
    """Runs that `each_tip` has not."""
    return [run for run in Store(here.path / "work").runs(logs=False) if run.case.baseline is not None]


def test_what_the_whole_matrix_alone_sees_is_found(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    assert "nightly" not in run(here, "null", 0)
    assert "master, nightly: the whole matrix on " + here.shas[-1][:12] in run(here, "24h", 0)
    assert "ended" in next(
        text for text in here.run("status").stdout.splitlines() if text.startswith("nightly sweep of master: ")
    )
    culprit = here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "culprit")}, "break it")
    assert "nothing new" in run(here, "24h", 0), "not due, and each_tip does not see it"
    assert f"first bad commit: {culprit[:12]}" in run(here, "1s", 10)
    assert "nothing new" in run(here, "1s", 0), "told once"


def test_one_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    args = (*SET, "--set", "watch.nightly=24h", "run", "--once")
    assert interrupted(here, "cases to run on", signal.SIGKILL, *args) == -signal.SIGKILL, "of each_tip"
    wait_gone(here.path, besides="bwrap")
    assert interrupted(here, "master, nightly: the whole", signal.SIGKILL, *args) == -signal.SIGKILL
    wait_gone(here.path, besides="bwrap")
    assert "to be gone on with" in here.run("status").stdout
    later = here.project.commit({"dev.c": fastqemu.dev_c(GOOD, "later")}, "later")
    said = run(here, "24h", 0)
    assert f"master, nightly: the whole matrix on {here.shas[-1][:12]}" in said
    assert {run.commit for run in forward(here)} == {here.shas[-1]} and later[:12] in said


@pytest.fixture
def desk(tmp_path: Path) -> Bench:
    here = place(tmp_path, GOOD)
    config = load(here.path / "config.yaml", [*PARTS, "watch.nightly=24h"], environ={})
    repository = Repository(here.project.path)
    (tmp_path / "work").mkdir()
    return bench(
        config, tmp_path / "work", repository, Silent(), threading.Event(), baselines=config.baselines,
        profiles=config.profiles.values(),
    )  # fmt: skip


def after(looks: int) -> Callable[[], bool]:
    """Over once it was asked so often."""
    left = [looks]

    def over() -> bool:
        left[0] -= 1
        return left[0] < 0

    return over


def test_one_that_is_cut_goes_on_at_its_commit(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_STEP", 1)
    first = desk.repository.resolve("master")
    tips = [Tip("master", first)]
    desk.store.see("master", desk.repository.commit(first))
    assert not nightly(desk, tips, [], after(0))
    assert desk.store.nights.last() == {}, "no time to begin it"
    assert not nightly(desk, tips, [], after(3))
    night = desk.store.nights.last()["master"]
    done = desk.store.runs(logs=False)
    assert (night.sha, night.ended, len(done)) == (first, None, 2)
    assert not nightly(desk, tips, [], lambda: False)
    night = desk.store.nights.last()["master"]
    assert night.sha == first and night.ended is not None
    everything = desk.store.runs(logs=False)
    assert everything[:2] == done and len({run.case for run in everything}) == len(everything) > 3
    assert not nightly(desk, tips, [], lambda: False)
    assert len(desk.store.runs(logs=False)) == len(everything), "not due"
