"""One smoke of one case: the function that everything above calls."""

from __future__ import annotations

import threading
from pathlib import Path

from bot.core import matrix
from bot.errors import UserError
from bot.model import Binary, Case, Direction, Inventory, Observation, Outcome, Profile, Signature, SmokeSettings
from bot.smoke.control import Controls
from bot.smoke.migration import migrate
from bot.smoke.script import run_script


def smoke(
    case: Case,
    profile: Profile,
    source: Binary,
    destination: Binary,
    settings: SmokeSettings,
    *,
    controls: Controls | None = None,
    scratch: Path,
    stop: threading.Event | None = None,
) -> Observation:
    """Run the case once, from source to destination, and say what was seen.

    By the direction one of the two binaries is the commit's and the other the baseline's (for `same` both are the
    commit's). `controls` is shared between smokes so that inventories and control runs are made once; None: a new one.
    `scratch` is a directory on disk, made if needed; nothing of the run stays in it. May be called from several threads
    at once.

    Raises `UserError` if a binary or the script cannot be run at all, `Stopped` if `stop` was set, `InfraError` if the
    machine has no directory, socket or process for us. What QEMU does is never an exception.
    """
    if settings.script:
        return run_script(settings.script, case, source, destination, settings, scratch, stop)
    controls = controls or Controls()
    missing = _missing(case, source, destination, controls, stop)
    if missing is not None:
        return missing
    return migrate(case, profile, source, destination, settings, controls, scratch, stop)


def _missing(
    case: Case, source: Binary, destination: Binary, controls: Controls, stop: threading.Event | None
) -> Observation | None:
    """The observation of a machine type that one of the binaries does not have (or only as an alias)."""
    for binary, is_commit in (
        (source, case.direction is not Direction.FORWARD),
        (destination, case.direction is not Direction.BACKWARD),
    ):
        try:
            inventory = controls.inventory(binary, stop)
        except UserError:
            if not is_commit:
                raise
            return None  # a commit whose QEMU does not even answer: how it fails is for the run to see
        if any(m.name == case.machine for m in inventory.machines):
            continue
        lost = case.direction is not Direction.SAME and is_commit and matrix.gone_early(case.machine, inventory)
        return Observation(
            Outcome.TYPE_GONE if lost else Outcome.UNTESTABLE,
            Signature("type-gone", detail=case.machine) if lost else None,
            _absence(case.machine, binary, inventory),
        )
    return None


def _absence(machine: str, binary: Binary, inventory: Inventory) -> str:
    alias = matrix.find(inventory, machine)
    hint = f"; {machine} is its alias of {alias.name}" if alias is not None else ""
    return f"{binary.path} ({inventory.version}) has no machine type {machine}{hint}"
