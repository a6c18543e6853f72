"""Two binaries, or two of each architecture that both places have."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.model import Direction
from bot.pipeline.pairs import Pair, pairs
from tests.pipeline.test_asking import Said
from tests.testing.qemu import installed, second


def place(path: Path, *archs: str) -> Path:
    """A directory with launchers of Debian's QEMU, one for each architecture (or by another name: NAME=ARCH)."""
    path.mkdir()
    for given in archs:
        name, _, arch = given.partition("=")
        file = path / f"qemu-system-{name}"
        real = installed(arch or name).path if arch != "none" else "/bin/false"
        file.write_text(f'#!/bin/sh\nexec {real} "$@"\n# {path.name}\n')
        file.chmod(0o755)
    return path / "qemu-system-{arch}"


def found(source: Path, destination: Path, told: Said | None = None) -> tuple[Pair, ...]:
    return pairs(source, destination, told or Said(), threading.Event())


def test_every_architecture_that_both_have(tmp_path: Path) -> None:
    """A second name of one is no other, and one that does not answer is told."""
    old = place(tmp_path / "old", "x86_64", "ppc64", "i386=none", "amd64=x86_64")
    new = place(tmp_path / "new", "x86_64", "i386", "ppc64", "ppc", "amd64=x86_64")
    (tmp_path / "new/qemu-system-s390x").write_text("not executable")
    told = Said()
    made = found(old, new, told)
    assert [(p.arch, p.target) for p in made] == [("ppc64", "ppc64-softmmu"), ("x86_64", "x86_64-softmmu")]
    assert made[1].source.path == tmp_path / "old/qemu-system-x86_64"
    assert made[1].destination.path == tmp_path / "new/qemu-system-x86_64"
    assert not made[1].same
    assert len(told.lines) == 1
    assert told.lines[0].startswith("i386 is left out: ")


def test_one_side_may_be_a_single_binary(tmp_path: Path) -> None:
    many = place(tmp_path / "all", "x86_64", "ppc64")
    assert [p.arch for p in found(many, installed("ppc64").path)] == ["ppc64"]
    assert [p.arch for p in found(installed("ppc64").path, many)] == ["ppc64"]


def test_the_architecture_may_stand_in_a_directory_too(tmp_path: Path) -> None:
    for arch in ("x86_64", "ppc64"):
        place(tmp_path / arch, "x86_64", "ppc64")
    assert [
        p.source.path.parent.name for p in found(tmp_path / "{arch}/qemu-system-{arch}", place(tmp_path / "n", "ppc64"))
    ] == ["ppc64"]


def test_which_side_is_which() -> None:
    (pair,) = found(installed().path, second().path)
    old, new = pair.source, pair.destination
    assert (old.path, new.path) == (installed().path, second().path)
    assert pair.sides(Direction.FORWARD) == (old, new)
    assert pair.sides(Direction.BACKWARD) == (new, old)
    assert pair.sides(Direction.SAME) == (new, new)


def test_launchers_of_the_same_bytes_can_be_two_releases(tmp_path: Path) -> None:
    launchers = []
    for name, real in (("one", installed().path), ("two", second().path)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "real").symlink_to(real)
        launcher = tmp_path / name / "qemu-system-x86_64"
        launcher.write_text('#!/bin/sh\nexec "$(dirname "$0")/real" "$@"\n')
        launcher.chmod(0o755)
        launchers.append(launcher)
    (pair,) = found(launchers[0], launchers[1])
    assert not pair.same
    (itself,) = found(launchers[0], launchers[0])
    assert itself.same


def test_what_is_no_pair(tmp_path: Path) -> None:
    x86 = place(tmp_path / "x86", "x86_64")
    ppc = place(tmp_path / "ppc", "ppc64")
    for source, destination, said in (
        (x86, ppc, "no architecture is there on both sides"),
        (tmp_path / "none/{arch}", x86, "no such file for any architecture"),
        (installed("ppc64").path, x86, "no architecture is there on both sides"),
        (installed("ppc64").path, installed().path, "they cannot migrate"),
        (tmp_path / "gone", installed().path, "no such file"),
        (Path("/etc/passwd"), installed().path, "not executable"),
    ):
        with pytest.raises(UserError, match=said):
            found(source, destination)
