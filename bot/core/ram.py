"""The RAM sections of a migration stream: which blocks there are, and what their pages hold in the end.

The format is that of migration/ram.c (ram_save_setup, ram_save_page_header), the same from QEMU 1.5 to 11.1.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from bot.core.wire import Cursor, StreamError

VERSION = 4  # version_id of the section "ram"; version 3 ended with QEMU 0.13
_ZERO, _MEM_SIZE, _PAGE, _EOS, _CONTINUE = 0x02, 0x04, 0x08, 0x10, 0x20
_ZERO_HERE = _ZERO | _CONTINUE
_UNSUPPORTED = {0x40: "an XBZRLE page", 0x80: "a hook (RDMA)", 0x100: "a compressed page"}
_MULTIFD_FLUSH = 0x200
_HEADER = struct.Struct(">Q").unpack_from


@dataclass(frozen=True, slots=True)
class RamBlock:
    """One RAM block: `size` is its used length in bytes, `digest` a sha256 over its pages that are not all zero."""

    name: str
    size: int
    digest: str


class Ram:
    """Reads all sections of RAM of one stream, in their order; a page that comes again replaces the one before.

    `page_size` is the target's, in bytes. `gpa` says that each block's guest address follows its size (capability
    x-ignore-shared).
    """

    def __init__(self, page_size: int, *, gpa: bool = False) -> None:
        self.page_size = page_size
        self.elsewhere = False  # multifd: pages come by channels that this stream does not hold
        self._gpa = gpa
        self._sizes: dict[str, int] = {}
        self._pages: dict[str, dict[int, int | bytes]] = {}  # by block and offset: where the page is, or what
        self._block: str | None = None  # that CONTINUE means

    def read(self, cursor: Cursor) -> None:
        """Read one section's records up to and with its end mark. Raises `StreamError`."""
        data, mask = cursor.data, self.page_size - 1
        size, pages = self._current()
        while True:
            start = cursor.pos
            if start + 8 > len(data):
                raise StreamError(start, "expected a record of RAM, the stream ends here")
            header: int = _HEADER(data, start)[0]
            cursor.pos = start + 8
            flags, offset = header & mask, header & ~mask
            if flags == _ZERO_HERE and offset < size and data[start + 8 : start + 9] == b"\0":
                cursor.pos = start + 9  # 32,000 of the 33,000 records of a guest with 128 MiB that has not run
                pages.pop(offset, None)
                continue
            kind = flags & ~_CONTINUE
            if kind in (_ZERO, _PAGE):
                self._page(cursor, start, flags, offset)
                size, pages = self._current()
            elif kind == _EOS:
                return
            elif kind == _MEM_SIZE:
                self._blocks(cursor, offset)
            elif kind == _MULTIFD_FLUSH:
                self.elsewhere = True
            else:
                raise StreamError(start, _unknown(flags))

    def _current(self) -> tuple[int, dict[int, int | bytes]]:
        """Size and pages of the block that CONTINUE means; of none before there was one."""
        block = self._block
        return (0, {}) if block is None or block not in self._sizes else (self._sizes[block], self._pages[block])

    def _page(self, cursor: Cursor, start: int, flags: int, offset: int) -> None:
        if not flags & _CONTINUE:
            self._block = cursor.counted("the name of a RAM block")
        block = self._block
        if block is None or block not in self._sizes:
            raise StreamError(start, f"expected a page of a listed RAM block, got one of {block!r}")
        if offset >= self._sizes[block]:
            raise StreamError(start, f"expected a page below {self._sizes[block]:#x} of {block}, got {offset:#x}")
        pages = self._pages[block]
        if flags & _PAGE:
            pages[offset] = cursor.pos
            cursor.skip(self.page_size, "a page")
            return
        fill = cursor.be8("the byte that fills a page")
        if fill:
            pages[offset] = bytes([fill]) * self.page_size
        else:
            pages.pop(offset, None)

    def _blocks(self, cursor: Cursor, total: int) -> None:
        while total > 0:
            start = cursor.pos
            name = cursor.counted("the name of a RAM block")
            size = cursor.be64("the size of a RAM block")
            if self._gpa:
                cursor.be64("the guest address of a RAM block")
            if size > total or name in self._sizes:
                raise StreamError(
                    start, f"expected another RAM block of at most {total:#x} bytes, got {name} {size:#x}"
                )
            self._sizes[name] = size
            self._pages[name] = {}
            total -= size

    def blocks(self, data: bytes) -> tuple[RamBlock, ...]:
        """The blocks as they were listed; `data` is the stream that was read."""
        return tuple(RamBlock(name, size, self._digest(data, self._pages[name])) for name, size in self._sizes.items())

    def _digest(self, data: bytes, pages: dict[int, int | bytes]) -> str:
        zero = bytes(self.page_size)
        digest = hashlib.sha256()
        for offset in sorted(pages):
            place = pages[offset]
            page = data[place : place + self.page_size] if isinstance(place, int) else place
            if page != zero:
                digest.update(offset.to_bytes(8, "big"))
                digest.update(page)
        return digest.hexdigest()


EMPTY = hashlib.sha256().hexdigest()
"""The digest of a block without a page that is not all zero."""


def digest(blocks: tuple[RamBlock, ...]) -> str:
    """One sha256 for the content of all blocks, in whatever order they come; a block of zeros counts as absent."""
    whole = hashlib.sha256()
    for block in sorted(blocks, key=lambda block: block.name):
        if block.digest != EMPTY:
            whole.update(f"{block.name}\0{block.digest}\n".encode())
    return whole.hexdigest()


def _unknown(flags: int) -> str:
    name = next((name for bit, name in _UNSUPPORTED.items() if flags & bit), None)
    return f"{name} is not supported" if name else f"expected a record of RAM, got flags {flags:#x}"
