"""Names for the bytes of a PCI configuration space, as sources spell them: PCI_COMMAND, PCI_ERR_UNCOR_MASK, ACS.

Offsets and ids are those of the PCI specifications; the names are those of pci_regs.h, which QEMU takes from Linux.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

PLAIN, EXTENDED = 256, 4096  # bytes of a configuration space, of PCI and of PCI Express
_POINTER, _FIRST_EXTENDED = 0x34, 0x100
_HEADER_TYPE = 0x0E
_MOST = 64  # capabilities of one device; more is a loop

_HEADER = {
    0x00: "PCI_VENDOR_ID", 0x02: "PCI_DEVICE_ID", 0x04: "PCI_COMMAND", 0x06: "PCI_STATUS", 0x08: "PCI_REVISION_ID",
    0x09: "PCI_CLASS_PROG", 0x0A: "PCI_CLASS_DEVICE", 0x0C: "PCI_CACHE_LINE_SIZE", 0x0D: "PCI_LATENCY_TIMER",
    0x0E: "PCI_HEADER_TYPE", 0x0F: "PCI_BIST", 0x34: "PCI_CAPABILITY_LIST", 0x35: "", 0x3C: "PCI_INTERRUPT_LINE",
    0x3D: "PCI_INTERRUPT_PIN",
}  # fmt: skip
_OF_DEVICE = _HEADER | {
    0x10: "PCI_BASE_ADDRESS_0", 0x14: "PCI_BASE_ADDRESS_1", 0x18: "PCI_BASE_ADDRESS_2", 0x1C: "PCI_BASE_ADDRESS_3",
    0x20: "PCI_BASE_ADDRESS_4", 0x24: "PCI_BASE_ADDRESS_5", 0x28: "PCI_CARDBUS_CIS",
    0x2C: "PCI_SUBSYSTEM_VENDOR_ID", 0x2E: "PCI_SUBSYSTEM_ID", 0x30: "PCI_ROM_ADDRESS", 0x3E: "PCI_MIN_GNT",
    0x3F: "PCI_MAX_LAT",
}  # fmt: skip
_OF_BRIDGE = _HEADER | {
    0x10: "PCI_BASE_ADDRESS_0", 0x14: "PCI_BASE_ADDRESS_1", 0x18: "PCI_PRIMARY_BUS", 0x19: "PCI_SECONDARY_BUS",
    0x1A: "PCI_SUBORDINATE_BUS", 0x1B: "PCI_SEC_LATENCY_TIMER", 0x1C: "PCI_IO_BASE", 0x1D: "PCI_IO_LIMIT",
    0x1E: "PCI_SEC_STATUS", 0x20: "PCI_MEMORY_BASE", 0x22: "PCI_MEMORY_LIMIT", 0x24: "PCI_PREF_MEMORY_BASE",
    0x26: "PCI_PREF_MEMORY_LIMIT", 0x28: "PCI_PREF_BASE_UPPER32", 0x2C: "PCI_PREF_LIMIT_UPPER32",
    0x30: "PCI_IO_BASE_UPPER16", 0x32: "PCI_IO_LIMIT_UPPER16", 0x38: "PCI_ROM_ADDRESS1", 0x3E: "PCI_BRIDGE_CONTROL",
}  # fmt: skip
_CAPABILITIES = {
    0x01: "PM", 0x02: "AGP", 0x03: "VPD", 0x04: "SLOTID", 0x05: "MSI", 0x07: "PCIX", 0x08: "HT", 0x09: "VNDR",
    0x0C: "SHPC", 0x0D: "SSVID", 0x10: "EXP", 0x11: "MSIX", 0x12: "SATA", 0x13: "AF", 0x14: "EA",
}  # fmt: skip
_EXTENDED_CAPABILITIES = {
    0x01: "ERR", 0x02: "VC", 0x03: "DSN", 0x04: "PWR", 0x0B: "VNDR", 0x0D: "ACS", 0x0E: "ARI", 0x0F: "ATS",
    0x10: "SRIOV", 0x12: "MCAST", 0x13: "PRI", 0x15: "REBAR", 0x16: "DPA", 0x17: "TPH", 0x18: "LTR",
    0x19: "SECPCI", 0x1B: "PASID", 0x1D: "DPC", 0x1E: "L1SS", 0x1F: "PTM", 0x23: "DVSEC", 0x25: "DLF",
    0x26: "PL_16GT", 0x2E: "DOE",
}  # fmt: skip
_REGISTERS = {  # by capability: where its registers begin; two bytes of header, or four of an extended one, come before
    "PM": {2: "PCI_PM_PMC", 4: "PCI_PM_CTRL", 6: "PCI_PM_PPB_EXTENSIONS", 7: "PCI_PM_DATA_REGISTER"},
    "MSI": {2: "PCI_MSI_FLAGS", 4: "PCI_MSI_ADDRESS_LO", 8: "PCI_MSI_DATA_32"},
    "MSIX": {2: "PCI_MSIX_FLAGS", 4: "PCI_MSIX_TABLE", 8: "PCI_MSIX_PBA"},
    "EXP": {
        2: "PCI_EXP_FLAGS", 4: "PCI_EXP_DEVCAP", 8: "PCI_EXP_DEVCTL", 10: "PCI_EXP_DEVSTA", 12: "PCI_EXP_LNKCAP",
        16: "PCI_EXP_LNKCTL", 18: "PCI_EXP_LNKSTA", 20: "PCI_EXP_SLTCAP", 24: "PCI_EXP_SLTCTL", 26: "PCI_EXP_SLTSTA",
        28: "PCI_EXP_RTCTL", 30: "PCI_EXP_RTCAP", 32: "PCI_EXP_RTSTA", 36: "PCI_EXP_DEVCAP2", 40: "PCI_EXP_DEVCTL2",
        42: "PCI_EXP_DEVSTA2", 44: "PCI_EXP_LNKCAP2", 48: "PCI_EXP_LNKCTL2", 50: "PCI_EXP_LNKSTA2",
        52: "PCI_EXP_SLTCAP2", 56: "PCI_EXP_SLTCTL2", 58: "PCI_EXP_SLTSTA2", 60: "",
    },
    "ERR": {
        4: "PCI_ERR_UNCOR_STATUS", 8: "PCI_ERR_UNCOR_MASK", 12: "PCI_ERR_UNCOR_SEVER", 16: "PCI_ERR_COR_STATUS",
        20: "PCI_ERR_COR_MASK", 24: "PCI_ERR_CAP", 28: "PCI_ERR_HEADER_LOG", 44: "PCI_ERR_ROOT_COMMAND",
        48: "PCI_ERR_ROOT_STATUS", 52: "PCI_ERR_ROOT_ERR_SRC", 56: "",
    },
    "ACS": {4: "PCI_ACS_CAP", 6: "PCI_ACS_CTRL"},
    "ARI": {4: "PCI_ARI_CAP", 6: "PCI_ARI_CTRL"},
    "ATS": {4: "PCI_ATS_CAP", 6: "PCI_ATS_CTRL"},
    "SRIOV": {
        4: "PCI_SRIOV_CAP", 8: "PCI_SRIOV_CTRL", 10: "PCI_SRIOV_STATUS", 12: "PCI_SRIOV_INITIAL_VF",
        14: "PCI_SRIOV_TOTAL_VF", 16: "PCI_SRIOV_NUM_VF", 18: "PCI_SRIOV_FUNC_LINK", 20: "PCI_SRIOV_VF_OFFSET",
        22: "PCI_SRIOV_VF_STRIDE", 26: "PCI_SRIOV_VF_DID", 28: "PCI_SRIOV_SUP_PGSIZE", 32: "PCI_SRIOV_SYS_PGSIZE",
        36: "PCI_SRIOV_BAR",
    },
    "PASID": {4: "PCI_PASID_CAP", 6: "PCI_PASID_CTRL"},
    "PRI": {4: "PCI_PRI_CTRL", 6: "PCI_PRI_STATUS", 8: "PCI_PRI_MAX_REQ", 12: "PCI_PRI_ALLOC_REQ"},
}  # fmt: skip


def registers(config: bytes) -> dict[str, str]:
    """The registers and capabilities of a configuration space, by name, with what is in them in hex.

    Of a capability its place is told too; bytes without a name are told by the capability and the offset in it.
    """
    if len(config) < PLAIN:
        return {}
    bridge = config[_HEADER_TYPE] & 0x7F == 1
    found = dict(_named(config, 0, 0x40, _OF_BRIDGE if bridge else _OF_DEVICE, "config"))
    places = sorted([*_capabilities(config), *_extended(config)])
    ends = [place for place, _, _ in places] + [len(config)]
    if ends[0] > 0x40:
        found |= {
            f"config+{at:#x}": config[at : at + 4].hex()
            for at in range(0x40, min(ends[0], PLAIN), 4)
            if any(config[at : at + 4])
        }
    for (place, name, header), end in zip(places, ends[1:], strict=True):
        found[name] = f"at {place:#x}"
        limit = PLAIN if place < PLAIN else len(config)
        found |= _named(config, place, min(end, limit), _REGISTERS.get(name, {}), name, header)
    return found


def _named(
    config: bytes, begin: int, end: int, names: Mapping[int, str], what: str, header: int = 0
) -> Iterator[tuple[str, str]]:
    """The values of a stretch of bytes, parted where a name begins; zeros at the end of each are left out."""
    cuts = sorted({header, *(offset for offset in names if offset >= header)})
    for cut, after in zip(cuts, [*cuts[1:], end - begin], strict=True):
        value = config[begin + cut : min(begin + after, end)].rstrip(b"\0")
        if value:
            yield names.get(cut) or f"{what}+{cut:#x}", value.hex()


def _capabilities(config: bytes) -> Iterator[tuple[int, str, int]]:
    """Place, name and bytes of header of each capability in the list."""
    place = config[_POINTER] & ~3
    for _ in range(_MOST):
        if not 0x40 <= place < PLAIN:
            return
        number = config[place]
        yield place, _CAPABILITIES.get(number, f"capability {number:#x}"), 2
        place = config[place + 1] & ~3


def _extended(config: bytes) -> Iterator[tuple[int, str, int]]:
    """The same of the extended capabilities."""
    place = _FIRST_EXTENDED
    for _ in range(_MOST):
        if not _FIRST_EXTENDED <= place <= len(config) - 4:
            return
        header = int.from_bytes(config[place : place + 4], "little")
        if header == 0:
            return
        number = header & 0xFFFF
        yield place, _EXTENDED_CAPABILITIES.get(number, f"extended capability {number:#x}"), 4
        place = header >> 20 & ~3
