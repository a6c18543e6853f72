"""What was built, compressed and named by its content; below one directory that many hosts may share.

    builds/<group>/<commit>       zstd of a JSON: the facts of a build, its log, what it read, names of what it made
    objects/<ab>/<sha256>.zst     an executable or a firmware image, named by the bytes before they were compressed
    part/<id>                     what somebody is writing

A group is what is the same for all commits: target, recipe, toolchain. There is no lock, for what file systems of
networks make of locks differs: a file is written aside, brought to the disk and renamed, and a build is named only when
its objects are there. Whoever finds less than a record promises has found nothing. Nobody runs what is here (see
`cache`), so anything may go at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from bot.errors import InfraError
from bot.host import disk
from bot.model import Build, BuildKind, BuildStatus, Sha

_VERSION = 1
_LEVEL = 3  # 15 MB in a tenth of a second, to a quarter
_GRACE = 3600.0  # seconds in which an object that no build names may still be about to be named, or a part written
_LOW = 0.9  # of the limit is what eviction leaves
_MOST = 64 * 2**20  # bytes of a record; those of QEMU have one
_PIECE = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Key(NamedTuple):
    """Names a build: `group` is a digest of target, recipe and toolchain."""

    group: str
    commit: Sha

    def __str__(self) -> str:
        return f"{self.group}/{self.commit}"


@dataclass(frozen=True, slots=True)
class File:
    """A file of an artifact: sha256 and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """A build as it is kept; `build` has its log, and no binary. No `executable`: the commit does not build."""

    build: Build
    executable: str | None = None  # name of its file
    files: Mapping[str, File] = dataclasses.field(default_factory=dict)  # by name; firmware is below pc-bios
    closure: frozenset[str] | None = None  # sources and headers, as compilers recorded them
    reads: frozenset[str] | None = None  # all files of the commit that were opened for it, by whatever


class Artifacts:
    """The builds below one directory, of at most `limit` bytes compressed; the least recently used go first."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        with self._working():
            for name in ("builds", "objects", "part"):
                (path / name).mkdir(parents=True, exist_ok=True)

    def get(self, key: Key) -> Record | None:
        """The build recorded under key; None if there is none that can be read."""
        return _read(self._named(key))

    def has(self, key: Key) -> bool:
        """Whether something is recorded under key; it may still turn out that it cannot be read."""
        return self._named(key).exists()

    def used(self, key: Key) -> None:
        """What is recorded under key is the most recently used now."""
        with contextlib.suppress(OSError):
            os.utime(self._named(key))

    def commits(self, group: str) -> list[Sha]:
        """Commits of which a group has a build, or a failure."""
        try:
            return [build.name for build in (self.path / "builds" / group).iterdir()]
        except OSError:
            return []

    def put(self, key: Key, record: Record, contents: Mapping[str, Path]) -> None:
        """Keep a build. `contents` has the files of `record.files` that may not be here yet, by name.

        Raises `InfraError` if the disk is full, or does not work.
        """
        with self._working():
            for name, file in record.files.items():
                kept = self._object(file.sha256)
                try:
                    os.utime(kept)  # within the grace of eviction until the record is there
                except FileNotFoundError:
                    if name in contents:
                        self._compress(contents[name], kept)
            self._write(self._named(key), zstandard.ZstdCompressor(_LEVEL).compress(_text(record)))
            self._evict()

    def fetch(self, file: File, to: Path) -> bool:
        """Write a kept file to `to`; False if it is not here as it was kept. Raises `InfraError` as `put` does."""
        kept = self._object(file.sha256)
        try:
            digest, left = hashlib.sha256(), file.size
            with self._working(), kept.open("rb") as packed, to.open("wb") as out:
                for piece in zstandard.ZstdDecompressor().read_to_iter(packed, write_size=_PIECE):
                    left -= len(piece)
                    if left < 0:
                        break  # what it says it holds is not for us
                    digest.update(piece)
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
        except (FileNotFoundError, zstandard.ZstdError):
            return False
        if left == 0 and digest.hexdigest() == file.sha256:
            return True
        with contextlib.suppress(OSError):
            kept.unlink()  # damaged: the next build of it brings it again
        return False

    # -- on the disk ---------------------------------------------------------------------------------------------

    def _named(self, key: Key) -> Path:
        return self.path / "builds" / key.group / key.commit

    def _object(self, sha256: str) -> Path:
        return self.path / "objects" / sha256[:2] / f"{sha256}.zst"

    def _compress(self, source: Path, to: Path) -> None:
        with self._part() as part:
            with source.open("rb") as reader, part.open("wb") as writer:
                zstandard.ZstdCompressor(_LEVEL).copy_stream(reader, writer, size=source.stat().st_size)
            self._publish(part, to)

    def _write(self, to: Path, data: bytes) -> None:
        with self._part() as part:
            part.write_bytes(data)
            self._publish(part, to)

    @contextlib.contextmanager
    def _part(self) -> Iterator[Path]:
        part = self.path / "part" / uuid.uuid4().hex
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    @staticmethod
    def _publish(part: Path, to: Path) -> None:
        disk.sync_file(part)
        to.parent.mkdir(parents=True, exist_ok=True)
        part.replace(to)
        disk.sync_directory(to.parent)

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """A file system of another machine fails in more ways than a disk."""
        with disk.writing(self.path):
            try:
                yield
            except OSError as error:
                if error.errno in disk.BROKEN:
                    raise InfraError(f"{self.path}: {error.strerror}; is its file system there?") from error
                raise

    # -- eviction ------------------------------------------------------------------------------------------------

    def _evict(self) -> None:
        """Remove what was not used for longest until the rest fits, and what killed writers left."""
        now = time.time()
        for part in _files(self.path / "part"):
            if now - part.modified > _GRACE:
                part.path.unlink(missing_ok=True)
        objects = {file.path.name.removesuffix(".zst"): file for file in _files(self.path / "objects")}
        builds = sorted(_files(self.path / "builds"), key=lambda file: file.modified)
        total = sum(file.size for file in (*objects.values(), *builds))
        if total <= self.limit:
            return
        names = {build.path: _objects(build.path) for build in builds}
        uses = Counter(name for held in names.values() for name in held)
        for name, kept in objects.items():
            if not uses[name] and now - kept.modified > _GRACE:
                total -= _removed(kept)
        for build in builds:
            if total <= self.limit * _LOW:
                return
            total -= _removed(build)
            for name in names[build.path]:
                uses[name] -= 1
                if not uses[name] and name in objects:
                    total -= _removed(objects[name])


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    size: int
    modified: float


def _files(folder: Path) -> list[_Kept]:
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            with contextlib.suppress(FileNotFoundError):
                info = path.stat()
                found.append(_Kept(path, info.st_size, info.st_mtime))
    return found


def _removed(file: _Kept) -> int:
    """Remove a file; the bytes that are free now."""
    file.path.unlink(missing_ok=True)
    return file.size


def _text(record: Record) -> bytes:
    facts = {
        "version": _VERSION,
        "build": dataclasses.asdict(dataclasses.replace(record.build, binary=None)),
        "executable": record.executable,
        "files": {name: dataclasses.asdict(file) for name, file in record.files.items()},
        "closure": None if record.closure is None else sorted(record.closure),
        "reads": None if record.reads is None else sorted(record.reads),
    }
    return json.dumps(facts).encode("utf-8", "surrogateescape")


def _read(file: Path) -> Record | None:
    """The record in a file; None if it cannot be read, or is none."""
    try:
        packed = file.read_bytes()
        if zstandard.frame_content_size(packed) > _MOST:
            return None
        return _record(json.loads(zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MOST)))
    except (OSError, zstandard.ZstdError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _record(facts: Mapping[str, Any]) -> Record:
    """Raises `ValueError` for names that lead elsewhere: who shares the directory may have written them."""
    if facts["version"] != _VERSION:
        raise ValueError(f"version {facts['version']}")
    files = {name: File(file["sha256"], file["size"]) for name, file in facts["files"].items()}
    if any(name.startswith("/") or ".." in name.split("/") for name in files):
        raise ValueError("a name that leads elsewhere")
    if not all(_SHA256.fullmatch(file.sha256) for file in files.values()):
        raise ValueError("no sha256")
    if facts["executable"] is not None and facts["executable"] not in files:
        raise ValueError("an executable that is not there")
    closure, reads = (None if facts[name] is None else frozenset(facts[name]) for name in ("closure", "reads"))
    return Record(build_of(facts["build"]), facts["executable"], files, closure, reads)


def _objects(build: Path) -> frozenset[str]:
    """The objects that a build names; none if it cannot be read."""
    record = _read(build)
    return frozenset(file.sha256 for file in record.files.values()) if record else frozenset()


def build_of(facts: Mapping[str, Any]) -> Build:
    """A build by its recorded fields, of which other versions may have more or fewer."""
    known = {f.name for f in dataclasses.fields(Build)} - {"binary"}
    values = {name: value for name, value in facts.items() if name in known}
    return Build(**values | {"status": BuildStatus(facts["status"]), "kind": BuildKind(facts["kind"])})
