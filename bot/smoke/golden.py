"""Golden streams: what a baseline sends, recorded once and loaded by every commit after it.

A forward case then starts one QEMU instead of two, and its source cannot flake. The source's status, the state of its
guest and the digest of its memory are those recorded with the stream. A stream is named by the hash of its content, and
found by the hash of all that made it: the binary, what it says of itself, its firmware and its arguments. It is loaded
by its own baseline once before it is used.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bot.host import disk
from bot.model import PRECOPY, Case, Outcome, Profile
from bot.smoke import judge as rules
from bot.smoke.judge import Facts, Side
from bot.smoke.memory import Memory, Range
from bot.smoke.plan import Method, Plan
from bot.smoke.saved import save
from bot.smoke.scene import Scene, on_stage

_SIZE = 2 * 2**30  # bytes; a stream of a guest that did not run takes half a megabyte, one that ran up to some tens
_FORMAT = 3  # of the entries; another one is made anew


class _Load(Method):
    """The destination's half."""

    name = "load"

    def __init__(self, golden: Golden) -> None:
        self._golden = golden

    async def play(self, scene: Scene) -> None:
        await scene.start_destination()
        await scene.prepare(self)
        scene.s0, scene.kept = self._golden.s0, self._golden.memory
        scene.runs = scene.s0 == "running"
        await self.transfer(scene)
        await scene.check()

    async def transfer(self, scene: Scene) -> None:
        await scene.listen(scene.socket)
        await scene.feed(self._golden.path)
        await scene.settle()


@dataclass(frozen=True, slots=True)
class Golden:
    """A recorded stream and what its source was when it had sent it."""

    path: Path
    sha256: str
    source: Side
    s0: str
    memory: Memory | None

    def read(self) -> bytes | None:
        """What the source sent; None if it is not there any more: whoever shares the directory may have needed room."""
        try:
            return self.path.read_bytes()
        except OSError:
            return None

    async def load(self, plan: Plan, directory: Path, sockets: Path) -> Facts:
        """Load it into `plan.destination`; raises what `on_stage` raises."""
        method = _Load(self)
        async with on_stage(plan, method, directory, sockets) as scene:
            await method.play(scene)
        return scene.facts(self.source)


class Goldens:
    """The recorded streams of one directory, which may be shared. Safe for threads and processes.

    They may take `size` bytes; those that were not used for longest go first, and are made again when asked for.
    A stream that its own baseline does not load is not used; so is one that could not be made. Both are tried again by
    the next program that is started.
    """

    def __init__(self, directory: Path, size: int = _SIZE) -> None:
        self._directory, self._size = directory, size
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        self._known: dict[str, Golden | None] = {}

    @staticmethod
    def fits(case: Case, profile: Profile) -> bool:
        """Whether a recorded stream can stand for the case's source: precopy, and no guest whose console would lack."""
        return case.method == PRECOPY and not profile.guest

    async def stream(self, plan: Plan, directory: Path, sockets: Path) -> Golden | None:
        """The baseline's stream for these arguments, made and checked if there is none; None if it cannot be had."""
        key = self._key(plan)
        with self._lock:
            busy = self._busy.setdefault(key, threading.Lock())
        while not busy.acquire(blocking=False):  # another thread makes the same one
            await asyncio.sleep(0.05)
        try:
            if key not in self._known:
                self._known[key] = self._stored(key) or await self._record(key, plan, directory, sockets)
            return self._known[key]
        finally:
            busy.release()

    # -- the directory ---------------------------------------------------------------------------------------------

    def _entry(self, key: str) -> Path:
        return self._directory / "index" / f"{key}.json"

    def _blob(self, sha256: str) -> Path:
        return self._directory / "streams" / sha256

    def _stored(self, key: str) -> Golden | None:
        try:
            entry = json.loads(self._entry(key).read_text())
            if entry["format"] != _FORMAT:
                return None
            path = self._blob(entry["sha256"])
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                    return None
            os.utime(path)
            return Golden(path, entry["sha256"], _side(entry["source"]), entry["s0"], _memory(entry["memory"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent, or damaged: it is made anew

    async def _record(self, key: str, plan: Plan, directory: Path, sockets: Path) -> Golden | None:
        own = replace(plan, destination=plan.source, destination_says=plan.source_says)
        saved = await save(own, directory, sockets, remember=True)
        try:
            if not saved.whole:
                return None
            with saved.file.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            golden = Golden(saved.file, sha256, saved.facts.source, saved.facts.s0 or "", saved.memory)
            check = rules.judge(await golden.load(own, directory, sockets))
            if check.outcome is not Outcome.PASS:
                return None
            return self._keep(key, golden)
        finally:
            saved.file.unlink(missing_ok=True)

    def _keep(self, key: str, golden: Golden) -> Golden:
        """The stream on the disk before the entry that names it; each in one step."""
        blob = self._blob(golden.sha256)
        entry = {
            "format": _FORMAT, "sha256": golden.sha256, "s0": golden.s0, "made": time.time(),
            "source": asdict(golden.source),
            "memory": asdict(replace(golden.memory, pages=())) if golden.memory else None,
        }  # fmt: skip
        with self._lock:
            for path, data in ((blob, golden.path.read_bytes()), (self._entry(key), json.dumps(entry).encode())):
                path.parent.mkdir(parents=True, exist_ok=True)
                disk.replace(path, data)
            self._evict(blob)
        return replace(golden, path=blob)

    def _evict(self, newest: Path) -> None:
        """Least recently used streams go until the rest fits; the one just made stays."""
        streams = [(path.stat().st_mtime, path.stat().st_size, path) for path in newest.parent.iterdir()]
        total = sum(size for _, size, _ in streams)
        for _, size, path in sorted(streams):
            if total <= self._size:
                return
            if path != newest:
                path.unlink()
                total -= size

    @staticmethod
    def _key(plan: Plan) -> str:
        parts = [
            plan.source.sha256, plan.source_says.version, _firmware(plan.source.data_dir),
            *plan.common, "", *plan.source_args, str(plan.run),
        ]  # fmt: skip
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _firmware(directory: Path | None) -> str:
    """Names, sizes and times of the files that a binary brings; an installed one is told by its package's version."""
    if directory is None:
        return ""
    facts = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(directory.iterdir()) if p.is_file()]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _side(data: dict[str, Any]) -> Side:
    return Side(**(data | {"argv": tuple(data["argv"])}))


def _memory(data: dict[str, Any] | None) -> Memory | None:
    return None if data is None else Memory(tuple(Range(**entry) for entry in data["ranges"]), tuple(data["digests"]))
