"""Released QEMUs against each other with the shipped configuration: no red that is not explained, nothing missed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.qemu import installed, second

ROOT = Path(__file__).parents[1]
ARCHES = ("x86_64", "i386", "ppc64", "aarch64", "arm", "s390x", "riscv64")
BARE_ONLY = ("i386", "arm", "riscv64")  # the others cover what these would


def ways(arch: str) -> tuple[str, ...]:
    """Boards of riscv64 have no version and promise nothing between releases."""
    same = ("same-7.2", "same-10.0")
    return same if arch == "riscv64" else (*same, "forward", "backward")


def bot(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The program with its shipped configuration."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    return subprocess.run([sys.executable, "-m", "bot", *arguments], cwd=cwd, env=env, capture_output=True, text=True)


def sides(arch: str, way: str) -> tuple[str, ...]:
    old, new = str(installed(arch).path), str(second(arch).path)
    return {
        "same-7.2": ("--source", old),
        "same-10.0": ("--source", new),
        "forward": ("--source", old, "--destination", new, "--direction", "forward"),
        "backward": ("--source", old, "--destination", new, "--direction", "backward"),
    }[way]


@pytest.mark.parametrize("profile", ["bare", "virtio"])
@pytest.mark.parametrize(("arch", "way"), [(arch, way) for arch in ARCHES for way in ways(arch)])
def test_a_first_run_shows_no_red(arch: str, way: str, profile: str, tmp_path: Path) -> None:
    if profile == "virtio" and arch in BARE_ONLY:
        profile = "bare-running"
    done = bot("smoke", *sides(arch, way), "--all", "--profile", profile, "--json", "runs.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert len(runs) >= 4
    outcomes = {run["observation"]["outcome"] for run in runs}
    assert "PASS" in outcomes or all("expected" in run for run in runs)
    assert "INFRA" not in outcomes and "HANG" not in outcomes


@pytest.mark.parametrize(
    ("arch", "way", "profile", "machine", "words"),
    [
        ("x86_64", "same-7.2", "default", "isapc", "SIGABRT assert memory_region_set_alias_offset"),
        ("ppc64", "same-7.2", "bare", "bamboo", "footer cpu"),
        ("ppc64", "same-7.2", "bare", "sam460ex", "footer cpu"),
        ("ppc64", "same-7.2", "bare", "ref405ep", "footer cpu"),
        ("ppc64", "same-7.2", "bare", "virtex-ml507", "footer cpu"),
        ("ppc64", "forward", "bare", "pseries-7.2", "unknown-section icp/server"),
        ("ppc64", "backward", "bare", "pseries-7.2", "section-version cpu/slb"),
        ("aarch64", "forward", "cortex-a57", "virt-7.2", "cpreg cpu 0x40200000200f3a00"),
        ("riscv64", "same-10.0", "bare", "sifive_u", "SIGABRT assert sd_ocr_powerup"),
    ],
)
def test_what_is_explained_is_found_all_the_same(
    arch: str, way: str, profile: str, machine: str, words: str, tmp_path: Path
) -> None:
    """--strict counts it, and without it the summary names the entry."""
    options = ("smoke", *sides(arch, way), "--machine", machine, "--profile", profile)
    strict, known = bot(*options, "--strict", cwd=tmp_path), bot(*options, cwd=tmp_path)
    assert strict.returncode == 1 and words in strict.stdout, strict.stdout + strict.stderr
    assert known.returncode == 0 and "fail as expected" in known.stdout, known.stdout + known.stderr
