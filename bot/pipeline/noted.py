"""What `bot run` does at the moment, left where `bot status` finds it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bot.progress import Progress
from bot.report.safe import line
from bot.terminal import duration, share

_EVERY = 1.0  # seconds between two notes about the same piece of work


@dataclass(slots=True)
class Noted:
    """A progress of which the work at hand is written to a file of the work directory, too. To be closed."""

    shown: Progress
    work_directory: Path
    clock: Callable[[], float] = time.time
    _what: str = ""
    _since: float = 0.0
    _written: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, text: str) -> None:
        self.shown.say(text)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        self.shown.work(what, done, total)
        with self._lock:
            now = self.clock()
            if what != self._what:
                self._what, self._since = what, now
            elif now - self._written < _EVERY:
                return
            self._written = now
            note = {"what": what + share(done, total, now - self._since), "since": self._since}
            try:
                _place(self.work_directory).write_text(json.dumps(note))
            except OSError:  # nobody's work fails for a note; a full disk is named by what needs it
                return

    def aside(self) -> Progress:
        return self.shown.aside()

    def close(self) -> None:
        """Nothing goes on any more."""
        _place(self.work_directory).unlink(missing_ok=True)


def noted(work: Path, now: float) -> str | None:
    """What goes on, and since when; None: that was not said. `now` in seconds since the epoch."""
    try:
        note = json.loads(_place(work).read_text())
        return f"{line(str(note['what']))}, since {duration(now - float(note['since']))}"
    except (OSError, ValueError, KeyError, TypeError):  # it is just written, or no `bot run`
        return None


def _place(work: Path) -> Path:
    return work / "now.json"
