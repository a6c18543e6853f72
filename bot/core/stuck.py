"""Whether cases can still be run at a branch's tip, and why not if none can.

A regression is followed by its cases. Months later their machine type may be deleted, and the configuration may have
lost their baseline, profile or target: then nobody runs them any more, and a person has to know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bot.core.matrix import gone_early, machine_ranges, sweeps
from bot.model import Case, Direction, Inventory, Sweep


@dataclass(frozen=True, slots=True)
class There:
    """What there is to run cases with. `inventories`: what the tip's binaries say of themselves, by target, as far as
    they were built. `baselines`: those of the configuration, and those that can be had all the same. `parts`: the
    sweeps."""

    targets: Collection[str]
    inventories: Mapping[str, Inventory]
    profiles: Collection[str]
    baselines: Collection[str]
    exclude: Sequence[str]
    parts: Sequence[Sweep]


def able(cases: Iterable[Case], there: There) -> tuple[Case, ...]:
    """The cases that can be run. A target that was not built now may be again."""
    return tuple(case for case in cases if _lacking(case, there) is None)


def why(cases: Iterable[Case], there: There) -> str:
    """Why none of the cases can be run, as phrases; "": one can."""
    found: dict[str, list[str]] = {}
    for case in cases:
        what = _lacking(case, there)
        if what is None:
            return ""
        found.setdefault(what, []).append(_NAMES[what](case))
    return "; ".join(_said(what, list(dict.fromkeys(names))) for what, names in found.items())


def _lacking(case: Case, there: There) -> str | None:
    """What is wrong with the first thing that a case lacks."""
    inventory = there.inventories.get(case.target)
    if case.target not in there.targets:
        return _TARGET
    if inventory is not None and _deleted(case, inventory):
        return _MACHINE
    if any(fnmatchcase(case.machine, pattern) for pattern in there.exclude):
        return _EXCLUDED
    if case.profile not in there.profiles:
        return _PROFILE
    if case.baseline is not None and case.baseline not in there.baselines:
        return _BASELINE
    return None if any(sweeps(part, case) for part in there.parts) else _SWEEP


def _deleted(case: Case, inventory: Inventory) -> bool:
    """Whether a binary lacks the case's machine type, and is not run with it to show that it should have it."""
    missed = case.direction is not Direction.SAME and gone_early(case.machine, inventory)
    return not missed and all(machine.name != case.machine for machine in inventory.machines)


_TARGET = "none of `targets` any more"
_MACHINE = "deleted"
_EXCLUDED = "left out (`smoke.exclude`)"
_PROFILE = "none of `profiles` any more"
_BASELINE = "none of `baselines` any more, and cannot be had"
_SWEEP = "in no sweep any more"

_NAMES: Mapping[str, Callable[[Case], str]] = {
    _TARGET: lambda case: case.target,
    _MACHINE: lambda case: case.machine,
    _EXCLUDED: lambda case: case.machine,
    _PROFILE: lambda case: f"profile {case.profile}",
    _BASELINE: lambda case: f"baseline {case.baseline}",
    _SWEEP: lambda case: f"{case.profile} {case.direction} by {case.method}",
}


def _said(what: str, names: Sequence[str]) -> str:
    folded = machine_ranges(names, names) if what in (_MACHINE, _EXCLUDED) else names
    return f"{', '.join(folded)} {'is' if len(names) == 1 else 'are'} {what}"
