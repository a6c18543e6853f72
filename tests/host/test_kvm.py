"""Whether KVM runs guests here, and why not."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.host import kvm


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    kvm._device.cache_clear()
    yield
    kvm._device.cache_clear()


def device(monkeypatch: pytest.MonkeyPatch, path: Path, host: str = "x86_64", version: int | None = None) -> None:
    monkeypatch.setattr(kvm, "_DEVICE", str(path))
    monkeypatch.setattr(platform, "machine", lambda: host)
    if version is not None:
        monkeypatch.setattr("fcntl.ioctl", lambda descriptor, request: {0xAE00: version}[request])


def test_a_guest_of_the_hosts_own_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    device(monkeypatch, tmp_path / "kvm", version=12)
    assert kvm.usable("x86_64")
    assert kvm.usable("i386")
    assert kvm.why_not("aarch64") == "the host is x86_64"
    monkeypatch.setattr(platform, "machine", lambda: "ppc64le")
    assert kvm.usable("ppc64")
    assert kvm.why_not("x86_64") == "the host is ppc64le"
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    assert not kvm.usable("x86_64")


def test_a_device_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device(monkeypatch, tmp_path / "kvm")
    assert kvm.why_not("x86_64") == f"{tmp_path}/kvm: No such file or directory"
    kvm._device.cache_clear()
    (tmp_path / "kvm").touch()
    assert kvm.why_not("x86_64") == f"{tmp_path}/kvm: Inappropriate ioctl for device"


def test_another_interface(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    device(monkeypatch, tmp_path / "kvm", version=11)
    assert kvm.why_not("x86_64") == f"{tmp_path}/kvm: API version 11, not 12"
