"""The guest's memory: both ways to read it agree, and damage on either side does not pass."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from bot.model import Outcome, Profile, Signature
from bot.smoke import memory
from bot.smoke.memory import PAGE, Memory, Range, parse_mtree
from bot.smoke.qemu import Qemu, qemu
from bot.smoke.scene import Scene
from tests.smoke.conftest import BARE, Smoke
from tests.testing.qemu import installed, second

_T = TypeVar("_T")
RAN = Profile("ran", (), run=0.5)


async def _paused(arch: str, arguments: tuple[str, ...], look: Callable[[Qemu], object], directory: Path) -> None:
    argv = [str(installed(arch).path), "-display", "none", *arguments]
    async with qemu("machine", argv, directory / "q", 0.0) as machine:
        await machine.connect()
        if "-S" not in arguments:
            await asyncio.sleep(0.5)
            await machine.ask("stop")
        await look(machine)  # type: ignore[misc]  # the looks below are coroutines


@pytest.mark.parametrize(
    ("arch", "arguments"),
    [
        ("x86_64", ("-M", "pc-q35-7.2", "-m", "128M", "-nodefaults", "-S")),
        ("x86_64", ("-M", "pc-i440fx-7.2", "-m", "64M")),
        ("x86_64", ("-M", "isapc", "-m", "16M")),
        ("x86_64", ("-M", "pc-q35-7.2", "-m", "64M", "-mem-path", ".", "-S")),
        ("x86_64", ("-M", "pc-q35-7.2", "-m", "64M", "-mem-path", ".")),
        ("ppc64", ("-M", "pseries-7.2", "-m", "256M", "-nodefaults")),
        ("aarch64", ("-M", "virt-7.2", "-m", "64M", "-nodefaults", "-S")),
        ("s390x", ("-M", "s390-ccw-virtio-7.2", "-m", "64M", "-S")),
    ],
)
def test_both_ways_to_read_it_agree(arch: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    async def look(machine: Qemu) -> None:
        quick, slow = [await memory.read(machine, tmp_path, quick=quick) for quick in (True, False)]
        assert quick is not None and quick == slow
        assert sum(entry.size for entry in quick.ranges) >= 16 * 2**20
        assert memory.difference(quick, slow) is None
        # what the kernel lets us see is what was used: the quick way did not fall back
        addresses = await memory._host_addresses(machine, quick.ranges)
        assert memory._digest(quick.ranges, memory._Mapped(machine.process.pid, addresses)) == quick
        assert not list(tmp_path.glob("*.memory"))

    asyncio.run(_paused(arch, arguments, look, tmp_path))


def test_one_byte_is_seen(tmp_path: Path) -> None:
    async def look(machine: Qemu) -> None:
        before, clean = [await memory.read(machine, tmp_path, quick=quick) for quick in (True, False)]
        assert before is not None and clean is not None
        entry = next(e for e in before.ranges if e.start == 0x100000)
        address = (await memory._host_addresses(machine, (entry,)))[entry] + 5 * 2**20 + 17
        with Path(f"/proc/{machine.process.pid}/mem").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"\x01", address)
        for quick in (True, False):
            after = await memory.read(machine, tmp_path, like=before, quick=quick)
            assert after is not None
            assert memory.difference(before, after) == "pc.ram at 0x100000"
        assert after is not None and memory.difference(clean, after) == "pc.ram at 0x600000 (1 of its pages)"

    asyncio.run(_paused("x86_64", ("-M", "pc-q35-7.2", "-m", "64M", "-nodefaults", "-S"), look, tmp_path))


@pytest.mark.parametrize("why", ["no such file", "merged"])
def test_where_we_may_not_look_qemu_is_asked(run: Smoke, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    saved = []
    original = Qemu.ask

    async def ask(self: Qemu, command: str, **arguments: object) -> object:
        saved.append(command)
        return await original(self, command, **arguments)

    def refused(*_: object) -> None:
        raise PermissionError(why)

    monkeypatch.setattr(Qemu, "ask", ask)
    if why == "merged":
        monkeypatch.setattr(memory, "_merged", lambda: True)
    else:
        monkeypatch.setattr(memory, "_Mapped", refused)
    assert run().outcome is Outcome.PASS
    assert saved.count("pmemsave") >= 4


@pytest.mark.parametrize("profile", [BARE, RAN], ids=lambda profile: profile.name)
@pytest.mark.parametrize("method", ["precopy", "ping-pong", "postcopy"])
def test_damaged_memory_is_silent_corruption(
    run: Smoke, monkeypatch: pytest.MonkeyPatch, profile: Profile, method: str
) -> None:
    """A byte of the destination is changed behind QEMU's back, as a lost page would."""
    original = Scene.check

    async def damage(self: Scene) -> None:
        text = await self.destination.monitor("gpa2hva 0x2000000")
        address = int(text.split()[-1], 16)
        with Path(f"/proc/{self.destination.process.pid}/mem").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"\x55", address)
        await original(self)

    monkeypatch.setattr(Scene, "check", damage)
    seen = run(profile, method=method, destination=second(), direction="forward")
    assert seen.outcome is Outcome.SILENT
    assert seen.signature == Signature("memory", "pc.ram")
    assert "memory differs after the migration: pc.ram at 0x" in seen.message


def test_flat_views_as_releases_print_them() -> None:
    text = (
        'FlatView #0\n AS "I/O", root: io\n Root memory region: io\n'
        "  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\n\n"
        'FlatView #1\n AS "memory", root: system\n AS "cpu-memory-0", root: system\n Root memory region: system\n'
        "  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM\n"
        "  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\n"
        "  00000000000c0000-00000000000c0fff (prio 1, rom): pc.ram @00000000000c0000\r\n"
        "  0000000000100000-0000000000100fff (prio -1, ram): other name @0000000000000800 KVM\n\n"
        'FlatView #2\n AS "cpu-smm-0", root: memory\n  0000000000000000-0000000000000fff (prio 0, ram): smram\n'
    )
    assert parse_mtree(text) == (
        Range(0, 0xA0000, "pc.ram", 0),
        Range(0xC0000, 0x1000, "pc.ram", 0xC0000),
        Range(0x100000, 0x1000, "other name", 0x800),
    )
    assert parse_mtree("") == parse_mtree("memory\n  0000-ffff (prio 0, ram): x\n") == ()


def test_pages_that_hold_nothing_do_not_count() -> None:
    entry = Range(0, 4 * PAGE, "r", 0)
    text = bytes(PAGE) + b"\x01" * PAGE + bytes(PAGE) + b"\x02"
    ((numbers, contents),) = memory._nonzero(0, iter((text,)))
    assert numbers == (1).to_bytes(8) + (3).to_bytes(8)
    assert contents == b"\x01" * PAGE + b"\x02".ljust(PAGE, b"\0")
    assert list(memory._nonzero(7, iter((bytes(3 * PAGE),)))) == []

    def digest(*chunks: bytes) -> Memory:
        return memory._digest((entry,), lambda _: memory._nonzero(0, iter(chunks)))

    whole = digest(text)
    assert digest(text[:PAGE], text[PAGE : 3 * PAGE], text[3 * PAGE :]) == whole  # cut anywhere
    for other in (text[PAGE:], bytes(PAGE) + text, text[:-1] + b"\x03"):
        assert memory.difference(whole, digest(other)) == "r at 0x0"
