"""Artifacts that were built, named by what made them; shared by every process that uses the directory.

    cache/<key>/manifest.json          the facts of the build, written last
    cache/<key>/qemu-system-x86_64     stripped; absent if the commit does not build
    cache/<key>/pc-bios/...            firmware, hard links into cache/firmware
    cache/<key>/build.log
    cache/<key>/closure                paths that the build read, a line each; absent if that was not recorded
    cache/firmware/<sha256>            one copy of each firmware image
    cache/users/<id>                   keys in use by a living process, which holds a lock on the file

An entry is made in cache/new and renamed into place, so one that is there is whole. A lock on the directory is held
while an entry is looked up, published or evicted, never while anything is built.
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
from pathlib import Path
from typing import Any

from filelock import FileLock

from bot.errors import InfraError
from bot.host import disk
from bot.model import Binary, Build, BuildKind, BuildStatus

_VERSION = 1
FIRMWARE = "pc-bios"


@dataclass(frozen=True, slots=True)
class Entry:
    """What an artifact is made of. `firmware` maps names below pc-bios to the files they are copied from."""

    build: Build  # its `binary` is filled in by the cache
    executable: Path | None = None
    firmware: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    closure: frozenset[str] | None = None


class Cache:
    """The artifacts below one directory, at most `limit` bytes of those not in use; least recently used go first."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        with disk.writing(path):
            for name in ("firmware", "users"):
                (path / name).mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / "lock")
            self._checked: dict[str, str] = {}  # key -> sha256 of the executable, verified by this process
            self._users = path / "users" / uuid.uuid4().hex
            with self._lock:
                self._mine = os.open(self._users, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                fcntl.flock(self._mine, fcntl.LOCK_EX)
            weakref.finalize(self, os.close, self._mine)

    # -- use -----------------------------------------------------------------------------------------------------

    def find(self, key: str) -> Build | None:
        """The build recorded under key, now in use by this process; None if there is none that can be trusted."""
        entry = self.path / key
        with self._lock, disk.writing(self.path):
            build = self._read(key)
            if build is None:
                shutil.rmtree(entry, ignore_errors=True)  # nothing there, or damaged: it is built again
                return None
            os.utime(entry / "manifest.json")
            self._use(key)
        return build

    def closure(self, key: str) -> frozenset[str] | None:
        """What the build recorded under key read; None if nobody knows."""
        try:
            return frozenset((self.path / key / "closure").read_text().splitlines())
        except (OSError, UnicodeDecodeError):
            return None

    def has(self, key: str) -> bool:
        """Whether something is recorded under key; it may still turn out that it cannot be trusted."""
        return (self.path / key / "manifest.json").exists()

    def add(self, key: str, entry: Entry) -> Build:
        """Publish an entry and evict what is too much; returns the build with its binary where it will stay.

        What is there already stays, for somebody may run it.
        """
        new = self.path / "new"
        with self._lock, disk.writing(self.path):
            if (there := self._read(key)) is not None:
                self._use(key)
                return dataclasses.replace(entry.build, binary=there.binary)
            shutil.rmtree(new, ignore_errors=True)  # of a process that was killed here: the lock is ours
            new.mkdir()
            try:
                self._fill(new, entry)
                shutil.rmtree(self.path / key, ignore_errors=True)
                new.rename(self.path / key)
            finally:
                shutil.rmtree(new, ignore_errors=True)
            disk.sync_directory(self.path)
            self._checked.pop(key, None)
            self._use(key)
            kept = self._read(key)
            self._evict()
        if kept is None:
            raise InfraError(f"{self.path / key}: does not read back as it was written; check the disk")
        return dataclasses.replace(entry.build, binary=kept.binary)

    def release(self) -> None:
        """Say that this process no longer uses what it was given so far, so that it may be evicted."""
        with self._lock:
            os.ftruncate(self._mine, 0)

    def _use(self, key: str) -> None:
        os.write(self._mine, f"{key}\n".encode())

    # -- on the disk ---------------------------------------------------------------------------------------------

    def _fill(self, new: Path, entry: Entry) -> None:
        digest = None
        if entry.executable is not None:
            digest = _copy(entry.executable, new / entry.executable.name)
            (new / entry.executable.name).chmod(0o755)
        for name, source in entry.firmware.items():
            self._link(source, new / FIRMWARE / name)
        (new / "build.log").write_text(entry.build.log)
        if entry.closure is not None:
            (new / "closure").write_text("".join(f"{path}\n" for path in sorted(entry.closure)))
            disk.sync_file(new / "closure")
        facts = dataclasses.asdict(dataclasses.replace(entry.build, binary=None, log=""))
        executable = entry.executable.name if entry.executable else None
        manifest = {"version": _VERSION, "build": facts, "executable": executable, "sha256": digest}
        disk.sync_file(new / "build.log")
        for folder, _, _ in os.walk(new / FIRMWARE):
            disk.sync_directory(Path(folder))
        disk.replace(new / "manifest.json", json.dumps(manifest, indent=1).encode())

    def _link(self, source: Path, name: Path) -> None:
        """Make `name` another name of the one copy that the cache keeps of a firmware image."""
        kept = self.path / "firmware" / hashlib.sha256(source.read_bytes()).hexdigest()
        if not kept.exists():
            part = kept.with_suffix(".part")
            _copy(source, part)
            part.replace(kept)
        name.parent.mkdir(parents=True, exist_ok=True)
        name.hardlink_to(kept)

    def _read(self, key: str) -> Build | None:
        folder = self.path / key
        try:
            manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
            if manifest["version"] != _VERSION:
                return None
            build = _build(manifest["build"], (folder / "build.log").read_text())
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
            if folder.name not in used:
                gone = self.path / "new"
                folder.rename(gone)  # at once: nobody finds half of it
                shutil.rmtree(gone)
                self._prune()
                total = disk.size(self.path)
                if total <= self.limit:
                    return

    def _by_age(self) -> list[Path]:
        """Entries, least recently used first."""
        manifests = [(m.stat().st_mtime_ns, m.parent) for m in self.path.glob("*/manifest.json")]
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


def _build(facts: Mapping[str, Any], log: str) -> Build:
    """A recorded build as it is handed out again: nothing ran this time, so no seconds and no steps."""
    known = {f.name for f in dataclasses.fields(Build)}
    values = {k: v for k, v in facts.items() if k in known}
    values |= {"status": BuildStatus(facts["status"]), "kind": BuildKind.CACHED, "seconds": 0.0, "steps": 0}
    return Build(**values | {"binary": None, "log": log})
