"""Real QEMUs for tests: Debian's installed one, a second release beside it, and ones with a fault put in."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import psutil
import pytest

from bot.model import Binary, Limits, Sandbox
from bot.smoke.inspect import identify

ROOT = Path(__file__).parents[2]
SECOND = ROOT / ".cache/qemu-10.0/bin"  # `make test` puts it there


@cache
def installed(arch: str = "x86_64") -> Binary:
    """Debian's QEMU of this machine."""
    return identify(f"/usr/bin/qemu-system-{arch}", name="installed")


@cache
def second(arch: str = "x86_64") -> Binary:
    """QEMU 10.0 from bookworm-backports; the test is skipped where `make test` did not bring it."""
    path = SECOND / f"qemu-system-{arch}"
    if not path.exists():
        pytest.skip(f"{path} is missing: run the tests by `make test`")
    return identify(path, name="qemu-10.0")


def faulty(directory: Path, fault: str, *, when: str = "*", arch: str = "x86_64") -> Binary:
    """A QEMU that runs the shell commands in `fault` first, if its arguments fit the pattern `when`.

    It answers `inspect` (-M none) like the real one, so that the fault is met where it is meant to be.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"qemu-system-{arch}"
    real = shlex.quote(str(installed(arch).path))
    path.write_text(
        f'#!/bin/sh\ncase "$*" in\n  *"-M none"*) ;;\n  {when}) {fault} ;;\nesac\nexec {real} "$@"\n', encoding="utf-8"
    )
    path.chmod(0o755)
    return identify(path, name="faulty")


def children(pattern: str = "") -> list[psutil.Process]:
    """Running QEMUs (or stand-ins) below this process whose command line holds `pattern`."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = " ".join(process.cmdline())
            if "qemu-system" in line and pattern in line and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def qemus(pattern: str = "") -> list[psutil.Process]:
    """The same without those that only watch over one in a sandbox."""
    return [process for process in children(pattern) if process.name() not in ("setpriv", "choom", "bwrap", "prlimit")]


def boxed(binary: Binary, *places: Path) -> Binary:
    """The same binary in a sandbox, as those run that the bot built; faults are at home in `places`."""
    return replace(binary, sandbox=Sandbox(Limits(reserve=0), write=places))


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until the condition holds; fails the test if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def nothing_left(*directories: Path) -> Iterator[None]:
    """Check that no QEMU and no file stays behind in the directories."""
    yield
    until(lambda: not children(), 5)
    for directory in directories:
        assert not directory.exists() or list(directory.iterdir()) == []
