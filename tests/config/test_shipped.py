"""The shipped profiles and machine options on real QEMU: what they name is there, fits into one machine and starts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

from bot.config import load
from bot.core.matrix import family
from bot.model import Binary, Profile
from tests.testing.qemu import installed, second

CONFIG = load(environ={})
PLACES = [
    ("x86_64", installed, "pc-q35-7.2"),
    ("x86_64", installed, "pc-i440fx-7.2"),
    ("x86_64", installed, "pc-i440fx-1.4"),
    ("x86_64", installed, "microvm"),
    ("ppc64", installed, "pseries-7.2"),
    ("ppc64", installed, "pseries-2.8"),
    ("ppc64", installed, "pseries-2.12-sxxm"),
    ("x86_64", second, "pc-q35-10.0"),
    ("ppc64", second, "pseries-10.0"),
    ("aarch64", second, "virt-10.0"),
    ("s390x", second, "s390-ccw-virtio-10.0"),
]


@cache
def known(binary: Binary) -> set[str]:
    """Types that -device takes; the list has had two forms."""
    done = subprocess.run([binary.path, "-device", "help"], capture_output=True, text=True, check=True)
    return set(re.findall(r'^(?:name )?"?([\w.,-]+?)"?(?:,| |$)', done.stdout, re.MULTILINE))


def profiles(machine: str) -> Iterator[Profile]:
    return (p for p in CONFIG.profiles.values() if any(fnmatchcase(machine, pattern) for pattern in p.machines))


def command(binary: Binary, arch: str, machine: str, profile: Profile, directory: Path) -> list[str]:
    options, cpu, args = "", [], [a.replace("{dir}", str(directory)) for a in profile.args]
    for entry in CONFIG.smoke_settings.machines:
        if any(fnmatchcase(machine, p) for p in entry.machines) and any(fnmatchcase(arch, p) for p in entry.targets):
            options += f",{entry.options}" if entry.options else ""
            if entry.cpu not in (None, "older") and "-cpu" not in args:
                cpu = ["-cpu", str(entry.cpu)]
    devices = [
        word
        for device in profile.devices
        if any(fnmatchcase(machine, p) for p in device.machines) and device.name in known(binary)
        for word in device.args
    ]
    memory = next(size for pattern, size in CONFIG.smoke_settings.memory.items() if fnmatchcase(machine, pattern))
    return [
        str(binary.path), "-display", "none", "-M", f"{machine},accel=tcg{options}", "-m", memory, *cpu, *args,
        *devices, "-S", "-monitor", "stdio",
    ]  # fmt: skip


@pytest.mark.parametrize(("arch", "of", "machine"), PLACES)
def test_every_profile_starts_with_all_that_the_binary_has(arch: str, of: object, machine: str, tmp_path: Path) -> None:
    binary: Binary = of(arch)  # type: ignore[operator]
    asked = list(profiles(machine))
    assert {"bare", "default", "virtio", "kitchen-sink"} <= {p.name for p in asked} or machine == "microvm"
    for profile in asked:
        argv = command(binary, arch, machine, profile, tmp_path)
        done = subprocess.run(argv, input="quit\n", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(argv)}\n{done.stderr}"


def test_every_device_is_known_somewhere_where_it_is_for() -> None:
    """A misspelt one would be left out for ever, and nobody would see."""
    somewhere = {family(machine): known(of(arch)) for arch, of, machine in PLACES}
    for profile in CONFIG.profiles.values():
        for device in profile.devices:
            names = {device.name} | {
                value.partition(",")[0]
                for option, value in zip(device.needs, device.needs[1:], strict=False)
                if option == "-device"
            }
            there = [
                have
                for of, have in somewhere.items()
                for p in device.machines
                if fnmatchcase(f"{of}-7.2", p) or of == p
            ]
            assert any(names <= have for have in there), f"{profile.name}: {names}"


def test_every_profile_of_a_sweep_says_where_its_devices_go() -> None:
    """A profile with devices that fits a machine type without one would be `bare` under another name."""
    for profile in CONFIG.profiles.values():
        if profile.devices:
            assert set(profile.machines) <= {pattern for device in profile.devices for pattern in device.machines}
