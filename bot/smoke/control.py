"""The control run: the same binary starts, answers and quits without any migration.

What it prints is not the migration's doing, and whether it starts tells a lost machine from one that never worked.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.core.signature import is_warning, normalise
from bot.model import Binary, Inventory, Sandbox
from bot.smoke.argv import side
from bot.smoke.confine import confined
from bot.smoke.inspect import inspect
from bot.smoke.qemu import Gone, Refused, qemu

_QUIT = 5.0  # seconds for `quit` to be obeyed


@dataclass(frozen=True, slots=True)
class Control:
    """`lines` is what it printed, normalised; `stderr` the same verbatim."""

    started: bool
    lines: frozenset[str]
    stderr: str

    def unexpected(self, stderr: str) -> str:
        """The lines of stderr that this run did not print."""
        return "\n".join(line for line in stderr.splitlines() if normalise(line) not in self.lines)


class Controls:
    """Control runs and inventories, each made once per binary (by hash) and command line. Safe to share by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._controls: dict[tuple[object, ...], Control] = {}
        self._inventories: dict[tuple[object, ...], Inventory] = {}

    def inventory(self, binary: Binary, stop: threading.Event | None = None) -> Inventory:
        """`inspect(binary)`, remembered; raises what that raises."""
        key = (binary.path, binary.sha256)
        with self._lock:
            known = self._inventories.get(key)
        if known is None:
            known = inspect(binary, stop=stop)
            with self._lock:
                self._inventories[key] = known
        return known

    async def control(
        self, binary: Binary, common: Sequence[str], extra: Sequence[str], run: float, directory: Path, deadline: float,
        *, again: bool = False,
    ) -> Control:  # fmt: skip
        """The control run of a command line, as `argv.side` takes it apart; the guest runs for `run` seconds.

        `directory` is where the socket goes and what {dir} stands for; `deadline` the seconds it may take in all.
        `again` makes a fresh one whatever is known; what either printed counts as expected from then on.
        """
        key = (binary.sha256, binary.data_dir, tuple(common), tuple(extra), run)
        with self._lock:
            known = self._controls.get(key)
        if known is None or again:
            argv = side(binary, common, extra, str(directory))
            box = confined(binary, argv, directory)
            fresh = await _control(argv, run, directory / "c", deadline, box)
            known = fresh if known is None else replace(fresh, lines=fresh.lines | known.lines)
            with self._lock:
                self._controls[key] = known
        return known


async def _control(argv: Sequence[str], run: float, socket: Path, deadline: float, sandbox: Sandbox | None) -> Control:
    started = False
    async with qemu("control", argv, socket, asyncio.get_running_loop().time(), sandbox=sandbox) as machine:
        try:
            async with asyncio.timeout(deadline + run):
                await machine.connect()
                await machine.query_status()
                if run:
                    await asyncio.wait({asyncio.ensure_future(machine.process.exited.wait())}, timeout=run)
                    await machine.query_status()
                started = True
                async with asyncio.timeout(_QUIT):
                    await machine.ask("quit")
                    await machine.process.exited.wait()
        except (Gone, Refused, TimeoutError):
            pass  # how far it came is all that is asked
    stderr = machine.process.text()
    return Control(started, frozenset(normalise(line) for line in set(stderr.splitlines())), stderr)


def alarming(stderr: str) -> bool:
    """Whether there is any line that is neither empty nor a warning: worth a control run."""
    return any(line.strip() and not is_warning(line) for line in stderr.splitlines())
