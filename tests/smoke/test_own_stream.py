"""Streams of real QEMUs of several releases and targets: saved, read to the end, and told apart by their memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.stream import Kind, Stream, loaded_before, read
from bot.errors import Stopped, UserError
from bot.model import Binary, Case, Profile, SmokeSettings
from bot.smoke.argv import Common
from bot.smoke.own_stream import NotSaved, save
from tests.smoke.conftest import BARE, MACHINE
from tests.testing.qemu import children, faulty, installed, second, until


def saved(
    scratch: Path, machine: str = MACHINE, binary: Binary | None = None, profile: Profile = BARE, deadline: float = 30.0
) -> bytes:
    common = Common(Case("any-softmmu", machine, profile.name), profile, SmokeSettings(deadline=deadline))
    return save(binary or installed(), common, scratch)


def streamed(scratch: Path, machine: str = MACHINE, binary: Binary | None = None, profile: Profile = BARE) -> Stream:
    return read(saved(scratch, machine, binary, profile))


@pytest.mark.parametrize(
    ("release", "arch", "machine", "live"),
    [
        (installed, "x86_64", "pc-i440fx-7.2", set()),
        (installed, "x86_64", "pc-i440fx-2.4", set()),
        (installed, "x86_64", "pc-q35-2.4", set()),
        (installed, "x86_64", "isapc", set()),
        (installed, "x86_64", "microvm", set()),
        (installed, "ppc64", "pseries-7.2", {"spapr/htab"}),
        (installed, "ppc64", "pseries-2.12", {"spapr/htab"}),
        (second, "x86_64", "pc-q35-10.0", set()),
        (second, "x86_64", "pc-i440fx-5.2", set()),
        (second, "ppc64", "pseries-10.0", {"spapr/htab"}),
        (second, "aarch64", "virt-10.0", set()),
        (second, "aarch64", "virt-5.2", set()),
        (second, "s390x", "s390-ccw-virtio-10.0", {"s390-storage_attributes"}),
        (second, "s390x", "s390-ccw-virtio-5.2", {"s390-storage_attributes"}),
        (second, "riscv64", "virt", set()),
    ],
)
def test_a_stream_is_read_to_its_end(
    scratch: Path, release: Callable[[str], Binary], arch: str, machine: str, live: set[str]
) -> None:
    stream = streamed(scratch, machine, release(arch))
    assert (stream.machine, stream.partial, stream.footers) == (machine, False, True)
    assert {s.name for s in stream.sections if s.kind is Kind.START} == {"ram"} | live
    full = [s for s in stream.sections if s.kind is Kind.FULL]
    assert stream.description is not None
    assert [(s.name, s.instance) for s in full] == [(d.name, d.instance) for d in stream.description.devices]
    assert all(s.length is not None and s.state is not None for s in stream.sections if s in full)
    assert (full[0].name, full[-1].name) == ("timer", "globalstate")
    assert sum(block.size for block in stream.blocks) >= 128 * 2**20


def test_old_machine_types_go_without_configuration_footers_and_description(scratch: Path) -> None:
    plain = streamed(scratch, "pc-i440fx-2.3")
    assert (plain.machine, plain.footers, plain.partial) == (None, False, False) and plain.description is not None
    guessed = streamed(scratch, "pc-i440fx-2.0")
    assert guessed.partial and guessed.description is None and "guessed" in guessed.reason
    assert [s.name for s in guessed.devices] == [s.name for s in plain.devices]


def test_default_devices_and_many_more(scratch: Path) -> None:
    args = (
        "-smp", "2,maxcpus=4", "-device", "virtio-net-pci", "-device", "virtio-scsi-pci", "-device", "virtio-gpu-pci",
        "-device", "qemu-xhci", "-device", "usb-tablet", "-device", "pcie-root-port,id=r1,chassis=1,slot=1",
        "-device", "virtio-rng-pci,bus=r1", "-device", "e1000e", "-device", "megasas",
    )  # fmt: skip
    stream = streamed(scratch, "pc-q35-7.2", profile=Profile("many", args))
    assert not stream.partial
    assert [s.name for s in stream.devices].count("cpu") == 2
    (rng,) = [s.name for s in stream.devices if s.name.endswith("/virtio-rng")]
    assert loaded_before(stream, "virtio-rng") == loaded_before(stream, rng) != ()
    assert "vga.vram" in loaded_before(stream, "e1000e") and loaded_before(stream, "vga.vram") == ()


def test_the_digest_is_of_the_guests_memory(scratch: Path) -> None:
    """The same guest twice has one digest; one damaged byte of a page gives another."""
    data = saved(scratch)
    stream = read(data)
    again = read(saved(scratch))
    assert stream.ram_digest == again.ram_digest and stream.blocks == again.blocks
    place = data.index(b"SeaBIOS")
    damaged = read(data[:place] + b"x" + data[place + 1 :])
    assert damaged.ram_digest != stream.ram_digest and damaged.sections == stream.sections
    changed = {a.name for a, b in zip(stream.blocks, damaged.blocks, strict=True) if a.digest != b.digest}
    assert len(changed) == 1
    assert streamed(scratch, binary=second()).ram_digest != stream.ram_digest  # another firmware


def test_a_guest_that_has_run(scratch: Path) -> None:
    """Its memory is not what it was, and is sent in several parts."""
    common = Common(Case("x86_64-softmmu", MACHINE, "ran"), replace(BARE, run=1.0), SmokeSettings())
    stream = read(save(installed(), common, scratch))
    assert not stream.partial and len(stream.sections) > 30


def test_a_board_that_accepts_only_its_own_memory(scratch: Path) -> None:
    stream = streamed(scratch, "raspi2b", second("arm"))
    assert stream.machine == "raspi2b" and stream.page_size == 1024 and stream.blocks[0].size == 2**30


def test_what_saves_no_stream(scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(NotSaved, match="'nosuch' is not a valid device model name"):
        saved(scratch, profile=Profile("x", ("-nodefaults", "-device", "nosuch")))
    with pytest.raises(NotSaved, match=r"Migration is disabled when using feature 'peer mode'"):
        peer = ("-device", "ivshmem-plain,memdev=m", "-object", "memory-backend-ram,id=m,size=1M,share=on")
        saved(scratch, profile=Profile("x", ("-nodefaults", *peer)))
    with pytest.raises(NotSaved, match="ended with 3"):
        saved(scratch, binary=faulty(tmp_path / "a", "exit 3"))
    with pytest.raises(NotSaved, match="no stream within 1 s"):
        saved(scratch, binary=faulty(tmp_path / "b", "exec sleep 1000"), deadline=1.0)
    with pytest.raises(UserError):
        saved(scratch, binary=Binary(tmp_path / "none", ""))


def test_it_hears_a_stop(scratch: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    binary = faulty(tmp_path / "a", "sleep 1000")
    common = Common(Case("x86_64-softmmu", MACHINE, "bare"), BARE, SmokeSettings())

    def later() -> None:
        until(children)
        stop.set()

    thread = threading.Thread(target=later)
    thread.start()
    with pytest.raises(Stopped):
        save(binary, common, scratch, stop)
    thread.join()
