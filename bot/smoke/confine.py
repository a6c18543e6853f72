"""What a QEMU that runs in a sandbox has to see: its own files, those its command line names, and the run's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bot.model import Binary, Sandbox

KVM = Path("/dev/kvm")
_SYSTEM = tuple(Path("/", name) for name in ("usr", "bin", "lib", "lib64"))  # these are there anyway
_INSTALLED = ("bin", "lib", "lib64", "libexec", "share", "usr")
_VALUES = re.compile(r"[,=:]")


def confined(binary: Binary, argv: Sequence[str], *directories: Path) -> Sandbox | None:
    """The sandbox of a process that runs argv and may write to `directories`; None if the binary has none.

    Files that argv names by absolute paths can be read: kernels, disks, firmware. A directory cannot, unless the
    configuration says so.
    """
    if binary.sandbox is None:
        return None
    named = tuple(path for path in _files(argv[1:]) if not any(path.is_relative_to(place) for place in directories))
    box = binary.sandbox.with_paths(read=(*homes(binary), *named), write=tuple(dict.fromkeys(directories)))
    return box.with_devices(KVM) if any("kvm" in word for word in argv) else box


def homes(binary: Binary) -> tuple[Path, ...]:
    """A binary and its firmware; with PREFIX/bin/qemu-system-* what is installed with it, which wrappers want.

    Never a whole directory above it: that may be somebody's home.
    """
    found: dict[Path, None] = {}
    for path in (binary.path, binary.path.resolve()):
        prefix = path.parent.parent if path.parent.name == "bin" else None
        parts = () if prefix is None else (prefix / name for name in _INSTALLED)
        found |= dict.fromkeys((path, *(part for part in parts if part.is_dir())))
    if binary.data_dir is not None:
        found[binary.data_dir] = None
    return tuple(place for place in found if not any(place.is_relative_to(system) for system in _SYSTEM))


def _files(arguments: Sequence[str]) -> Iterator[Path]:
    for argument in arguments:
        for piece in _VALUES.split(argument):
            if piece.startswith("/") and Path(piece).is_file():
                yield Path(piece)
