"""A coroutine that an event of another thread can stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from bot.errors import Stopped

_POLL = 0.1  # seconds between looks at the event
_T = TypeVar("_T")


async def until_stopped(work: Coroutine[Any, Any, _T], stop: threading.Event | None) -> _T:
    """The result of work; if `stop` is set first, work is cancelled, cleans up, and `Stopped` is raised."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            if stop is not None and stop.is_set():
                raise Stopped("stopped while a QEMU was running")
            await asyncio.wait({task}, timeout=_POLL if stop is not None else None)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
