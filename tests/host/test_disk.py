"""Disk space and writing safely."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.errors import InfraError, UserError
from bot.host import disk


def test_free_space_of_a_place_that_is_not_there_yet(tmp_path: Path) -> None:
    assert disk.free(tmp_path / "a" / "b") > 0
    disk.require(tmp_path / "a", 1, "build.free_space")
    with pytest.raises(InfraError, match=r"GiB free, build\.free_space asks for 1048576\.0 GiB"):
        disk.require(tmp_path / "a", 2**50, "build.free_space")


def test_a_full_device_is_the_machines_fault() -> None:
    with pytest.raises(InfraError, match="the disk is full"), disk.writing(Path("/dev")), open("/dev/full", "w") as out:  # noqa: PTH123 - a device
        out.write("x")


def test_what_cannot_be_written_is_the_users(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/x: cannot write there"), disk.writing(tmp_path):
        (tmp_path / "file" / "x").write_text("")


def test_replace_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    disk.replace(path, b"old")

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        disk.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_file_that_several_write_at_once_is_that_of_one_of_them(tmp_path: Path) -> None:
    path, texts = tmp_path / "f", [letter * 200_000 for letter in (b"a", b"b", b"c", b"d")]

    def write(text: bytes) -> None:
        for _ in range(25):
            disk.replace(path, text)
            assert path.read_bytes() in texts

    with ThreadPoolExecutor(len(texts)) as pool:
        list(pool.map(write, texts))
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_size_counts_a_file_with_two_names_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 2**20)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert 2**20 <= disk.size(tmp_path) < 2**20 + 65536
