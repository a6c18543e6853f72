"""What two streams say of themselves, compared: each kind of difference, and what is none."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from bot.core.description import compare
from bot.core.hints import Effect, Hint
from bot.core.stream import read
from tests.testing.streams import END_OF_RAM, PAGE, Writer, blocks, field, sent_subsection, struct_field, subsection

RAM = {"pc.ram": 4 * PAGE, "pc.bios": 2 * PAGE}
Device = Callable[[Writer], Writer]


def differences(old: Writer, new: Writer) -> list[tuple[str, str, str, Effect | None]]:
    hints = compare(read(old.end()), read(new.end()))
    assert all(hint.machine == "pc-q35-7.2" for hint in hints)
    return [(h.kind, h.section, h.detail, h.effect) for h in hints]


def one(*devices: Device, ram: dict[str, int] = RAM) -> Writer:
    writer = Writer().ram(ram)
    for device in devices:
        device(writer)
    return writer


def cpu(
    fields: Sequence[dict[str, Any]],
    data: bytes | None = None,
    *,
    name: str = "cpu",
    version: int = 1,
    instance: int = 0,
) -> Device:
    """A device of these fields, whose data is zeros if it does not matter."""
    size = sum(f["size"] * f.get("array_len", 1) for f in fields)
    return lambda writer: writer.full(name, data or bytes(size), fields, version=version, instance=instance)


A, B, C = field("a", 4, "uint32"), field("b", 8, "uint64"), field("c", 4, "uint32")


def test_equal_streams_differ_in_nothing() -> None:
    assert differences(one(cpu([A, B])), one(cpu([A, B]))) == []


def test_ram_blocks() -> None:
    new = {"pc.bios": 4 * PAGE, "vga.vram": PAGE}
    assert differences(one(ram=RAM), one(ram=new)) == [
        ("ram-block", "pc.ram", "RAM block of 0x4000 bytes is gone", Effect.FORWARD),
        ("ram-block", "pc.bios", "size of the RAM block: 0x2000 -> 0x4000", Effect.BOTH),
        ("ram-block", "vga.vram", "RAM block of 0x1000 bytes is new", Effect.BACKWARD),
    ]
    turned = dict(reversed(RAM.items()))
    assert differences(one(ram=RAM), one(ram=turned)) == [
        ("ram-order", "pc.ram", "RAM blocks come in another order, from this one on", None)
    ]
    (hint,) = differences(one(ram={"/rom@etc/acpi/tables": PAGE}), one(ram={"/rom@etc/acpi/tables": 2 * PAGE}))
    assert hint[2:] == ("size of the RAM block: 0x1000 -> 0x2000; QEMU resizes it", None)


def test_the_head() -> None:
    old = Writer("virt-7.2")
    old.part(old.start("ram", blocks({"r": PAGE}) + END_OF_RAM), END_OF_RAM, last=True)
    new = Writer(None, footers=False)
    new.part(new.start("ram", blocks({"r": PAGE}) + END_OF_RAM), END_OF_RAM, last=True)
    hints = compare(read(old.end(page_size=1024)), read(new.end()))
    assert [h.detail for h in hints] == [
        "machine type: virt-7.2 -> None", "target page size: 1024 -> 4096", "section footers: True -> False",
    ]  # fmt: skip
    assert {(h.machine, h.effect) for h in hints} == {("virt-7.2", Effect.BOTH)}
    (hint,) = compare(read(new.end()), read(Writer(None, footers=False).end()), "pc-i440fx-2.0")[:1]
    assert hint.machine == "pc-i440fx-2.0"  # types up to 2.3 do not say it themselves


def test_sections_gone_new_and_in_another_slot() -> None:
    old = one(cpu([A], name="icp/server"), cpu([A], name="0000:00:03.0/e1000"), cpu([A], name="ide", instance=1))
    new = one(cpu([A], name="0000:00:04.0/e1000"), cpu([A], name="rtc"), cpu([A], name="rtc", instance=1))
    assert differences(old, new) == [
        ("section", "icp/server", "section is gone", Effect.FORWARD),
        ("section-name", "e1000", "is sent as 0000:00:03.0/e1000 0 -> 0000:00:04.0/e1000 0", Effect.BOTH),
        ("section", "ide", "section (instance 1) is gone", Effect.FORWARD),
        ("section", "rtc", "section is new", Effect.BACKWARD),
        ("section", "rtc", "section (instance 1) is new", Effect.BACKWARD),
    ]


def test_two_of_a_kind_are_told_apart_by_slot_before_order() -> None:
    old = one(cpu([A], name="0000:00:03.0/nic"), cpu([A], name="0000:00:04.0/nic"))
    new = one(cpu([A], name="0000:00:04.0/nic"))
    assert differences(old, new) == [("section", "0000:00:03.0/nic", "section is gone", Effect.FORWARD)]


def test_the_order_of_sections() -> None:
    old, new = one(cpu([A]), cpu([A], name="apic")), one(cpu([A], name="apic"), cpu([A]))
    assert differences(old, new) == [("section-order", "apic", "comes earlier among the sections than it did", None)]


def test_fields_of_one_version() -> None:
    assert differences(one(cpu([A, B])), one(cpu([A]))) == [("field", "cpu", "without b (8 bytes) now", Effect.BOTH)]
    assert differences(one(cpu([A])), one(cpu([A, B]))) == [("field", "cpu", "with b (8 bytes) now", Effect.BOTH)]
    assert differences(one(cpu([A])), one(cpu([field("a", 8)]))) == [
        ("field", "cpu", "a: 4 bytes -> 8 bytes", Effect.BOTH)
    ]
    assert differences(one(cpu([A, C])), one(cpu([B, C]))) == [
        ("field", "cpu", "a (4 bytes) -> b (8 bytes)", Effect.BOTH)
    ]


def test_fields_of_another_version() -> None:
    """The raised version is refused by the old side; the new one may know which fields came later, but not go on
    reading one that is gone."""
    raised = differences(one(cpu([A, B])), one(cpu([B, C], version=2)))
    assert raised == [
        ("section-version", "cpu", "version 1 -> 2", Effect.BACKWARD),
        ("field", "cpu", "without a (4 bytes) now", Effect.FORWARD),
        ("field", "cpu", "with c (4 bytes) now", None),
    ]
    lowered = differences(one(cpu([B, C], version=2)), one(cpu([A, B])))
    assert [d[3] for d in lowered] == [Effect.FORWARD, Effect.BACKWARD, None]


def test_the_same_bytes_do_no_harm() -> None:
    assert differences(one(cpu([A, C])), one(cpu([field("r", 4), C]))) == [
        ("field-name", "cpu", "a (4 bytes) -> r (4 bytes), the same bytes", None)
    ]
    assert differences(one(cpu([field("state", 12), C])), one(cpu([field("state", 4), field("has", 8), C]))) == [
        ("field-name", "cpu", "state (12 bytes) -> state (4 bytes), has (8 bytes), the same bytes", None)
    ]
    assert differences(one(cpu([A])), one(cpu([field("a", 4, "int32")]))) == [
        ("field-type", "cpu", "a: uint32 -> int32, the same bytes", None)
    ]


def test_an_array_is_the_same_however_it_is_described() -> None:
    """Compressed to its first element, or each by itself, with an index or (11.1) without."""
    inner = [field("x", 2)]
    short = one(cpu([struct_field("s", inner, array_len=3)]))
    indexed = one(cpu([struct_field("s", inner, index=i) for i in range(3)]))
    bare = one(cpu([struct_field("s", inner) for _ in range(3)]))
    assert differences(short, indexed) == differences(indexed, bare) == differences(short, bare) == []
    longer = one(cpu([struct_field("s", inner, index=i) for i in range(4)]))
    assert differences(short, longer) == [("field", "cpu", "s.x: 3 x 2 bytes -> 4 x 2 bytes", Effect.BOTH)]
    mixed = one(
        cpu([field("s", 1, "nullptr", index=0), struct_field("s", inner, index=1), field("s", 1, "nullptr", index=2)])
    )
    assert [d[2] for d in differences(mixed, short)] == [
        "s (1 bytes), s[1].x (2 bytes), s[2] (1 bytes) -> s.x (3 x 2 bytes)"
    ]


def test_an_array_whose_length_is_sent_before_it() -> None:
    def values(count: int) -> Device:
        fields = [field("n", 4, "uint32"), field("v", 8, "uint64", array_len=count)]
        return cpu(fields, struct.pack(">I", count) + bytes(8 * count))

    assert differences(one(values(3)), one(values(5))) == [
        ("length", "cpu", "v: 3 x 8 bytes -> 5 x 8 bytes; its length is sent before it", None)
    ]


def test_state_written_by_hand_and_descriptions_that_are_not_exact() -> None:
    def by_hand(size: int) -> Device:
        return lambda writer: writer.full("s390-skeys", bytes(size), by_hand=True)

    assert differences(one(by_hand(9)), one(by_hand(5))) == [
        ("size", "s390-skeys", "9 -> 5 bytes, written by hand", None)
    ]

    def inexact(size: int) -> Device:
        return lambda writer: writer.full("css", bytes(size), [A])

    assert differences(one(inexact(9)), one(inexact(9))) == []
    assert differences(one(inexact(9)), one(inexact(5))) == [
        ("size", "css", "9 -> 5 bytes; its description is not exact", None)
    ]


def with_subsection(name: str, fields: Sequence[dict[str, Any]], data: bytes, version: int = 1) -> Device:
    sent = sent_subsection(name, data, version)
    return lambda writer: writer.full("cpu", bytes(4) + sent, [A], subsections=[subsection(name, fields, version)])


def test_subsections() -> None:
    plain, more = one(cpu([A])), with_subsection("cpu/slb", [B], bytes(8))
    gone = ("subsection", "cpu", "subsection cpu/slb is not sent any more", Effect.FORWARD)
    come = ("subsection", "cpu", "subsection cpu/slb is sent now", Effect.BACKWARD)
    assert differences(one(more), plain) == [gone]
    assert differences(one(cpu([A])), one(more)) == [come]
    assert differences(one(more), one(with_subsection("cpu/slb", [B], bytes(8), 2))) == [
        ("section-version", "cpu", "subsection cpu/slb: version 1 -> 2", Effect.BACKWARD)
    ]
    assert differences(one(more), one(with_subsection("cpu/slb", [A], bytes(4)))) == [
        ("field", "cpu", "cpu/slb: b (8 bytes) -> a (4 bytes)", Effect.BOTH)
    ]


def test_a_subsection_that_the_other_side_knows_does_no_harm() -> None:
    old, new = read(one(cpu([A])).end()), read(one(with_subsection("cpu/slb", [B], bytes(8))).end())
    knows = frozenset({"cpu/slb"})
    detail = "subsection cpu/slb is sent now; the other side knows it"
    assert compare(old, new, known=(knows, frozenset())) == (Hint("subsection", "pc-q35-7.2", "cpu", detail),)
    assert compare(old, new, known=(frozenset(), knows))[0].effect is Effect.BACKWARD


def test_the_length_of_a_subsections_field_is_sent_in_it() -> None:
    def tree(size: int) -> Device:
        fields = [field("n", 4, "uint32"), field("blob", size)]
        return with_subsection("spapr_dtb", fields, struct.pack(">I", size) + bytes(size))

    assert [d[0] for d in differences(one(tree(5)), one(tree(9)))] == ["length"]


def test_system_registers_of_arm() -> None:
    def registers(values: dict[int, int]) -> Device:
        count = len(values)
        fields = [
            field("cpreg_vmstate_array_len", 4, "int32"),
            field("cpreg_vmstate_indexes", 8, "uint64", array_len=count),
            field("cpreg_vmstate_values", 8, "uint64", array_len=count),
        ]
        data = struct.pack(f">I{2 * count}Q", count, *values, *values.values())
        return cpu(fields, data)

    old, new = registers({0x10: 1, 0x20: 2, 0x30: 3}), registers({0x10: 1, 0x30: 4, 0x40: 5, 0x50: 6})
    assert [d[1:] for d in differences(one(old), one(new)) if d[0] == "register"] == [
        ("cpu", "registers gone: 0x20", Effect.FORWARD),
        ("cpu", "registers new: 0x40, 0x50", Effect.BACKWARD),
        ("cpu", "register 0x30: 0x3 -> 0x4 at reset", Effect.BOTH),
    ]
