"""Words of what two binaries are compared by: what a QEMU looks like for a case, and in what two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bot.model.smoke import Case, Sha

Named = Mapping[str, Mapping[str, str]]
"""Owner (a RAM block, device type, section, ...) to its names (a property, field, register, ...) and their values."""


class Area(StrEnum):
    """Where a trait is seen, what bears on a migration most first."""

    MACHINE = "machine"  # query-machines: default CPU type and the like
    RAM = "ram"  # info ramblock
    SENT_RAM = "sent-ram"  # RAM blocks in the stream
    PCI = "pci"  # registers of PCI configuration, in the stream
    SENT = "sent"  # sections and fields in the stream
    PROPERTIES = "properties"  # of the machine, its processor and its devices
    COMPAT = "compat"  # compat properties of the machine type
    OBJECTS = "objects"  # types that are there, and names of what they hold
    KNOWN = "known"  # what -dump-vmstate says of all device types


@dataclass(frozen=True, slots=True)
class Traits:
    """What a QEMU looks like when it is started for a case and no guest code has run.

    Nothing but texts in mappings, so that JSON holds it. `missing` says of each area that could not be had, why.
    """

    areas: Mapping[str, Named] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inspect:
    """Job: build the commit and look at its binary as it is started for the case."""

    commit: Sha
    case: Case


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came of `Inspect`; without traits if the commit does not build."""

    commit: Sha
    case: Case
    traits: Traits = field(default_factory=Traits)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two binaries differ. `name` is empty if the whole owner is on one side only.

    `before` is the good end's value, `after` the bad end's; None where it has none.
    """

    area: str
    owner: str
    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.owner, self.name)))
        return f"{self.area}: {what}: {_shown(self.before)} -> {_shown(self.after)}"


def _shown(value: str | None) -> str:
    return "none" if value is None else value or "there"
