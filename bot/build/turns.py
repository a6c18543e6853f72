"""Whose turn it is among the threads of one process that build."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from bot.errors import Stopped

_POLL = 0.5  # seconds between looks at the stop event


class Turns:
    """Nothing is built twice at a time, and what waits is built in the order it was asked for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._making = set[Hashable]()  # what some thread builds now
        self._queue: list[object] = []  # a ticket for each that goes on or waits

    @contextmanager
    def alone(self, key: Hashable, stop: threading.Event | None) -> Iterator[None]:
        """One thread makes what a key names; others that want it wait. Raises `Stopped`."""
        with self._changed:
            while key in self._making:
                self._wait(stop)
            self._making.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._making.remove(key)
                self._changed.notify_all()

    @contextmanager
    def admitted(self, at_once: int, stop: threading.Event | None) -> Iterator[None]:
        """The first `at_once` of those that came go on; the others wait. Raises `Stopped`."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            with self._changed:
                while ticket not in self._queue[:at_once]:
                    self._wait(stop)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    @property
    def length(self) -> int:
        """How many go on or wait."""
        return len(self._queue)

    def _wait(self, stop: threading.Event | None) -> None:
        if stop is not None and stop.is_set():
            raise Stopped("stopped while waiting for another build")
        self._changed.wait(_POLL)
