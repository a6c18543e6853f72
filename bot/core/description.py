"""What the streams of two QEMUs say of themselves, compared: sections, versions, fields, subsections, RAM blocks.

So a second break is seen behind an expected one, which ends the run before it is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from bot.core import layout
from bot.core.hints import Effect, Hint
from bot.core.layout import Leaf, State
from bot.core.signature import device_name
from bot.core.stream import RamBlock, Section, Stream

_SUBSECTION, _VERSION_SIZE = 0x05, 4  # a subsection's mark, and bytes of its version
_LISTED = 4  # fields named in one hint
_REGISTERS = 12  # registers named in one hint
_RESIZED = "/rom@etc/"  # blocks of tables for firmware, which are made to be resized (hw/core/loader.c, rom_set_mr)
Difference = tuple[str, str, str, Effect | None]
"""kind, section, detail, effect."""


Names = frozenset[str]


def compare(
    old: Stream, new: Stream, machine: str = "", known: tuple[Names, Names] = (frozenset(), frozenset())
) -> tuple[Hint, ...]:
    """Differences between what two QEMUs send for one machine type; forward is old to new.

    Both streams are best saved from guests that have not run (-S): state that depends on the guest differs by itself.
    `machine` is the type, which streams of types up to 2.3 do not say. `known` are the names of subsections that the
    old and the new QEMU can read (`core.vmstate.Dump.names`), though they may not send them.
    """
    machine = machine or old.machine or new.machine or ""
    found = [*_head(old, new), *_blocks(old.blocks, new.blocks), *_sections(old, new, known)]
    return tuple(dict.fromkeys(Hint(kind, machine, section, detail, effect) for kind, section, detail, effect in found))


def _head(old: Stream, new: Stream) -> Iterator[Difference]:
    for what, before, after in (
        ("machine type", old.machine, new.machine),
        ("target page size", old.page_size, new.page_size),
        ("capabilities", ", ".join(old.capabilities), ", ".join(new.capabilities)),
        ("section footers", old.footers, new.footers),
    ):
        if before != after:
            yield "configuration", "configuration", f"{what}: {before} -> {after}", Effect.BOTH


# -- RAM -----------------------------------------------------------------------------------------------------------


def _blocks(old: Sequence[RamBlock], new: Sequence[RamBlock]) -> Iterator[Difference]:
    """A destination refuses a block that it does not have; it does not miss one that does not come."""
    before, after = {b.name: b for b in old}, {b.name: b for b in new}
    for name, block in before.items():
        if name not in after:
            yield "ram-block", name, f"RAM block of {block.size:#x} bytes is gone", Effect.FORWARD
        elif after[name].size != block.size:
            detail = f"size of the RAM block: {block.size:#x} -> {after[name].size:#x}"
            resized = name.startswith(_RESIZED)
            yield "ram-block", name, detail + ("; QEMU resizes it" if resized else ""), None if resized else Effect.BOTH
    for name, block in after.items():
        if name not in before:
            yield "ram-block", name, f"RAM block of {block.size:#x} bytes is new", Effect.BACKWARD
    first = _out_of_order([n for n in before if n in after], [n for n in after if n in before])
    if first is not None:
        yield "ram-order", first, "RAM blocks come in another order, from this one on", None


def _out_of_order(old: Sequence[str], new: Sequence[str]) -> str | None:
    return next((a for a, b in zip(old, new, strict=True) if a != b), None)


# -- sections ------------------------------------------------------------------------------------------------------


def _sections(old: Stream, new: Stream, known: tuple[Names, Names]) -> Iterator[Difference]:
    pairs = _pairs(old.devices, new.devices)
    for before, after in pairs:
        if before is None and after is not None:
            yield "section", after.name, f"section {_place(after)}is new", Effect.BACKWARD
        elif after is None and before is not None:
            yield "section", before.name, f"section {_place(before)}is gone", Effect.FORWARD
        elif before is not None and after is not None:
            yield from _section(before, after, known)
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    order = [b.offset for _, b in both]
    if order != sorted(order):
        first = next(b for (_, a), (_, b) in pairwise(both) if b.offset < a.offset)
        yield "section-order", first.name, "comes earlier among the sections than it did", None


def _place(section: Section) -> str:
    return f"(instance {section.instance}) " if section.instance else ""


def _pairs(old: Sequence[Section], new: Sequence[Section]) -> list[tuple[Section | None, Section | None]]:
    """Sections that are one device's, in the old order, then those that are new.

    The same name and instance first; what is left is matched by the name without the path, which names a slot.
    """
    exact = {(s.name, s.instance): s for s in new}
    partner = {id(s): exact[s.name, s.instance] for s in old if (s.name, s.instance) in exact}
    taken = {id(s) for s in partner.values()}
    spare: dict[str, list[Section]] = {}
    for section in new:
        if id(section) not in taken:
            spare.setdefault(device_name(section.name), []).append(section)
    for section in old:
        left = spare.get(device_name(section.name))
        if id(section) not in partner and left:
            partner[id(section)] = left.pop(0)
    found: list[tuple[Section | None, Section | None]] = [(s, partner.get(id(s))) for s in old]
    return found + [(None, s) for left in spare.values() for s in left]


def _section(old: Section, new: Section, known: tuple[Names, Names]) -> Iterator[Difference]:
    name = device_name(old.name)
    if (old.name, old.instance) != (new.name, new.instance):
        moved = f"is sent as {old.name} {old.instance} -> {new.name} {new.instance}"
        yield "section-name", name, moved, Effect.BOTH
    if old.version != new.version:
        effect = Effect.BACKWARD if new.version > old.version else Effect.FORWARD
        yield "section-version", name, f"version {old.version} -> {new.version}", effect
    if old.state is None or new.state is None:
        return
    if (old.length, new.length) != (old.state.size, new.state.size):
        if old.length != new.length:
            yield "size", name, f"{old.length} -> {new.length} bytes; its description is not exact", None
        return
    parts = _Part(old.state, old.data), _Part(new.state, new.data)
    yield from _fields(name, "", *parts, new.version - old.version)
    yield from _subsections(name, old, new, known)
    yield from _registers(name, *parts)


def _subsections(name: str, old: Section, new: Section, known: tuple[Names, Names]) -> Iterator[Difference]:
    assert old.state is not None and new.state is not None  # noqa: S101 - narrows the type; the caller looked
    before, after = layout.subsections(old.state), layout.subsections(new.state)
    for sub, state in before.items():
        if sub not in after:
            yield _subsection(name, sub, "is not sent any more", Effect.FORWARD, known[1])
            continue
        theirs = after[sub]
        newer = (theirs.version or 0) - (state.version or 0)
        if newer:
            effect = Effect.BACKWARD if newer > 0 else Effect.FORWARD
            yield "section-version", name, f"subsection {sub}: version {state.version} -> {theirs.version}", effect
        yield from _fields(name, f"{sub}: ", _part(state, old.data), _part(theirs, new.data), newer)
    for sub in after:
        if sub not in before:
            yield _subsection(name, sub, "is sent now", Effect.BACKWARD, known[0])


def _subsection(name: str, sub: str, what: str, effect: Effect, known: Names) -> Difference:
    if sub in known:
        return "subsection", name, f"subsection {sub} {what}; the other side knows it", None
    return "subsection", name, f"subsection {sub} {what}", effect


# -- fields --------------------------------------------------------------------------------------------------------


class _Part:
    """A section or subsection: its fields, and the bytes that they are read from."""

    def __init__(self, state: State, data: bytes) -> None:
        self.leaves = layout.leaves(state)
        self.by_hand = not state.name  # written by code that the description does not know
        self._data = data

    def bytes_of(self, path: str) -> bytes:
        """The bytes of the first field of that path; empty if there is none, or it is in an array of structs."""
        return next((self._bytes_at(leaf) for leaf in self.leaves if leaf.path == path), b"")

    def _bytes_at(self, leaf: Leaf) -> bytes:
        return b"" if leaf.offset is None else self._data[leaf.offset : leaf.offset + _bytes(leaf)]

    def lengths(self, leaf: Leaf) -> set[str]:
        """Paths of numbers before the field that are its length: what comes before an array that varies."""
        found = set()
        for other in self.leaves[: self.leaves.index(leaf)]:
            if other.count == 1 and other.size in (1, 2, 4, 8):
                value = self._bytes_at(other)
                if value and int.from_bytes(value, "big") in (leaf.count, _bytes(leaf)):
                    found.add(other.path)
        return found


def _part(state: State, data: bytes) -> _Part:
    """A subsection, with its bytes cut out of the section's."""
    name = state.name.encode("ascii", "replace")[:255]
    _, _, rest = data.partition(bytes([_SUBSECTION, len(name)]) + name)
    return _Part(state, rest[_VERSION_SIZE:])


def _bytes(leaf: Leaf) -> int:
    return leaf.size * leaf.count


def _fields(name: str, where: str, old: _Part, new: _Part, newer: int) -> Iterator[Difference]:
    """Fields that are gone, new, or of another size; the same bytes under other names do no harm.

    `newer` is how much higher the new version is. With equal versions both sides read what they write. Else one
    direction is refused by the version, and in the other the receiver knows which fields came later.
    """
    gone_harm = {0: Effect.BOTH}.get(newer, Effect.FORWARD if newer > 0 else None)
    come_harm = {0: Effect.BOTH}.get(newer, Effect.BACKWARD if newer < 0 else None)
    for before, after in _regions(old.leaves, new.leaves, lambda leaf: (leaf.path, _bytes(leaf))):
        if [leaf.path for leaf in before] != [leaf.path for leaf in after] and _total(before) == _total(after):
            yield "field-name", name, f"{where}{_names(before)} -> {_names(after)}, the same bytes", None
            continue
        for gone, come in _regions(before, after, lambda leaf: leaf.path):
            if not come:
                yield "field", name, f"{where}without {_names(gone)} now", gone_harm
            elif not gone:
                yield "field", name, f"{where}with {_names(come)} now", come_harm
            elif gone[0].path == come[0].path:
                for one, other in zip(gone, come, strict=True):
                    yield from _resized(name, where, one, other, (old, new), gone_harm or come_harm)
            else:
                yield "field", name, f"{where}{_names(gone)} -> {_names(come)}", gone_harm or come_harm
    yield from _types(name, where, old, new)


def _regions(
    old: Sequence[Leaf], new: Sequence[Leaf], key: Callable[[Leaf], Hashable]
) -> Iterator[tuple[Sequence[Leaf], Sequence[Leaf]]]:
    """Neighbouring fields that differ, old and new; those with equal keys too where only their size differs."""
    matcher = SequenceMatcher(None, [key(leaf) for leaf in old], [key(leaf) for leaf in new], autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal" or [_bytes(leaf) for leaf in old[a:b]] != [_bytes(leaf) for leaf in new[c:d]]:
            yield old[a:b], new[c:d]


def _resized(
    name: str, where: str, old: Leaf, new: Leaf, parts: tuple[_Part, _Part], harm: Effect | None
) -> Iterator[Difference]:
    if _bytes(old) == _bytes(new):
        return
    if parts[0].by_hand:
        yield "size", name, f"{where}{_bytes(old)} -> {_bytes(new)} bytes, written by hand", None
    elif parts[0].lengths(old) & parts[1].lengths(new):
        yield "length", name, f"{where}{old.path}: {_size(old)} -> {_size(new)}; its length is sent before it", None
    else:
        yield "field", name, f"{where}{old.path}: {_size(old)} -> {_size(new)}", harm


def _types(name: str, where: str, old: _Part, new: _Part) -> Iterator[Difference]:
    after = {leaf.path: leaf for leaf in new.leaves}
    for leaf in old.leaves:
        other = after.get(leaf.path, leaf)
        if other.kind != leaf.kind and _bytes(other) == _bytes(leaf):
            yield "field-type", name, f"{where}{leaf.path}: {leaf.kind} -> {other.kind}, the same bytes", None


def _total(leaves: Sequence[Leaf]) -> int:
    return sum(map(_bytes, leaves))


def _size(leaf: Leaf) -> str:
    return f"{leaf.size} bytes" if leaf.count == 1 else f"{leaf.count} x {leaf.size} bytes"


def _names(leaves: Sequence[Leaf]) -> str:
    """The fields' names and bytes; a long list is cut."""
    texts = [f"{leaf.path} ({_size(leaf)})" for leaf in leaves[:_LISTED]]
    more = len(leaves) - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more else "")


# -- registers of arm CPUs -----------------------------------------------------------------------------------------


def _registers(name: str, old: _Part, new: _Part) -> Iterator[Difference]:
    """System registers that arm CPUs send as a list of numbers and one of values (target/arm/machine.c, cpu_post_load).

    A destination refuses a register that it does not have, and a constant one that comes with another value.
    """
    before, after = _register_values(old), _register_values(new)
    if not before or not after:
        return
    gone, come = [r for r in before if r not in after], [r for r in after if r not in before]
    if gone:
        yield "register", name, f"registers gone: {_numbers(gone)}", Effect.FORWARD
    if come:
        yield "register", name, f"registers new: {_numbers(come)}", Effect.BACKWARD
    for register, value in before.items():
        if after.get(register, value) != value:
            yield "register", name, f"register {register:#x}: {value:#x} -> {after[register]:#x} at reset", Effect.BOTH


def registers_refused(source: Stream, destination: Stream) -> tuple[int, ...]:
    """Numbers of the registers for which an arm destination refuses the source's CPUs, ascending.

    Those that it does not have; if it has all, those with another value at reset. Until 11.0 no message names them.
    """
    gone, changed = set[int](), set[int]()
    for old, new in _pairs(source.devices, destination.devices):
        if old is None or new is None or old.state is None or new.state is None:
            continue
        before, after = (_register_values(_Part(s.state, s.data)) for s in (old, new) if s.state is not None)
        if before and after:
            gone |= before.keys() - after.keys()
            changed |= {register for register, value in before.items() if after.get(register, value) != value}
    return tuple(sorted(gone or changed))


def _register_values(part: _Part) -> dict[int, int]:
    numbers, values = part.bytes_of("cpreg_vmstate_indexes"), part.bytes_of("cpreg_vmstate_values")
    return dict(zip(_words(numbers), _words(values), strict=True)) if len(numbers) == len(values) else {}


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 8], "big") for i in range(0, len(data) - 7, 8)]


def _numbers(registers: Sequence[int]) -> str:
    more = len(registers) - _REGISTERS
    return ", ".join(map(hex, registers[:_REGISTERS])) + (f" and {more} more" if more > 0 else "")
