"""Unpacked artifacts: whole or not there, in use by many processes, least recently used first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.build.artifacts import Artifacts, Key
from bot.build.cache import Cache, Entry
from bot.errors import InfraError
from bot.host import disk
from bot.model import Build, BuildKind, BuildStatus

MIB = 2**20


def entry(tmp_path: Path, number: int, *, size: int = MIB, firmware: bytes = b"rom" * 100000) -> Entry:
    executable = tmp_path / "qemu-system-ppc64"
    executable.write_bytes(bytes([number]) * size)
    rom = tmp_path / "slof.bin"
    rom.write_bytes(firmware)
    build = Build(
        f"{number:040x}", "ppc64-softmmu", "r", BuildStatus.BUILT, BuildKind.FULL, 1.5, 9, "gcc 12", log="log"
    )
    return Entry(build, executable, {"slof.bin": rom})


def failed(number: int) -> Entry:
    build = Build(
        f"{number:040x}", "ppc64-softmmu", "r", BuildStatus.FAILED, BuildKind.FULL, 1.5, 3, error="a.c:1: e", log="l"
    )
    return Entry(build)


def opened(path: Path, limit: int = 100 * MIB, kept: int = 100 * MIB) -> Cache:
    return Cache(path, limit, Artifacts(path.with_name("artifacts"), kept))


def key(name: object) -> Key:
    return Key("group", str(name))


def keys(cache: Cache) -> set[str]:
    return {m.parent.name for m in cache.path.glob("*/*/manifest.json")}


def test_what_comes_back_is_what_went_in(tmp_path: Path) -> None:
    added = opened(tmp_path / "c").add(key("one"), entry(tmp_path, 1))
    assert added.kind is BuildKind.FULL and added.seconds == 1.5
    found = opened(tmp_path / "c").find(key("one"))
    assert found is not None and found.binary == added.binary and found.log == "log"
    assert (found.kind, found.steps, found.seconds) == (BuildKind.CACHED, 0, 0.0)
    assert found.binary is not None and found.binary.data_dir is not None
    assert os.access(found.binary.path, os.X_OK)
    assert (found.binary.data_dir / "slof.bin").read_bytes() == b"rom" * 100000


def test_what_is_there_is_not_replaced_under_who_runs_it(tmp_path: Path) -> None:
    cache = opened(tmp_path / "c")
    first = cache.add(key("one"), entry(tmp_path, 1)).binary
    assert first is not None
    inode = first.path.stat().st_ino
    assert cache.add(key("one"), entry(tmp_path, 1)).binary == first
    assert first.path.stat().st_ino == inode


def test_a_failed_build_is_remembered(tmp_path: Path) -> None:
    opened(tmp_path / "c").add(key("one"), failed(1))
    found = opened(tmp_path / "c").find(key("one"))
    assert found is not None and found.binary is None
    assert (found.status, found.error, found.log) == (BuildStatus.FAILED, "a.c:1: e", "l")


def test_equal_firmware_is_kept_once(tmp_path: Path) -> None:
    cache = opened(tmp_path / "c")
    cache.add(key("one"), entry(tmp_path, 1))
    before = disk.size(cache.path)
    cache.add(key("two"), entry(tmp_path, 2))
    assert disk.size(cache.path) - before < MIB + 100000
    inodes = {(cache.folder(key(name)) / "pc-bios/slof.bin").stat().st_ino for name in ("one", "two")}
    assert len(inodes) == 1


def test_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = opened(tmp_path / "c", int(3.7 * MIB), 1)
    for number in (1, 2, 3):
        cache.add(key(number), entry(tmp_path, number))
        os.utime(cache.folder(key(number)) / "manifest.json", (number, number))
    cache.release()
    assert cache.find(key("1")) is not None  # used just now
    cache.release()
    cache.add(key("4"), entry(tmp_path, 4))
    assert keys(cache) == {"1", "3", "4"}
    assert cache.find(key("2")) is None


def test_firmware_goes_with_the_last_that_needs_it(tmp_path: Path) -> None:
    cache = opened(tmp_path / "c", 2 * MIB, 1)
    cache.add(key("one"), entry(tmp_path, 1, firmware=b"old" * 100000))
    cache.release()
    cache.add(key("two"), entry(tmp_path, 2))
    assert keys(cache) == {"two"}
    assert len(list((cache.path / "firmware").iterdir())) == 1


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = opened(tmp_path / "c", MIB, 1)
    for number in (1, 2, 3):
        cache.add(key(number), entry(tmp_path, number))
    assert keys(cache) == {"1", "2", "3"}
    cache.release()
    cache.add(key("4"), entry(tmp_path, 4))
    assert keys(cache) == {"4"}


_OTHER = """\
import sys
from pathlib import Path
from bot.build.artifacts import Artifacts, Key
from bot.build.cache import Cache
cache = Cache(Path(sys.argv[1]), 2**20, Artifacts(Path(sys.argv[2]), 1))
assert cache.find(Key("group", "1")) is not None
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_another_living_process_uses_stays(tmp_path: Path) -> None:
    cache = opened(tmp_path / "c", MIB, 1)
    cache.add(key("1"), entry(tmp_path, 1))
    cache.release()
    argv = [sys.executable, "-c", _OTHER, str(cache.path), str(cache.artifacts.path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as other:
        assert other.stdout is not None and other.stdout.readline() == b"ready\n"
        cache.add(key("2"), entry(tmp_path, 2))
        assert keys(cache) == {"1", "2"}
        other.kill()
    cache.release()
    cache.add(key("3"), entry(tmp_path, 3))
    assert keys(cache) == {"3"}
    assert len(list((cache.path / "users").iterdir())) == 1


@pytest.mark.parametrize("kept", [1, 100 * MIB])
@pytest.mark.parametrize("harm", ["manifest", "binary", "gone", "version", "log"])
def test_a_damaged_entry_is_not_used(tmp_path: Path, harm: str, kept: int) -> None:
    """It comes back from the artifacts, or it is not there."""
    opened(tmp_path / "c", kept=kept).add(key("one"), entry(tmp_path, 1))
    folder = tmp_path / "c/group/one"
    match harm:
        case "manifest":
            (folder / "manifest.json").write_text('{"version": 1, "bui')
        case "binary":
            (folder / "qemu-system-ppc64").write_bytes(b"\1" * (MIB - 1))
        case "gone":
            (folder / "qemu-system-ppc64").unlink()
        case "version":
            manifest = json.loads((folder / "manifest.json").read_text())
            (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 0}))
        case "log":
            (folder / "build.log").unlink()
    cache = opened(tmp_path / "c", kept=kept)
    found = cache.find(key("one"))
    assert (found is not None) == folder.exists() == (kept > 1)
    assert found is None or (found.binary and found.binary.path.read_bytes() == b"\1" * MIB)
    assert cache.add(key("one"), entry(tmp_path, 1)).binary is not None


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    cache = opened(tmp_path / "c")
    (cache.path / "new").mkdir()
    (cache.path / "new/qemu-system-ppc64").write_bytes(b"half")
    cache.add(key("one"), entry(tmp_path, 1))
    assert not (cache.path / "new").exists()
    assert keys(cache) == {"one"}


def test_full_disk_while_publishing(small: Path, tmp_path: Path) -> None:
    cache = opened(small / "c")
    with pytest.raises(InfraError, match="the disk is full"):
        cache.add(key("one"), entry(tmp_path, 1, size=2 * MIB))
    assert keys(cache) == set() and not (cache.path / "new").exists()
    assert cache.add(key("two"), entry(tmp_path, 2, size=1000)).binary is not None
