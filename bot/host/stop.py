"""A stop that is heard from two sides: of one test that lost its use, and of all that the bot does."""

from __future__ import annotations

import threading
import time

_POLL = 0.1  # seconds between looks at the others


class Linked(threading.Event):
    """An event that is set, too, while one of others is. Set by itself it leaves them as they are."""

    def __init__(self, *others: threading.Event) -> None:
        super().__init__()
        self._others = others

    def is_set(self) -> bool:
        return super().is_set() or any(other.is_set() for other in self._others)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until one is set, for at most `timeout` seconds; whether one is."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _POLL if until is None else min(until - time.monotonic(), _POLL)
            if left <= 0:
                break
            super().wait(left)
        return self.is_set()


def either(one: threading.Event, other: threading.Event) -> threading.Event:
    """An event that is set while one of two is."""
    return one if one is other else Linked(one, other)
