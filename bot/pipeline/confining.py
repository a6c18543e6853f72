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


def demanded(config: Config, by: str) -> None:
    """See that there will be a sandbox, for code that nobody has reviewed; no option stands above this.

    Raises `UserError` that says what is missing; `by` is what the code came by.
    """
    refused = f"{by}: what somebody posted is built and run in a sandbox only"
    if config.sandbox.use == "never":
        raise UserError(f"{refused}, and sandbox.use is never; set it to auto or always")
    if (why := escape.missing()) is not None:
        raise UserError(f"{refused}, and there is none: {why}; `bot doctor` says what is missing")


def _readable(name: str) -> Path:
    path = Path(name).absolute()
    if not path.exists():
        raise UserError(f"sandbox.read: {path}: no such file or directory")
    return path
