"""Diffs read from a real repository: once, whatever is in them, and from the packs the second time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from bot.core.patch import Patch, words
from bot.errors import InfraError
from bot.host import diffs
from bot.host.git import Repository
from tests.testing.history import History, draw, git


@pytest.fixture
def history(tmp_path: Path) -> History:
    files = {
        "1": {"hw/a.c": "int first_name;\n"},
        "2": {"hw/a.c": "int second_name;\n", "data.bin": "\0\1\2 not_a_word \0"},
        "4": {"big.c": "x_word\n" + "filler\n" * 900_000 + "too_far\n"},
    }
    return draw(tmp_path / "r", "0 1 2 3\n1 a b\n3 4=b 5", files=files)


def same(one: dict[str, Patch], other: dict[str, Patch]) -> bool:
    return one.keys() == other.keys() and all(
        (p.paths, p.added, p.removed) == (other[s].paths, other[s].added, other[s].removed)
        and all(np.array_equal(getattr(p, f), getattr(other[s], f)) for f in ("changed", "around", "said"))
        for s, p in one.items()
    )


def test_each_commit_gets_its_own_words(history: History) -> None:
    found = diffs.read(history.repository, history.shas.values())
    assert list(found) == list(history.shas.values())
    two = found[history["2"]]
    assert set(two.paths) == {"data.bin", "hw/a.c", "n/2"}
    assert dict(zip(two.paths, zip(two.added, two.removed, strict=True), strict=True)) == {
        "data.bin": (0, 0), "hw/a.c": (1, 1), "n/2": (1, 0),
    }  # fmt: skip
    assert np.isin(words(b"first_name second_name"), two.changed).all()
    assert not np.isin(words(b"not_a_word"), two.changed).any()
    big = found[history["4"]]
    assert sum(big.added) + sum(big.removed) <= 900_001


def test_one_diff_in_full(history: History) -> None:
    text = diffs.whole(history.repository, history["2"])
    assert b"\n+++ b/hw/a.c\n@@" in text
    assert b"second_name" in text
    assert text.count(b"diff --git") == 3
    with pytest.raises(InfraError):
        diffs.whole(history.repository, "e" * 40)


def test_the_second_time_git_is_not_asked(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    shas = list(history.shas.values())
    first = diffs.read(history.repository, shas[:4], cache)
    whole = diffs.read(history.repository, shas, cache)
    assert same({s: whole[s] for s in shas[:4]}, first)
    assert len(list(cache.iterdir())) == 2

    def never(*_: object, **__: object) -> None:
        raise AssertionError("git was asked")

    monkeypatch.setattr(type(history.repository.git), "stream", never)
    assert same(diffs.read(history.repository, shas, cache), {s: whole[s] for s in shas})


def test_a_pack_of_an_older_format_goes_when_one_is_written(history: History, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    old = cache / "0123.v1.npz"
    old.write_bytes(b"not read")
    diffs.read(history.repository, history.shas.values(), cache)
    assert not old.exists()
    assert len(list(cache.iterdir())) == 1


def test_a_pack_that_was_cut_short_is_read_from_git_again(history: History, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    whole = diffs.read(history.repository, history.shas.values(), cache)
    pack = next(cache.iterdir())
    pack.write_bytes(pack.read_bytes()[:100])
    assert same(diffs.read(history.repository, history.shas.values(), cache), whole)


def test_a_commit_that_the_repository_has_not_is_left_out(history: History) -> None:
    shas = list(history.shas.values())
    assert list(diffs.read(history.repository, [*shas[:3], "1" * 40, *shas[3:]])) == shas
    assert diffs.read(history.repository, [f"{i:040x}" for i in range(1, 200)]) == {}


def test_a_commit_whose_file_is_gone_is_left_out(history: History, tmp_path: Path) -> None:
    """As in a clone that is not whole."""
    repository, hollow = history.repository, tmp_path / "hollow"
    git(tmp_path, "clone", "--quiet", "--bare", "--no-local", str(repository.git.dir), str(hollow))
    pack = next((hollow / "objects" / "pack").glob("*.pack"))
    moved = tmp_path / "moved.pack"
    pack.rename(moved)
    for file in pack.parent.iterdir():
        file.unlink()
    _unpack(hollow, moved)
    blob = git(repository.path, "rev-parse", f"{history['2']}:hw/a.c").strip()
    (hollow / "objects" / blob[:2] / blob[2:]).unlink()
    found = diffs.read(Repository(hollow), history.shas.values())
    assert list(found) == [sha for name, sha in history.shas.items() if name != "2"]


def _unpack(repository: Path, pack: Path) -> None:
    with pack.open("rb") as file:
        subprocess.run(["git", "--git-dir", str(repository), "unpack-objects", "-q"], stdin=file, check=True)
