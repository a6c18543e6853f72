"""Output of `-dump-vmstate` of two QEMUs, compared: every device type's fields, versions and subsections.

It sees what no smoke exercises, a device that nobody plugged. It is blind to RAM blocks, PCI configuration, feature
bits, `.needed`, and to state written by hand. The format is migration/savevm.c's (dump_vmstate_json_to_file, QEMU 2.0);
`num` came with 10.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

from bot.core.hints import Effect, Hint

_MACHINE = "vmschkmachine"  # the key under which a dump says its machine type
_LISTED = 4  # fields or device types named in one hint


class DumpError(ValueError):
    """A text that is no output of -dump-vmstate, with what is wrong about it."""


@dataclass(frozen=True)
class Vmsd:
    """A VMStateDescription. `version` is what is sent, `minimum` the oldest that is accepted."""

    name: str
    version: int
    minimum: int
    fields: tuple[Field, ...] = ()
    subsections: tuple[Vmsd, ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """Its own name and those of all structs and subsections in it."""
        inner = [f.vmsd for f in self.fields if f.vmsd is not None] + list(self.subsections)
        return frozenset({self.name}).union(*(vmsd.names for vmsd in inner))

    def sent(self, version: int) -> tuple[Field, ...]:
        """The fields that a stream of this version has. Those with a test may be missing."""
        return tuple(f for f in self.fields if f.tested or f.version <= version)


@dataclass(frozen=True)
class Field:
    """`size` is bytes of one element in memory, which is also the stream's if there is no `vmsd`."""

    name: str
    version: int  # sent in streams from this version of its section on
    tested: bool  # sent only if a function says so (field_exists), whatever the version
    size: int
    num: int | None = None  # elements; None: the dump does not say
    vmsd: Vmsd | None = None  # of a struct

    @property
    def unused(self) -> bool:
        """Bytes that stand for a field that went (VMSTATE_UNUSED); their size is that of all elements."""
        return self.name == "unused" and self.vmsd is None

    @property
    def leaves(self) -> tuple[Field, ...]:
        """Itself, or the fields without parts of the struct that it is."""
        if self.vmsd is None:
            return (self,)
        return tuple(leaf for f in self.vmsd.sent(self.vmsd.version) for leaf in f.leaves)


@dataclass(frozen=True)
class Dump:
    """All device types that have a VMStateDescription, by name."""

    machine: str
    types: Mapping[str, Vmsd]

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of all descriptions and subsections: what this QEMU can read if it comes in a stream."""
        return frozenset().union(*(vmsd.names for vmsd in self.types.values()))


def parse(text: str) -> Dump:
    """The dump in JSON. Raises `DumpError`."""
    try:
        top = json.loads(text)
        machine = top[_MACHINE]["Name"]
        types = {name: _vmsd(entry["Description"]) for name, entry in top.items() if name != _MACHINE}
    except json.JSONDecodeError as error:
        raise DumpError(f"not JSON: {error}") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DumpError(f"not an output of -dump-vmstate: {error!r}") from error
    if not isinstance(machine, str):
        raise DumpError(f"{_MACHINE}: not the name of a machine type")
    return Dump(machine, types)


def _vmsd(item: Mapping[str, Any]) -> Vmsd:
    return Vmsd(
        name=_name(item["name"]),
        version=_integer(item["version_id"]),
        minimum=_integer(item["minimum_version_id"]),
        fields=tuple(_field(entry) for entry in item.get("Fields", ())),
        subsections=tuple(_vmsd(entry) for entry in item.get("Subsections", ())),
    )


def _field(item: Mapping[str, Any]) -> Field:
    return Field(
        name=_name(item["field"]),
        version=_integer(item["version_id"]),
        tested=bool(item["field_exists"]),
        size=_integer(item["size"]),
        num=_integer(item["num"]) if "num" in item else None,
        vmsd=_vmsd(item["Description"]) if "Description" in item else None,
    )


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a name")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a number")
    return value


# -- comparison ----------------------------------------------------------------------------------------------------

Difference = tuple[str, str, str, Effect | None]
"""kind, name of the description, detail, effect."""


def compare(old: Dump, new: Dump) -> tuple[Hint, ...]:
    """Differences between what two QEMUs know of their devices; forward is old to new.

    A difference in a description that many device types share is told once, with the types.
    """
    machine = new.machine
    found: dict[Difference, list[str]] = {}
    seen: dict[tuple[Vmsd, Vmsd], tuple[Difference, ...]] = {}
    for name in old.types.keys() & new.types.keys():
        pair = old.types[name], new.types[name]
        if pair[0] == pair[1]:
            continue
        if pair not in seen:
            seen[pair] = tuple(dict.fromkeys(_versioned(*pair)))
        for difference in seen[pair]:
            found.setdefault(difference, []).append(name)
    hints = [
        Hint(kind, machine, section, detail + _types(section, types), effect)
        for (kind, section, detail, effect), types in found.items()
    ]
    hints += _device_types(old, new)
    return tuple(sorted(hints, key=lambda hint: (hint.kind, hint.section, hint.detail)))


def _device_types(old: Dump, new: Dump) -> Iterator[Hint]:
    """Device types on one side only. One whose description another type has is taken for renamed."""
    described = {vmsd.name for vmsd in new.types.values()}
    gone: dict[str, list[str]] = {}
    for name in old.types.keys() - new.types.keys():
        if old.types[name].name not in described:
            gone.setdefault(old.types[name].name, []).append(name)
    for name, types in gone.items():
        detail = "no device type has this description any more" + _types(name, types)
        yield Hint("device-type", new.machine, name, detail, Effect.FORWARD)
    come = sorted(new.types.keys() - old.types.keys())
    if come:
        yield Hint("device-type", new.machine, "", f"device types with a description of late: {', '.join(come)}")


def _types(section: str, types: Sequence[str]) -> str:
    names = sorted(types)
    if names == [section]:
        return ""
    more = len(names) - _LISTED
    return f" [{', '.join(names[:_LISTED])}{f' and {more} more device types' if more > 0 else ''}]"


def _versioned(old: Vmsd, new: Vmsd) -> Iterator[Difference]:
    """What is sent with its version: sections and subsections. A receiver refuses versions above its own."""
    if bool(old.fields) != bool(new.fields):
        # A description without fields is that of a device that cannot be migrated (unmigratable, in dc->vmsd).
        detail = "has fields now, it had none" if new.fields else "has no fields any more"
        yield "device-state", old.name, detail, None if new.fields else Effect.FORWARD
        return
    yield from _versions(old, new)
    if new.version > old.version >= new.minimum:
        yield from _fields(old.name, old.sent(old.version), new.sent(old.version), Effect.FORWARD)
    elif old.version > new.version >= old.minimum:
        yield from _fields(old.name, old.sent(new.version), new.sent(new.version), Effect.BACKWARD)
    elif old.version == new.version:
        yield from _fields(old.name, old.sent(old.version), new.sent(new.version), Effect.BOTH)
    yield from _subsections(old, new)


def _versions(old: Vmsd, new: Vmsd) -> Iterator[Difference]:
    forward = old.version > new.version or old.version < new.minimum
    backward = new.version > old.version or new.version < old.minimum
    effect = {(True, True): Effect.BOTH, (True, False): Effect.FORWARD, (False, True): Effect.BACKWARD}
    if old.version != new.version or forward or backward:
        refused = "" if new.minimum <= old.version else f"; {old.version} is refused from {new.minimum} on"
        change = f"version {old.version} -> {new.version}{refused}"
        yield "section-version", old.name, change, effect.get((forward, backward))


def _struct(old: Vmsd, new: Vmsd) -> Iterator[Difference]:
    """What is sent without its version: each side takes its own for granted."""
    yield from _fields(old.name, old.sent(old.version), new.sent(new.version), Effect.BOTH)
    yield from _subsections(old, new)


def _subsections(old: Vmsd, new: Vmsd) -> Iterator[Difference]:
    before, after = _by_name(old), _by_name(new)
    for name, sub in before.items():
        if name in after:
            yield from _versioned(sub, after[name])
        elif name in new.names:
            yield "subsection", old.name, f"subsection {name} is one of a struct in it now", None
        else:
            yield "subsection", old.name, f"subsection {name} is gone: refused where it is sent", Effect.FORWARD
    for name in after:
        if name not in old.names:
            yield "subsection", old.name, f"subsection {name} is new: refused where it is sent", Effect.BACKWARD
    if len(after) < len(new.subsections) and len(before) == len(old.subsections):
        names = [s.name for s in new.subsections]
        twice = ", ".join(sorted({n for n in names if names.count(n) > 1}))
        yield "subsection", old.name, f"several subsections are named {twice}: each is read as the first", Effect.BOTH


def _by_name(vmsd: Vmsd) -> dict[str, Vmsd]:
    """Subsections by name; of several the first, as QEMU takes it (vmstate_get_subsection)."""
    return {s.name: s for s in reversed(vmsd.subsections)}


def _fields(section: str, old: Sequence[Field], new: Sequence[Field], harm: Effect) -> Iterator[Difference]:
    """Fields that one stream has and the other side does not read; names alone do no harm."""
    matcher = SequenceMatcher(None, [_key(f) for f in old], [_key(f) for f in new], autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            for before, after in zip(old[a:b], new[c:d], strict=True):
                yield from _same(section, before, after, harm)
        else:
            yield _region(section, old[a:b], new[c:d], harm)


def _key(field: Field) -> tuple[str, int, bool]:
    return field.name, field.size if field.vmsd is None else 0, field.vmsd is None


def _same(section: str, old: Field, new: Field, harm: Effect) -> Iterator[Difference]:
    if old.vmsd is not None and new.vmsd is not None and old.vmsd != new.vmsd:
        yield from _struct(old.vmsd, new.vmsd)
    if None not in (old.num, new.num) and old.num != new.num:
        yield "field", section, f"{old.name}: {old.num} -> {new.num} elements", harm
    if old.tested != new.tested:
        how = "only if a test says so" if new.tested else "without a test"
        yield "field-test", section, f"{old.name} is sent {how} now", None


def _region(section: str, old: Sequence[Field], new: Sequence[Field], harm: Effect) -> Difference:
    """Neighbouring fields that differ. A struct around fields, or another name for one, takes the same bytes."""
    before, after = [f for field in old for f in field.leaves], [f for field in new for f in field.leaves]
    if before and after and (_sizes(before) == _sizes(after) or sum(_sizes(before)) == sum(_sizes(after))):
        return "field-name", section, f"{_names(old)} -> {_names(new)}, the same bytes", None
    if before and after and all(f.unused for f in after) and any(f.num is None for f in before):
        return "field", section, f"{_names(old)} -> {_names(new)}; how many elements they had is not said", None
    tested = all(f.tested for f in (*old, *new))
    effect = None if tested else harm
    suffix = "; sent only if a test says so" if tested else ""
    if not new:
        return "field", section, f"without {_names(old)} now{suffix}", effect
    if not old:
        return "field", section, f"with {_names(new)} now{suffix}", effect
    return "field", section, f"{_names(old)} -> {_names(new)}{suffix}", effect


def _sizes(fields: Sequence[Field]) -> list[int]:
    return [f.size * max(f.num or 1, 1) for f in fields]


def _names(fields: Sequence[Field]) -> str:
    texts = [f"{f.name} ({f'{f.size} bytes' if f.vmsd is None else 'a struct'})" for f in fields[:_LISTED]]
    more = len(fields) - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more else "")
