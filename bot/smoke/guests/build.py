"""Assemble the guests: `python -m bot.smoke.guests.build` writes each NAME.hex anew from its NAME.S.

Needs the binutils of all four architectures, in Debian binutils-{x86-64,aarch64,s390x,powerpc64}-linux-gnu and
binutils-arm-linux-gnueabi. A test assembles them too and compares, so source and bytes never part.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bot.errors import UserError
from bot.host.process import run

HERE = Path(__file__).parent
_LINE = 32  # bytes in one line of a .hex file
_TIMEOUT = 60  # seconds for one tool


@dataclass(frozen=True, slots=True)
class Tools:
    """The binutils of one architecture: what their names begin with, and what options they need."""

    prefix: str
    assembler: tuple[str, ...] = ()
    linker: tuple[str, ...] = ()


SOURCES = {
    "x86": Tools("x86_64-linux-gnu", ("--32",), ("-m", "elf_i386")),
    "aarch64": Tools("aarch64-linux-gnu"),
    "arm": Tools("arm-linux-gnueabi"),
    "s390x": Tools("s390x-linux-gnu"),
    "ppc64": Tools("powerpc64-linux-gnu", ("-mregnames",)),
}
"""Each source by its name, and what assembles it."""


def assemble(name: str) -> bytes:
    """The bytes of NAME.S as they lie in the guest's memory.

    Linked at 0, so that a reference that needs another place or symbol is an error and not a wrong byte. Raises
    `UserError` with the tool's own words if it is missing or does not take the source.
    """
    tools = SOURCES[name]
    with tempfile.TemporaryDirectory(prefix="bot-guest-") as directory:
        top = Path(directory)
        object_, elf, binary = (str(top / f"{name}.{kind}") for kind in ("o", "elf", "bin"))
        for argv in (
            (f"{tools.prefix}-as", *tools.assembler, "-o", object_, str(HERE / f"{name}.S")),
            (f"{tools.prefix}-ld", *tools.linker, "-Ttext=0", "--entry=0", "-o", elf, object_),
            (f"{tools.prefix}-objcopy", "-O", "binary", "-j", ".text", elf, binary),
        ):
            done = run(argv, timeout=_TIMEOUT)
            if not done.ok:
                raise UserError(f"{' '.join(argv)}: exit code {done.returncode}\n{done.output}".rstrip())
        image = Path(binary).read_bytes()
    if name == "x86":  # firmware calls an option ROM only if its bytes add up to 0
        image = image[:-1] + bytes([-sum(image[:-1]) % 256])
    return image


def dump(image: bytes) -> str:
    """The bytes as hex digits, in lines that a diff can show."""
    return "".join(f"{image[at : at + _LINE].hex()}\n" for at in range(0, len(image), _LINE))


def main() -> None:
    """Write all .hex files."""
    for name in SOURCES:
        (HERE / f"{name}.hex").write_text(dump(assemble(name)), encoding="ascii")


if __name__ == "__main__":
    main()
