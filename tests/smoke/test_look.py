"""What real QEMUs look like when they are started for a case, and what is left of one that dies, hangs or refuses."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bot.core.ends import differences, names
from bot.errors import Stopped
from bot.model import Area, Binary, Case, Profile, Signature, SmokeSettings, Traits
from bot.smoke.argv import Common
from bot.smoke.inspect import identify
from bot.smoke.look import look
from tests.smoke.conftest import BARE, MACHINE
from tests.testing.qemu import children, faulty, installed, second, until

ASKED = {Area.MACHINE, Area.RAM, Area.SENT_RAM, Area.PCI, Area.SENT, Area.PROPERTIES, Area.OBJECTS, Area.KNOWN}


def looked(
    scratch: Path, binary: Binary, machine: str = MACHINE, args: str = "", arch: str = "x86_64", deadline: float = 30.0
) -> Traits:
    profile = Profile("p", (*BARE.args, *args.split()))
    common = Common(Case(f"{arch}-softmmu", machine, "p"), profile, SmokeSettings(deadline=deadline))
    return look(binary, common, (), scratch)


def test_all_that_can_be_asked(scratch: Path) -> None:
    seen = looked(scratch, installed(), "pc-q35-7.2", "-device pcie-root-port -device virtio-rng-pci")
    assert set(seen.areas) == ASKED
    assert seen.missing == {Area.COMPAT: "it does not say"}  # 9.1 and later
    assert seen.areas[Area.RAM]["pc.ram"] == {"used": f"{128 * 2**20:#018x}", "total": f"{128 * 2**20:#018x}"}
    assert seen.areas[Area.SENT_RAM]["pc.ram"] == {"size": "0x8000000"}
    assert seen.areas[Area.PCI]["pcie-root-port"]["ACS"] == "at 0x148"
    assert seen.areas[Area.PCI]["virtio-rng"]["PCI_VENDOR_ID"] == "f41a"
    assert seen.areas[Area.SENT]["cpu"]["version"] == "12"
    assert seen.areas[Area.SENT]["PCIDevice"]["config"] == "pci config 256*1 | pci config 4096*1"
    assert seen.areas[Area.PROPERTIES]["pcie-root-port"]["x-speed"] == "16"
    assert seen.areas[Area.PROPERTIES]["pc-q35-7.2-machine"]["smm"] == "auto"
    assert "virtio-rng-pci" in seen.areas[Area.OBJECTS]
    assert seen.areas[Area.MACHINE]["pc-q35-7.2"]["default-cpu-type"] == "qemu64-x86_64-cpu"
    assert seen.areas[Area.KNOWN]["e1000"]["version"] == "2 from 1"


def test_the_same_binary_twice_does_not_differ(scratch: Path) -> None:
    """Addresses, sockets and scratch directories are another each time."""
    args = f"-mem-path {scratch.parent} -device virtio-rng-pci -device e1000e -device nec-usb-xhci"
    seen = [looked(scratch, binary, "pc-q35-7.2", args) for binary in (installed(), installed())]
    assert differences(*seen) == ()


def test_a_default_processor_that_is_another_one(scratch: Path) -> None:
    """277ee17212 (8.1) changed the default of all pseries types."""
    old, new = (looked(scratch, binary("ppc64"), "pseries-7.2", arch="ppc64") for binary in (installed, second))
    named = names(differences(old, new), Signature("device", "cpu"))
    assert {"power9_v2.0", "power9_v2.2"} <= set(list(named)[:12])
    assert "icp/server" in named  # 24ee9229fe (9.2)
    assert new.areas[Area.COMPAT]["virtio-mem"]["x-early-migration"] == "false"


def test_a_block_of_memory_that_has_another_name(scratch: Path, tmp_path: Path) -> None:
    """Memory from a file is called by its path in machine types up to 3.1, by its id alone in later ones."""
    backend = f"-object memory-backend-file,id=m,size=128M,mem-path={tmp_path / 'ram'} -machine memory-backend=m"
    old, new = (looked(scratch, installed(), f"pc-i440fx-{version}", backend) for version in ("3.1", "4.0"))
    found = differences(old, new)
    assert {d.owner for d in found if d.area == Area.SENT_RAM} == {"m", "/objects/m"}


def test_a_register_that_one_side_has_otherwise(scratch: Path) -> None:
    """010746ae1d (8.0) implemented the mask; x-pcie-err-unc-mask came with its cure, in 8.1."""
    machine, port = "pc-q35-10.0", "-device pcie-root-port,x-pcie-err-unc-mask={}"
    old, new = (looked(scratch, second(), machine, port.format(value)) for value in ("off", "on"))
    found = [str(d) for d in differences(old, new)]
    assert "pci: pcie-root-port PCI_ERR_UNCOR_MASK: none -> 00004002" in found
    named = names(differences(old, new), Signature("pci-config", "pcie-root-port", "0x10a"))
    assert next(iter(named)) == "PCI_ERR_UNCOR_MASK"


def test_a_board_that_wants_its_own_memory_size(scratch: Path) -> None:
    seen = looked(scratch, second("arm"), "raspi2b", arch="arm")
    assert seen.areas[Area.SENT_RAM]["ram"] == {"size": "0x40000000"}


@pytest.mark.parametrize(
    ("fault", "why"),
    [("exit 3", "did not start"), ("echo x: no such thing >&2; exit 1", "no such thing"), ("kill -SEGV $$", "did not")],
)
def test_one_that_dies_says_what_it_can(scratch: Path, tmp_path: Path, fault: str, why: str) -> None:
    seen = looked(scratch, faulty(tmp_path / "bin", fault, when="*-qmp*"))
    assert set(seen.areas) == {Area.KNOWN}  # -dump-vmstate is another process
    assert {text for area, text in seen.missing.items() if why in text} != set()
    assert set(seen.missing) == set(Area) - {Area.KNOWN}


def test_one_that_hangs_is_left(scratch: Path, tmp_path: Path) -> None:
    seen = looked(scratch, faulty(tmp_path / "bin", "exec sleep 1000", when="*-qmp*"), deadline=1.0)
    assert set(seen.areas) == {Area.KNOWN}
    assert set(seen.missing.values()) == {"it did not answer in time"}


def test_one_whose_devices_cannot_migrate_has_no_stream(scratch: Path) -> None:
    args = "-device ivshmem-plain,memdev=m -object memory-backend-ram,id=m,size=1M,share=on"
    seen = looked(scratch, installed(), args=args)
    assert set(seen.areas) == ASKED - {Area.SENT, Area.SENT_RAM, Area.PCI}
    assert "peer mode" in seen.missing[Area.SENT]


def test_what_is_no_qemu_has_nothing(scratch: Path, tmp_path: Path) -> None:
    for binary in (identify("/bin/true"), Binary(tmp_path / "none", "")):
        seen = looked(scratch, binary)
        assert (seen.areas, set(seen.missing)) == ({}, set(Area))


def test_it_hears_a_stop(scratch: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    common = Common(Case("x86_64-softmmu", MACHINE, "bare"), BARE, SmokeSettings())

    def later() -> None:
        until(children)
        stop.set()

    thread = threading.Thread(target=later)
    thread.start()
    with pytest.raises(Stopped):
        look(faulty(tmp_path / "a", "sleep 1000"), common, (), scratch, stop)
    thread.join()
