"""One smoke of real QEMUs, with a short deadline and a scratch directory that must be empty afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.model import PRECOPY, TCG, Binary, Case, Direction, Observation, Profile, SmokeSettings
from bot.smoke.control import Controls
from bot.smoke.golden import Goldens
from bot.smoke.smoke import smoke
from tests.testing.qemu import boxed, installed, nothing_left

BARE = Profile("bare", ("-nodefaults",))
MACHINE = "pc-i440fx-7.2"

Smoke = Callable[..., Observation]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory that smokes leave empty, without a process."""
    path = tmp_path / "scratch"
    with nothing_left(path):
        yield path


@pytest.fixture
def run(scratch: Path, tmp_path: Path) -> Smoke:
    """`smoke` with everything defaulted to one bare case of the installed x86_64 QEMU, in a sandbox but for postcopy.

    Of that the kernel wants privileges that nobody has in a sandbox (userfaultfd(2)).
    """

    def call(
        profile: Profile = BARE,
        *,
        machine: str = MACHINE,
        source: Binary | None = None,
        destination: Binary | None = None,
        direction: Direction = Direction.SAME,
        arch: str = "x86_64",
        settings: SmokeSettings | None = None,
        controls: Controls | None = None,
        goldens: Goldens | None = None,
        method: str = PRECOPY,
        accel: str = TCG,
        stop: threading.Event | None = None,
        box: bool = True,
    ) -> Observation:
        other = None if direction == "same" else "other"
        box = box and method != "postcopy"
        sides = [binary or installed(arch) for binary in (source, destination)]
        near, far = (boxed(binary, tmp_path) for binary in sides) if box else sides
        case = Case(f"{arch}-softmmu", machine, profile.name, direction, other, method, accel)
        return smoke(
            case,
            profile,
            near,
            far,
            settings or SmokeSettings(),
            controls=controls,
            goldens=goldens,
            scratch=scratch,
            stop=stop,
        )

    return call
