"""Migration streams made by hand, one record after the other, as migration/savevm.c and ram.c write them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

PAGE = 4096
ZERO, MEM_SIZE, WHOLE, EOS, CONTINUE = 0x02, 0x04, 0x08, 0x10, 0x20
END_OF_RAM = struct.pack(">Q", EOS)


def counted(name: str) -> bytes:
    return bytes([len(name)]) + name.encode()


def blocks(sizes: dict[str, int], *, gpa: bool = False) -> bytes:
    """What the first section of RAM says: every block and its size."""
    text = struct.pack(">Q", sum(sizes.values()) | MEM_SIZE)
    for name, size in sizes.items():
        text += counted(name) + struct.pack(">Q", size) + (struct.pack(">Q", 0x1000) if gpa else b"")
    return text


def page(block: str | None, offset: int, content: bytes | int = 0) -> bytes:
    """A page: its content, or the byte that fills it. Block None: the same as that of the page before."""
    flags = (ZERO if isinstance(content, int) else WHOLE) | (0 if block else CONTINUE)
    body = bytes([content]) if isinstance(content, int) else content
    return struct.pack(">Q", offset | flags) + (counted(block) if block else b"") + body


def field(name: str, size: int, kind: str = "buffer", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "size": size, **more}


def struct_field(name: str, fields: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    size = sum(f["size"] * f.get("array_len", 1) for f in fields)
    inner = {"vmsd_name": name, "version": 1, "fields": list(fields)}
    return {"name": name, "type": "struct", "struct": inner, "size": size, **more}


def subsection(name: str, fields: Sequence[dict[str, Any]], version: int = 1) -> dict[str, Any]:
    return {"vmsd_name": name, "version": version, "fields": list(fields)}


def sent_subsection(name: str, data: bytes, version: int = 1) -> bytes:
    return b"\x05" + counted(name) + struct.pack(">I", version) + data


class Writer:
    """A stream under construction. Options as machine types have them: those up to 2.3 go without footers."""

    def __init__(self, machine: str | None = "pc-q35-7.2", *, footers: bool = True, configuration: bytes = b"") -> None:
        self.data = b"QEVM" + struct.pack(">I", 3)
        self.devices: list[dict[str, Any]] = []
        self.extra: dict[str, Any] = {}
        self._footers = footers
        self._next = 0
        if machine is not None:
            self.data += b"\x07" + struct.pack(">I", len(machine)) + machine.encode() + configuration

    def _head(self, kind: int, name: str, instance: int, version: int) -> int:
        number, self._next = self._next, self._next + 1
        self.data += bytes([kind]) + struct.pack(">I", number) + counted(name) + struct.pack(">II", instance, version)
        return number

    def _end(self, number: int, body: bytes) -> None:
        self.data += body + (b"\x7e" + struct.pack(">I", number) if self._footers else b"")

    def start(self, name: str, body: bytes, version: int = 4) -> int:
        """A live section begins; the number joins its parts."""
        number = self._head(1, name, 0, version)
        self._end(number, body)
        return number

    def part(self, number: int, body: bytes, *, last: bool = False) -> Writer:
        self.data += bytes([3 if last else 2]) + struct.pack(">I", number)
        self._end(number, body)
        return self

    def ram(self, sizes: dict[str, int], *parts: bytes) -> Writer:
        """RAM of one page or more, in as many sections as parts are given, and the last that ends it."""
        number = self.start("ram", blocks(sizes) + END_OF_RAM)
        for body in parts:
            self.part(number, body + END_OF_RAM)
        return self.part(number, END_OF_RAM, last=True)

    def full(
        self,
        name: str,
        data: bytes,
        fields: Sequence[dict[str, Any]] | None = None,
        *,
        instance: int = 0,
        version: int = 1,
        subsections: Sequence[dict[str, Any]] = (),
        by_hand: bool = False,
    ) -> Writer:
        """A device. `fields` describes its data (default: one buffer, which is what QEMU says of state by hand)."""
        self._end(self._head(4, name, instance, version), data)
        entry: dict[str, Any] = {"name": name, "instance_id": instance}
        if not by_hand:
            entry |= {"vmsd_name": name, "version": version}
        entry["fields"] = [field("data", len(data))] if fields is None else list(fields)
        if subsections:
            entry["subsections"] = list(subsections)
        self.devices.append(entry)
        return self

    def command(self, number: int, arguments: bytes = b"") -> Writer:
        self.data += b"\x08" + struct.pack(">HH", number, len(arguments)) + arguments
        return self

    def end(self, *, description: bool = True, page_size: int = PAGE) -> bytes:
        """The whole stream so far, with its end."""
        if not description:
            return self.data + b"\x00"
        text = json.dumps({**self.extra, "page_size": page_size, "devices": self.devices}).encode()
        return self.data + b"\x00\x06" + struct.pack(">I", len(text)) + text
