"""Machine types that a branch no longer has: their cases went with them, and nothing fails for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.core.matrix import gone_early, version_key
from bot.model import Inventory, Sha


@dataclass(frozen=True, slots=True)
class Lost:
    """A machine type that tips had until `last`, and have not since `since`. `deprecated`: that binary called it so.
    `early`: it went before the deletion rule allows it, so its cases are still run, and fail (`gone_early`)."""

    target: str
    machine: str
    last: Sha
    since: Sha
    deprecated: bool
    early: bool


def lost(tips: Iterable[tuple[Sha, Mapping[str, Inventory]]]) -> tuple[Lost, ...]:
    """What a branch lost, given its tips, oldest first, and what their binaries say of themselves, by target.

    A tip that was not built for a target says nothing of it; what came back is not lost.
    """
    had: dict[tuple[str, str], tuple[Sha, bool]] = {}
    gone: dict[tuple[str, str], Sha] = {}
    newest: dict[str, Inventory] = {}
    for sha, known in tips:
        for target, inventory in known.items():
            newest[target] = inventory
            names = {machine.name for machine in inventory.machines}
            for machine in inventory.machines:
                had[target, machine.name] = (sha, machine.deprecated)
                gone.pop((target, machine.name), None)
            for key in [key for key in had if key[0] == target and key[1] not in names]:
                gone.setdefault(key, sha)
    found = [
        Lost(target, name, *_last(had[target, name], since), early=gone_early(name, newest[target]))
        for (target, name), since in gone.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.target, version_key(one.machine))))


def _last(had: tuple[Sha, bool], since: Sha) -> tuple[Sha, Sha, bool]:
    last, deprecated = had
    return last, since, deprecated
