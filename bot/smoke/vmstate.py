"""`-dump-vmstate`: what a QEMU says of its devices' state, without a guest or a migration."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from bot.core.signature import root_cause
from bot.host.process import run
from bot.model import Binary
from bot.smoke.argv import firmware
from bot.smoke.confine import confined
from bot.smoke.migration import directories

_DEADLINE = 60.0  # seconds; it takes 0.1, and 2 where modules are loaded


class NotDumped(Exception):
    """This QEMU gave no dump; the text says how it ended, in its own words where it has any."""


def dump_vmstate(
    binary: Binary, machine: str, scratch: Path, arguments: Sequence[str] = (), stop: threading.Event | None = None
) -> str:
    """The dump of a machine type, as `core.vmstate.parse` takes it; nothing stays in `scratch`.

    Raises `NotDumped` if the QEMU ends otherwise, `UserError` if it cannot be executed, `Stopped` if `stop` was set,
    `InfraError` if the machine has no directory or process for us.
    """
    with directories(scratch) as (directory, _):
        path = directory / "vmstate.json"
        argv = [
            str(binary.path), *firmware(binary), "-display", "none", "-nodefaults", "-M", machine, *arguments,
            "-dump-vmstate", str(path),
        ]  # fmt: skip
        done = run(argv, timeout=_DEADLINE, stop=stop, sandbox=confined(binary, argv, directory))
        if not done.ok:
            how = "it did not end" if done.timed_out else f"it ended with {done.returncode}"
            raise NotDumped(f"{how}: {root_cause(done.output) or 'it said nothing'}")
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
