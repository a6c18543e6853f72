"""Whether what commits build and run is confined, as the configuration wants it and the machine can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.config import Config
from bot.errors import UserError
from bot.host import escape
from bot.model import Sandbox
from bot.progress import Progress


def sandbox(config: Config, progress: Progress) -> Sandbox | None:
    """The sandbox of builds and smokes; None if there is to be none, which is told if it is the machine's fault.

    Raises `UserError` if one is asked for and this machine has none, or if `sandbox.read` names what is not there.
    """
    options = config.sandbox
    if options.use == "never":
        return None
    if (why := escape.missing()) is not None:
        if options.use == "always":
            raise UserError(f"sandbox.use is always, and there is no sandbox: {why}; see `bot doctor`")
        progress.say(f"no sandbox, what commits build and run has all of your rights: {why}; see `bot doctor`")
        return None
    read = tuple(map(_readable, options.read))
    return replace(options.sandbox, read=read)


def _readable(name: str) -> Path:
    path = Path(name).absolute()
    if not path.exists():
        raise UserError(f"sandbox.read: {path}: no such file or directory")
    return path
