"""What the kernel tells of files that are opened."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from inotify_simple import INotify

from bot.host import process
from bot.host.reads import watched
from bot.model import Limits, Sandbox


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    for name in ("main.c", "hw/dev.h", "hw/unread.h", "hw/deep/er.h", "scripts/gen.py", "configure"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / "main.c").write_text('#include "hw/dev.h"\n#include "hw/link.h"\n')
    (folder / "hw/link.h").symlink_to("deep/er.h")
    (folder / "configure").write_text("#!/bin/sh\ntest -e hw/unread.h\n")
    (folder / "configure").chmod(0o755)
    return folder


def test_what_programs_open_is_noted_and_nothing_else(sources: Path) -> None:
    with watched(sources) as reads:
        subprocess.run(["./configure"], cwd=sources, check=True)
        subprocess.run(["gcc", "-c", "-o", "/dev/null", "main.c"], cwd=sources, check=True)
        subprocess.run(["python3", "scripts/gen.py"], cwd=sources, check=True)
    # to ask whether a file is there (test -e) is no reading; a link is what it leads to
    assert reads.paths == frozenset({"configure", "main.c", "hw/dev.h", "hw/deep/er.h", "scripts/gen.py"})


def test_a_sandbox_hides_nothing(sources: Path) -> None:
    box = Sandbox(Limits(reserve=0)).with_paths(read=(sources,), write=())
    with watched(sources) as reads:
        done = process.run(["cat", str(sources / "hw/dev.h")], sandbox=box)
    assert done.ok, done.output
    assert reads.paths == frozenset({"hw/dev.h"})


def test_reading_before_and_after_is_not_noted(sources: Path) -> None:
    (sources / "configure").read_text()
    with watched(sources) as reads:
        pass
    (sources / "main.c").read_text()
    assert reads.paths == frozenset()


def test_it_is_noted_also_if_something_is_raised(sources: Path) -> None:
    found = []
    with pytest.raises(ZeroDivisionError), watched(sources) as reads:
        found.append(reads)
        (sources / "main.c").read_text()
        raise ZeroDivisionError
    assert [reads.paths for reads in found] == [frozenset({"main.c"})]


def test_more_than_the_kernel_remembers_is_told_as_not_known(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel's own overflow: nobody reads while more files are opened than it keeps events."""
    kept = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    monkeypatch.setattr("bot.host.reads._PAUSE", 60_000)
    with watched(sources) as reads:
        for _ in range(kept + 100):  # twice what it keeps, for the first look comes at some time of this
            for name in ("main.c", "hw/dev.h"):  # the same one twice in turn would be one event
                os.close(os.open(sources / name, os.O_RDONLY))
    assert reads.paths is None


def test_no_more_watchers_is_told_as_not_known(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All users of the machine share the limit, so it is not used up here."""

    def none() -> INotify:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("bot.host.reads.INotify", none)
    with watched(sources) as reads:
        (sources / "main.c").read_text()
    assert reads.paths is None
