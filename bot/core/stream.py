"""Reads a migration stream, as `migrate exec:cat>FILE` writes it: machine type, RAM, sections, description.

QEMU's own reader (scripts/analyze-migration.py) goes by the description alone and fails where that is not exact, as in
virt streams of 5.2 and 7.2. Device sections have no length in the stream, so their ends are found by the description,
and checked against what must follow: the section's footer, and the next section that is described.

The format is that of migration/savevm.c: QEMU 2.3 brought the description, 2.4 footers and the configuration section;
machine types up to 2.3 go without these two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from bot.core import layout, ram
from bot.core.layout import Description, Device, State
from bot.core.ram import Ram, RamBlock
from bot.core.signature import device_name
from bot.core.wire import Cursor, StreamError

__all__ = ["Kind", "RamBlock", "Section", "Stream", "StreamError", "loaded_before", "read"]

MAGIC, VERSION = b"QEVM", 3
_PAGE_SIZE = 4096  # bytes, of every target whose streams may come without a description: x86, ppc64, s390x
_LEAST_PAGE, _HOST_PAGE = 1024, 65536  # bytes: flags of RAM records need the lower ten bits
_EOF, _SUBSECTION, _CONFIGURATION, _COMMAND = 0x00, 0x05, 0x07, 0x08
_DESCRIPTION, _LENGTH_SIZE = b"\x06", 4
_FOOTER_MARK, _FOOTER_SIZE = b"\x7e", 5
_POSTCOPY_ADVISE, _PACKAGED, _MAX_COMMAND = 3, 7, 64  # a package is a stream in the stream
_MAX_VERSION = 0xFFFF  # no section's version_id was ever near it
_NO_TABLE, _HPTE = 0xFFFFFFFF, 16  # pseries: no hash table; bytes of an entry
_STATTR_FLAGS, _STATTR_MORE = 0xFFF, 0x02  # s390-storage_attributes
_STATTR_ENDS = frozenset({0x01, 0x08, 0x09})  # end of section, done, both


class Kind(IntEnum):
    """What a section's record begins with."""

    START = 1
    PART = 2
    END = 3
    FULL = 4


@dataclass(frozen=True, slots=True)
class Section:
    """One record of a section. Offset and length in bytes; `length` is of the data alone, None if not known."""

    kind: Kind
    number: int  # section id: joins START, PART and END
    name: str  # idstr: "0000:00:03.0/virtio-net"
    instance: int
    version: int
    offset: int
    length: int | None
    state: State | None = None  # of a FULL section, as the end of the stream describes it
    data: bytes = field(default=b"", repr=False)  # of a FULL section


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream says. `partial`: the sections end early, or where they part was guessed; `reason` says why."""

    version: int
    machine: str | None  # None: machine types up to 2.3 do not say
    capabilities: tuple[str, ...]  # those that both sides must agree on
    page_bits: int | None  # log2 of the target's page size, from targets where it varies
    page_size: int
    footers: bool
    blocks: tuple[RamBlock, ...]
    sections: tuple[Section, ...]
    description: Description | None
    ram_digest: str | None  # None: the pages are not in this stream (multifd)
    partial: bool = False
    reason: str = ""

    @property
    def devices(self) -> tuple[Section, ...]:
        """The sections in the order they begin: what a destination looks up, one by one."""
        return tuple(s for s in self.sections if s.kind in (Kind.START, Kind.FULL))


def read(data: bytes | memoryview) -> Stream:
    """The stream in `data`. Raises `StreamError` for what is none, is cut short, or cannot be understood."""
    return _Reader(bytes(data)).read()


def loaded_before(stream: Stream, device: str) -> tuple[str, ...]:
    """What a destination has loaded whole when it comes to a device, as signatures name it; () if that is not known.

    Names are those of sections (`core.signature.device_name`), of the structs and subsections in them ("cpu/slb"), and
    of RAM blocks. Of a live section (RAM), which is sent in parts, the last part counts: until then it can fail. A name
    that comes more than once is met at its first place, and loaded at its last.
    """
    blocks = tuple(dict.fromkeys(device_name(block.name) for block in stream.blocks))
    ends = [_named(s, blocks) for s in stream.sections if s.kind in (Kind.FULL, Kind.END)]
    first = next((i for i, names in enumerate(ends) if device_name(device) in names), None)
    if stream.partial or first is None:
        return ()
    return tuple(sorted(set().union(*ends[:first]) - set().union(*ends[first:])))


def _named(section: Section, blocks: tuple[str, ...]) -> frozenset[str]:
    """The names that a failure of a section may be told by."""
    if section.name == "ram":
        return frozenset(("ram", *blocks))
    return frozenset(map(device_name, (section.name, *(layout.parts(section.state) if section.state else ()))))


class _Reader:
    """Goes through a stream once, record by record."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._cursor = Cursor(data)
        self._tail, self._description = _description(data)  # where the description's record begins
        self._devices: tuple[Device, ...] = self._description.devices if self._description else ()
        self._machine: str | None = None
        self._capabilities: tuple[str, ...] = ()
        self._page_bits: int | None = None
        self._footers: bool | None = None  # None: no section has ended yet
        self._sections: list[Section] = []
        self._numbers: set[int] = set()
        self._live: dict[int, Section] = {}  # START by number
        self._full: Counter[tuple[str, int]] = Counter()  # FULL sections so far, by name and instance
        self._ram: Ram | None = None
        self._guessed = False

    def read(self) -> Stream:
        self._magic()
        reason = ""
        try:
            while self._record():
                pass
        except StreamError as error:
            if self._description is None or not any(s.kind is Kind.END and s.name == "ram" for s in self._sections):
                raise
            reason = f"the sections end early: {error}"
        if self._guessed and not reason:
            reason = "neither description nor footers: where sections part was guessed"
        memory = self._memory()
        blocks = memory.blocks(self._data)
        return Stream(
            version=VERSION,
            machine=self._machine,
            capabilities=self._capabilities,
            page_bits=self._page_bits,
            page_size=memory.page_size,
            footers=bool(self._footers),
            blocks=blocks,
            sections=tuple(self._sections),
            description=self._description,
            ram_digest=None if memory.elsewhere else ram.digest(blocks),
            partial=bool(reason),
            reason=reason,
        )

    # -- records ---------------------------------------------------------------------------------------------------

    def _magic(self) -> None:
        if self._cursor.take(4, "a migration stream") != MAGIC:
            raise StreamError(0, "expected a migration stream, which begins with QEVM")
        version = self._cursor.be32("the version of the stream")
        if version != VERSION:
            raise StreamError(4, f"expected version {VERSION} of the stream, got {version}")
        if self._cursor.peek() == _CONFIGURATION:
            self._configuration()

    def _record(self) -> bool:
        """Read the next record; False at the end."""
        start = self._cursor.pos
        mark = self._cursor.be8("a section or the end of the stream")
        if mark in (Kind.START, Kind.FULL):
            self._first(start, Kind(mark))
        elif mark in (Kind.PART, Kind.END):
            self._next(start, Kind(mark))
        elif mark == _COMMAND:
            self._command(start)
        elif mark == _EOF and self._cursor.pos == self._tail:
            return False
        elif mark == _EOF:
            raise StreamError(self._cursor.pos, "expected the description, or nothing more")
        else:
            raise StreamError(start, f"expected a section or the end of the stream, got {mark:#04x}")
        return True

    def _configuration(self) -> None:
        cursor = self._cursor
        cursor.be8("the configuration")
        self._machine = cursor.text(cursor.be32("length of the machine type"), "the machine type")
        while cursor.peek() == _SUBSECTION:
            start = cursor.pos
            cursor.be8("a subsection")
            name = cursor.counted("the name of a subsection")
            cursor.be32("the version of a subsection")
            if name == "configuration/target-page-bits":
                self._page_bits = cursor.be32("target page bits")
            elif name == "configuration/capabilities":
                count = cursor.be32("a number of capabilities")
                self._capabilities = tuple(cursor.counted("the name of a capability") for _ in range(count))
            else:
                known = self._description.configuration if self._description else None
                state = next((s for s in known.subsections if s.name == name), None) if known else None
                if state is None:
                    raise StreamError(start, f"expected a subsection of the configuration that is known, got {name}")
                cursor.skip(state.size, name)
        if "mapped-ram" in self._capabilities:
            raise StreamError(cursor.pos, "mapped-ram is not supported: its pages do not come in a stream")

    def _command(self, start: int) -> None:
        command, size = self._cursor.be16("a command"), self._cursor.be16("the length of a command")
        if command == _PACKAGED:
            raise StreamError(start, "a postcopy package is not supported")
        arguments = Cursor(self._cursor.take(size, "a command"))
        if command == _POSTCOPY_ADVISE and size:
            pages = arguments.be64("page sizes")  # a bit for each size that a block has
            if pages & (pages - 1) or pages > _HOST_PAGE:
                raise StreamError(start, "postcopy with huge pages is not supported")

    def _first(self, start: int, kind: Kind) -> None:
        """A section that says its name: START of one that is sent in parts, or FULL."""
        head = _head(self._cursor)
        if head.number in self._numbers:
            raise StreamError(start, f"expected a section with a number of its own, got {head.number} again")
        self._numbers.add(head.number)
        if kind is Kind.START:
            self._live[head.number] = head
            self._finish(start, kind, head, None)
            return
        device = self._described(head)
        self._full[head.name, head.instance] += 1
        self._finish(start, kind, head, device.state if device else None)

    def _next(self, start: int, kind: Kind) -> None:
        """A later part, or the last, of a section that has started."""
        number = self._cursor.be32("the number of a section")
        if number not in self._live:
            raise StreamError(start, f"expected a section that has started, got number {number}")
        self._finish(start, kind, self._live[number], None)

    def _finish(self, start: int, kind: Kind, head: Section, state: State | None) -> None:
        """Read the section's data and footer and note it."""
        begin = self._cursor.pos
        try:
            self._body(kind, head, state)
            end = self._cursor.pos
            self._footer(head)
        except StreamError:
            self._sections.append(replace(head, kind=kind, offset=start, length=None, state=state))
            raise
        data = self._data[begin:end] if kind is Kind.FULL else b""
        self._sections.append(replace(head, kind=kind, offset=start, length=end - begin, state=state, data=data))

    def _footer(self, head: Section) -> None:
        found = self._footer_at(self._cursor.pos, head.number)
        if self._footers is None:
            self._footers = found
        elif self._footers and not found:
            raise StreamError(self._cursor.pos, f"expected the footer of {head.name}")
        if found:
            self._cursor.skip(_FOOTER_SIZE, "a footer")

    # -- data of sections ------------------------------------------------------------------------------------------

    def _memory(self) -> Ram:
        if self._ram is None:
            size = self._description.page_size if self._description else None
            if self._page_bits is not None:
                size = 1 << min(self._page_bits, 63)
            size = _PAGE_SIZE if size is None else size
            if size & (size - 1) or not _LEAST_PAGE <= size <= _HOST_PAGE:
                raise StreamError(self._cursor.pos, f"expected a target page size, got {size:#x}")
            self._ram = Ram(size, gpa="x-ignore-shared" in self._capabilities)
        return self._ram

    def _body(self, kind: Kind, head: Section, state: State | None) -> None:
        if head.name == "ram" and kind is not Kind.FULL:
            if head.version != ram.VERSION:
                raise StreamError(self._cursor.pos, f"expected version {ram.VERSION} of ram, got {head.version}")
            self._memory().read(self._cursor)
        elif head.name == "spapr/htab" and kind is not Kind.FULL:
            _hash_table(self._cursor, kind)
        elif head.name == "s390-storage_attributes" and kind is not Kind.FULL:
            _storage_attributes(self._cursor)
        else:
            self._cursor.pos = self._end(head, state)

    def _end(self, head: Section, state: State | None) -> int:
        """Where the section's data ends: where the description says if that fits, else the first place that does."""
        begin = self._cursor.pos
        if state is not None and self._fits(begin + state.size, head):
            return begin + state.size
        if self._footers is False and not self._devices:
            self._guessed = True
        found = next((end for end in self._ends(begin, head) if self._fits(end, head)), None)
        if found is None:
            raise StreamError(begin, f"expected data of {head.name} with an end to it")
        return found

    def _ends(self, begin: int, head: Section) -> Iterator[int]:
        """Places where the section's data could end, nearest first: before its footer, else before another section."""
        if self._footers is not False:
            yield from self._places(_FOOTER_MARK + head.number.to_bytes(4, "big"), begin)
        if not self._footers:
            yield from self._places(bytes([Kind.FULL, 0]), begin)
            yield self._tail - 1

    def _places(self, sought: bytes, begin: int) -> Iterator[int]:
        place = self._data.find(sought, begin)
        while place >= 0:
            yield place
            place = self._data.find(sought, place + 1)

    def _fits(self, end: int, head: Section) -> bool:
        """Whether what follows is what must follow: the footer, then a record that can be one."""
        if self._footers is not False and self._footer_at(end, head.number):
            end += _FOOTER_SIZE
        elif self._footers:
            return False
        cursor = Cursor(self._data, end)
        try:
            mark = cursor.be8("a record")
            if mark == _EOF:
                return cursor.pos == self._tail
            if mark == _COMMAND:
                return cursor.be16("a command") in range(1, _MAX_COMMAND)
            if mark in (Kind.PART, Kind.END):
                return cursor.be32("a number") in self._live
            if mark not in (Kind.START, Kind.FULL):
                return False
            after = _head(cursor)
        except StreamError:
            return False
        if mark == Kind.FULL and self._devices:
            return self._described(after) is not None
        return after.number not in self._numbers

    def _described(self, head: Section) -> Device | None:
        """The device of that name and instance, of those that no section has been read for yet."""
        read = self._full[head.name, head.instance]
        same = [d for d in self._devices if (d.name, d.instance) == (head.name, head.instance)]
        return same[read] if read < len(same) else None

    def _footer_at(self, place: int, number: int) -> bool:
        return self._data.startswith(_FOOTER_MARK + number.to_bytes(4, "big"), place)


def _description(data: bytes) -> tuple[int, Description | None]:
    """Where the description's record begins, which is the end of the data if there is none, and what it says.

    JSON has no control characters, so the last bytes that look like the record's mark are it, or its length's.
    """
    place = len(data)
    for _ in range(_LENGTH_SIZE + 1):
        place = data.rfind(_DESCRIPTION, 0, place)
        if place < 0:
            break
        text = place + 1 + _LENGTH_SIZE
        if data.startswith(b"{", text) and int.from_bytes(data[place + 1 : text], "big") == len(data) - text:
            try:
                return place, layout.parse(data[text:])
            except ValueError as error:
                raise StreamError(text, f"expected a description: {error}") from error
    return len(data), None


def _head(cursor: Cursor) -> Section:
    """What follows the mark of a START or FULL section; kind, offset and length are for the caller to set."""
    start = cursor.pos
    number = cursor.be32("the number of a section")
    name = cursor.counted("the name of a section")
    instance, version = cursor.be32("the instance of a section"), cursor.be32("the version of a section")
    if version > _MAX_VERSION:
        raise StreamError(start, f"expected a section, got {name} of version {version:#x}")
    return Section(Kind.START, number, name, instance, version, start, None)


def _hash_table(cursor: Cursor, kind: Kind) -> None:
    """A section spapr/htab (hw/ppc/spapr.c): a shift at first, then entries of 16 bytes in runs."""
    header = cursor.be32("the header of the hash table")
    if kind is Kind.START or header == _NO_TABLE:
        return
    while True:
        index, valid, invalid = cursor.be32("an index"), cursor.be16("a count"), cursor.be16("a count")
        if not (index or valid or invalid):
            return
        cursor.skip(valid * _HPTE, "entries of the hash table")


def _storage_attributes(cursor: Cursor) -> None:
    """A section s390-storage_attributes (hw/s390x/s390-stattrib.c): runs of bytes, then one or two end marks."""
    ended = False
    while True:
        start = cursor.pos
        flags = int.from_bytes(cursor.data[start : start + 8], "big")
        if ended and (flags not in _STATTR_ENDS or start + 8 > len(cursor.data)):
            return
        cursor.be64("a record of storage attributes")
        if flags in _STATTR_ENDS:
            ended = True
        elif flags & _STATTR_FLAGS == _STATTR_MORE:
            cursor.skip(cursor.be64("a number of storage attributes"), "storage attributes")
        else:
            raise StreamError(start, f"expected a record of storage attributes, got flags {flags:#x}")
