"""Which machine types a branch lost: a table of histories."""

from __future__ import annotations

import pytest

from bot.core.lost import Lost, lost
from bot.model import Inventory, MachineType

T, OTHER = "x86_64-softmmu", "ppc64-softmmu"
A, B, C, D = "abcd"


def has(*names: str, version: str = "10.1.50") -> Inventory:
    """A name with a ! is deprecated."""
    machines = (MachineType(n.strip("!"), versioned=True, deprecated=n.endswith("!")) for n in names)
    return Inventory("x86_64", version, tuple(machines))


TABLE: dict[str, tuple[list[tuple[str, dict[str, Inventory]]], list[Lost]]] = {
    "nothing is known": ([], []),
    "nothing went": ([(A, {T: has("pc-q35-4.2", "pc-q35-9.2")}), (B, {T: has("pc-q35-4.2", "pc-q35-9.2")})], []),
    "one went, deprecated": (
        [(A, {T: has("pc-q35-4.2!", "pc-q35-9.2")}), (B, {T: has("pc-q35-9.2")})],
        [Lost(T, "pc-q35-4.2", A, B, deprecated=True, early=False)],
    ),
    "deprecated meanwhile": (
        [
            (A, {T: has("pc-q35-4.2", "pc-q35-9.2")}),
            (B, {T: has("pc-q35-4.2!", "pc-q35-9.2")}),
            (C, {T: has("pc-q35-9.2")}),
            (D, {T: has("pc-q35-9.2")}),
        ],
        [Lost(T, "pc-q35-4.2", B, C, deprecated=True, early=False)],
    ),
    "too early": (
        [(A, {T: has("pc-q35-9.1", "pc-q35-9.2")}), (B, {T: has("pc-q35-9.2")})],
        [Lost(T, "pc-q35-9.1", A, B, deprecated=False, early=True)],
    ),
    "it came back": ([(A, {T: has("pc-q35-9.1")}), (B, {T: has()}), (C, {T: has("pc-q35-9.1")})], []),
    "a tip that was not built": (
        [(A, {T: has("pc-q35-4.2"), OTHER: has("pseries-4.2")}), (B, {OTHER: has("pseries-4.2")}), (C, {T: has()})],
        [Lost(T, "pc-q35-4.2", A, C, deprecated=False, early=False)],
    ),
    "by version": (
        [(A, {T: has("pc-q35-2.12", "pc-q35-2.9", "pc-q35-9.2")}), (B, {T: has("pc-q35-9.2")})],
        [Lost(T, f"pc-q35-2.{minor}", A, B, deprecated=False, early=False) for minor in (9, 12)],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_lost(case: str) -> None:
    tips, wanted = TABLE[case]
    assert lost(tips) == tuple(wanted)
