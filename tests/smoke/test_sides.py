"""Which side broke, of real releases: breaks of `docs/findings.md`, asked as a search asks before its first probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bot.core import sides
from bot.core.confirmation import Rules
from bot.model import Binary, Case, Direction, Profile, Run, Sibling, Side
from bot.smoke.inspect import identify, inspect
from tests.smoke.conftest import BARE, Smoke
from tests.testing.qemu import ROOT, installed, second

RULES = Rules(min_runs=4)
POWER9 = Profile("power9", ("-nodefaults", "-cpu", "power9_v2.0"))
VIRTIO = Profile("virtio", ("-nodefaults", "-device", "virtio-rng-pci"))


def unpacked(release: str) -> Callable[[str], Binary]:
    """A release that lies beside the tests on some machines only."""
    return lambda arch: identify(ROOT / f".cache/qemu-{release}/bin/qemu-system-{arch}", name=release)


@dataclass(frozen=True)
class Known:
    """A failure between releases: the pinned one and siblings in its place, and what that says."""

    arch: str
    machine: str
    direction: Direction
    pinned: Callable[[str], Binary]
    other: Callable[[str], Binary]
    siblings: tuple[Callable[[str], Binary], ...]
    klass: str
    side: Side
    words: str
    profile: Profile = BARE


KNOWN = {
    # nothing migrates into 10.0.2; 7.2 takes what it sends
    "pseries and 10.0.2": Known(
        "ppc64", "pseries-7.2", Direction.BACKWARD, second, installed, (installed,), "unknown-section",
        Side.PINNED, "alone fails", POWER9,
    ),
}  # fmt: skip
if all((ROOT / f".cache/qemu-{release}/bin").exists() for release in ("10.0.13", "11.1")):
    KNOWN |= {
        "virtio and 10.0.13": Known(
            "x86_64", "pc-q35-9.2", Direction.FORWARD, unpacked("10.0.13"), unpacked("11.1"), (second,), "virtio-ring",
            Side.PINNED, "in the branch of", VIRTIO,
        ),
        "virtio and 10.0.13, by its neighbours": Known(
            "x86_64", "pc-q35-7.2", Direction.FORWARD, unpacked("10.0.13"), unpacked("11.1"), (installed,),
            "virtio-ring", Side.PINNED, "alone fails", VIRTIO,
        ),
        "pseries and 10.0.2, mended since": Known(
            "ppc64", "pseries-7.2", Direction.BACKWARD, second, installed, (unpacked("10.0.13"),), "unknown-section",
            Side.PINNED, "has been mended since", POWER9,
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_siblings_say_of_a_known_break(run: Smoke, name: str) -> None:
    known = KNOWN[name]

    def times(pinned: Binary, label: str, n: int) -> list[Run]:
        other = known.other(known.arch)
        source, destination = (pinned, other) if known.direction is Direction.FORWARD else (other, pinned)
        case = Case(f"{known.arch}-softmmu", known.machine, known.profile.name, known.direction, label)
        return [
            Run("", case, run(
                known.profile, machine=known.machine, arch=known.arch, direction=known.direction,
                source=source, destination=destination,
            ))
            for _ in range(n)
        ]  # fmt: skip

    pinned = known.pinned(known.arch)
    failing = times(pinned, "pinned", RULES.min_runs)
    signature = failing[0].signature
    assert signature is not None and signature.klass == known.klass
    asked = []
    for make in known.siblings:
        binary = make(known.arch)
        runs = times(binary, "sibling", RULES.min_runs)
        said = sides.answer(failing, runs, signature, RULES)
        assert said is not None
        one, two = (sides.numbers(inspect(b).release) for b in (pinned, binary))
        assert one is not None and two is not None
        asked.append(Sibling(inspect(binary).release, sides.place(one, two), said))
    side, why = sides.settle(inspect(pinned).release, asked)
    assert side is known.side and known.words in why
