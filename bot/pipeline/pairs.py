"""Two binaries as typed, or with {arch} in their paths two of each architecture that both places have."""

from __future__ import annotations

import glob
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from bot.errors import UserError
from bot.model import Binary, Direction, Inventory
from bot.progress import Progress
from bot.smoke.inspect import identify, inspect

_ARCH = "{arch}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two binaries of one architecture, and what they say of themselves: source `ours`, destination `theirs`."""

    source: Binary
    destination: Binary
    ours: Inventory
    theirs: Inventory

    @property
    def arch(self) -> str:
        return self.theirs.arch

    @property
    def target(self) -> str:
        return f"{self.arch}-softmmu"

    @property
    def same(self) -> bool:
        """Whether both are one binary."""
        return self.source.sha256 == self.destination.sha256

    def sides(self, direction: Direction) -> tuple[Binary, Binary]:
        """(source, destination) of a migration; the destination is the one under test."""
        if direction is Direction.FORWARD:
            return self.source, self.destination
        return self.destination, self.source if direction is Direction.BACKWARD else self.destination


def pairs(source: Path, destination: Path, progress: Progress, stop: threading.Event) -> tuple[Pair, ...]:
    """The pairs to run, by architecture. Raises `UserError` if there is none, and for a path that is no QEMU.

    Of several architectures one whose binary does not answer is told and left out.
    """
    many = _ARCH in str(source) or _ARCH in str(destination)
    if not many:
        one, other = _binary(source, "--source"), _binary(destination, "--destination")
        ours, theirs = inspect(one, stop=stop), inspect(other, stop=stop)
        if ours.arch != theirs.arch:
            raise UserError(f"--source is QEMU for {ours.arch}, --destination for {theirs.arch}: they cannot migrate")
        return (Pair(one, other, ours, theirs),)
    left, right = _places(source, "--source"), _places(destination, "--destination")
    if None in left or None in right:  # one side is a single binary, whose architecture it says itself
        single = left if None in left else right
        arch = inspect(_binary(single[None], "--source" if single is left else "--destination"), stop=stop).arch
        single[arch] = single.pop(None)
    found = []
    for arch in sorted({name for name in left if name in right and name is not None}):
        one, other = _binary(left[arch], "--source"), _binary(right[arch], "--destination")
        try:
            ours, theirs = inspect(one, stop=stop), inspect(other, stop=stop)
        except UserError as error:
            progress.say(f"{arch} is left out: {error}")
            continue
        if ours.arch == theirs.arch == arch:  # else a second name, such as amd64
            found.append(Pair(one, other, ours, theirs))
    if not found:
        raise UserError(f"--source {source} and --destination {destination}: no architecture is there on both sides")
    return tuple(found)


def _places(path: Path, option: str) -> dict[str | None, Path]:
    """Executables by the name that stands for {arch}; None for a path without it."""
    text = str(path)
    if _ARCH not in text:
        return {None: path}
    first, *rest = map(re.escape, text.split(_ARCH))
    pattern = re.compile(first + r"(?P<arch>[A-Za-z0-9_]+)" + "(?P=arch)".join(rest))
    root = Path(path.anchor)
    places = root.glob(glob.escape(str(path.relative_to(root))).replace(_ARCH, "*"))
    found: dict[str | None, Path] = {}
    for place in places:
        match = pattern.fullmatch(str(place))
        if match and place.is_file() and os.access(place, os.X_OK):
            found[match["arch"]] = place
    if not found:
        raise UserError(f"{option} {path}: no such file for any architecture; give the path of qemu-system-{{arch}}")
    return found


def _binary(path: Path, option: str) -> Binary:
    if not path.is_file():
        raise UserError(f"{option} {path}: no such file; give the path of a qemu-system-ARCH")
    if not os.access(path, os.X_OK):
        raise UserError(f"{option} {path}: not executable; chmod +x it, or give a qemu-system-ARCH")
    return identify(path.absolute())
