"""The guest's memory in one digest per side, compared while both stand still: what no error message tells.

Where RAM lies is asked (`info mtree -f`, 2.10 and later), its content read through the process's own mapping
(`gpa2hva`, /proc/PID/mem): pages that were never touched are told by the kernel's page map, so that 128 MB of a guest
that did not run cost a few milliseconds and not the hundreds that `pmemsave` takes. Where the kernel does not let us
look, `pmemsave` is used; both give the same digest, which a test holds. A difference counts only if `pmemsave` sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bot.smoke.qemu import Qemu

PAGE = 4096  # bytes; a unit of comparison, whatever the host's and the target's pages are
_CHUNK = 4 * 2**20  # bytes read at once, a multiple of PAGE
_LINE = re.compile(
    r"^\s*([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:ram|rom)\): (.+?)(?: @([0-9a-f]+))?(?: KVM)?\s*$"
)
_VIEW_OF_MEMORY = re.compile(r'^ AS "memory"', re.MULTILINE)
_HOST_ADDRESS = re.compile(r"is (0x[0-9a-f]+)")
_FILE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ [1-9]", re.MULTILINE)  # a mapping with an inode, proc(5)
_OWN = np.uint64(1 << 62 | 1 << 56)  # pagemap: swapped, or mapped by this process alone; the zero page is neither
_KSM = Path("/sys/kernel/mm/ksm/run")  # merged pages are not mapped by one process alone


@dataclass(frozen=True, slots=True)
class Range:
    """RAM or ROM in the guest's physical address space; `offset` is within the block `name`. In bytes."""

    start: int
    size: int
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What the guest's memory holds: a digest of each range, which is all that two sides are compared by."""

    ranges: tuple[Range, ...]
    digests: tuple[str, ...]
    pages: tuple[Mapping[int, bytes], ...] = field(
        default=(), compare=False
    )  # number of a page -> digest, if looked at


class Unreadable(Exception):
    """Memory cannot be read this way; the text says why."""


async def read(machine: Qemu, directory: Path, *, like: Memory | None = None, quick: bool = True) -> Memory | None:
    """The memory of a QEMU whose guest stands still; None if it has none that can be named.

    `like` is what it should be: the same addresses are read, whatever lies there now. `directory` takes the files of
    `pmemsave`, a range at a time; without `quick` nothing else is used, and pages are told apart. Raises `Gone` and
    `Refused` as `Qemu.ask` does.
    """
    ranges = like.ranges if like is not None else parse_mtree(await machine.monitor("info mtree -f"))
    if not ranges:
        return None
    if quick and not _merged():
        with contextlib.suppress(Unreadable, OSError):
            return _digest(ranges, _Mapped(machine.process.pid, await _host_addresses(machine, ranges)))
    return await _by_pmemsave(machine, ranges, directory)


def _merged() -> bool:
    """Whether the kernel merges equal pages of processes, so that its page map does not tell whose they are."""
    try:
        return _KSM.read_text().strip() == "1"
    except OSError:
        return False


async def _by_pmemsave(machine: Qemu, ranges: tuple[Range, ...], directory: Path) -> Memory:
    """The same by QMP `pmemsave`, for machines on which we may not look into other processes."""
    chunks: dict[Range, list[tuple[bytes, bytes]]] = {}
    file = directory / f"{machine.name}.memory"
    try:
        for entry in ranges:
            await machine.ask("pmemsave", val=entry.start, size=entry.size, filename=str(file))
            with file.open("rb") as saved:
                chunks[entry] = list(_nonzero(0, iter(lambda: saved.read(_CHUNK), b"")))
    finally:
        file.unlink(missing_ok=True)
    return replace(_digest(ranges, chunks.__getitem__), pages=tuple(_pages(chunks[entry]) for entry in ranges))


def difference(source: Memory, destination: Memory) -> str | None:
    """Where the destination's memory is not the source's, in words; None if it is the same.

    The address is that of the first page that differs, where both sides' pages are known, else that of its range.
    """
    for which, entry in enumerate(source.ranges):
        if source.digests[which] == destination.digests[which]:
            continue
        if not (source.pages and destination.pages):
            return f"{entry.name} at {entry.start:#x}"
        mine, theirs = source.pages[which], destination.pages[which]
        apart = sorted(page for page in mine.keys() | theirs.keys() if mine.get(page) != theirs.get(page))
        return f"{entry.name} at {entry.start + apart[0] * PAGE:#x} ({len(apart)} of its pages)"
    return None


def _pages(chunks: Iterable[tuple[bytes, bytes]]) -> dict[int, bytes]:
    """Page by page what `_nonzero` gave."""
    found = {}
    for numbers, contents in chunks:
        for k, number in enumerate(np.frombuffer(numbers, dtype=">u8").tolist()):
            found[number] = hashlib.sha256(contents[k * PAGE : (k + 1) * PAGE]).digest()
    return found


def parse_mtree(text: str) -> tuple[Range, ...]:
    """RAM and ROM of the flat view that the CPUs see (`AS "memory"`), by address."""
    for view in text.split("FlatView #"):
        if _VIEW_OF_MEMORY.search(view):
            found = (match for match in map(_LINE.match, view.splitlines()) if match)
            return tuple(
                Range(int(m[1], 16), int(m[2], 16) - int(m[1], 16) + 1, m[3], int(m[4] or "0", 16)) for m in found
            )
    return ()


async def _host_addresses(machine: Qemu, ranges: tuple[Range, ...]) -> dict[Range, int]:
    """Where each range begins in QEMU's own address space.

    A block is one mapping there, so a question for each is enough; but two blocks may have one name, and are told
    apart by ranges that could not both be of one block.
    """
    found: dict[Range, int] = {}
    for entry in ranges:
        kin = [known for known in found if known.name == entry.name]
        if kin and not any(k.offset < entry.offset + entry.size and entry.offset < k.offset + k.size for k in kin):
            found[entry] = found[kin[0]] - kin[0].offset + entry.offset
            continue
        answer = await machine.monitor(f"gpa2hva {entry.start:#x}")  # 2.10 and later
        match = _HOST_ADDRESS.search(answer)
        if match is None:
            raise Unreadable(answer)
        found[entry] = int(match[1], 16)
    return found


class _Mapped:
    """Pages of a range that are not zero, read from another process."""

    def __init__(self, pid: int, addresses: Mapping[Range, int]) -> None:
        self._memory = Path(f"/proc/{pid}/mem")
        self._pagemap = Path(f"/proc/{pid}/pagemap")
        self._addresses = addresses
        self._files = [(int(m[1], 16), int(m[2], 16)) for m in _FILE.finditer(Path(f"/proc/{pid}/maps").read_bytes())]

    def __call__(self, entry: Range) -> Iterator[tuple[bytes, bytes]]:
        begin = self._addresses[entry]
        anonymous = not any(low < begin + entry.size and begin < high for low, high in self._files)
        memory = os.open(self._memory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for first, size in self._touched(begin, entry.size) if anonymous else [(0, entry.size)]:
                for at in range(first, first + size, _CHUNK):
                    length = min(_CHUNK, first + size - at)
                    data = os.pread(memory, length, begin + at)
                    if len(data) != length:
                        raise Unreadable(f"{self._memory} at {begin + at:#x}")
                    yield from _nonzero(at // PAGE, iter((data,)))
        finally:
            os.close(memory)

    def _touched(self, begin: int, size: int) -> Iterator[tuple[int, int]]:
        """(offset, size) of the runs of pages that the process has; all others are zero as the kernel gives them."""
        host = os.sysconf("SC_PAGESIZE")
        with self._pagemap.open("rb", buffering=0) as file:
            first = begin // host
            count = (begin + size - 1) // host - first + 1
            file.seek(first * 8)
            entries = np.frombuffer(file.read(count * 8), dtype=np.uint64)
        if len(entries) != count:
            raise Unreadable(f"{self._pagemap} is short")
        there = np.concatenate(([False], (entries & _OWN) != 0, [False]))
        edges = np.flatnonzero(there[1:] != there[:-1]).reshape(-1, 2)
        for low, high in edges.tolist():
            start = max((first + low) * host - begin, 0)
            end = min((first + high) * host - begin, size)
            aligned = start // PAGE * PAGE
            yield aligned, end - aligned


def _nonzero(first: int, chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Of each of some consecutive chunks the pages that are not all zero: their numbers (8 bytes each) and contents.

    `first` is the number of the first page; a last short page is padded.
    """
    for chunk in chunks:
        whole = chunk + bytes(-len(chunk) % PAGE)
        pages = np.frombuffer(whole, dtype=np.uint64).reshape(-1, PAGE // 8)
        used = np.flatnonzero(pages.any(axis=1))
        if used.size:
            yield (used + first).astype(">u8").tobytes(), pages[used].tobytes()
        first += len(pages)


def _digest(ranges: tuple[Range, ...], chunks: Callable[[Range], Iterable[tuple[bytes, bytes]]]) -> Memory:
    """Hash numbers and contents of the pages that are not zero, each on its own: chunks may be cut anywhere."""
    digests = []
    for entry in ranges:
        numbers, contents = hashlib.sha256(), hashlib.sha256()
        for which, what in chunks(entry):
            numbers.update(which)
            contents.update(what)
        digests.append(numbers.hexdigest()[:32] + contents.hexdigest()[:32])
    return Memory(ranges, tuple(digests))
