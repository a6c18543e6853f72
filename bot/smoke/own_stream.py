"""What one QEMU sends: the stream of a guest that has not run, saved and not loaded by anybody."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from bot.core.signature import root_cause
from bot.model import Binary
from bot.smoke.argv import Common
from bot.smoke.judge import Facts
from bot.smoke.migration import directories
from bot.smoke.plan import alone
from bot.smoke.saved import save as save_stream
from bot.smoke.settle import adapted
from bot.smoke.until import until_stopped


class NotSaved(Exception):
    """This QEMU saved no stream; the text says why, in its own words where it has any."""


def save(binary: Binary, common: Common, scratch: Path, stop: threading.Event | None = None) -> bytes:
    """The stream that a QEMU sends when started so: by `migrate exec:cat`, which all QEMUs have.

    A board that does not start so is tried again as it wants. Nothing stays in `scratch`. Raises
    `NotSaved` if there is none, `UserError` if the binary cannot be executed, `Stopped` if `stop` was set, `InfraError`
    if the machine has no directory or process for us.
    """
    with directories(scratch) as (directory, sockets):
        while True:
            deadline = common.settings.deadline + common.profile.run
            plan = alone(binary, common, common.profile.source_args, deadline)
            saved = asyncio.run(until_stopped(save_stream(plan, directory, sockets), stop))
            if saved.whole:
                return saved.file.read_bytes()
            other = adapted(common, saved.facts)
            if other is None:
                break
            common = other
    raise NotSaved(_why(saved.facts, common.settings.deadline))


def _why(facts: Facts, deadline: float) -> str:
    """The reason in the source's own words where it has any."""
    source = facts.source
    if facts.refused is not None:
        return facts.refused[1]
    if facts.timed_out:
        return f"no stream within {deadline:.0f} s"
    said = root_cause(source.said)
    if source.migration in ("failed", "cancelled"):
        return f"the migration {source.migration}: {said or 'without a reason'}"
    return said or f"it ended with {source.returncode}"
