"""Whether cases can still be run, and what a person is told if none can: a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.stuck import There, able, why
from bot.model import Case, Direction, Inventory, MachineType, Sweep

T = "x86_64-softmmu"
OLD, MID, NEW = (f"pc-i440fx-{version}" for version in ("2.3", "2.4", "10.0"))
FORWARD = Case(T, NEW, "bare", Direction.FORWARD, "v10.0")
SAME = Case(T, NEW, "virtio")
THERE = There(
    targets=(T,),
    inventories={T: Inventory("x86_64", "10.1.50", (MachineType(NEW, versioned=True),))},
    profiles=("bare", "virtio", "old"),
    baselines=("v10.0",),
    exclude=("isa*",),
    parts=(
        Sweep(("bare",), (Direction.SAME, Direction.FORWARD)),
        Sweep(("virtio",), (Direction.SAME,), {"precopy": ("*",), "exec": ("b*",)}),
    ),
)

TABLE: dict[str, tuple[tuple[Case, ...], There, str]] = {
    "all can be run": ((FORWARD, SAME), THERE, ""),
    "one of two can": ((replace(FORWARD, machine=OLD), SAME), THERE, ""),
    "its machine type is deleted": ((replace(FORWARD, machine=OLD),), THERE, "pc-i440fx-2.3 is deleted"),
    "two are": (
        (replace(FORWARD, machine=OLD), replace(FORWARD, machine=MID)), THERE,
        "pc-i440fx-2.3, 2.4 (2 types) are deleted",
    ),
    "one went before its time, which is run to say so": ((replace(FORWARD, machine="pc-i440fx-9.2"),), THERE, ""),
    "alone it is not run": ((replace(SAME, machine="pc-i440fx-9.2"),), THERE, "pc-i440fx-9.2 is deleted"),
    "its target was not built": ((replace(FORWARD, machine=OLD),), replace(THERE, inventories={}), ""),
    "its target is not asked for": (
        (FORWARD,), replace(THERE, targets=("ppc64-softmmu",)), "x86_64-softmmu is none of `targets` any more",
    ),
    "its baseline is gone": (
        (FORWARD,), replace(THERE, baselines=("v10.1",)),
        "baseline v10.0 is none of `baselines` any more, and cannot be had",
    ),
    "its profile is gone": (
        (FORWARD,), replace(THERE, profiles=("virtio",)), "profile bare is none of `profiles` any more",
    ),
    "its machine type is left out": (
        (FORWARD,), replace(THERE, exclude=("pc-i440fx-1*",)), "pc-i440fx-10.0 is left out (`smoke.exclude`)",
    ),
    "no sweep has its profile": (
        (replace(FORWARD, profile="old"),), THERE, "old forward by precopy is in no sweep any more",
    ),
    "no sweep has its direction": (
        (replace(FORWARD, direction=Direction.BACKWARD),), THERE, "bare backward by precopy is in no sweep any more",
    ),
    "no sweep has its method for it": (
        (replace(SAME, method="exec"),), THERE, "virtio same by exec is in no sweep any more",
    ),
    "two reasons": (
        (replace(FORWARD, machine=OLD), replace(FORWARD, baseline="old")), THERE,
        "pc-i440fx-2.3 is deleted; baseline old is none of `baselines` any more, and cannot be had",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_why_none_can_be_run(case: str) -> None:
    cases, there, wanted = TABLE[case]
    assert why(cases, there) == wanted
    assert bool(able(cases, there)) == (wanted == "")


def test_those_that_can_be_run() -> None:
    assert able((replace(FORWARD, machine=OLD), SAME, FORWARD), THERE) == (SAME, FORWARD)
