"""Kept artifacts: named by their content, whole or not there, shared by hosts, least recently used first."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest
import zstandard

from bot.build.artifacts import Artifacts, File, Key, Record
from bot.build.cache import Cache, Entry
from bot.errors import InfraError
from bot.host import disk
from bot.model import Build, BuildKind, BuildStatus

MIB = 2**20
LOG = "what \udcff gcc said\n"


def random(number: int, size: int = MIB) -> bytes:
    """Bytes that do not compress, the same ones for the same number."""
    return b"".join(hashlib.sha512(b"%d %d" % (number, i)).digest() for i in range(size // 64))


def key(number: int) -> Key:
    return Key("0123456789abcdef", f"{number:040x}")


def record(number: int, contents: dict[str, bytes]) -> Record:
    build = Build(
        key(number).commit, "ppc64-softmmu", "r", BuildStatus.BUILT, BuildKind.FULL, 1.5, 9, "gcc 12", log=LOG
    )
    files = {name: File(hashlib.sha256(data).hexdigest(), len(data)) for name, data in contents.items()}
    return Record(build, "qemu-system-ppc64", files, frozenset({"a.c"}), frozenset({"a.c", "configure"}))


def put(artifacts: Artifacts, folder: Path, number: int, *, rom: bytes = b"rom" * 1000, size: int = MIB) -> Record:
    contents = {"qemu-system-ppc64": random(number, size), "pc-bios/slof.bin": rom}
    kept = record(number, contents)
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    artifacts.put(key(number), kept, {name: folder / name for name in contents})
    return kept


def objects(artifacts: Artifacts) -> list[Path]:
    return sorted((artifacts.path / "objects").glob("*/*.zst"))


def aged(artifacts: Artifacts) -> None:
    """As if all of it had been there for a day, in the order of the commits."""
    day = time.time() - 86400
    for file in objects(artifacts):
        os.utime(file, (day, day))
    for order, file in enumerate(sorted((artifacts.path / "builds").glob("*/*"))):
        os.utime(file, (day + order, day + order))


def test_what_comes_back_is_what_went_in(tmp_path: Path) -> None:
    kept = put(Artifacts(tmp_path / "a", 100 * MIB), tmp_path, 1)
    artifacts = Artifacts(tmp_path / "a", 100 * MIB)
    assert artifacts.get(key(1)) == kept and artifacts.get(key(2)) is None
    assert artifacts.has(key(1)) and not artifacts.has(key(2))
    assert artifacts.commits(key(1).group) == [key(1).commit] and artifacts.commits("other") == []
    for name, file in kept.files.items():
        assert artifacts.fetch(file, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == (tmp_path / name).read_bytes()


def test_objects_are_named_by_their_content_and_compressed(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "a", 100 * MIB)
    put(artifacts, tmp_path, 1, rom=b"rom" * 100000)
    put(artifacts, tmp_path, 2, rom=b"rom" * 100000)
    assert len(objects(artifacts)) == 3  # both have the same firmware
    for file in objects(artifacts):
        data = zstandard.ZstdDecompressor().decompress(file.read_bytes())
        assert file.name == f"{hashlib.sha256(data).hexdigest()}.zst"
    rom = hashlib.sha256(b"rom" * 100000).hexdigest()
    assert next(file for file in objects(artifacts) if file.name.startswith(rom)).stat().st_size < 1000


def test_the_least_recently_used_go_first_and_what_others_need_stays(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "a", int(3.5 * MIB))
    for number in (1, 2, 3):
        put(artifacts, tmp_path, number)
    aged(artifacts)
    artifacts.used(key(1))
    put(artifacts, tmp_path, 4)
    assert set(artifacts.commits(key(1).group)) == {key(number).commit for number in (1, 3, 4)}
    rom = File(hashlib.sha256(b"rom" * 1000).hexdigest(), 3000)
    assert artifacts.fetch(rom, tmp_path / "out")
    assert len(objects(artifacts)) == 4


def test_firmware_goes_with_the_last_that_needs_it(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "a", 2 * MIB)
    put(artifacts, tmp_path, 1, rom=random(9, 100000))
    aged(artifacts)
    put(artifacts, tmp_path, 2)
    assert artifacts.commits(key(1).group) == [key(2).commit]
    assert len(objects(artifacts)) == 2


def test_what_killed_writers_left_goes_after_an_hour(tmp_path: Path) -> None:
    """Not before: it may be somebody's who is writing."""
    artifacts = Artifacts(tmp_path / "a", int(2.5 * MIB))
    put(artifacts, tmp_path, 1)
    (artifacts.path / "builds" / key(1).group / key(1).commit).unlink()  # an object that no build names
    (artifacts.path / "part/new").write_bytes(b"half")
    (artifacts.path / "part/old").write_bytes(b"half")
    hours = time.time() - 7200
    os.utime(artifacts.path / "part/old", (hours, hours))
    orphan = next(file for file in objects(artifacts) if file.stat().st_size > MIB)
    put(artifacts, tmp_path, 2)
    assert [part.name for part in (artifacts.path / "part").iterdir()] == ["new"]
    assert orphan.exists()
    aged(artifacts)
    put(artifacts, tmp_path, 3)  # needs the room
    assert not orphan.exists()
    assert {build.name for build in (artifacts.path / "builds").glob("*/*")} == {key(n).commit for n in (2, 3)}


@pytest.mark.parametrize("harm", ["cut", "other", "bomb", "gone"])
def test_a_damaged_object_is_no_object(tmp_path: Path, harm: str) -> None:
    artifacts = Artifacts(tmp_path / "a", 100 * MIB)
    kept = put(artifacts, tmp_path, 1)
    file = kept.files["qemu-system-ppc64"]
    path = artifacts.path / "objects" / file.sha256[:2] / f"{file.sha256}.zst"
    match harm:
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
        case "other":
            path.write_bytes(zstandard.compress(random(2)))
        case "bomb":
            path.write_bytes(zstandard.compress(bytes(200 * MIB)))
        case "gone":
            path.unlink()
    assert not artifacts.fetch(file, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size <= 2 * MIB if (tmp_path / "out").exists() else harm == "gone"
    put(artifacts, tmp_path, 1)  # the next build of it mends it
    assert artifacts.fetch(file, tmp_path / "out")


@pytest.mark.parametrize(
    "text",
    [
        b"no zstd",
        zstandard.compress(b"no JSON"),
        zstandard.compress(b'{"version": 0}'),
        zstandard.compress(b'{"version": 1, "build": {}}'),
        zstandard.compress(b"[]"),
        zstandard.compress(bytes(65 * MIB)),
    ],
)
def test_a_damaged_record_is_no_record(tmp_path: Path, text: bytes) -> None:
    artifacts = Artifacts(tmp_path / "a", 100 * MIB)
    put(artifacts, tmp_path, 1)
    (artifacts.path / "builds" / key(1).group / key(1).commit).write_bytes(text)
    assert artifacts.get(key(1)) is None


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("../outside", "0" * 64),
        ("/etc/passwd", "0" * 64),
        ("pc-bios/../../outside", "0" * 64),
        ("pc-bios/slof.bin", "../../outside"),
        ("pc-bios/slof.bin", ""),
    ],
)
def test_what_leads_elsewhere_is_not_followed(tmp_path: Path, name: str, sha256: str) -> None:
    """Who shares the directory may write what he likes; nothing of ours is read, written or removed for it."""
    artifacts = Artifacts(tmp_path / "a", 100 * MIB)
    put(artifacts, tmp_path, 1)
    path = artifacts.path / "builds" / key(1).group / key(1).commit
    facts = json.loads(zstandard.ZstdDecompressor().decompress(path.read_bytes()))
    facts["files"][name] = {"sha256": sha256, "size": 3}
    path.write_bytes(zstandard.compress(json.dumps(facts).encode()))
    before = sorted(tmp_path.rglob("*"))
    assert artifacts.get(key(1)) is None
    assert Cache(tmp_path / "c", 100 * MIB, artifacts).find(key(1)) is None
    assert [file for file in sorted(tmp_path.rglob("*")) if tmp_path / "c" not in (file, *file.parents)] == before


def test_an_executable_that_is_not_among_the_files(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "a", 100 * MIB)
    kept = put(artifacts, tmp_path, 1)
    artifacts.put(key(1), dataclasses.replace(kept, executable="qemu-system-arm"), {})
    assert artifacts.get(key(1)) is None


def _host(work: Path, shared: Path, numbers: list[int]) -> None:
    """One host: unpacked artifacts of its own, the others shared. Adds what is not there, uses what is."""
    cache = Cache(work / "unpacked", 100 * MIB, Artifacts(shared, 4 * MIB))
    (work / "qemu-system-ppc64").write_bytes(b"")
    for number in numbers:
        (work / "qemu-system-ppc64").write_bytes(random(number, MIB // 4))
        build = Build(key(number).commit, "ppc64-softmmu", "r", BuildStatus.BUILT, BuildKind.FULL, 1.0)
        found = cache.find(key(number)) or cache.add(key(number), Entry(build, work / "qemu-system-ppc64"))
        assert found.binary is not None and found.binary.path.read_bytes() == random(number, MIB // 4)


def test_hosts_that_share_a_directory_too_small_for_all(tmp_path: Path) -> None:
    """Each adds, uses and evicts; none is ever handed half of anything, and the limit holds."""
    context = multiprocessing.get_context("spawn")
    hosts = []
    for host in range(3):
        (tmp_path / str(host)).mkdir()
        numbers = [(5 * host + 7 * i) % 24 for i in range(40)]
        hosts.append(context.Process(target=_host, args=(tmp_path / str(host), tmp_path / "shared", numbers)))
    for process in hosts:
        process.start()
    for process in hosts:
        process.join()
    assert [process.exitcode for process in hosts] == [0, 0, 0]
    assert disk.size(tmp_path / "shared") < 5 * MIB
    assert not list((tmp_path / "shared/part").iterdir())


def test_a_disk_that_is_full(small: Path, tmp_path: Path) -> None:
    artifacts = Artifacts(small / "a", 100 * MIB)
    with pytest.raises(InfraError, match="the disk is full"):
        put(artifacts, tmp_path, 1, size=2 * MIB)
    assert artifacts.get(key(1)) is None and not list((artifacts.path / "part").iterdir())
    put(artifacts, tmp_path, 2, size=64000)
    assert artifacts.get(key(2)) is not None
