"""What is played on a scene: who migrates to whom, and by which method."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bot.model import Binary, Inventory
from bot.smoke.argv import Common
from bot.smoke.guest import Guest

if TYPE_CHECKING:
    from bot.smoke.scene import Scene


class Untestable(Exception):
    """This cannot be tried with these binaries on this host; the text says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who migrates to whom, with which arguments ({dir} still in them)."""

    machine: str
    source: Binary
    destination: Binary
    common: tuple[str, ...]
    source_args: tuple[str, ...]
    destination_args: tuple[str, ...]
    run: float  # seconds that the guest runs before
    deadline: float  # seconds for all of it
    source_says: Inventory
    destination_says: Inventory
    guest: Guest | None = None
    kvm: bool = False


_MUTE = Inventory("", "", ())  # nothing to ask: no limit stands in the way of a stream this small


def alone(binary: Binary, common: Common, extra: tuple[str, ...], deadline: float) -> Plan:
    """A plan for a source that nobody waits for."""
    return Plan(
        machine=common.case.machine,
        source=binary,
        destination=binary,
        common=tuple(common.arguments()),
        source_args=extra,
        destination_args=(),
        run=common.profile.run,
        deadline=deadline,
        source_says=_MUTE,
        destination_says=_MUTE,
    )


class Method(abc.ABC):
    """A way to migrate. `capabilities` are needed on both sides, each by its names, the newest first."""

    name: ClassVar[str]
    capabilities: ClassVar[tuple[tuple[str, ...], ...]] = ()
    arguments: ClassVar[tuple[str, ...]] = ()  # for both sides
    autostart: ClassVar[bool] = False  # the destination of a running guest goes on by itself
    late: ClassVar[bool] = False  # the destination starts when the source has left
    stands: ClassVar[bool] = False  # the guest is stopped before
    takes_state: ClassVar[bool] = True  # the destination takes over the source's runstate

    def lacks(self, source: Inventory, destination: Inventory) -> str | None:
        """Why the method cannot be used between two binaries, in words; None if it can."""
        for names in self.capabilities:
            mine, theirs = (known(names, inventory) for inventory in (source, destination))
            if mine is None or theirs is None:
                who = source if mine is None else destination
                return f"{who.version} does not know {names[0]}"
            if mine != theirs:
                return f"{source.version} calls it {mine}, {destination.version} {theirs}: they do not speak the same"
        return None

    async def play(self, scene: Scene) -> None:
        """All of it; raises `Gone`, `Refused`, `Untestable`, and TimeoutError by the deadline around it."""
        await scene.start()
        await scene.prepare(self)
        await self.transfer(scene)
        await scene.check()

    @abc.abstractmethod
    async def transfer(self, scene: Scene) -> None:
        """Bring the guest from `scene.source` to `scene.destination`, and wait until neither has more to tell."""


def known(names: Sequence[str], inventory: Inventory) -> str | None:
    return next((name for name in names if name in inventory.capabilities), None)
