"""Which binary a commit can reach, by its paths: a stand-in for the closure that a build records.

QEMU's tree says by its directories and file names what a file is built for: `target/arm` for emulators of arm,
`hw/intc/xics.c` for those of ppc, `linux-user` for no system emulator at all. That is no proof (a header may be
included anywhere), so what follows from it lowers a weight and never makes it 0.

Names that it does not know, and those of devices that several families have, count as built for every target. Held
against the objects of two builds (x86_64 of 5.0, 981 files; ppc64 of 9.2, 1,284): what it said no to and was built all
the same were hw/usb/imx-usb-phy.c and hw/vfio/spapr.c of x86_64 and hw/usb/imx-usb-phy.c of ppc64, and empty tracing
files and stubs of other targets.
"""

from __future__ import annotations

import re
from functools import lru_cache

_FAMILIES = {
    "i386": "i386", "x86_64": "i386", "aarch64": "arm", "arm": "arm", "ppc": "ppc", "ppc64": "ppc", "s390x": "s390x",
    "riscv32": "riscv", "riscv64": "riscv", "mips": "mips", "mipsel": "mips", "mips64": "mips", "mips64el": "mips",
    "sparc": "sparc", "sparc64": "sparc", "m68k": "m68k", "alpha": "alpha", "hppa": "hppa", "sh4": "sh4",
    "sh4eb": "sh4", "xtensa": "xtensa", "xtensaeb": "xtensa", "microblaze": "microblaze",
    "microblazeel": "microblaze", "loongarch64": "loongarch", "or1k": "openrisc", "rx": "rx", "tricore": "tricore",
    "avr": "avr", "cris": "cris", "lm32": "lm32", "moxie": "moxie", "nios2": "nios2", "tilegx": "tilegx",
    "unicore32": "unicore32",
}  # fmt: skip
_ALL = frozenset(_FAMILIES.values())
_NAMES = {
    "arm": "a10 a15 a9 allwinner arm aspeed bcm2 cadence cbus cmsdk digic exynos ftgmac gic highbank imx integrator "
    "iotkit lan9118 max7310 mpcore msf2 mss musicpal npcm nrf5 nvic omap onenand pl0 pl1 pl3 pxa realview smmu spitz "
    "stellaris stm32 strongarm tosa tsc2 tusb tz- twl versal versatile wdt_aspeed xlnx zaurus zynq",
    "ppc": "adb cuda dbdma dec e500 etsec fsi grackle heathrow macio mpc openpic pmu pnv ppc prep raven spapr "
    "uninorth vof xics xive",
    "riscv": "ibex mchp opentitan riscv shakti sifive",
    "s390x": "ccw css diag288 s390 sclp terminal3270 tpi virtio-ccw",
    "sparc": "cg3 eccmemctl grlib leon sabre sbus simba slavio sparc stp2000 sun4 sunhme tcx",
    "mips": "bonito dp8393 fulong gt64 jazz loongson mips rc4030",
    "m68k": "asc goldfish macfb mcf next nubus q800 swim",
    "hppa": "artist dino hppa lasi",
    "microblaze": "petalogix",
    "sh4": "sh7 sh_",
    "lm32": "lm32 milkymist",
    "cris": "etrax",
    "loongarch": "loongarch ls7a",
    "avr": "atmega avr",
    "rx": "renesas rx_",
    "xtensa": "mx_pic",
}
"""What names of device files begin with, by the family of targets that has the device."""

_DEVICE = re.compile(r"(?:include/)?hw/[^/]+/(?:macio/)?([^/]+)\Z")
_OWN = re.compile(r"(?:target|hw|include/hw|linux-user|bsd-user|pc-bios)/([a-z0-9]+)[/-]|disas/([a-z0-9]+)\.")
_PREFIXES = tuple((re.compile("|".join(names.split())), family) for family, names in _NAMES.items())
_NOWHERE = re.compile(
    r"(docs|tests|scripts/(ci|coverity-scan|simplebench|performance|kvm)|python|po|gdb-xml|\.gitlab|\.github|\.travis"
    r"|contrib|qga|tools|roms|plugins)(/|\.|-|\Z)"
    r"|MAINTAINERS|README|COPYING|LICENSE|\.[a-z]+|VERSION\Z|.*\.(rst|texi|txt|md|svg)\Z"
)
"""No part of any emulator: manuals, tests, the guest agent, what looks after the project."""
_ELSEWHERE = re.compile(
    r"tcg/(aarch64|arm|ia64|loongarch64|mips|ppc|riscv|s390x?|sparc(64)?|tci)[/.]"
    r"|(target/i386|accel)/(hvf|whpx|nvmm|hax)[/-]"
    r"|.*(win32|cocoa|bsd|solaris|darwin|dsound|coreaudio)[^/]*\.[chm]\Z"
)
"""For hosts that are not Linux on x86, and their accelerators."""
_USER = re.compile(r"(linux-user|bsd-user|common-user|accel/tcg/user-)")
_TOOL = re.compile(r"(qemu-(img|io|nbd|bridge)|storage-daemon/)")
_SYSTEM = re.compile(
    r"(hw|include/hw|migration|ui|audio|net|block|blockdev|chardev|monitor|softmmu|system|backends|fsdev|pc-bios|nbd|io"
    r"|replay|dump|vl\.c)(/|\.|\Z)"
)
"""No part of a user mode emulator."""


def reaches(path: str, target: str) -> bool:
    """Whether a file can be a part of a target's emulator (`ppc64-softmmu`, `x86_64`, `arm-linux-user`), as it seems.

    A target that is not known, or a tool's name, has everything but what is in no emulator at all.
    """
    if _NOWHERE.match(path) or _ELSEWHERE.match(path) or _TOOL.match(path):
        return False
    name, _, kind = target.partition("-")
    if (_SYSTEM if kind.endswith("user") else _USER).match(path):
        return False
    own, wanted = _family(path), _FAMILIES.get(name)
    return own is None or wanted is None or own == wanted


def in_emulator(path: str) -> bool:
    """Whether a file can be a part of any emulator at all, of whichever target and host."""
    return not _NOWHERE.match(path)


@lru_cache(maxsize=1 << 16)
def _family(path: str) -> str | None:
    """The only family of targets that a file is for; None if it is for more, or unknown."""
    device = _DEVICE.match(path)
    if device and (named := next((family for names, family in _PREFIXES if names.match(device[1])), None)):
        return named
    own = _OWN.match(path)
    return _FAMILIES.get(own[1] or own[2], own[1] if own[1] in _ALL else None) if own else None
