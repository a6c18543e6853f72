"""What a QEMU looks like when it is started for a case: asked over its monitors and by its own stream.

No guest code runs. Whatever it does not know, refuses, or dies of is an area that is missing, never an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.core import stream, traits, vmstate
from bot.core.signature import root_cause
from bot.errors import UserError
from bot.model import Area, Binary, Named, Traits
from bot.smoke.argv import Common
from bot.smoke.judge import Facts
from bot.smoke.migration import directories
from bot.smoke.plan import Method, Plan, alone
from bot.smoke.qemu import Qemu, Refused
from bot.smoke.scene import Scene, on_stage
from bot.smoke.settle import adapted
from bot.smoke.until import until_stopped
from bot.smoke.vmstate import NotDumped, dump_vmstate

_QUESTION = 10.0  # seconds for one of them; the longest takes 0.3
_LONGEST = 30.0  # seconds for all of a process; it takes about 1
_NOT_VALUES = ("child<", "link<")  # QOM properties that are other objects
_STREAM = (Area.SENT_RAM, Area.SENT, Area.PCI)
_HEX = re.compile(r"0x[0-9a-f]{9,}")  # addresses in this process


def look(
    binary: Binary, common: Common, extra: tuple[str, ...], scratch: Path, stop: threading.Event | None = None
) -> Traits:
    """The traits of a QEMU started with `common` and the arguments `extra` of its side of a case.

    Raises `Stopped` if `stop` was set, and `InfraError` if the machine has no directory or process for us; nothing
    stays in `scratch`.
    """
    common = replace(common, profile=replace(common.profile, run=0.0))
    try:
        found, missing = _started(binary, common, extra, scratch, stop)
    except UserError as error:
        return Traits(missing=dict.fromkeys(Area, str(error)))
    try:
        dump = vmstate.parse(dump_vmstate(binary, common.case.machine, scratch, stop=stop))
    except (NotDumped, vmstate.DumpError, UserError) as error:
        return Traits(found, missing | {Area.KNOWN: str(error)})
    return Traits(found | {Area.KNOWN: traits.described(dump)}, missing)


def _started(
    binary: Binary, common: Common, extra: tuple[str, ...], scratch: Path, stop: threading.Event | None
) -> tuple[dict[str, Named], dict[str, str]]:
    """What a process says, and what is missing; a board that does not start so is tried again as it wants."""
    with directories(scratch) as (directory, sockets):
        while True:
            plan = alone(binary, common, extra, min(common.settings.deadline, _LONGEST))
            seen = _Look()
            facts = asyncio.run(until_stopped(_play(seen, plan, directory, sockets), stop))
            other = adapted(common, facts) if facts.unstarted else None
            if other is None:
                return seen.areas, seen.missing | dict.fromkeys(_unseen(seen), _why(facts))
            common = other


def _unseen(seen: _Look) -> list[Area]:
    return [area for area in Area if area is not Area.KNOWN and area not in seen.areas and area not in seen.missing]


def _why(facts: Facts) -> str:
    if facts.refused is not None:
        return facts.refused[1]
    if facts.timed_out:
        return "it did not answer in time"
    return root_cause(facts.source.said) or ("it does not say" if facts.source.connected else "it did not start")


async def _play(seen: _Look, plan: Plan, directory: Path, sockets: Path) -> Facts:
    async with on_stage(plan, seen, directory, sockets) as scene:
        await seen.play(scene)
    return scene.facts()


class _Look(Method):
    """The source alone, asked before it saves its stream."""

    name = "look"

    def __init__(self) -> None:
        self.areas: dict[str, Named] = {}
        self.missing: dict[str, str] = {}

    async def play(self, scene: Scene) -> None:
        await scene.start_source()
        await self._ask(scene.source, str(scene.file(".").parent))
        await scene.prepare(self)
        await self.transfer(scene)

    async def transfer(self, scene: Scene) -> None:
        file = scene.file("look")
        if await scene.save(file):
            try:
                self.areas |= traits.sent(stream.read(file.read_bytes()))
            except stream.StreamError as error:
                self.missing |= dict.fromkeys(_STREAM, str(error))
            scene.finish()

    async def _ask(self, machine: Qemu, here: str) -> None:
        """Each question by itself: one that is refused leaves the others."""
        await self._area(Area.RAM, _monitor(machine, "info ramblock", traits.ram_blocks))
        await self._area(Area.OBJECTS, _monitor(machine, "info qom-tree", traits.object_tree))
        await self._area(Area.PROPERTIES, lambda: _properties(machine, here))
        await self._area(Area.MACHINE, lambda: self._machine(machine))

    async def _area(self, area: Area, question: Callable[[], Awaitable[Named]]) -> None:
        try:
            async with asyncio.timeout(_QUESTION):
                found = await question()
        except (Refused, LookupError, TypeError, ValueError, AttributeError) as error:
            self.missing[area] = str(error) if isinstance(error, Refused) else f"an answer of another kind: {error!r}"
        else:
            if found:
                self.areas[area] = found

    async def _machine(self, machine: Qemu) -> Named:
        """What query-machines says of the type that runs, with its compat properties where it tells them (9.1)."""
        try:
            listed = await machine.ask("query-machines", compat_props=True)
        except Refused:
            listed = await machine.ask("query-machines")
        kind = str(await machine.ask("qom-get", path="/machine", property="type")).removesuffix("-machine")
        for entry in listed:
            if entry["name"] == kind:
                facts, compat = traits.machine_facts(entry)
                if compat:
                    self.areas[Area.COMPAT] = compat
                return facts
        return {}


def _monitor(machine: Qemu, command: str, read: Callable[[str], Named]) -> Callable[[], Awaitable[Named]]:
    async def ask() -> Named:
        return read(await machine.monitor(command))

    return ask


async def _properties(machine: Qemu, here: str) -> Named:
    """Of devices as `info qtree` shows them; of the machine and its first processor, which are not in it, by QOM."""
    found = {
        owner: traits.plain(of.items(), here)
        for owner, of in traits.device_tree(await machine.monitor("info qtree")).items()
    }
    paths = ["/machine"]
    with contextlib.suppress(Refused):
        paths += [str(cpu["qom-path"]) for cpu in (await machine.ask("query-cpus-fast"))[:1]]
    for path in paths:
        found.update(await _object(machine, path, here))
    return found


async def _object(machine: Qemu, path: str, here: str) -> dict[str, dict[str, str]]:
    """One object's type and its properties that are plain values; some refuse to be read before they are set."""
    listed: list[dict[str, Any]] = await machine.ask("qom-list", path=path)
    values: dict[str, object] = {}
    for entry in listed:
        name = str(entry["name"])
        if not str(entry["type"]).startswith(_NOT_VALUES):
            try:
                values[name] = await machine.ask("qom-get", path=path, property=name)
            except Refused:
                values[name] = "-"
    kind = str(values.pop("type", path))
    return {kind: {name: _HEX.sub("0x", value) for name, value in traits.plain(values.items(), here).items()}}
