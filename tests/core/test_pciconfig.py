"""PCI configuration by name: header, capabilities, extended capabilities, and what cannot be one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.core.pciconfig import EXTENDED, PLAIN, registers


def space(size: int = EXTENDED, **at: str) -> bytes:
    """A configuration space with bytes (hex) at offsets: `x34="40"`."""
    config = bytearray(size)
    for place, value in at.items():
        data = bytes.fromhex(value)
        config[int(place[1:], 16) : int(place[1:], 16) + len(data)] = data
    return bytes(config)


def test_header_capabilities_and_extended_ones() -> None:
    config = space(
        x0="361b0c00", x34="40", x40="1048420100800000", x48="1100014000080000",
        x100="01001214" + "00" * 4 + "00004000", x141="00", x140="0d000100" + "5f00" + "0100",
    )  # fmt: skip
    assert registers(config) == {
        "PCI_VENDOR_ID": "361b", "PCI_DEVICE_ID": "0c", "PCI_CAPABILITY_LIST": "40",
        "EXP": "at 0x40", "PCI_EXP_FLAGS": "4201", "PCI_EXP_DEVCAP": "0080",
        "MSIX": "at 0x48", "PCI_MSIX_FLAGS": "0140", "PCI_MSIX_TABLE": "0008",
        "ERR": "at 0x100", "PCI_ERR_UNCOR_MASK": "000040",
        "ACS": "at 0x140", "PCI_ACS_CAP": "5f", "PCI_ACS_CTRL": "01",
    }  # fmt: skip


def test_bridges_and_devices_have_other_names_for_the_same_bytes() -> None:
    assert registers(space(x1c="f1"))["PCI_BASE_ADDRESS_3"] == "f1"
    assert registers(space(x1c="f1", xe="01"))["PCI_IO_BASE"] == "f1"


def test_what_has_no_name_is_told_by_its_place() -> None:
    found = registers(space(PLAIN, x34="50", x44="07", x50="99000102"))
    assert found["config+0x44"] == "07000000"
    assert (found["capability 0x99"], found["capability 0x99+0x2"]) == ("at 0x50", "0102")


def test_a_loop_of_capabilities_ends() -> None:
    assert registers(space(x34="40", x40="0540", x100="01000110"))["MSI"] == "at 0x40"


def test_what_is_too_short_has_none() -> None:
    assert registers(b"\x86\x80") == {}


@given(st.binary(min_size=PLAIN, max_size=PLAIN) | st.binary(min_size=PLAIN, max_size=512))
def test_any_bytes_can_be_read(config: bytes) -> None:
    assert all(isinstance(value, str) for value in registers(config).values())
