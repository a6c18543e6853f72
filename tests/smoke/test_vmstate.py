"""-dump-vmstate of real QEMUs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.core.vmstate import compare, parse
from bot.errors import Stopped, UserError
from bot.model import Binary
from bot.smoke.vmstate import NotDumped, dump_vmstate
from tests.testing.qemu import faulty, installed, second


@pytest.mark.parametrize(
    ("release", "arch", "machine", "device"),
    [
        (installed, "x86_64", "pc-q35-7.2", "e1000"),
        (installed, "ppc64", "pseries-7.2", "spapr-nvram"),
        (second, "x86_64", "pc-q35-7.2", "e1000"),
        (second, "aarch64", "virt-10.0", "pl011"),
        (second, "s390x", "s390-ccw-virtio-10.0", "sclpquiesce"),
    ],
)
def test_a_dump(scratch: Path, release: Callable[[str], Binary], arch: str, machine: str, device: str) -> None:
    dump = parse(dump_vmstate(release(arch), machine, scratch))
    assert dump.machine == machine and dump.types[device].fields


def test_one_binary_knows_the_same_whatever_the_machine_type(scratch: Path) -> None:
    old, new = (parse(dump_vmstate(installed(), m, scratch)) for m in ("pc-i440fx-2.0", "pc-q35-7.2"))
    assert compare(old, new) == ()


def test_two_releases(scratch: Path) -> None:
    """Checked by migrating: am53c974 of 7.2 does not load in 10.0, for esp reads one byte more."""
    old, new = (parse(dump_vmstate(binary, "pc-q35-7.2", scratch)) for binary in (installed(), second()))
    hints = {(h.section, h.effect and str(h.effect)): h.detail for h in compare(old, new) if h.kind == "field"}
    assert hints["esp", "both"] == "with drq_state (1 bytes) now [am53c974, dc390, sysbus-esp]"
    assert "piix4_pm/cpuhp" in old.names


def test_what_gives_no_dump(scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(NotDumped, match=r"it ended with 1: .*unsupported machine type"):
        dump_vmstate(installed(), "pc-q35-99.9", scratch)
    with pytest.raises(NotDumped, match="it ended with -6: it said nothing"):
        dump_vmstate(faulty(tmp_path / "a", "kill -ABRT $$"), "pc-q35-7.2", scratch)
    assert dump_vmstate(faulty(tmp_path / "b", "exit 0"), "pc-q35-7.2", scratch) == ""
    with pytest.raises(UserError):
        dump_vmstate(Binary(tmp_path / "none", ""), "pc-q35-7.2", scratch)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        dump_vmstate(faulty(tmp_path / "c", "exec sleep 1000"), "pc-q35-7.2", scratch, stop=stop)
