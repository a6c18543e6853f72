"""What a migration stream says of itself: the description at its end, as sizes and names in the order of the bytes.

Written by migration/vmstate.c (vmstate_save_state, vmsd_desc_field_start). It is not always exact: elements of an array
may differ in size where only the first is described (until 10.0: arrays of pointers of which some are NULL).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

_SUBSECTION_HEADER = 6  # bytes: a mark, the length of the name, version_id; the name comes on top


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `count` elements of `size` bytes each. `index` is set where each element is described by itself."""

    name: str
    kind: str  # QEMU's `type`: "uint32", "struct", "buffer", ...
    size: int
    count: int = 1
    index: int | None = None
    state: State | None = None  # of a struct


@dataclass(frozen=True, slots=True)
class State:
    """A section, a struct or a subsection: its fields, then its subsections."""

    name: str  # vmsd_name; empty for devices that write their state by hand
    version: int | None
    fields: tuple[Field, ...]
    subsections: tuple[State, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in the stream."""
        return sum(f.size * f.count for f in self.fields) + sum(
            _SUBSECTION_HEADER + len(s.name) + s.size for s in self.subsections
        )


@dataclass(frozen=True, slots=True)
class Device:
    """One section's part of the description."""

    name: str
    instance: int
    state: State


@dataclass(frozen=True, slots=True)
class Description:
    """The whole of it. `configuration` is there from QEMU 7.1 or so on."""

    page_size: int | None
    devices: tuple[Device, ...]
    configuration: State | None = None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field without parts. `offset` is where it begins in the section's data; None inside an array of structs."""

    path: str  # "parent_obj.vqs[2].num"
    kind: str
    size: int
    count: int
    offset: int | None


def parse(text: bytes) -> Description:
    """The description in JSON. Raises ValueError for what is none."""
    try:
        top = _object(json.loads(text), "description")
        configuration = top.get("configuration")
        size = top.get("page_size")
        return Description(
            page_size=None if size is None else _number(top, "page_size"),
            devices=tuple(Device(_text(d, "name"), _instance(d), _state(d)) for d in _list(top, "devices")),
            configuration=None if configuration is None else _state(_object(configuration, "configuration")),
        )
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def leaves(state: State) -> tuple[Leaf, ...]:
    """All fields without parts in the order of their bytes; equal neighbours of an array are one leaf with a count.

    Subsections are left out: they come after the fields, and are read by their names.
    """
    return tuple(_leaves(state, "", 1, 0))


def subsections(state: State) -> dict[str, State]:
    """Every subsection that was sent, by name, also those of structs in it."""
    found: dict[str, State] = {}
    for field in state.fields:
        if field.state is not None:
            found |= subsections(field.state)
    for sub in state.subsections:
        found[sub.name] = sub
        found |= subsections(sub)
    return found


def parts(state: State) -> frozenset[str]:
    """The names of a state and of all structs and subsections in it, as messages have them."""
    inner = (*(field.state for field in state.fields if field.state is not None), *state.subsections)
    return frozenset((state.name,) if state.name else ()).union(*map(parts, inner))


def _leaves(state: State, prefix: str, times: int, offset: int | None) -> Iterator[Leaf]:
    for field in _joined(state.fields):
        path = prefix + field.name
        if field.state is not None and field.state.fields:
            inner = offset if field.count == 1 else None
            yield from _leaves(field.state, f"{path}.", times * field.count, inner)
        else:
            yield Leaf(path, field.kind, field.size, field.count * times, offset)
        if offset is not None:
            offset += field.size * field.count


def _joined(fields: tuple[Field, ...]) -> Iterator[Field]:
    """Neighbouring elements of one array that look alike, as one field. (11.1 gives elements no index.)"""
    for field, run in groupby(fields, key=lambda field: replace(field, index=None)):
        members = list(run)
        yield replace(field, name=_indexed(members), count=field.count * len(members))


def _indexed(members: list[Field]) -> str:
    first, last = members[0], members[-1]
    if not first.index:
        return first.name
    return f"{first.name}[{first.index}]" if first is last else f"{first.name}[{first.index}..{last.index}]"


def _state(item: Mapping[str, Any]) -> State:
    version = item.get("version")
    return State(
        name=_text(item, "vmsd_name") if "vmsd_name" in item else "",
        version=None if version is None else _number(item, "version"),
        fields=tuple(_field(entry) for entry in _list(item, "fields")),
        subsections=tuple(_state(entry) for entry in _list(item, "subsections")) if "subsections" in item else (),
    )


def _field(item: Mapping[str, Any]) -> Field:
    inner = _object(item["struct"], "struct") if "struct" in item else item
    return Field(
        name=_text(item, "name"),
        kind=_text(item, "type"),
        size=_number(item, "size"),
        count=_number(item, "array_len") if "array_len" in item else 1,
        index=_number(item, "index") if "index" in item else None,
        state=_state(inner) if "fields" in inner else None,
    )


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: not an object")
    return value


def _list(item: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = item.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f"{key}: not a list")
    return [_object(entry, key) for entry in value]


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}: not a text")
    return value


def _instance(item: Mapping[str, Any]) -> int:
    """Instance ids have 32 bits; until 5.0 they were written as signed numbers."""
    value = item.get("instance_id")
    if not isinstance(value, int):
        raise ValueError("instance_id: not a number")
    return value & 0xFFFFFFFF


def _number(item: Mapping[str, Any], key: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{key}: not a number of bytes or elements")
    return value
