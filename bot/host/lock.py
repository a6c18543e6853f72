"""One coordinator per work directory, and one that sends: locks that the kernel drops when their holder dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bot.errors import UserError


def holder(work: Path) -> int | None:
    """The process that holds `work`; None: nobody does."""
    lock = FileLock(work / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        pid = work / "lock.pid"
        text = pid.read_text().strip() if pid.exists() else ""  # whoever has just taken it has not yet said so
        return int(text) if text.isdigit() else 0
    lock.release()
    return None


_ASKED = 0.5  # seconds: longer than somebody takes who only asks whether it is held


@contextmanager
def coordinator(work: Path) -> Iterator[None]:
    """Hold `work` for this process. Raises `UserError` that names the holder if another process has it."""
    with _held(work / "lock", "in use by", "wait for it, stop it, or give another directory with -C"):
        yield


@contextmanager
def sender(work: Path) -> Iterator[None]:
    """Be the one process that sends what waits in `work`. Raises `UserError` that names the one that does."""
    with _held(work / "sending.lock", "mails are being sent by", "wait for it"):
        yield


@contextmanager
def _held(path: Path, how: str, act: str) -> Iterator[None]:
    lock = FileLock(path)
    pid = path.with_suffix(".pid")
    try:
        lock.acquire(timeout=_ASKED, poll_interval=0.05)
    except Timeout as error:
        who = pid.read_text().strip() if pid.exists() else "?"
        raise UserError(f"{path.parent}: {how} another bot (process {who}); {act}") from error
    try:
        pid.write_text(f"{os.getpid()}\n")
        yield
    finally:
        lock.release()
