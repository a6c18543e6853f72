"""One smoke of one case: the function that everything above calls."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from bot.core import matrix
from bot.errors import UserError
from bot.model import Binary, Case, Direction, Inventory, Observation, Outcome, Profile, Signature, SmokeSettings
from bot.smoke.argv import Common
from bot.smoke.control import Controls
from bot.smoke.golden import Goldens
from bot.smoke.migration import directories, migrate
from bot.smoke.script import run_script
from bot.smoke.settle import Pair, settle
from bot.smoke.until import until_stopped


def smoke(
    case: Case,
    profile: Profile,
    source: Binary,
    destination: Binary,
    settings: SmokeSettings,
    *,
    controls: Controls | None = None,
    goldens: Goldens | None = None,
    scratch: Path,
    stop: threading.Event | None = None,
) -> Observation:
    """Run the case once, from source to destination, and say what was seen.

    By the direction one of the two binaries is the commit's and the other the baseline's (for `same` both are the
    commit's). `controls` is shared between smokes so that inventories and control runs are made once; None: a new one.
    `goldens` keeps streams of baselines, which then need not run again; None: both sides are live.
    `scratch` is a directory on disk, made if needed; nothing of the run stays in it. May be called from several threads
    at once.

    Raises `UserError` if a binary or the script cannot be run at all, `Stopped` if `stop` was set, `InfraError` if the
    machine has no directory, socket or process for us. What QEMU does is never an exception.
    """
    if settings.script:
        return run_script(settings.script, case, source, destination, settings, scratch, stop)
    controls = controls or Controls()
    pair = pair_of(case, profile, source, destination, settings, controls, stop)
    return _missing(pair) or migrate(pair, controls, scratch, stop, goldens)


def pair_of(
    case: Case,
    profile: Profile,
    source: Binary,
    destination: Binary,
    settings: SmokeSettings,
    controls: Controls,
    stop: threading.Event | None = None,
) -> Pair:
    """The case with what both binaries say of themselves.

    A commit whose QEMU does not even answer says nothing: how it fails is for the run to see. Raises `UserError` for a
    baseline that does not.
    """
    says = []
    for binary, is_commit in (
        (source, case.direction is not Direction.FORWARD),
        (destination, case.direction is not Direction.BACKWARD),
    ):
        try:
            says.append(controls.inventory(binary, stop))
        except UserError:
            if not is_commit:
                raise
            says.append(_MUTE)
    return Pair(case, profile, source, destination, settings, *says)


def settled(
    case: Case,
    profile: Profile,
    source: Binary,
    destination: Binary,
    settings: SmokeSettings,
    *,
    controls: Controls,
    scratch: Path,
    stop: threading.Event | None = None,
) -> Common:
    """What both sides of the case are started with, as `smoke` would; raises what that raises."""
    pair = pair_of(case, profile, source, destination, settings, controls, stop)
    with directories(scratch) as (_, sockets):
        return asyncio.run(until_stopped(settle(pair, controls, sockets), stop)).common


_MUTE = Inventory("", "", ())


def _missing(pair: Pair) -> Observation | None:
    """The observation of a machine type that one of the binaries does not have (or only as an alias)."""
    case = pair.case
    for binary, inventory, is_commit in (
        (pair.source, pair.source_says, case.direction is not Direction.FORWARD),
        (pair.destination, pair.destination_says, case.direction is not Direction.BACKWARD),
    ):
        if inventory is _MUTE or any(m.name == case.machine for m in inventory.machines):
            continue
        lost = case.direction is not Direction.SAME and is_commit and matrix.gone_early(case.machine, inventory)
        return Observation(
            Outcome.TYPE_GONE if lost else Outcome.UNTESTABLE,
            Signature("type-gone", detail=case.machine) if lost else None,
            _absence(case.machine, binary, inventory),
            releases=(pair.source_says.release, pair.destination_says.release),
        )
    return None


def _absence(machine: str, binary: Binary, inventory: Inventory) -> str:
    alias = matrix.find(inventory, machine)
    hint = f"; {machine} is its alias of {alias.name}" if alias is not None else ""
    return f"{binary.path} ({inventory.version}) has no machine type {machine}{hint}"
