"""The guests on real QEMUs: they go on after a migration, and what a migration can do to them is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.model import Binary
from bot.smoke.argv import firmware
from bot.smoke.guest import Guest, answered, guest_for, started, verdict
from bot.smoke.guests.build import HERE, SOURCES, assemble, dump
from bot.smoke.qemu import Qemu, qemu
from tests.testing.qemu import installed, nothing_left, second

Release = Callable[..., Binary]

PATIENCE = 60.0  # seconds for one wait
PAGE = 0x1000000 + 1234 * 4096  # one of the guest's pages, from the beginning of RAM


def found(arch: str, machine: str) -> Guest:
    guest = guest_for(arch, machine)
    assert guest is not None
    return guest


@pytest.mark.parametrize(
    ("arch", "machine", "option"),
    [
        ("x86_64", "pc-i440fx-2.12", "-option-rom"),
        ("x86_64", "pc-q35-11.1", "-option-rom"),
        ("i386", "isapc", "-option-rom"),
        ("aarch64", "virt-5.2", "-kernel"),
        ("arm", "virt", "-kernel"),
        ("s390x", "s390-ccw-virtio-10.0", "-kernel"),
        ("ppc64", "pseries-2.12-sxxm", "-bios"),
        ("x86_64", "microvm", None),
        ("x86_64", "virt", None),
        ("ppc64", "powernv9", None),
        ("riscv64", "virt", None),
    ],
)
def test_which_machine_has_which_guest(arch: str, machine: str, option: str | None) -> None:
    guest = guest_for(arch, machine)
    assert (guest and guest.option) == option
    assert guest is None or guest.arch == arch


def test_paths_with_commas_are_quoted_as_qemu_wants_it() -> None:
    assert found("x86_64", "pc").arguments("/a,b/i=1", "/a,b/c") == (
        *("-option-rom", "romfile=/a,,b/i=1"),
        *("-chardev", "file,id=guest,path=/a,,b/c", "-serial", "chardev:guest"),
    )
    assert found("ppc64", "pseries").arguments("/a,b/i", "/c")[:2] == ("-bios", "/a,b/i")


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_bytes_are_what_the_source_gives(name: str) -> None:
    assert (HERE / f"{name}.hex").read_text() == dump(assemble(name))


def test_every_source_is_assembled_and_used() -> None:
    assert {path.stem for path in HERE.glob("*.S")} == {path.stem for path in HERE.glob("*.hex")} == set(SOURCES)
    images = {(g := found(*at)).arch: g.image for at in (("x86_64", "pc"), ("arm", "virt"), ("ppc64", "pseries"))}
    assert len(images["x86_64"]) == 512 and sum(images["x86_64"]) % 256 == 0  # else SeaBIOS does not call it
    assert images["arm"] == found("aarch64", "virt").image
    (offset,) = re.findall(r"b (0x[0-9a-f]+); A64", (HERE / "aarch64.S").read_text())
    assert images["arm"][int(offset, 16) :] == assemble("arm")  # where the first word branches to in A32


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        (b"ABB", b"BB", None),
        (b"SeaBIOS, ESC for menu, A, B\r\nAB", b"BBBB", None),
        (b"AB", b"B", "guest stopped soon after the migration"),
        (b"AB", b"", "guest printed nothing after the migration"),
        (b"AB", b"BBE", "a page lost what was written to it"),
        (b"AB", b"E", "a page lost what was written to it"),
        (b"AB", b"ABB", "guest started anew"),
        (b"AB", b"B\x00B", "console printed what the guest did not write"),
        (b"ABE", b"", "a page lost what was written to it before the migration"),
        (b"AB", b"BAB", "guest started anew"),
        (b"AB", b"BSeaBIOS\r\nABE", "console printed what the guest did not write"),
        (b"SeaBIOS, ESC for menu, A, B\r\n", b"BB", "guest was not running before the migration"),
        (b"A", b"BB", "guest was not running before the migration"),
        (b"", b"ABB", "guest was not running before the migration"),
    ],
)
def test_verdicts(source: bytes, destination: bytes, expected: str | None) -> None:
    assert verdict(source, destination) == expected
    # To wait on after a good answer is needless, and after a bad one too; silence is worth the wait.
    assert answered(destination) == (destination not in (b"", b"B"))


@dataclass(frozen=True, slots=True)
class Migrated:
    """A guest that was migrated while it ran."""

    destination: Qemu
    gdb: Path  # socket of the destination's gdbstub
    consoles: tuple[Path, Path]

    async def verdict(self, *, patience: float = PATIENCE) -> str | None:
        """As the bot would judge it once the destination has answered, or after `patience` seconds."""
        source, destination = self.consoles
        with contextlib.suppress(TimeoutError):
            await printed(destination, answered, patience)
        return verdict(source.read_bytes(), destination.read_bytes())


async def printed(console: Path, enough: Callable[[bytes], bool], patience: float = PATIENCE) -> None:
    async with asyncio.timeout(patience):
        while not (console.exists() and enough(console.read_bytes())):
            await asyncio.sleep(0.02)


async def completed(*machines: Qemu) -> None:
    async with asyncio.timeout(PATIENCE):
        for machine in machines:
            while (await machine.ask("query-migrate")).get("status") != "completed":
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def migrated(
    top: Path,
    machine: str,
    source: Binary,
    destination: Binary,
    *options: str,
    arch: str = "x86_64",
    paused: bool = False,
) -> AsyncIterator[Migrated]:
    """Run the guest on the source until it is up, and migrate it; `paused` keeps it from running at the destination."""
    guest = found(arch, machine)
    image, gdb, uri = top / "image", top / "gdb", f"unix:{top / 'm'}"
    consoles = top / "source.console", top / "destination.console"
    image.write_bytes(guest.image)
    common = ("-nodefaults", "-display", "none", "-M", machine, "-m", "256M" if arch == "ppc64" else "128M", *options)
    incoming = ("-incoming", uri, "-gdb", f"unix:{gdb},server=on,wait=off", *(["-S"] if paused else []))
    argv = [
        [str(binary.path), *firmware(binary), *common, *guest.arguments(str(image), str(console)), *extra]
        for binary, console, extra in zip((source, destination), consoles, ((), incoming), strict=True)
    ]
    began = asyncio.get_running_loop().time()
    async with qemu("destination", argv[1], top / "d", began) as to, qemu("source", argv[0], top / "s", began) as from_:
        await asyncio.gather(to.connect(), from_.connect())
        await printed(consoles[0], started)
        await from_.ask("migrate", uri=uri)
        await completed(from_, to)
        yield Migrated(to, gdb, consoles)


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    with nothing_left():
        yield tmp_path


@pytest.mark.parametrize(
    ("source", "destination", "machine"),
    [
        (installed, installed, "pc-i440fx-1.4"),  # option ROMs are RAM blocks there
        (installed, installed, "pc-q35-7.2"),
        (installed, second, "pc-i440fx-7.2"),
        (installed, second, "pc-q35-7.2"),
        (installed, second, "isapc"),
        (second, installed, "pc-i440fx-7.2"),
        (second, second, "pc-q35-10.0"),
    ],
)
def test_x86_goes_on(top: Path, source: Release, destination: Release, machine: str) -> None:
    async def play() -> None:
        async with migrated(top, machine, source(), destination()) as guest:
            assert await guest.verdict() is None

    asyncio.run(play())


@pytest.mark.parametrize(
    ("arch", "release", "machine", "cpu"),
    [
        ("i386", second, "pc-i440fx-7.2", None),
        ("ppc64", installed, "pseries-7.2", None),
        ("ppc64", installed, "pseries-2.3", None),
        ("ppc64", second, "pseries-7.2", None),
        ("aarch64", second, "virt-10.0", "cortex-a57"),
        ("aarch64", second, "virt-10.0", None),  # a cortex-a15, which has no 64 bits
        ("arm", second, "virt-7.2", None),
        ("s390x", second, "s390-ccw-virtio-10.0", None),
    ],
)
def test_other_architectures_go_on(top: Path, arch: str, release: Release, machine: str, cpu: str | None) -> None:
    async def play() -> None:
        options = ("-cpu", cpu) if cpu else ()
        async with migrated(top, machine, release(arch), release(arch), *options, arch=arch) as guest:
            assert await guest.verdict() is None

    asyncio.run(play())


def test_it_goes_on_beside_default_devices_and_processors(top: Path) -> None:
    """With disks that hold nothing, cards with ROMs of their own, and processors that are never started."""

    async def play() -> None:
        disk = top / "disk"
        disk.write_bytes(bytes(2**20))
        options = ("-smp", "2", "-vga", "std", "-device", "e1000", "-drive", f"file={disk},format=raw,snapshot=on")
        async with migrated(top, "pc-i440fx-7.2", installed(), installed(), *options) as guest:
            assert await guest.verdict() is None

    asyncio.run(play())


def test_a_guest_that_does_not_run_on_is_noticed(top: Path) -> None:
    async def play() -> None:
        async with migrated(top, "pc-i440fx-7.2", installed(), installed(), paused=True) as guest:
            assert await guest.verdict(patience=0.5) == "guest printed nothing after the migration"
            await guest.destination.ask("cont")
            assert await guest.verdict() is None

    asyncio.run(play())


def test_a_guest_that_starts_again_is_noticed(top: Path) -> None:
    async def play() -> None:
        async with migrated(top, "pc-i440fx-7.2", installed(), installed(), paused=True) as guest:
            await guest.destination.ask("system_reset")
            await guest.destination.ask("cont")
            assert await guest.verdict() == "guest started anew"

    asyncio.run(play())


@pytest.mark.parametrize(
    ("arch", "machine", "cpu", "ram", "word"),
    [
        ("x86_64", "pc-i440fx-7.2", None, 0, "00000000"),
        ("x86_64", "pc-i440fx-7.2", None, 0, "d3040000"),  # what the next page held at the start
        ("ppc64", "pseries-7.2", None, 0, "00000000"),
        ("aarch64", "virt-7.2", "cortex-a57", 0x40000000, "00000000"),
        ("arm", "virt-7.2", None, 0x40000000, "00000000"),
        ("s390x", "s390-ccw-virtio-7.2", None, 0, "00000000"),
    ],
)
def test_a_page_that_is_not_what_it_was_is_noticed(
    top: Path, arch: str, machine: str, cpu: str | None, ram: int, word: str
) -> None:
    async def play() -> None:
        options = ("-cpu", cpu) if cpu else ()
        async with migrated(top, machine, second(arch), second(arch), *options, arch=arch, paused=True) as guest:
            await write_memory(guest.gdb, ram + PAGE, word)
            await guest.destination.ask("cont")
            assert await guest.verdict() == "a page lost what was written to it"

    asyncio.run(play())


async def write_memory(gdb: Path, address: int, data: str) -> None:
    """Ask the gdbstub to write the bytes, given as hex digits (GDB manual, appendix E: packet M)."""
    packet = f"M{address:x},{len(data) // 2:x}:{data}".encode()
    reader, writer = await asyncio.open_unix_connection(gdb)
    async with asyncio.timeout(PATIENCE):
        writer.write(b"$%b#%02x" % (packet, sum(packet) % 256))
        assert await reader.readuntil(b"#") == b"+$OK#"
    writer.close()
    await writer.wait_closed()
