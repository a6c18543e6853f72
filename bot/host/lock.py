"""One coordinator per work directory: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bot.errors import UserError


@contextmanager
def coordinator(work: Path) -> Iterator[None]:
    """Hold `work` for this process. Raises `UserError` that names the holder if another process has it."""
    lock = FileLock(work / "lock")
    holder = work / "lock.pid"
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        pid = holder.read_text().strip() if holder.exists() else "?"
        raise UserError(
            f"{work}: in use by another bot (process {pid}); wait for it, stop it, or give another directory with -C"
        ) from error
    try:
        holder.write_text(f"{os.getpid()}\n")
        yield
    finally:
        lock.release()
