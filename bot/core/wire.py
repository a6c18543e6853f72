"""Reading big-endian records from bytes, with an error that says where and what was expected."""

from __future__ import annotations

import struct
from collections.abc import Callable

_BE16 = struct.Struct(">H").unpack_from
_BE32 = struct.Struct(">I").unpack_from
_BE64 = struct.Struct(">Q").unpack_from


class StreamError(ValueError):
    """A migration stream that is not understood: `offset` in bytes from its start, and what was expected there."""

    def __init__(self, offset: int, expected: str) -> None:
        super().__init__(f"offset {offset:#x}: {expected}")
        self.offset = offset
        self.expected = expected


class Cursor:
    """A place in a stream that moves on with each read; a read past the end raises `StreamError`."""

    __slots__ = ("data", "pos")

    def __init__(self, data: bytes, pos: int = 0) -> None:
        self.data = data
        self.pos = pos

    def peek(self) -> int | None:
        """The next byte, None at the end; the cursor stays."""
        return self.data[self.pos] if self.pos < len(self.data) else None

    def be8(self, what: str) -> int:
        return self.take(1, what)[0]

    def be16(self, what: str) -> int:
        return self._number(_BE16, 2, what)

    def be32(self, what: str) -> int:
        return self._number(_BE32, 4, what)

    def be64(self, what: str) -> int:
        return self._number(_BE64, 8, what)

    def take(self, size: int, what: str) -> bytes:
        """The next `size` bytes."""
        start = self.pos
        self.skip(size, what)
        return self.data[start : self.pos]

    def skip(self, size: int, what: str) -> None:
        if size < 0 or self.pos + size > len(self.data):
            raise StreamError(self.pos, f"expected {what} ({size} bytes), the stream ends at {len(self.data):#x}")
        self.pos += size

    def text(self, size: int, what: str) -> str:
        """A name of `size` bytes; names in a stream are printable ASCII."""
        start = self.pos
        name = self.take(size, what)
        if not is_name(name):
            raise StreamError(start, f"expected {what}, a printable name of {size} bytes")
        return name.decode("ascii")

    def counted(self, what: str) -> str:
        """A name after a byte that holds its length."""
        return self.text(self.be8(f"length of {what}"), what)

    def _number(self, unpack: Callable[[bytes, int], tuple[int, ...]], size: int, what: str) -> int:
        start = self.pos
        self.skip(size, what)
        return unpack(self.data, start)[0]


def is_name(text: bytes) -> bool:
    """Whether these bytes can be the name of a section, block or machine type."""
    return len(text) > 0 and all(0x20 <= byte < 0x7F for byte in text)
