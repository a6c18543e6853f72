"""What both sides are started with, settled by asking both binaries: the CPU, and which devices both can migrate.

A device that one of them does not have, or cannot migrate, is left out with the reason. Lists of such devices go stale
(nvme is blocked in 7.2 and not in 11.1), so each binary is started with -only-migratable (2.12 and later) and asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from bot.core.matrix import find, release
from bot.core.signature import root_cause
from bot.model import CPU_OF_THE_OLDER, Binary, Case, Device, Direction, Inventory, Profile, SmokeSettings
from bot.smoke.argv import Common, machine_options
from bot.smoke.control import Controls
from bot.smoke.judge import ABSENT, BLOCKED, Facts

_ONLY_MIGRATABLE = ("-only-migratable",)
_MEMORY = re.compile(r"RAM|[Mm]emory|\bram")
_NO_AUDIO = re.compile(r"no default audio driver available")
_TARGET_SUFFIX = re.compile(r"-[^-]+-cpu$")  # QOM calls power9_v2.0 power9_v2.0-powerpc64-cpu; -cpu takes the model


@dataclass(frozen=True, slots=True)
class Pair:
    """What a smoke is about: a case, its profile, who is on each side, and what each says of itself."""

    case: Case
    profile: Profile
    source: Binary
    destination: Binary
    settings: SmokeSettings
    source_says: Inventory
    destination_says: Inventory

    @property
    def alike(self) -> bool:
        """Whether both sides are one binary."""
        return self.source.sha256 == self.destination.sha256

    @property
    def culprits(self) -> frozenset[str]:
        """The processes that run the commit under test; `return` is the first source's binary again."""
        forward, backward = frozenset({"destination"}), frozenset({"source", "return"})
        return {Direction.FORWARD: forward, Direction.BACKWARD: backward}.get(self.case.direction, forward | backward)


@dataclass(frozen=True, slots=True)
class Settled:
    """`left_out` are devices with the reason; `broken` what the commit's side says of one that only it cannot start."""

    common: Common
    left_out: tuple[str, ...] = ()
    broken: tuple[Device, str] | None = None


async def settle(pair: Pair, controls: Controls, sockets: Path) -> Settled:
    """Settle a case for two binaries; control runs that this takes are made once per binary and command line."""
    case = pair.case
    common = Common(case, pair.profile, pair.settings, cpu=_cpu(pair))
    wanted = tuple(d for d in pair.profile.devices if any(fnmatchcase(case.machine, p) for p in d.machines))
    if not wanted:
        return Settled(common)
    reasons: dict[str, Mapping[Device, str]] = {}
    sides = (("source", pair.source, pair.source_says), ("destination", pair.destination, pair.destination_says))
    for name, binary, says in sides:
        if pair.alike and reasons:
            reasons[name] = reasons["source"]
        else:
            reasons[name] = await _unfit(binary, says, common, wanted, controls, sockets)
    unfit = {device: (name, why) for name, found in reasons.items() for device, why in found.items()}
    fit = tuple(device for device in wanted if device not in unfit)
    left_out = tuple(f"{device.name} ({name}: {why})" for device, (name, why) in unfit.items())
    return Settled(replace(common, devices=fit), left_out, _broken(case, reasons))


def _broken(case: Case, reasons: Mapping[str, Mapping[Device, str]]) -> tuple[Device, str] | None:
    """A device that the baseline starts with and the commit does not, though it has it: a regression, not a gap."""
    if case.direction is Direction.SAME:
        return None
    mine, theirs = ("destination", "source") if case.direction is Direction.FORWARD else ("source", "destination")
    for device, why in reasons[mine].items():
        if device not in reasons[theirs] and not ABSENT.search(why) and not BLOCKED.search(why):
            return device, why
    return None


async def _unfit(
    binary: Binary, says: Inventory, common: Common, wanted: tuple[Device, ...], controls: Controls, sockets: Path
) -> dict[Device, str]:
    """The devices that a binary does not have, cannot start or cannot migrate, and why; all, then one by one."""
    have = says.devices
    found = {device: "no such device" for device in wanted if have and device.name not in have}
    present = tuple(device for device in wanted if device not in found)
    if await _starts(binary, replace(common, devices=present), controls, sockets) is None:
        return found
    if await _starts(binary, common, controls, sockets) is not None:
        return found  # the machine itself does not start so: its devices cannot be told apart
    for device in present:
        why = await _starts(binary, replace(common, devices=(device,)), controls, sockets)
        if why is not None:
            found[device] = why
    return found


def adapted(common: Common, facts: Facts) -> Common | None:
    """What to start with instead, by what a side says that did not start; None if there is nothing else to try."""
    said = "\n".join(side.stderr for side in facts.unstarted if side.returncode)
    if common.memory and _MEMORY.search(said):
        return replace(common, memory=False)
    if not common.audio and _NO_AUDIO.search(said):
        return replace(common, audio=True)
    return None


async def _starts(binary: Binary, common: Common, controls: Controls, sockets: Path) -> str | None:
    """None if the binary starts with these arguments and -only-migratable, else what it says."""
    deadline = common.settings.deadline
    control = await controls.control(binary, common.arguments(), _ONLY_MIGRATABLE, 0.0, sockets, deadline)
    if control.started:
        return None
    return re.sub(r"^\S+: (?=-)", "", root_cause(control.stderr)) or "does not start"


def _cpu(pair: Pair) -> str | None:
    """The -cpu of both sides; by `CPU_OF_THE_OLDER` only where the binaries differ, for each knows its own default."""
    cpu = next((entry.cpu for entry in machine_options(pair.case, pair.settings) if entry.cpu), None)
    if cpu != CPU_OF_THE_OLDER:
        return cpu
    if pair.alike:
        return None
    older = min((pair.source_says, pair.destination_says), key=lambda says: release(says.version))
    machine = find(older, pair.case.machine)
    return _TARGET_SUFFIX.sub("", machine.default_cpu) if machine and machine.default_cpu else None
