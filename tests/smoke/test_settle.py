"""What both sides are started with, asked of two real releases."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from bot.model import CPU_OF_THE_OLDER, Device, Direction, MachineOptions, Outcome, Profile, Signature, SmokeSettings
from tests.smoke.conftest import Smoke
from tests.testing.qemu import faulty, installed, second

RNG = Device("virtio-rng-pci")
NVME = Device("nvme,drive=n,serial=x", ("-drive", "if=none,id=n,driver=null-co"))
NET = Device("virtio-net-pci,netdev=net", ("-netdev", "hubport,hubid=0,id=net"))
ESP = Device("am53c974")
CCW = Device("virtio-rng-ccw", machines=("s390-*",))


def devices(*wanted: Device) -> Profile:
    return Profile("devices", ("-nodefaults",), devices=wanted)


def plugged(argv: tuple[str, ...]) -> list[str]:
    return [value for option, value in pairwise(argv) if option == "-device"]


def test_what_both_have_is_plugged(run: Smoke) -> None:
    seen = run(devices(RNG, NET, CCW))
    assert seen.outcome is Outcome.PASS, seen.message
    assert plugged(seen.argv[0]) == plugged(seen.argv[1]) == ["virtio-rng-pci", "virtio-net-pci,netdev=net"]
    assert seen.left_out == () and "-netdev" in seen.argv[0]


def test_what_one_cannot_migrate_is_left_out(run: Smoke) -> None:
    """nvme is blocked in 7.2 and in 10.0; a name that no release has is absent."""
    seen = run(devices(RNG, NVME, Device("no-such-device")), destination=second(), direction=Direction.FORWARD)
    assert seen.outcome is Outcome.PASS, seen.message
    assert plugged(seen.argv[0]) == ["virtio-rng-pci"]
    told = sorted(seen.left_out)
    assert [text.partition(" (")[0] for text in told] == ["no-such-device", "nvme"]
    assert "no such device" in told[0] and "igrat" in told[1]


def test_a_failure_names_its_device(run: Smoke) -> None:
    """am53c974 of 7.2 does not load in 10.0: pciespscsi lost its version 2 in between."""
    seen = run(devices(RNG, ESP, NET), destination=second(), direction=Direction.FORWARD)
    assert seen.outcome is Outcome.FAIL_DST and seen.signature is not None
    assert seen.blamed == ("am53c974",)


def test_no_device_is_blamed_for_the_machine(run: Smoke) -> None:
    profile = Profile("p", ("-nodefaults",), source_args=("-m", "64M"), devices=(RNG, NET))
    seen = run(profile)
    assert seen.outcome is Outcome.FAIL_DST and seen.blamed == ()


@pytest.mark.parametrize("direction", [Direction.FORWARD, Direction.BACKWARD])
def test_a_device_that_only_the_commit_cannot_start(run: Smoke, tmp_path: Path, direction: Direction) -> None:
    broken = faulty(tmp_path, "echo \"qemu: property 'size' is out of range\" >&2; exit 1", when="*virtio-rng*")
    pair = (installed(), broken) if direction is Direction.FORWARD else (broken, installed())
    seen = run(devices(RNG, NET), source=pair[0], destination=pair[1], direction=direction)
    assert seen.outcome is Outcome.FAIL_START
    assert seen.signature == Signature("start", "virtio-rng-pci", "property 'size' is out of range")
    assert "does not start with virtio-rng-pci, which the baseline does" in seen.message


def test_a_device_that_only_the_baseline_cannot_start_is_left_out(run: Smoke, tmp_path: Path) -> None:
    broken = faulty(tmp_path, "echo 'qemu: what is that' >&2; exit 1", when="*virtio-rng*")
    seen = run(devices(RNG, NET), source=broken, destination=installed(), direction=Direction.FORWARD)
    assert seen.outcome is Outcome.PASS
    assert seen.left_out == ("virtio-rng-pci (source: qemu: what is that)",)


def test_the_older_binary_says_which_cpu(run: Smoke) -> None:
    """277ee17212 (8.1) changed the default CPU of every pseries type: named, its state is what both know."""
    xive = MachineOptions("icp/server is lost in 10.0.2", ("pseries-*",), options="ic-mode=xive")
    named = MachineOptions("the default changed", ("pseries-*",), cpu=CPU_OF_THE_OLDER)
    options = {"arch": "ppc64", "machine": "pseries-7.2", "destination": second("ppc64")}
    seen = run(settings=SmokeSettings(machines=(xive,)), direction=Direction.FORWARD, **options)
    assert seen.outcome is Outcome.FAIL_DST and seen.signature is not None and seen.signature.device == "cpu"
    seen = run(settings=SmokeSettings(machines=(xive, named)), direction=Direction.FORWARD, **options)
    assert seen.outcome is Outcome.PASS, seen.message
    assert seen.argv[0][seen.argv[0].index("-cpu") + 1] == "power9_v2.0"
    seen = run(settings=SmokeSettings(machines=(named,)), arch="ppc64", machine="pseries-7.2")
    assert "-cpu" not in seen.argv[0]


def test_registers_that_an_arm_destination_refuses_are_named(run: Smoke) -> None:
    """7.2 sends AArch32 PAR, which 10.0 does not have; what it prints says no more than `cpu`."""
    options = {"arch": "aarch64", "machine": "virt-7.2", "destination": second("aarch64")}
    seen = run(direction=Direction.FORWARD, **options)
    assert seen.signature == Signature("cpreg", "cpu", "0x40200000000f3a00,0x40200000200f3a00")
    named = SmokeSettings(machines=(MachineOptions("named", ("virt-*",), cpu="cortex-a57"),))
    seen = run(direction=Direction.FORWARD, settings=named, **options)
    assert seen.signature == Signature("cpreg", "cpu", "0x40200000200f3a00")
