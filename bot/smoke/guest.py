"""Guests of our own: tiny programs that show on their console that a machine went on where it was, with its memory.

Each does the same (its source is in `bot/smoke/guests`). It gives each of 2048 pages (8 MiB at 16 MiB of RAM) a word of
its own, the page's number, and prints A. Then it goes over them for ever: a page must hold its number plus the passes
done, and gets one more. After every 8 passes it prints B; if a page is not what it must be (lost, stale, another's),
it prints E and stops. Under TCG that is some hundreds of Bs a second. The count of passes and the place in the current
one live in registers, so processor and memory must have moved together.

So after a migration the destination's console shows Bs, and no other letter. `verdict` says what it means if not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

STARTED, WENT_ON, LOST = b"A", b"B", b"E"
_RUNNING, _LOST_BEFORE = re.compile(rb"AB+\Z"), re.compile(rb"AB*E\Z")
_ENOUGH = 2  # Bs: between two of them every page was looked at, after a first alone not yet


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest and the machine types that it runs on.

    `machines` are fnmatch patterns of machine types. `option` is QEMU's option that takes the file with `image`, and
    `console` what connects the guest's console to the chardev named guest: both mean the same in every release from
    2.12 to 11.1. The guest needs 32 MiB of RAM.
    """

    arch: str  # "x86_64"
    machines: tuple[str, ...]
    option: str  # "-kernel"
    image: bytes
    console: tuple[str, ...] = ("-serial", "chardev:guest")

    def arguments(self, image_path: str, console_path: str) -> tuple[str, ...]:
        """What a side needs besides its machine: the image, and a file (made anew) for what the guest prints.

        Both sides read the same image. Each has a console of its own. Works with -nodefaults and without.
        """
        # QEMU doubles a comma in an option's value (qemu(1)); -kernel and -bios take a bare name.
        image = f"romfile={image_path.replace(',', ',,')}" if self.option == "-option-rom" else image_path
        console = console_path.replace(",", ",,")
        return (self.option, image, "-chardev", f"file,id=guest,path={console}", *self.console)


def guest_for(arch: str, machine: str) -> Guest | None:
    """The guest that runs on this machine type of qemu-system-ARCH; None if there is none."""
    return next((g for g in _guests() if g.arch == arch and any(fnmatchcase(machine, p) for p in g.machines)), None)


def started(source_console: bytes) -> bool:
    """Whether the source's guest is up and has looked at every page: from then on a migration proves something.

    Before its A the firmware may have printed (SeaBIOS does with graphics=off).
    """
    return _RUNNING.search(source_console) is not None


def booted(source_console: bytes) -> bool:
    """Whether there is nothing more to wait for before the migration: the guest is up, or has lost a page already."""
    return started(source_console) or _LOST_BEFORE.search(source_console) is not None


def answered(destination_console: bytes) -> bool:
    """Whether the destination's guest has said all that there is to wait for, good or bad."""
    return len(destination_console) >= _ENOUGH or destination_console.strip(WENT_ON) != b""


def verdict(source_console: bytes, destination_console: bytes) -> str | None:
    """None if the guest went on after the migration with all its pages; else what is wrong, in a phrase.

    Give it what the consoles hold once `answered`, or when there is no more time to wait.
    """
    if _LOST_BEFORE.search(source_console):
        return "a page lost what was written to it before the migration"
    if not started(source_console):
        return "guest was not running before the migration"
    first = destination_console.lstrip(WENT_ON)[:1]  # that is no B
    if first == LOST:
        return "a page lost what was written to it"
    if first == STARTED:
        return "guest started anew"
    if first:
        return "console printed what the guest did not write"
    if not destination_console:
        return "guest printed nothing after the migration"
    if len(destination_console) < _ENOUGH:
        return "guest stopped soon after the migration"
    return None


@cache
def _guests() -> tuple[Guest, ...]:
    # Only where SeaBIOS is the firmware: microvm has qboot with some builds, and that calls no option ROM.
    x86 = (("pc", "pc-*", "q35", "isapc"), "-option-rom", _image("x86"))
    # One image for processors that start in 64 bits and in 32: aarch64.S says how.
    virt = (("virt", "virt-*"), "-kernel", _image("aarch64") + _image("arm"))
    # Before 3.0 -serial made no console on s390x. It is turned off because two consoles of this kind are not allowed.
    sclp = ("-serial", "none", "-device", "sclpconsole,chardev=guest")
    return (
        Guest("x86_64", *x86),
        Guest("i386", *x86),
        Guest("aarch64", *virt),
        Guest("arm", *virt),
        Guest("s390x", ("s390-ccw-virtio", "s390-ccw-virtio-*"), "-kernel", _image("s390x"), sclp),
        Guest("ppc64", ("pseries", "pseries-*"), "-bios", _image("ppc64")),
    )


def _image(name: str) -> bytes:
    return bytes.fromhex(files("bot.smoke.guests").joinpath(f"{name}.hex").read_text("ascii"))
