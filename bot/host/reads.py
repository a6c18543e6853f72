"""Which files below a directory were opened, whoever did it: a compiler, a generator, a shell.

The kernel tells it by inotify(7), without a privilege, and also of processes that see the directory by another mount,
as those in a sandbox do. That a file was looked for and not found, or only asked about (stat), is not told.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inotify_simple import INotify, flags

_PAUSE = 50  # milliseconds between looks; the kernel keeps 16,384 events, and two compilers open 10,000 files a second


class Reads:
    """Made by `watched`; `paths` is there when that has ended."""

    def __init__(self) -> None:
        self.paths: frozenset[str] | None = None
        """Files that were opened, relative to the directory; None if the kernel could not tell all of them."""


@contextmanager
def watched(folder: Path) -> Iterator[Reads]:
    """Note what is opened below `folder` while inside. Directories that are made meanwhile are not watched."""
    reads = Reads()
    try:
        inotify = INotify()
    except OSError:  # too many of them: fs.inotify.max_user_instances
        yield reads
        return
    with inotify:
        try:
            folders = {
                inotify.add_watch(at, flags.OPEN | flags.ONLYDIR): Path(at).relative_to(folder)
                for at, _, _ in os.walk(folder)
            }
        except OSError:  # too many directories: fs.inotify.max_user_watches
            yield reads
            return
        seen: set[tuple[int, str]] = set()
        ended, lost = threading.Event(), threading.Event()

        def listen() -> None:
            while True:
                last = ended.is_set()
                for event in inotify.read(0, 0):
                    if event.mask & flags.Q_OVERFLOW:
                        lost.set()
                    elif not event.mask & flags.ISDIR:
                        seen.add((event.wd, event.name))
                if last:
                    return
                ended.wait(_PAUSE / 1000)

        listener = threading.Thread(target=listen, name="reads", daemon=True)
        listener.start()
        try:
            yield reads
        finally:
            ended.set()
            listener.join()
            if not lost.is_set():
                reads.paths = frozenset(str(folders[wd] / name) for wd, name in seen if name)
