"""The reader of migration streams, on streams made by hand: each record, each way to be wrong."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import ram
from bot.core.stream import Kind, Stream, StreamError, loaded_before, read
from tests.testing.streams import (
    END_OF_RAM,
    PAGE,
    Writer,
    blocks,
    counted,
    field,
    page,
    sent_subsection,
    struct_field,
    subsection,
)

RAM = {"pc.ram": 4 * PAGE, "pc.bios": 2 * PAGE}
ONE, TWO = b"\1" * PAGE, b"\2" * PAGE


def small() -> Writer:
    """RAM with one page, and two devices to come."""
    return Writer().ram(RAM, page("pc.ram", PAGE, ONE) + page(None, 2 * PAGE))


def digest(*records: bytes) -> str | None:
    return read(Writer().ram(RAM, *records).end()).ram_digest


# -- what a whole stream says --------------------------------------------------------------------------------------


def test_a_stream_tells_its_machine_memory_and_sections() -> None:
    data = small().full("timer", b"abcd", version=2).full("0000:00:01.0/e1000", b"x" * 9, instance=3).end()
    stream = read(data)
    assert (stream.version, stream.machine, stream.page_size, stream.page_bits) == (3, "pc-q35-7.2", PAGE, None)
    assert stream.footers and not stream.partial and stream.capabilities == ()
    assert [(b.name, b.size) for b in stream.blocks] == list(RAM.items())
    assert [(s.kind, s.name, s.number) for s in stream.sections] == [
        (Kind.START, "ram", 0), (Kind.PART, "ram", 0), (Kind.END, "ram", 0),
        (Kind.FULL, "timer", 1), (Kind.FULL, "0000:00:01.0/e1000", 2),
    ]  # fmt: skip
    timer, e1000 = stream.sections[3:]
    assert (timer.version, timer.length, timer.data) == (2, 4, b"abcd")
    assert (e1000.instance, e1000.length) == (3, 9)
    assert data[timer.offset] == Kind.FULL and e1000.state is not None and e1000.state.size == 9
    assert stream.description is not None and [d.name for d in stream.description.devices] == [
        "timer",
        "0000:00:01.0/e1000",
    ]


def test_a_memoryview_reads_like_bytes() -> None:
    data = small().full("timer", b"abcd").end()
    assert read(memoryview(data)) == read(data)


def test_the_configuration_section() -> None:
    bits = sent_subsection("configuration/target-page-bits", struct.pack(">I", 10))
    caps = sent_subsection("configuration/capabilities", struct.pack(">I", 1) + counted("x-ignore-shared"))
    writer = Writer("virt-5.2", configuration=bits + caps)
    ram_section = writer.start("ram", blocks({"r": 4096}, gpa=True) + END_OF_RAM)
    writer.part(ram_section, page("r", 1024, b"\1" * 1024) + END_OF_RAM, last=True)
    stream = read(writer.end(page_size=1024))
    assert (stream.page_bits, stream.page_size, stream.capabilities) == (10, 1024, ("x-ignore-shared",))
    assert stream.blocks[0].size == 4096 and stream.blocks[0].digest != ram.EMPTY


def test_a_subsection_of_the_configuration_is_known_by_its_description() -> None:
    uuid = sent_subsection("configuration/uuid", b"u" * 16)
    writer = Writer(configuration=uuid).ram(RAM)
    with pytest.raises(StreamError, match="configuration/uuid"):
        read(Writer(configuration=uuid).ram(RAM).end())
    writer.extra["configuration"] = {
        "vmsd_name": "configuration",
        "version": 1,
        "fields": [],
        "subsections": [subsection("configuration/uuid", [field("uuid", 1, array_len=16)])],
    }
    assert read(writer.end()).machine == "pc-q35-7.2"


def test_commands_are_passed_over() -> None:
    writer = Writer().command(1).command(2, b"\0\0\0\1").command(3, struct.pack(">QQ", 4096, 4096))
    assert read(writer.ram(RAM).end()).ram_digest == digest()


# -- RAM -----------------------------------------------------------------------------------------------------------


def test_the_digest_is_of_what_memory_holds_in_the_end() -> None:
    base = digest(page("pc.ram", 0, ONE) + page(None, PAGE, TWO))
    assert base == digest(page("pc.ram", PAGE, TWO), page("pc.ram", 0, ONE))  # another order, in two sections
    assert base == digest(page("pc.ram", 0, TWO), page("pc.ram", PAGE, TWO) + page("pc.ram", 0, ONE))  # sent again
    assert base == digest(page("pc.ram", 0, ONE) + page(None, PAGE, TWO) + page("pc.bios", 0))  # zero is absent
    assert base == digest(page("pc.ram", 0, ONE) + page(None, PAGE, 2))  # a byte that fills a page
    assert base == digest(page("pc.ram", 0, ONE) + page(None, PAGE, TWO) + page(None, 2 * PAGE, bytes(PAGE)))
    assert base == digest(
        page("pc.ram", 3 * PAGE, ONE), page("pc.ram", 0, ONE) + page(None, 3 * PAGE) + page(None, PAGE, TWO)
    )
    others = {
        digest(page("pc.ram", 0, ONE)),
        digest(page("pc.ram", 0, ONE) + page(None, 2 * PAGE, TWO)),
        digest(page("pc.bios", 0, ONE) + page(None, PAGE, TWO)),
        digest(page("pc.ram", 0, b"\1" * (PAGE - 1) + b"\0") + page(None, PAGE, TWO)),
    }
    assert len(others | {base}) == 5


def test_the_order_of_blocks_is_no_part_of_the_digest() -> None:
    pages = page("pc.ram", 0, ONE) + page("pc.bios", 0, TWO)
    other = Writer().ram(dict(reversed(RAM.items())), pages).end()
    assert read(other).ram_digest == digest(pages)
    assert [b.name for b in read(other).blocks] == ["pc.bios", "pc.ram"]


def test_pages_that_go_by_other_channels_leave_no_digest() -> None:
    stream = read(Writer().ram(RAM, struct.pack(">Q", 0x200)).end())
    assert stream.ram_digest is None and len(stream.blocks) == 2


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (struct.pack(">Q", 0x40) + counted("pc.ram"), "XBZRLE"),
        (struct.pack(">Q", 0x100) + counted("pc.ram"), "a compressed page"),
        (struct.pack(">Q", 0x80), "a hook"),
        (struct.pack(">Q", 0x01), "flags 0x1"),
        (page("nowhere", 0), "'nowhere'"),
        (page(None, 0), "a listed RAM block, got one of None"),
        (page("pc.ram", 4 * PAGE), "below 0x4000 of pc.ram"),
        (page("pc.ram", 0)[:9] + b"\xff" * 30, "printable name"),
        (blocks({"pc.ram": PAGE}), "another RAM block"),
    ],
)
def test_records_of_ram_that_are_none(record: bytes, says: str) -> None:
    data = Writer().ram(RAM, record).end()
    with pytest.raises(StreamError, match=says) as error:
        read(data)
    assert 0 < error.value.offset < len(data) and f"{error.value.offset:#x}" in str(error.value)


# -- sections ------------------------------------------------------------------------------------------------------


def test_an_instance_may_be_described_as_a_signed_number() -> None:
    """As QEMU did until 5.0, of spapr_iommu."""
    writer = small().full("spapr_iommu", b"abcd", instance=0x80000000)
    writer.devices[0]["instance_id"] = -(2**31)
    stream = read(writer.end())
    assert stream.devices[1].state is not None and stream.devices[1].instance == 0x80000000 and not stream.partial


def test_types_up_to_2_3_have_neither_configuration_nor_footers() -> None:
    writer = Writer(None, footers=False).ram(RAM, page("pc.ram", 0, ONE))
    stream = read(writer.full("timer", b"abcd").full("cpu", b"12").end())
    assert stream.machine is None and not stream.footers and not stream.partial
    assert [s.data for s in stream.devices[1:]] == [b"abcd", b"12"]


def test_footers_do_without_a_description() -> None:
    stream = read(small().full("timer", b"abcd").full("cpu", b"12").end(description=False))
    assert stream.description is None and not stream.partial
    assert [(s.data, s.state) for s in stream.devices[1:]] == [(b"abcd", None), (b"12", None)]


def test_without_either_the_sections_are_a_guess() -> None:
    writer = Writer(None, footers=False).ram(RAM, page("pc.ram", 0, ONE))
    stream = read(writer.full("timer", b"\x04\0\0\0\1").full("cpu", b"12").end(description=False))
    assert stream.partial and "guessed" in stream.reason
    assert [(s.name, s.data) for s in stream.devices[1:]] == [("timer", b"\x04\0\0\0\1"), ("cpu", b"12")]


@pytest.mark.parametrize("footers", [True, False])
def test_a_description_that_is_not_exact_is_not_believed(footers: bool) -> None:
    """As of s390_css in 5.2: elements of another size than the first."""
    decoy = b"\x7e" + struct.pack(">I", 1) + b"\x04"  # looks like the footer, with no section behind it
    writer = Writer(footers=footers).ram(RAM)
    writer.full("css", b"0" * 7 + decoy + b"0" * 30, [field("css", 1, "struct", array_len=16)]).full("cpu", b"12")
    stream = read(writer.end())
    css, cpu = stream.devices[1:]
    assert (css.length, css.state and css.state.size, cpu.data) == (43, 16, b"12") and not stream.partial


def test_structs_arrays_and_subsections_have_their_sizes() -> None:
    inner = [field("a", 4, "uint32"), field("b", 2, "uint16", array_len=3)]
    fields = [struct_field("s", inner, array_len=2), field("x", 1, index=0), field("x", 1, index=1)]
    data = b"." * 22 + sent_subsection("dev/sub", b"!" * 8)
    writer = small().full("dev", data, fields, subsections=[subsection("dev/sub", [field("y", 8)])]).full("cpu", b"12")
    stream = read(writer.end())
    assert stream.devices[1].state and stream.devices[1].state.size == stream.devices[1].length == len(data)


def test_live_sections_of_pseries_and_s390x() -> None:
    writer = Writer("pseries-7.2")
    htab = writer.start("spapr/htab", struct.pack(">I", 24), version=1)
    run = struct.pack(">IHH", 7, 2, 1) + b"e" * 32
    stop = struct.pack(">IHH", 0, 0, 0)
    attributes = writer.start("s390-storage_attributes", struct.pack(">Q", 1), version=0)
    writer.part(htab, struct.pack(">I", 0) + run + stop).ram(RAM, page("pc.ram", 0, ONE))
    writer.part(htab, b"\xff" * 4, last=True)
    more = struct.pack(">QQ", 0x1000 | 2, 3) + b"\1\2\3"
    writer.part(attributes, more + struct.pack(">QQ", 1, 8), last=True)
    stream = read(writer.full("cpu", b"12").end())
    lengths = {(s.name, s.kind): s.length for s in stream.sections}
    assert lengths["spapr/htab", Kind.PART] == 4 + 8 + 32 + 8 and lengths["spapr/htab", Kind.END] == 4
    assert lengths["s390-storage_attributes", Kind.END] == 16 + 3 + 16


def test_a_live_section_of_an_unknown_kind_ends_at_its_footer() -> None:
    writer = Writer()
    bitmap = writer.start("dirty-bitmap", b"node0\0bitmap0", version=1)
    writer.part(bitmap, b"chunk").ram(RAM, page("pc.ram", 0, ONE)).part(bitmap, b"done", last=True)
    stream = read(writer.full("cpu", b"12").end())
    assert [(s.kind, s.length) for s in stream.sections if s.name == "dirty-bitmap"] == [
        (Kind.START, 13), (Kind.PART, 5), (Kind.END, 4),
    ]  # fmt: skip
    assert not stream.partial


def test_ram_is_told_though_the_devices_cannot_be_split() -> None:
    data = small().full("timer", b"abcd").full("cpu", b"12").end()
    cpu = data.index(b"\x03cpu")
    stream = read(data[:cpu] + b"\x03\xff" + data[cpu + 2 :])
    assert stream.partial and "timer" in stream.reason and stream.ram_digest == read(data).ram_digest
    assert stream.description is not None and len(stream.description.devices) == 2
    timer = stream.sections[-1]
    assert timer.name == "timer" and timer.length is None


RAM_NAMES = ("pc.bios", "pc.ram", "ram")


@pytest.mark.parametrize(
    ("device", "loaded"),
    [
        ("ram", ()),
        ("pc.ram", ()),
        ("timer", RAM_NAMES),
        ("virtio-net", (*RAM_NAMES, "timer")),  # the first of the two
        ("0000:00:03.0/virtio-net", (*RAM_NAMES, "timer")),
        ("rtc", ("cpu", *RAM_NAMES, "timer")),  # a virtio-net is still to come
        ("slirp", ()),
    ],
)
def test_what_is_loaded_before_a_device(device: str, loaded: tuple[str, ...]) -> None:
    whole = small().full("timer", b"abcd").full("0000:00:03.0/virtio-net", b"12").full("cpu", b"3").full("rtc", b"4")
    stream = read(whole.full("0000:00:04.0/virtio-net", b"12").end())
    assert loaded_before(stream, device) == loaded


def test_nothing_is_known_to_be_loaded_of_a_stream_that_was_not_understood() -> None:
    data = small().full("timer", b"abcd").full("cpu", b"12").end()
    cpu = data.index(b"\x03cpu")
    assert loaded_before(read(data), "timer") == RAM_NAMES
    assert loaded_before(read(data[:cpu] + b"\x03\xff" + data[cpu + 2 :]), "timer") == ()


# -- what is no stream ---------------------------------------------------------------------------------------------


MAPPED = sent_subsection("configuration/capabilities", struct.pack(">I", 1) + counted("mapped-ram"))


def section(name: str, body: bytes, version: int = 0) -> bytes:
    """A stream that is cut after its first section."""
    writer = Writer()
    writer.start(name, body, version=version)
    return writer.data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "a migration stream"),
        (b"QEVN\0\0\0\3", "begins with QEVM"),
        (b"QEVM\0\0\0\2", "version 3 of the stream, got 2"),
        (b"QEVM\0\0\0\3", "a section or the end"),
        (b"QEVM\0\0\0\3\x09", "got 0x09"),
        (b"QEVM\0\0\0\3\0trailing", "nothing more"),
        (b"QEVM\0\0\0\3\2\0\0\0\1", "a section that has started"),
        (b"QEVM\0\0\0\3\x07\xff\xff\xff\xff", "machine type"),
        (Writer().command(7, b"\0\0\0\0").end(), "postcopy package"),
        (Writer().command(3, struct.pack(">QQ", 0x201000, 4096)).end(), "huge pages"),
        (Writer(configuration=MAPPED).end(), "mapped-ram"),
        (Writer().ram(RAM).end(page_size=3000), "page size, got 0xbb8"),
        (section("ram", END_OF_RAM, version=3), "version 4 of ram, got 3"),
        (section("s390-storage_attributes", struct.pack(">Q", 4)), "storage attributes, got flags 0x4"),
        (section("ram", b"", version=0x10000), "a section, got ram of version 0x10000"),
        (section("\x01", b""), "a printable name"),
        (small().data + b"\x04\0\0\0\0" + counted("timer") + bytes(8), "a number of its own"),
    ],
)  # fmt: skip
def test_what_is_no_stream(data: bytes, says: str) -> None:
    with pytest.raises(StreamError, match=says):
        read(data)


def test_a_description_that_is_none() -> None:
    for text in (
        b"{}x",
        b'{"devices": 3}',
        b'{"devices": [{"name": "a", "instance_id": "b"}]}',
        b'{"devices": [' * 9999,
    ):
        data = Writer().ram(RAM).end(description=False) + b"\x06" + struct.pack(">I", len(text)) + text
        with pytest.raises(StreamError, match="expected a description"):
            read(data)


# -- any stream ----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["timer", "cpu", "0000:00:01.0/e1000", "fe.0.0001/virtio-blk", "i8259"])
PAGES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 255), st.booleans()), max_size=12)
DEVICES = st.lists(st.tuples(NAMES, st.binary(max_size=60), st.booleans()), max_size=6)


def written(pages: list[tuple[int, int, bool]], devices: list[tuple[str, bytes, bool]], footers: bool) -> bytes:
    """A stream of these pages and devices; one that is not `exact` is described one byte short."""
    body = b"".join(
        page("pc.ram", number * PAGE, fill if short else bytes([fill]) * PAGE) for number, fill, short in pages
    )
    writer = Writer("pc-q35-7.2" if footers else None, footers=footers).ram(RAM, body)
    for number, (name, data, exact) in enumerate(devices):
        size = len(data) if exact else max(len(data) - 1, 0)
        writer.full(name, data, [field("data", size)], instance=number)
    return writer.end()


@given(PAGES, DEVICES, st.booleans())
def test_what_is_written_is_read(
    pages: list[tuple[int, int, bool]], devices: list[tuple[str, bytes, bool]], footers: bool
) -> None:
    stream = read(written(pages, devices, footers))
    assert [(s.name, s.data) for s in stream.devices[1:]] == [(name, data) for name, data, _ in devices]
    final = {number: fill for number, fill, _ in pages}
    same = written([(n, f, True) for n, f in sorted(final.items()) if f], devices, footers)
    assert stream.ram_digest == read(same).ram_digest and not stream.partial


def one_error_at_most(data: bytes) -> Stream | None:
    try:
        return read(data)
    except StreamError as error:
        assert 0 <= error.offset <= len(data)
        return None


@given(PAGES, DEVICES, st.booleans(), st.data())
def test_a_damaged_or_cut_stream_raises_one_error_or_is_read(
    pages: list[tuple[int, int, bool]], devices: list[tuple[str, bytes, bool]], footers: bool, data: st.DataObject
) -> None:
    whole = written(pages, devices, footers)
    cut = one_error_at_most(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert cut is None or cut in _without_end(whole) or (cut.partial and not footers)
    place = data.draw(st.integers(0, len(whole) - 1))
    one_error_at_most(whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :])
    one_error_at_most(whole[:place] + data.draw(st.binary(max_size=40)))


def _without_end(whole: bytes) -> list[Stream]:
    """What a cut may leave: the stream without its description, which is whole by itself."""
    tail = whole.rindex(b"\x06", 0, whole.rindex(b'{"page_size"'))
    found = one_error_at_most(whole[:tail])
    return [] if found is None else [found]


@given(st.binary(max_size=300))
def test_garbage_raises_the_one_error(data: bytes) -> None:
    one_error_at_most(data)
    one_error_at_most(b"QEVM\0\0\0\3" + data)
