"""What a QEMU looks like when it is started for a case, as names with values: what two binaries can be compared by.

The texts are those of the human monitor (`info ramblock`, `info qtree`, `info qom-tree`), the rest is what QMP, the
migration stream and -dump-vmstate say. What one QEMU does not have is an area that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bot.core import layout, pciconfig
from bot.core.layout import State
from bot.core.signature import device_name
from bot.core.stream import Section, Stream
from bot.core.vmstate import Dump, Vmsd
from bot.model import Area, Named

_BLOCK = re.compile(r"\s*(\S.*?)\s+\d+ \w?i?B\s+0x[0-9a-f]+\s+(0x[0-9a-f]+)\s+(0x[0-9a-f]+)")
_DEVICE = re.compile(r"\s*dev: ([^,]+), id ")
_PROPERTY = re.compile(r"\s*([^\s=]+) = (.*)")
_OBJECT = re.compile(r"( *)/(.*?)(\[\d+\])? \(([^()]+)\)$")
_OF_RELEASE = {"name", "alias", "is-default", "deprecated"}  # differ by the release, not by what a commit does
_INDEX = re.compile(r"\[[\d.]*\]")
_PLUMBING = {"irq", "memory-region", "container", "qemu:memory-region", "qemu:iommu-memory-region"}


def ram_blocks(text: str) -> Named:
    """`info ramblock`: name to sizes; `used` is what is there now, `total` what it may grow to."""
    found = {}
    for line in text.splitlines():
        if match := _BLOCK.match(line):
            found[match[1]] = {"used": match[2], "total": match[3]}
    return found


def device_tree(text: str) -> Named:
    """`info qtree`: device type to its properties. What several devices of a type have differently is one value."""
    found: _Gathered = {}
    device: dict[str, set[str]] | None = None
    for line in text.splitlines():
        if match := _DEVICE.match(line):
            device = found.setdefault(match[1], {})
        elif line.lstrip().startswith("bus: "):
            device = None
        elif device is not None and (match := _PROPERTY.match(line)):
            device.setdefault(match[1], set()).add(match[2].strip('"'))
    return _joined(found)


def object_tree(text: str) -> Named:
    """`info qom-tree`: type of an object to the names of what it holds, each with its types."""
    found: _Gathered = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        if (match := _OBJECT.match(line)) is None:
            continue
        depth, name, kind = len(match[1]), match[2], match[4]
        while above and above[-1][0] >= depth:
            above.pop()
        if kind not in _PLUMBING:
            found.setdefault(kind, {})
        if above and not (kind == "irq" or name == "device"):
            found.setdefault(above[-1][1], {}).setdefault(_unescaped(name), set()).add(kind)
        above.append((depth, kind))
    return _joined(found)


def _unescaped(name: str) -> str:
    return name.replace("\\x2f", "/")


def machine_facts(entry: Mapping[str, Any]) -> tuple[Named, Named]:
    """Of an entry of query-machines: what it says of the type, and its compat properties (9.1 and later)."""
    facts = {k: str(v) for k, v in entry.items() if k not in _OF_RELEASE and not isinstance(v, list | dict)}
    compat: dict[str, dict[str, str]] = {}
    for item in entry.get("compat-props", ()):
        compat.setdefault(str(item["qom-type"]), {})[str(item["property"])] = str(item["value"])
    return {str(entry["name"]): facts}, compat


# -- what is sent --------------------------------------------------------------------------------------------------


def sent(stream: Stream) -> dict[str, Named]:
    """A stream's sections, fields with sizes, subsections, and the PCI configuration of its devices."""
    state: _Gathered = {}
    config: _Gathered = {}
    for section in stream.devices:
        name = device_name(section.name)
        _add(state.setdefault(name, {}), "version", str(section.version))
        if section.state is not None:
            _fields(section.state, state)
            for space in _spaces(section):
                for register, value in pciconfig.registers(space).items():
                    _add(config.setdefault(name, {}), register, value)
    blocks = {block.name: {"size": f"{block.size:#x}"} for block in stream.blocks}
    return {Area.SENT_RAM: blocks, Area.SENT: _joined(state), Area.PCI: _joined(config)}


_Gathered = dict[str, dict[str, set[str]]]
"""Owner to names to all the values that things of one name have."""


def _add(owner: dict[str, set[str]], name: str, value: str) -> None:
    owner.setdefault(name, set()).add(value)


def _joined(found: _Gathered) -> Named:
    return {owner: {name: " | ".join(sorted(values)) for name, values in of.items()} for owner, of in found.items()}


def _fields(state: State, found: _Gathered) -> None:
    """Fields by the name of the description that has them; elements of an array are one."""
    if state.name:
        mine = found.setdefault(state.name, {})
        if state.version is not None:
            _add(mine, "version", str(state.version))
        for field in state.fields:
            value = f"{field.kind} {field.size}*{field.count}" if field.state is None else field.state.name
            _add(mine, _INDEX.sub("", field.name), value or field.kind)
        for sub in state.subsections:
            _add(mine, sub.name, "subsection")
    for inner in (*(field.state for field in state.fields if field.state is not None), *state.subsections):
        _fields(inner, found)


def _spaces(section: Section) -> Iterator[bytes]:
    """The PCI configuration in a section: fields of that kind, and what virtio devices behind PCI write by hand first.

    Theirs begins with a version and ends before four words of interrupt state (pci_device_save); that it is one shows
    by the vendor. It is of PCI Express if it has that capability.
    """
    if section.state is None:
        return
    for leaf in layout.leaves(section.state):
        if leaf.kind == "pci config" and leaf.offset is not None and leaf.count == 1:
            yield section.data[leaf.offset : leaf.offset + leaf.size]
        elif leaf.kind == "virtio" and leaf.offset == 0 and section.data[4:6] == _VIRTIO:
            plain = section.data[4 : 4 + pciconfig.PLAIN]
            size = pciconfig.EXTENDED if "EXP" in pciconfig.registers(plain) else pciconfig.PLAIN
            yield section.data[4 : 4 + size]


_VIRTIO = b"\xf4\x1a"  # 0x1af4


# -- what is known -------------------------------------------------------------------------------------------------


def described(dump: Dump) -> Named:
    """-dump-vmstate: description to its versions, fields and subsections.

    How many elements an array has is left out: only 10.0 and later say it.
    """
    found: dict[str, dict[str, str]] = {}
    for vmsd in dump.types.values():
        _describe(vmsd, found)
    return found


def _describe(vmsd: Vmsd, found: dict[str, dict[str, str]]) -> None:
    mine = found.setdefault(vmsd.name, {})
    mine["version"] = f"{vmsd.version} from {vmsd.minimum}"
    for field in vmsd.fields:
        size = f"{field.size} bytes" if field.vmsd is None else field.vmsd.name  # of a struct in memory: no matter
        mine[field.name] = f"{size} since {field.version}" + (" tested" if field.tested else "")
        if field.vmsd is not None:
            _describe(field.vmsd, found)
    for sub in vmsd.subsections:
        mine[sub.name] = "subsection"
        _describe(sub, found)


def plain(values: Iterable[tuple[str, object]], here: str) -> dict[str, str]:
    """Properties whose values can be compared between processes; `here` is the scratch directory of this one."""
    return {
        name: str(value).replace(here, "{dir}") for name, value in values if isinstance(value, str | int | float | bool)
    }
