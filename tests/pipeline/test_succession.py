"""A point release is tried as far as the time goes, and one that does not build takes no place: real git, real QEMU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.config import load
from bot.core.succession import Step, step
from bot.host.git import Repository
from bot.pipeline import sweeping
from bot.pipeline.bench import Bench, bench
from bot.pipeline.succession import begin, succeed
from bot.progress import Silent
from bot.watch.upstream import Tip
from tests.test_cli import Place, place
from tests.testing import fastqemu
from tests.testing.fastqemu import BROKEN, GOOD

ONE = 'smoke.exclude=["[!p]*", "pc-i440fx-[1-6]*", "pc-i440fx-7.[01]", "pc-q35-*"]'


def desk(here: Place) -> Bench:
    """A bench as a cycle makes one, with the series 7.2 as its baseline."""
    config = load(here.path / "config.yaml", ["baselines=[{name: v7.2, ref: v7.2.x}]", ONE], environ={})
    (here.path / "work").mkdir(exist_ok=True)
    made = bench(
        config, here.path / "work", Repository(here.project.path), Silent(), threading.Event(),
        baselines=config.baselines, profiles=config.profiles.values(),
    )  # fmt: skip
    begin(made)
    return made


def release(here: Place, version: str, text: str) -> str:
    git = here.project.git
    git("checkout", "--quiet", "stable-7.2")
    sha = here.project.commit({"VERSION": f"{version}\n", "dev.c": text}, f"Update version for {version} release")
    git("checkout", "--quiet", "master")
    return sha


def after(looks: int) -> Callable[[], bool]:
    """Over once it was asked so often."""
    left = [looks]

    def over() -> bool:
        left[0] -= 1
        return left[0] < 0

    return over


def test_a_trial_that_is_cut_goes_on_and_what_does_not_build_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_STEP", 1)
    here = place(tmp_path)
    here.project.git("branch", "stable-7.2")
    there = desk(here)
    tips = [Tip("master", here.shas[-1])]
    assert not succeed(there, tips, lambda: False), "there is nothing new"
    sha = release(here, "7.2.1", fastqemu.dev_c(GOOD, "7.2.1"))
    releases = there.store.releases
    assert not succeed(there, tips, after(0))
    assert releases.waiting()["v7.2"].ref == "v7.2.1" and there.store.runs(commit=sha) == [], "no time to begin"
    assert not succeed(there, tips, after(2))
    done = there.store.runs(commit=sha, logs=False)
    assert len(done) == 1 and releases.used()["v7.2"].ref == "v7.2.0"
    assert not succeed(there, tips, lambda: False)
    runs = there.store.runs(commit=sha, logs=False)
    assert runs[:1] == done and [run.case.direction for run in runs] == ["forward", "backward"]
    used = releases.used()["v7.2"]
    assert (used.ref, used.trial.cases, used.trial.passed) == ("v7.2.1", 2, 2) and not releases.waiting()
    assert there.rig.baselines["v7.2"].ref == "v7.2.0", "the cycle ends as it began"
    there = desk(here)
    assert there.rig.baselines["v7.2"].ref == "v7.2.1" and there.rig.refs["v7.2"] == sha
    release(here, "7.2.2", BROKEN)
    assert succeed(there, tips, lambda: False), "something could not be tested"
    waiting = releases.waiting()["v7.2"]
    assert waiting.held and "does not build" in waiting.said and releases.used()["v7.2"].ref == "v7.2.1"
    release(here, "7.2.3", fastqemu.dev_c(GOOD, "7.2.3"))
    assert step(releases.used()["v7.2"], waiting, "v7.2.3") is Step.SEE
    assert not succeed(there, tips, lambda: False)
    assert releases.used()["v7.2"].ref == "v7.2.3", "the next one is tried against the one in use"
