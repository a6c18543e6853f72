"""The work directory: clone, builds, database and scratch of one bot."""

from __future__ import annotations

import os
from pathlib import Path

from bot.errors import UserError


def work_directory(path: Path) -> Path:
    """The directory, made if need be. Raises `UserError` if it cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be used as work directory: {error.strerror}; give another with -C DIR"
        ) from error
    return path.resolve()
