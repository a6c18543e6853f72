"""Artifacts as they are run, for every process that uses the directory: unpacked, and there as long as one is in use.

    <group>/<commit>/manifest.json          the facts of the build, written last
    <group>/<commit>/qemu-system-x86_64     stripped; absent if the commit does not build
    <group>/<commit>/pc-bios/...            firmware, hard links into firmware/
    <group>/<commit>/build.log
    firmware/<sha256>                       one copy of each firmware image
    users/<id>                              keys in use by a living process, which holds a lock on the file

What is not here is looked for among the `artifacts`, where each build is kept too. An entry is made in `new` and
renamed into place, so one that is there is whole. A lock on the directory is held while an entry is looked up,
unpacked, published or evicted, never while anything is built.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from bot.build.artifacts import Artifacts, File, Key, Record, build_of
from bot.errors import InfraError
from bot.host import disk
from bot.model import Binary, Build, BuildKind

_VERSION = 1
FIRMWARE = "pc-bios"


@dataclass(frozen=True, slots=True)
class Entry:
    """What an artifact is made of. `firmware` maps names below pc-bios to the files they are copied from."""

    build: Build  # its `binary` is filled in by the cache
    executable: Path | None = None
    firmware: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    closure: frozenset[str] | None = None
    reads: frozenset[str] | None = None


class Cache:
    """Unpacked artifacts, at most `limit` bytes of those not in use; least recently used go first."""

    def __init__(self, path: Path, limit: int, artifacts: Artifacts) -> None:
        self.path = path
        self.limit = limit
        self.artifacts = artifacts
        with disk.writing(path):
            for name in ("firmware", "users"):
                (path / name).mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / "lock")
            self._checked: dict[Key, str] = {}  # key -> sha256 of the executable, verified by this process
            self._users = path / "users" / uuid.uuid4().hex
            with self._lock:
                self._mine = os.open(self._users, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                fcntl.flock(self._mine, fcntl.LOCK_EX)
            weakref.finalize(self, os.close, self._mine)

    def folder(self, key: Key) -> Path:
        """Where an artifact is, or will be."""
        return self.path / key.group / key.commit

    # -- use -----------------------------------------------------------------------------------------------------

    def find(self, key: Key) -> Build | None:
        """The build recorded under key, now in use by this process; None if there is none that can be trusted."""
        with self._lock, disk.writing(self.path):
            build = self._read(key)
            if build is None:
                shutil.rmtree(self.folder(key), ignore_errors=True)  # nothing there, or damaged
                build = self._unpacked(key)
            if build is None:
                return None
            self.artifacts.used(key)
            os.utime(self.folder(key) / "manifest.json")
            self._use(key)
        return build

    def closure(self, key: Key) -> frozenset[str] | None:
        """What the build recorded under key read; None if nobody knows."""
        record = self.artifacts.get(key)
        return None if record is None else record.closure

    def has(self, key: Key) -> bool:
        """Whether something is recorded under key; it may still turn out that it cannot be trusted."""
        return (self.folder(key) / "manifest.json").exists() or self.artifacts.has(key)

    def add(self, key: Key, entry: Entry) -> Build:
        """Publish an entry and evict what is too much; returns the build with its binary where it will stay.

        What is there already stays, for somebody may run it.
        """
        with self._lock, disk.writing(self.path):
            if (there := self._read(key)) is not None and there.same_as is None:
                self._use(key)
                return dataclasses.replace(entry.build, binary=there.binary)
            with self._new(key) as new:
                record = self._fill(new, entry)
            kept = self._kept(key)
            contents = {name: self.folder(key) / name for name in record.files}
            self.artifacts.put(key, record, contents)
            self._evict()
        return dataclasses.replace(entry.build, binary=kept.binary)

    def share(self, key: Key, other: Key, build: Build) -> Build | None:
        """Record `build` as one that made what is recorded under another key; None if that is not there any more."""
        record = self.artifacts.get(other)
        if record is None:
            return None
        self.artifacts.put(key, dataclasses.replace(record, build=build), {})
        there = self.find(key)
        return there and dataclasses.replace(build, binary=there.binary)

    def release(self) -> None:
        """Say that this process no longer uses what it was given so far, so that it may be evicted."""
        with self._lock:
            os.ftruncate(self._mine, 0)

    def _use(self, key: Key) -> None:
        os.write(self._mine, f"{key}\n".encode())

    # -- on the disk ---------------------------------------------------------------------------------------------

    @contextmanager
    def _new(self, key: Key) -> Iterator[Path]:
        """A directory that becomes the entry of key when it was filled, and never half of it."""
        new = self.path / "new"
        shutil.rmtree(new, ignore_errors=True)  # of a process that was killed here: the lock is ours
        new.mkdir()
        try:
            yield new
            folder = self.folder(key)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(exist_ok=True)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        disk.sync_directory(folder.parent)
        self._checked.pop(key, None)
        self._use(key)

    def _kept(self, key: Key) -> Build:
        """What was written under key; raises `InfraError` if that cannot be read."""
        kept = self._read(key)
        if kept is None:
            raise InfraError(f"{self.folder(key)}: does not read back as it was written; check the disk")
        return kept

    def _unpacked(self, key: Key) -> Build | None:
        """A kept artifact, brought here; None if there is none, or not all of it."""
        record = self.artifacts.get(key)
        if record is None:
            return None
        try:
            with self._new(key) as new:
                for name, file in record.files.items():
                    if name == record.executable:
                        self._fetch(file, new / name)
                        (new / name).chmod(0o755)
                    else:
                        self._link(file.sha256, new / name, partial(self._fetch, file))
                digest = record.files[record.executable].sha256 if record.executable else None
                _describe(new, record.build, record.executable, digest)
        except LookupError:
            return None
        self._evict()
        return self._kept(key)

    def _fetch(self, file: File, to: Path) -> None:
        if not self.artifacts.fetch(file, to):
            raise LookupError(file.sha256)

    def _fill(self, new: Path, entry: Entry) -> Record:
        files: dict[str, File] = {}
        executable = entry.executable.name if entry.executable else None
        if entry.executable is not None and executable is not None:
            digest = _copy(entry.executable, new / executable)
            (new / executable).chmod(0o755)
            files[executable] = File(digest, (new / executable).stat().st_size)
        for name, source in entry.firmware.items():
            digest = hashlib.sha256(source.read_bytes()).hexdigest()
            self._link(digest, new / FIRMWARE / name, partial(_copy, source))
            files[f"{FIRMWARE}/{name}"] = File(digest, source.stat().st_size)
        _describe(new, entry.build, executable, files[executable].sha256 if executable else None)
        return Record(dataclasses.replace(entry.build, binary=None), executable, files, entry.closure, entry.reads)

    def _link(self, sha256: str, name: Path, bring: Callable[[Path], object]) -> None:
        """Make `name` another name of the one copy of a firmware image; `bring` writes it where there is none yet."""
        kept = self.path / "firmware" / sha256
        if not kept.exists():
            part = kept.with_suffix(".part")
            bring(part)
            part.replace(kept)
        name.parent.mkdir(parents=True, exist_ok=True)
        name.hardlink_to(kept)

    def _read(self, key: Key) -> Build | None:
        folder = self.folder(key)
        try:
            manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
            if manifest["version"] != _VERSION:
                return None
            build = _again(manifest["build"], (folder / "build.log").read_text())
            if manifest["executable"] is None:
                return build
            path, digest = folder / manifest["executable"], manifest["sha256"]
            if self._checked.get(key) != digest:
                with path.open("rb") as executable:
                    if hashlib.file_digest(executable, "sha256").hexdigest() != digest:
                        return None
                self._checked[key] = digest
        except (FileNotFoundError, NotADirectoryError, KeyError, TypeError, ValueError):
            return None
        firmware = folder / FIRMWARE
        binary = Binary(path, digest, firmware if firmware.is_dir() else None, build.commit, build.commit[:12])
        return dataclasses.replace(build, binary=binary)

    # -- eviction ------------------------------------------------------------------------------------------------

    def _evict(self) -> None:
        """Remove least recently used entries until the rest fits; never one in use by a living process."""
        total = disk.size(self.path)
        if total <= self.limit:
            return
        used = self._used()
        for folder in self._by_age():
            if str(folder.relative_to(self.path)) not in used:
                gone = self.path / "new"
                folder.rename(gone)  # at once: nobody finds half of it
                shutil.rmtree(gone)
                self._prune()
                total = disk.size(self.path)
                if total <= self.limit:
                    return

    def _by_age(self) -> list[Path]:
        """Entries, least recently used first."""
        manifests = [(m.stat().st_mtime_ns, m.parent) for m in self.path.glob("*/*/manifest.json")]
        return [folder for _, folder in sorted(manifests)]

    def _prune(self) -> None:
        """Remove firmware that no entry uses."""
        for kept in (self.path / "firmware").iterdir():
            if kept.stat().st_nlink == 1:
                kept.unlink()

    def _used(self) -> set[str]:
        """Keys in use by living processes; files of dead ones, which hold no lock, are removed."""
        used: set[str] = set()
        for user in (self.path / "users").iterdir():
            if user == self._users:
                used |= set(user.read_text().split())
                continue
            with user.open() as file, _alive(file.fileno()) as alive:
                if alive:
                    used |= set(file.read().split())
                else:
                    user.unlink()
        return used


@contextmanager
def _alive(descriptor: int) -> Iterator[bool]:
    """Whether some process holds the lock on this file; if none does, it is ours inside."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield True
    else:
        yield False


def _copy(source: Path, to: Path) -> str:
    """Copy a file to the disk itself, never what a link stands for; returns the sha256 of what was copied."""
    digest = hashlib.sha256()
    with open(source, "rb", opener=_no_link) as reader, to.open("wb") as writer:
        update: Callable[[bytes], object] = digest.update
        while chunk := reader.read(1 << 20):
            update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _no_link(path: str, flags: int) -> int:
    """What a build made may be a link to a file of ours, or a pipe that would keep us waiting."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _describe(folder: Path, build: Build, executable: str | None, digest: str | None) -> None:
    """Write what an entry is, all else being there; on the disk when this returns."""
    (folder / "build.log").write_text(build.log)
    disk.sync_file(folder / "build.log")
    for at, _, _ in os.walk(folder / FIRMWARE):
        disk.sync_directory(Path(at))
    facts = dataclasses.asdict(dataclasses.replace(build, binary=None, log=""))
    manifest = {"version": _VERSION, "build": facts, "executable": executable, "sha256": digest}
    disk.replace(folder / "manifest.json", json.dumps(manifest, indent=1).encode())


def _again(facts: Mapping[str, Any], log: str) -> Build:
    """A recorded build as it is handed out again: nothing ran this time, so no seconds and no steps."""
    return dataclasses.replace(build_of(facts), kind=BuildKind.CACHED, seconds=0.0, steps=0, log=log)
