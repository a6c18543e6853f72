"""`bot run`: one cycle after another, or one; what the service manager and `bot status` hear of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from bot.config import Config
from bot.errors import Stopped, UserError
from bot.host import notify
from bot.host.lock import coordinator
from bot.pipeline.alarming import Lookout
from bot.pipeline.cycle import cycle
from bot.pipeline.hands import remote
from bot.pipeline.noted import Noted
from bot.progress import Progress
from bot.store.store import Store
from bot.terminal import duration

_POLL = 0.5  # seconds between looks at what a signal asked for


def run(
    load: Callable[[], Config],
    work: Path,
    progress: Progress,
    stop: threading.Event,
    reread: threading.Event,
    *,
    once: bool,
) -> int:
    """Cycles until stopped, or one. Returns 0 nothing new, 10 a new regression, 131 if something could not be tested.

    A daemon outlives what goes wrong in one cycle: it says so and tries again after `watch.every`. Where `reread` is
    set the configuration is loaded again before the next cycle; one that is wrong is told of, and the old one stays.
    """
    config = load()
    with coordinator(work):
        noted = Noted(progress, work)
        notify.tell(READY="1", STATUS="in a cycle")
        try:
            with Lookout(config, work, noted.say, stop) as lookout:
                while True:
                    began = time.monotonic()
                    try:
                        code = _watched(config, work, noted, stop, lookout)
                    except Stopped:
                        raise
                    except Exception as error:  # a daemon outlives it; a single cycle has one handler above
                        if once:
                            raise
                        noted.say(f"this cycle failed: {type(error).__name__}: {error}")
                    if once:
                        return code
                    config = _rest(config, load, began, noted, stop, reread)
        finally:
            notify.tell(STOPPING="1", STATUS="ending")
            noted.close()


def _watched(config: Config, work: Path, progress: Progress, stop: threading.Event, lookout: Lookout) -> int:
    """A cycle, of which the lookout hears how it ends."""
    lookout.begins(config)
    try:
        with remote(config, progress) as far:
            code = cycle(config, work, progress, stop, far)
    except Stopped:
        Store(work).stop_cycle()
        raise
    except Exception as error:
        lookout.ended(error)
        raise
    lookout.ended()
    return code


def _rest(
    config: Config,
    load: Callable[[], Config],
    began: float,
    progress: Progress,
    stop: threading.Event,
    reread: threading.Event,
) -> Config:
    """Wait for the next cycle; the configuration that it has. Raises `Stopped`."""
    told = False
    while True:
        if reread.is_set():
            reread.clear()
            config, told = _read_again(config, load, progress), False
        rest = config.watch.every - (time.monotonic() - began)
        if rest <= 0 and not stop.is_set():
            notify.tell(STATUS="in a cycle")
            return config
        if not told:
            told = True
            progress.work(f"waiting {duration(rest)} for the next cycle")
            notify.tell(STATUS=f"waiting {duration(rest)} for the next cycle")
        if stop.wait(min(max(rest, 0.0), _POLL)):
            raise Stopped("stopped between two cycles")


def _read_again(config: Config, load: Callable[[], Config], progress: Progress) -> Config:
    notify.reloading()
    try:
        config = load()
    except UserError as error:
        progress.say(f"the configuration stays as it was: {error}")
    else:
        progress.say("the configuration was read again")
    notify.tell(READY="1")
    return config
