"""What one QEMU sends: the stream of a guest that has not run, saved and not loaded by anybody."""

from __future__ import annotations

import asyncio
import shlex
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot.core.signature import root_cause
from bot.model import Binary
from bot.smoke.argv import Common, side
from bot.smoke.migration import directories
from bot.smoke.qemu import Gone, Qemu, Refused, qemu
from bot.smoke.until import until_stopped

_POLL = 0.02  # seconds between looks; saving takes 0.1
_ENDED = ("failed", "cancelled")


class NotSaved(Exception):
    """This QEMU saved no stream; the text says why, in its own words where it has any."""


class _NotStarted(Exception):
    """It did not come as far as to be asked."""


def save(binary: Binary, common: Common, scratch: Path, stop: threading.Event | None = None) -> bytes:
    """The stream that a QEMU sends when started so: by `migrate exec:cat`, which all QEMUs have.

    A board that does not accept the configured memory is tried again without -m. Nothing stays in `scratch`. Raises
    `NotSaved` if there is none, `UserError` if the binary cannot be executed, `Stopped` if `stop` was set, `InfraError`
    if the machine has no directory or process for us.
    """
    with directories(scratch) as (directory, sockets):
        try:
            return _once(binary, common, directory, sockets, stop)
        except _NotStarted:
            pass
        try:
            return _once(binary, replace(common, memory=False), directory, sockets, stop)
        except _NotStarted as error:
            raise NotSaved(str(error)) from error


def _once(binary: Binary, common: Common, directory: Path, sockets: Path, stop: threading.Event | None) -> bytes:
    argv = side(binary, common.arguments(), common.profile.source_args, str(directory))
    return asyncio.run(until_stopped(_save(argv, directory, sockets, common.settings.deadline), stop))


async def _save(argv: Sequence[str], directory: Path, sockets: Path, deadline: float) -> bytes:
    part, whole = directory / "part", directory / "stream"
    # The rename says that all is written, which the status does not.
    command = f"cat >{shlex.quote(str(part))} && mv {shlex.quote(str(part))} {shlex.quote(str(whole))}"
    async with qemu("source", argv, sockets / "s", asyncio.get_running_loop().time()) as machine:
        try:
            async with asyncio.timeout(deadline):
                await machine.connect()
                await machine.ask("migrate", uri=f"exec:{command}")
                await _written(machine, whole)
        except TimeoutError:
            raise NotSaved(f"no stream within {deadline:.0f} s") from None
        except Refused as error:
            raise NotSaved(str(error)) from error
        except Gone as error:
            await machine.process.drained()
            said = root_cause(machine.process.text()) or f"it ended with {machine.process.returncode}"
            raise (NotSaved if machine.connected else _NotStarted)(said) from error
        return whole.read_bytes()


async def _written(machine: Qemu, whole: Path) -> None:
    """Wait until the stream is in its file; raises `NotSaved` if the migration fails."""
    while not whole.exists():
        answer = await machine.ask("query-migrate")
        if answer.get("status") in _ENDED:
            said = answer.get("error-desc") or root_cause(machine.process.text())
            raise NotSaved(f"the migration {answer['status']}: {said or 'without a reason'}")
        await asyncio.sleep(_POLL)
