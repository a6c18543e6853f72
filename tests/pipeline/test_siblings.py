"""What is put in the place of a pinned release: from the clone, the configuration, or as a person names it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.config import load
from bot.errors import UserError
from bot.model import Baseline, Case, Direction, Place, Profile
from bot.pipeline.bench import Bench, bench
from bot.pipeline.siblings import siblings
from bot.progress import Silent
from tests.testing.history import draw, git

DRAWING = """
a b c d e f
a a4
b s1 s2 s5 s9
d t1
"""
VERSIONS = {
    "a": "9.2.0", "a4": "9.2.4", "b": "10.0.0", "s1": "10.0.1", "s2": "10.0.2", "s5": "10.0.5", "s9": "10.0.9",
    "c": "10.0.50", "d": "10.1.0", "t1": "10.1.1", "e": "10.1.50", "f": "10.2.0",
}  # fmt: skip
BASELINES = """
baselines:
  - {name: old, ref: v9.2.x}
  - {name: older, ref: v9.2.0}
  - {name: pinned, ref: v10.0.5}
  - {name: same, ref: v10.0.x}
  - {name: next, ref: v10.1.x}
  - {name: latest, ref: v10.2.0}
  - {name: debian, path: "/usr/bin/qemu-system-{arch}"}
  - {name: gone, path: "/no/qemu-system-{arch}"}
  - {name: never, ref: v1.2.3}
"""


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def desk(tmp_path: Path) -> Bench:
    files = {name: {"VERSION": f"{version}\n"} for name, version in VERSIONS.items()}
    history = draw(tmp_path / "r", DRAWING, branch="f", files=files)
    for name, tip in (("stable-9.2", "a4"), ("stable-10.0", "s9"), ("stable-10.1", "t1")):
        git(tmp_path / "r", "branch", name, history[tip])
    (tmp_path / "config.yaml").write_text(BASELINES)
    config = load(tmp_path / "config.yaml")
    (tmp_path / "work").mkdir()
    pinned = [config.baseline("pinned"), config.baseline("debian")]
    return bench(
        config, tmp_path / "work", history.repository, Said(), threading.Event(),
        baselines=[*pinned, Baseline("v10.0.0", ref="v10.0.0"), Baseline("tree", ref=history["c"])],
        profiles=[Profile("bare")],
    )  # fmt: skip


def names(
    desk: Bench, baseline: str | None = "pinned", machine: str = "pc-q35-9.2", chosen: Sequence[str] = ()
) -> list[list[str]]:
    direction = Direction.FORWARD if baseline else Direction.SAME
    case = Case("x86_64-softmmu", machine, "bare", direction, baseline)
    return [[one.baseline.name for one in group] for group in siblings(desk, case, chosen)]


def test_point_releases_first_then_the_releases_around(desk: Bench) -> None:
    """The first of the series, then what is between; the newest one, which is a baseline too; two neighbours a side."""
    assert names(desk) == [["v10.0.0", "v10.0.2", "v10.0.1"], ["v10.0.9"], ["old", "older"], ["next", "latest"]]
    assert isinstance(desk.progress, Said)
    left_out = [line for line in desk.progress.lines if "is left out" in line]
    assert len(left_out) == 2 and "gone" in left_out[0] and "never" in left_out[1]


def test_where_they_stand(desk: Bench) -> None:
    case = Case("x86_64-softmmu", "pc-q35-9.2", "bare", Direction.BACKWARD, "pinned")
    places = [group[0].place for group in siblings(desk, case)]
    assert places == [Place.OLDER_POINT, Place.NEWER_POINT, Place.OLDER, Place.NEWER]


def test_a_release_that_cannot_have_the_machine_type_is_not_asked(desk: Bench) -> None:
    assert names(desk, machine="pc-q35-10.0") == [["v10.0.0", "v10.0.2", "v10.0.1"], ["v10.0.9"], ["next", "latest"]]
    assert names(desk, machine="pc-q35-7.2")[2] == ["old", "older"]
    assert ["old", "older"] in names(desk, machine="microvm")
    assert ["old", "older"] in names(desk, machine="pc-q35-rhel9.4.0")


def test_the_first_of_a_series_has_none_before_it(desk: Bench) -> None:
    assert names(desk, "v10.0.0")[0][0] in ("v10.0.9", "pinned")
    case = Case("x86_64-softmmu", "pc-q35-9.2", "bare", Direction.FORWARD, "v10.0.0")
    assert Place.OLDER_POINT not in {one.place for group in siblings(desk, case) for one in group}


def test_a_development_tree_is_no_point_release(desk: Bench) -> None:
    case = Case("x86_64-softmmu", "pc-q35-9.2", "bare", Direction.FORWARD, "tree")
    assert {one.place for group in siblings(desk, case) for one in group} == {Place.OLDER, Place.NEWER}


def test_an_installed_release_has_only_baselines(desk: Bench) -> None:
    """7.2 is older than all of them, and nothing is built for it but what the configuration names."""
    assert names(desk, "debian", "pc-q35-7.2") == [["older", "old"]]


def test_named_ones_are_the_only_ones(desk: Bench) -> None:
    assert names(desk, chosen=["old", "v10.0.1", "/usr/bin/qemu-system-x86_64"]) == [
        ["old"], ["v10.0.1"], ["/usr/bin/qemu-system-x86_64"],
    ]  # fmt: skip
    with pytest.raises(UserError, match="no such revision"):
        names(desk, chosen=["v3.3.3"])


def test_no_side_is_pinned(desk: Bench) -> None:
    assert names(desk, None) == []
