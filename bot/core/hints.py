"""What the static second opinion says: things that differ between two QEMUs, for a person to judge. Never a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.core.matrix import version_key


class Effect(StrEnum):
    """Which direction of a migration the difference may break."""

    FORWARD = "forward"  # old to new
    BACKWARD = "backward"  # new to old
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Hint:
    """One difference between an old and a new QEMU. `effect` is None where nothing says that it does harm."""

    kind: str  # "ram-block", "section", "field", ...
    machine: str  # machine type; empty: not of one
    section: str  # section, device type or RAM block
    detail: str  # a phrase
    effect: Effect | None = None

    def __str__(self) -> str:
        where = " ".join(f"{part}:" for part in (self.machine, self.section) if part)
        harm = f"({HARM[self.effect]})" if self.effect else ""
        return " ".join(filter(None, (where, self.detail, harm)))


HARM = {
    Effect.BOTH: "may break both directions",
    Effect.FORWARD: "may break forward",
    Effect.BACKWARD: "may break backward",
}
_ORDER = {Effect.BOTH: 0, Effect.FORWARD: 1, Effect.BACKWARD: 2, None: 3}


def fold(hints: Iterable[Hint]) -> tuple[tuple[Hint, tuple[str, ...]], ...]:
    """Equal hints of several machine types as one with these types, what may do harm first; its `machine` is empty."""
    types: dict[Hint, list[str]] = {}
    for hint in hints:
        types.setdefault(replace(hint, machine=""), []).append(hint.machine)
    order = sorted(types, key=lambda hint: (_ORDER[hint.effect], hint.kind, hint.section, hint.detail))
    return tuple((hint, tuple(sorted(filter(None, set(types[hint])), key=version_key))) for hint in order)
