"""A QEMU command line as somebody's host ran it, made into one that any host can run: what the guest sees stays.

libvirt writes it into /var/log/libvirt/qemu/GUEST.log at each start, `ps` shows it, people paste it. Disks become empty
ones (null-co), networks and character devices end in nothing, sockets, secrets and displays go. A device that cannot do
without the host (vfio, vhost-user, a TPM) is left out, and told. JSON becomes key=value, which QEMUs before 6.0 read.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

_PROGRAM = re.compile(r"(?:^|/)(?:qemu-system-(?P<arch>[a-z0-9_]+)|qemu-kvm|kvm|qemu)$")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ALONE = _words("""
S alt-grab ctrl-grab curses daemonize enable-fips enable-kvm full-screen mem-prealloc no-acpi no-fd-bootchk no-frame
no-hpet no-kvm no-kvm-irqchip no-kvm-pit no-kvm-pit-reinjection no-quit no-reboot no-shutdown no-user-config nodefaults
nodefconfig nographic only-migratable portrait preconfig realtime-off s sdl singlestep snapshot usb win2k-hack
xen-attach
""")
"""Options without a value (qemu-options.hx)."""

_HOST = _words("""
D L S accel action add-fd append async-teardown bt chroot compat curses d daemonize debugcon display dfilter dtb
dump-vmstate enable-fips enable-kvm gdb incoming initrd iscsi jitdump k kernel loadvm mem-prealloc mon monitor msg name
no-kvm no-reboot no-shutdown nographic only-migratable perfmap pidfile plugin portrait preconfig qmp qmp-pretty
readconfig realtime redir run-with runas s sandbox sdl seed semihosting semihosting-config set shim smb snapshot spice
tb-size tftp trace vnc writeconfig xen-attach xen-domid
""")
"""Options about the host, the screen, the monitor or what the guest boots: the smoke has its own, or needs none."""

_FILES = _words("bios cdrom fda fdb fsdev hda hdb hdc hdd mtdblock net pflash sd tpmdev virtfs")
"""Options that the guest would see, and that name what only that host has."""

_HOST_DEVICES = re.compile(r"(vfio|vhost|ivshmem|usb-host|u2f-passthru|cxl-|scsi-block|scsi-generic|sev|pvrdma|qxl)")
_HOST_OBJECTS = re.compile(
    r"(secret|tls-|authz|filter-|input-|can-|sev|tdx|colo|dbus|throttle|thread-context|x-|pr-|iommufd)"
)
_NEEDS = ("tpmdev", "fsdev")  # properties of devices that name what is left out


@dataclass(frozen=True, slots=True)
class Started:
    """What a command line says. `arch` is None for names that do not tell, such as qemu-kvm; `left_out` in phrases."""

    program: str
    arch: str | None
    machine: str
    args: tuple[str, ...]
    left_out: tuple[str, ...]


class NotACommandLine(ValueError):
    """The text holds no QEMU command line, or one without a machine type; the message says which."""


def read(text: str) -> Started:
    """The last command line in the text. Raises `NotACommandLine`."""
    words = None
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        words = _command(line) or words
    if words is None:
        raise NotACommandLine(
            "it holds no QEMU command line, such as /usr/bin/qemu-system-x86_64 -machine pc-q35-9.2 ..."
        )
    match = _PROGRAM.search(words[0])
    assert match is not None  # noqa: S101 - narrows the type; so it was found
    translation = _Translation()
    for option, value in _options(words[1:]):
        translation.take(option, value)
    if not translation.machine:
        raise NotACommandLine(
            f"{words[0]} is started without -machine TYPE: say it, for the default changes with releases"
        )
    return Started(words[0], match["arch"], translation.machine, tuple(translation.args), tuple(translation.left_out))


def _command(line: str) -> list[str] | None:
    """Program and arguments, if a line has them; what stands before (environment, time, prompt) goes."""
    if "qemu" not in line and "kvm" not in line:
        return None
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    for i, word in enumerate(words[:-1]):
        if _PROGRAM.search(word) and words[i + 1].startswith("-"):
            return words[i:]
    return None


def _options(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """(name without dashes, value or None) of each option; what is none, a disk image, is told as "hda"."""
    i = 0
    while i < len(words):
        name = words[i].lstrip("-") if words[i].startswith("-") else ""
        if not name:
            yield "hda", words[i]
        elif name in _ALONE or i + 1 == len(words):
            yield name, None
        else:
            i += 1
            yield name, words[i]
        i += 1


_Pairs = dict[str, str]


class _Translation:
    """Takes one option after the other."""

    def __init__(self) -> None:
        self.machine = ""
        self.args: list[str] = []
        self.left_out: list[str] = []
        self._hubs = count()
        self._by_option: dict[str, Callable[[str], None]] = {
            "machine": self._machine, "M": self._machine, "cpu": self._cpu, "netdev": self._netdev,
            "chardev": self._chardev, "blockdev": self._blockdev, "drive": self._drive, "audiodev": self._audiodev,
            "object": self._object, "device": self._device, "fw_cfg": self._without_file("fw_cfg"),
            "smbios": self._without_file("smbios"), "mem-path": lambda _: self._add("mem-path", "{dir}"),
            "serial": self._nothing("serial"), "parallel": self._nothing("parallel"),
            **{option: partial(self._leave, option) for option in _FILES},
        }  # fmt: skip

    def take(self, option: str, value: str | None) -> None:
        if option in _HOST:
            return
        if value is None:
            self.args.append(f"-{option}")
        else:
            (self._by_option.get(option) or partial(self._add, option))(value)

    def _add(self, option: str, value: str) -> None:
        self.args += [f"-{option}", value]

    def _leave(self, option: str, value: str) -> None:
        self.left_out.append(f"-{option} {value}")

    def _nothing(self, option: str) -> Callable[[str], None]:
        return lambda value: self._add(option, value if value.startswith(("chardev:", "none", "null")) else "null")

    def _without_file(self, option: str) -> Callable[[str], None]:
        def take(value: str) -> None:
            (self._leave if "file" in _pairs(value, "name") else self._add)(option, value)

        return take

    def _machine(self, value: str) -> None:
        """The type, and options of its own; the accelerator is the smoke's, and flash files are the host's."""
        pairs = _pairs(value, "type")
        self.machine = pairs.pop("type", self.machine)
        for name in (
            "accel",
            "kernel_irqchip",
            "kernel-irqchip",
            "kvm-type",
            "confidential-guest-support",
            "mem-merge",
        ):
            pairs.pop(name, None)
        for name in [name for name in pairs if name.startswith("pflash")]:
            self._leave("machine", f"{name}={pairs.pop(name)}")
        if pairs:
            self._add("machine", _join(pairs))

    def _cpu(self, value: str) -> None:
        """A model by name; the host's own is not the same anywhere else."""
        (self._leave if value.split(",")[0] in ("host", "max") else self._add)("cpu", value)

    def _netdev(self, value: str) -> None:
        self._add("netdev", f"hubport,hubid={next(self._hubs)},id={_pairs(value, 'type').get('id', 'net')}")

    def _chardev(self, value: str) -> None:
        self._add("chardev", f"null,id={_pairs(value, 'backend').get('id', 'chr')}")

    def _audiodev(self, value: str) -> None:
        self._add("audiodev", f"none,id={_pairs(value, 'driver').get('id', 'audio')}")

    def _blockdev(self, value: str) -> None:
        pairs = _pairs(value, "driver")
        kept = {name: value for name, value in pairs.items() if name in ("node-name", "read-only")}
        self._add("blockdev", _join({"driver": "null-co", **kept}))

    def _drive(self, value: str) -> None:
        pairs = _pairs(value, "file")
        if pairs.get("if") == "pflash":
            self._leave("drive", value)
            return
        names = ("if", "id", "index", "bus", "unit", "media", "readonly", "read-only")
        kept = {name: pairs[name] for name in names if name in pairs}
        empty = pairs.get("media") == "cdrom" and not pairs.get("file")
        self._add("drive", _join(kept if empty else {**kept, "driver": "null-co"}))

    def _object(self, value: str) -> None:
        pairs = _pairs(value, "qom-type")
        kind = pairs.get("qom-type", "")
        if _HOST_OBJECTS.match(kind):
            self._leave("object", f"{kind},id={pairs.get('id', '')}")
            return
        if kind == "rng-egd":
            pairs = {"qom-type": "rng-random", "id": pairs.get("id", "rng")}
        if kind.startswith("rng-") and "filename" in pairs:
            pairs["filename"] = "/dev/urandom"
        if kind.startswith("memory-backend-"):
            for name in (
                "prealloc",
                "prealloc-threads",
                "host-nodes",
                "policy",
                "hugetlb",
                "hugetlbsize",
                "pmem",
                "align",
            ):
                pairs.pop(name, None)
            if "mem-path" in pairs:
                pairs["mem-path"] = "{dir}"
        self._add("object", _join(pairs, first="qom-type"))

    def _device(self, value: str) -> None:
        pairs = _pairs(value, "driver")
        driver = pairs.get("driver", "")
        if _HOST_DEVICES.match(driver) or any(name in pairs for name in _NEEDS):
            self._leave("device", value)
            return
        if "/" in pairs.get("romfile", ""):
            del pairs["romfile"]
        self._add("device", _join(pairs, first="driver"))


def _pairs(value: str, first: str) -> _Pairs:
    """The keys and values of an option, written as key=value or as JSON; `first` is the key that may be left out."""
    if value.startswith("{"):
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return dict(_flat(found, ""))
    pairs: _Pairs = {}
    for i, part in enumerate(value.replace(",,", "\0").split(",")):  # a comma in a value is doubled
        key, equals, text = part.partition("=")
        if not equals:
            key, text = (first, key) if i == 0 else (key, "on")
        pairs[key] = text.replace("\0", ",")
    return pairs


def _flat(found: dict[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield from _flat({str(i): item for i, item in enumerate(value)}, f"{prefix}{key}.")
        elif value is not None:
            yield prefix + key, ("on" if value else "off") if isinstance(value, bool) else str(value)


def _join(pairs: _Pairs, first: str | None = None) -> str:
    words = [pairs[first].replace(",", ",,")] if first is not None and first in pairs else []
    return ",".join([*words, *(f"{k}={v.replace(',', ',,')}" for k, v in pairs.items() if k != first)])
