"""Which release a baseline is."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import load
from bot.core.succession import Release
from bot.errors import UserError
from bot.model import Baseline, Case, Direction
from bot.pipeline.bench import bench, having, newest
from bot.progress import Silent
from tests.testing.history import draw, git

DRAWING = """
a b c d
b s9 s10 s50
"""
VERSIONS = {
    "a": "9.2.0",
    "b": "10.0.0",
    "c": "10.0.50",
    "d": "10.1.0",
    "s9": "10.0.9",
    "s10": "10.0.10",
    "s50": "10.0.50",
}


def test_a_release_that_is_a_baseline_no_more_is_had_for_what_waits(tmp_path: Path) -> None:
    history = draw(tmp_path / "r", "a b c", branch="c", files={"a": {"VERSION": "11.2.0\n"}})
    (tmp_path / "work").mkdir()
    desk = bench(
        load(environ={}), tmp_path / "work", history.repository, Silent(), threading.Event(), baselines=(), profiles=()
    )
    case = Case("x86_64-softmmu", "pc-q35-11.2", "bare", Direction.FORWARD, "v11.2")
    assert having(desk, [case]) is desk, "the watch never had it"
    desk.store.releases.take(Release("v11.2", "v11.2.0", history["a"], 1.0), "it is the first")
    there = having(desk, [case, Case("x86_64-softmmu", "pc-q35-11.2", "bare")])
    assert there.rig.baselines == {"v11.2": Baseline("v11.2", ref="v11.2.0")}
    assert there.rig.refs == {"v11.2": history["a"]} and having(there, [case]) is there
    desk.store.releases.drop({"v11.3"})
    assert desk.store.releases.used() == {}
    assert having(desk, [case]).rig.refs == {"v11.2": history["a"]}
    other = replace(case, baseline="old")
    assert having(desk, [other], {"old": "qemu-7.2.22 (/usr/bin/qemu-system-x86_64)"}) is desk, "it was installed"
    assert having(desk, [other], {"old": "v1.0.0"}) is desk, "the clone lost it"
    assert having(desk, [other], {"old": "v11.2.0"}).rig.refs == {"old": history["a"]}, "as a report calls it"


def test_the_newest_point_release_of_a_stable_branch(tmp_path: Path) -> None:
    files = {name: {"VERSION": f"{version}\n"} for name, version in VERSIONS.items()}
    history = draw(tmp_path / "r", DRAWING, branch="d", files=files)
    git(tmp_path / "r", "branch", "stable-10.0", history["s50"])
    for ref, expected in (
        ("v10.0.x", "v10.0.10"), ("10.0.x", "v10.0.10"), ("v10.1.x", "v10.1.0"), ("v9.2.x", "v9.2.0"),
        ("v10.0.0", "v10.0.0"), ("master", "master"),
    ):  # fmt: skip
        found = newest(history.repository, Baseline("old", ref=ref))
        assert found == Baseline("old", ref=expected)
        assert history.repository.resolve(expected)
    installed = Baseline("debian", path="/usr/bin/qemu-system-{arch}")
    assert newest(history.repository, installed) is installed
    with pytest.raises(UserError, match=r"baseline old: no release of 8\.2 on stable-8\.2 or master"):
        newest(history.repository, Baseline("old", ref="v8.2.x"))
