"""What a QEMU says of itself: its release, its target and its machine types, asked over QMP and never guessed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path

from bot.core import matrix
from bot.core.signature import root_cause
from bot.errors import UserError
from bot.model import Binary, Inventory, MachineType
from bot.smoke.argv import firmware
from bot.smoke.confine import confined
from bot.smoke.qemu import Gone, Qemu, Refused, qemu
from bot.smoke.until import until_stopped

_DEADLINE = 30.0  # seconds for a QEMU without a machine to start and answer; it takes 0.1


def identify(path: str | Path, *, data_dir: Path | None = None, name: str = "") -> Binary:
    """The executable at path (or of that name in PATH) with the hash of its bytes.

    A script's bytes do not say what it runs, wrappers of two releases may be alike: its path is hashed too. Raises
    `UserError` if there is none, or it may not be executed.
    """
    found = shutil.which(path)
    if found is None:
        why = "is not executable" if Path(path).is_file() else "no such file"
        raise UserError(f"{path}: {why}; give the path of a qemu-system-* executable")
    place = Path(found).absolute()
    try:
        stat = place.stat()
        digest = _digest(place, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise UserError(f"{place}: cannot be read: {error.strerror}") from error
    return Binary(place, digest, data_dir=data_dir, name=name or place.name)


@cache
def _digest(place: Path, _mtime: int, _size: int) -> str:
    """sha256 of an executable, read anew only if it changed."""
    with place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        file.seek(0)
        if file.read(2) == b"#!":
            digest.update(os.fsencode(place))
    return digest.hexdigest()


def inspect(binary: Binary, *, stop: threading.Event | None = None) -> Inventory:
    """Start the binary without a machine and ask it. Works for every QEMU since 2.12 (and takes 0.1 s).

    Raises `UserError` if it is missing, not executable, not a QEMU, or ends or hangs before it has answered; `Stopped`
    if `stop` was set.
    """
    if not binary.path.is_file() or not os.access(binary.path, os.X_OK):
        why = "is not executable" if binary.path.exists() else "no such file"
        raise UserError(f"{binary.path}: {why}; give the path of a qemu-system-* executable")
    with tempfile.TemporaryDirectory(prefix="bot-") as directory:
        return asyncio.run(until_stopped(_inspect(binary, Path(directory)), stop))


async def _inspect(binary: Binary, directory: Path) -> Inventory:
    argv = [str(binary.path), "-display", "none", "-nodefaults", "-M", "none", *firmware(binary)]
    began = asyncio.get_running_loop().time()
    box = confined(binary, argv, directory)
    async with qemu("inspect", argv, directory / "qmp", began, sandbox=box) as machine:
        try:
            async with asyncio.timeout(_DEADLINE):
                await machine.connect()
                return await _questions(machine)
        except (Gone, Refused, TimeoutError) as error:
            how = await _how(machine, error)
        hint = "" if box is None else " (in a sandbox: what it needs besides its own directory goes into sandbox.read)"
        raise UserError(
            f"{binary.path}: not a QEMU that answers: {how}; run `{' '.join(argv)}` to see for yourself{hint}"
        )


async def _questions(machine: Qemu) -> Inventory:
    version = await machine.ask("query-version")
    numbers = version["qemu"]
    package = str(version.get("package", "")).strip().strip("()")
    listed = await machine.ask("query-machines")
    return Inventory(
        arch=str((await machine.ask("query-target"))["arch"]),
        version=f"{numbers['major']}.{numbers['minor']}.{numbers['micro']}" + (f" ({package})" if package else ""),
        machines=tuple(
            MachineType(
                name=entry["name"],
                alias=entry.get("alias"),
                versioned=matrix.versioned(entry["name"]),
                deprecated=bool(entry.get("deprecated", False)),
                default_cpu=entry.get("default-cpu-type"),
            )
            for entry in sorted(listed, key=lambda entry: matrix.version_key(entry["name"]))
        ),
        devices=await _names(machine, "qom-list-types", "name", implements="device", abstract=False),
        commands=await _names(machine, "query-commands", "name"),
        capabilities=await _names(machine, "query-migrate-capabilities", "capability"),
        parameters=frozenset(await machine.ask("query-migrate-parameters")),
    )


async def _names(machine: Qemu, command: str, key: str, **arguments: object) -> frozenset[str]:
    return frozenset(str(entry[key]) for entry in await machine.ask(command, **arguments))


async def _how(machine: Qemu, error: Exception) -> str:
    if isinstance(error, Refused):
        return str(error)
    if machine.alive:
        return f"no QMP connection within {_DEADLINE:.0f} s" if isinstance(error, TimeoutError) else "it hung up"
    await machine.process.drained()
    said = root_cause(machine.process.text())
    code = machine.process.returncode
    return (f"it died of signal {-code}" if code is not None and code < 0 else f"it exited {code}") + (
        f" and said: {said}" if said else " and said nothing"
    )
