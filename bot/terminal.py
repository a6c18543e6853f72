"""Progress for people: one live line on a terminal, plain lines elsewhere (logs, pipes, CI)."""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from rich import live
from rich.console import Console
from rich.spinner import Spinner
from rich.text import Text

from bot.core.plain import clean

_EVERY = 20.0  # seconds between two plain lines about the same piece of work
_ABOUT = re.compile(r"([rs]\d{4,}|operator|mail|gitlab): ")
"""What a line is about, where it begins with that: a regression, a series, the operator's troubles, a destination."""
_PIECES = 64  # that are told apart: more than anybody does at once


class Plain:
    """Lines to a stream that is not a terminal; a long piece of work is told of now and then, with an ETA.

    Several may go on at once: each is told of by itself.
    """

    def __init__(self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._pieces: dict[str, tuple[float, float]] = {}  # what is done: when it began, when it was last told

    def _tell(self, what: str, done: int = 0, total: int = 0, seconds: float | None = None) -> None:
        """A line. `seconds` is how long a piece of work goes on; None: it is none, but a line worth keeping."""
        text = what if seconds is None else what + share(done, total, seconds)
        print(time.strftime("%H:%M:%S"), clean(text), file=self._stream, flush=True)

    def say(self, text: str) -> None:
        with self._lock:
            self._tell(text)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        with self._lock:
            now = self._clock()
            began, told = self._pieces.pop(what, (now, -math.inf))
            began = began if done else now
            due = now - told >= _EVERY
            self._pieces[what] = began, now if due else told
            while len(self._pieces) > _PIECES:
                del self._pieces[next(iter(self._pieces))]
            if due:
                self._tell(what, done, total, now - began)

    def aside(self) -> Plain:
        return self


class Lines(Plain):
    """The same for programs: each line is a JSON object, with the time (UTC) and what it is about."""

    def _tell(self, what: str, done: int = 0, total: int = 0, seconds: float | None = None) -> None:
        now, text = datetime.now(UTC).isoformat(timespec="milliseconds"), clean(what)
        told: dict[str, object] = {"time": now, "kind": "said" if seconds is None else "work", "text": text}
        if about := _ABOUT.match(text):
            told["about"] = about[1]
        if seconds is not None:
            told |= {"done": done, "total": total, "seconds": round(seconds, 1)}
        print(json.dumps(told, ensure_ascii=False), file=self._stream, flush=True)


class Live:
    """The same on a terminal: what is kept scrolls by, what goes on now is one line that is replaced.

    What is printed meanwhile goes above that line where standard output is a terminal too, as it is and not wrapped;
    else it goes where standard output goes.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._lock = threading.Lock()
        self._what = ""
        self._began = clock()
        self._spinner = Spinner("dots", style="status.spinner")
        self._shown: live.Live | None = None

    def say(self, text: str) -> None:
        with self._lock:
            self._console.print(clean(text), markup=False, highlight=False, soft_wrap=True)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        with self._lock:
            if what != self._what:
                self._what, self._began = what, self._clock()
            self._spinner.update(text=Text(what + share(done, total, self._clock() - self._began)))
            if self._shown is None:
                self._shown = live.Live(
                    self._spinner,
                    console=self._console,
                    refresh_per_second=12.5,  # as fast as the dots turn
                    transient=True,
                    redirect_stdout=sys.stdout.isatty(),
                )
                self._shown.start()

    def aside(self) -> Kept:
        return Kept(self)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


class Kept:
    """A thread's own view of a display with one line: what is kept is shown, and the line is left to who sees all."""

    def __init__(self, display: Live) -> None:
        self._display = display

    def say(self, text: str) -> None:
        self._display.say(text)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        del what, done, total

    def aside(self) -> Kept:
        return self


def share(done: int, total: int, seconds: float) -> str:
    """` (12 of 1440, about 2 min left)`, ` (12 so far)` where the total is not known, empty when nothing is."""
    if total <= 0:
        return f" ({done} so far)" if done else ""
    text = f"{done} of {total}"
    if 0 < done < total and seconds >= 5:
        text += f", about {duration(seconds / done * (total - done))} left"
    return f" ({text})"


def duration(seconds: float) -> str:
    """Seconds as people say them: `8 s`, `3 min`, `2 h 5 min`, `12 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes >= 72 * 60:
        return f"{minutes // (24 * 60)} days"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def progress(log: str = "auto") -> Plain | Live:
    """The one that fits standard error; `log` is `json` for lines that programs read."""
    if log == "json":
        return Lines()
    return Live(Console(stderr=True, soft_wrap=True, highlight=False)) if sys.stderr.isatty() else Plain()
