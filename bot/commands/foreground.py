"""What a command that takes long does with its terminal: it shows how far it is, and hears who wants it to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.progress import Progress


def stopping() -> threading.Event:
    """An event that SIGINT and SIGTERM set; a second SIGINT does not wait for anything."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return stop


@contextmanager
def watching(log: str = "auto") -> Iterator[Progress]:
    """The progress display, closed on every way out."""
    from bot.terminal import Live, progress

    display = progress(log)
    try:
        yield display
    finally:
        if isinstance(display, Live):
            display.close()
