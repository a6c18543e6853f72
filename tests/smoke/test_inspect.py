"""What a binary says of itself, and what is said of one that is none."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from bot.errors import Stopped, UserError
from bot.model import Binary
from bot.smoke import inspect as inspecting
from bot.smoke.inspect import identify, inspect
from tests.testing.qemu import children, faulty, installed, nothing_left, second, until


def test_the_installed_qemu() -> None:
    inventory = inspect(installed())
    assert inventory.arch == "x86_64"
    assert inventory.version.startswith("7.2.") and "(Debian" in inventory.version
    types = {m.name: m for m in inventory.machines}
    assert types["pc-q35-7.2"].alias == "q35" and types["pc-q35-7.2"].versioned
    assert types["pc-i440fx-2.12"].versioned and not types["isapc"].versioned and not types["none"].versioned
    assert types["pc-i440fx-1.4"].deprecated and not types["pc-q35-7.2"].deprecated
    assert types["pc-q35-7.2"].default_cpu == "qemu64-x86_64-cpu"
    assert "q35" not in types


def test_another_target() -> None:
    inventory = inspect(installed("ppc64"))
    assert inventory.arch == "ppc64"
    assert {"pseries-2.12", "pseries-2.12-sxxm"} <= {m.name for m in inventory.machines if m.versioned}


def test_a_second_release() -> None:
    assert inspect(second()).version.startswith("10.0.")


def test_identify_hashes_the_bytes(tmp_path: Path) -> None:
    binary = identify("/usr/bin/qemu-system-x86_64")
    assert binary.sha256 == hashlib.sha256(Path("/usr/bin/qemu-system-x86_64").read_bytes()).hexdigest()
    assert identify("qemu-system-x86_64").path == binary.path  # by PATH
    with pytest.raises(UserError, match=r"/nowhere/qemu: no such file; give the path of a qemu-system"):
        identify("/nowhere/qemu")
    plain = tmp_path / "plain"
    plain.write_text("")
    with pytest.raises(UserError, match="plain: is not executable"):
        identify(plain)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("exit 3", "it exited 3 and said nothing"),
        ("echo 'no accelerator for you' >&2; exit 1", "it exited 1 and said: no accelerator for you"),
        ("kill -ABRT $$", "it died of signal 6"),
        ("exec cat", "cat"),
    ],
)
def test_what_is_no_qemu(tmp_path: Path, body: str, says: str) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    with nothing_left(), pytest.raises(UserError, match="not a QEMU that answers") as error:
        inspect(identify(path))
    assert str(path) in str(error.value) and says in str(error.value) and "-M none" in str(error.value)


def test_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "_DEADLINE", 0.5)
    path = tmp_path / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\nsleep 1000\n")
    path.chmod(0o755)
    with nothing_left(), pytest.raises(UserError, match=r"no QMP connection within 0 s|no QMP connection"):
        inspect(identify(path))


def test_missing_or_not_executable(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        inspect(Binary(tmp_path / "qemu", ""))
    (tmp_path / "qemu").write_text("")
    with pytest.raises(UserError, match="is not executable"):
        inspect(Binary(tmp_path / "qemu", ""))


def test_stopped_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\nsleep 1000\n")
    path.chmod(0o755)
    stop = threading.Event()
    began = time.monotonic()

    def later() -> None:
        until(lambda: children())
        stop.set()

    thread = threading.Thread(target=later)
    thread.start()
    with nothing_left(), pytest.raises(Stopped):
        inspect(identify(path), stop=stop)
    thread.join()
    assert time.monotonic() - began < 10


def test_a_fault_that_is_not_asked_for_does_not_show(tmp_path: Path) -> None:
    assert inspect(faulty(tmp_path, "exit 1")).arch == "x86_64"


def test_wrappers_that_are_alike_are_two_binaries(tmp_path: Path) -> None:
    """A script's bytes do not say what it runs; a copy of an executable is the same one."""
    real = Path("/usr/bin/qemu-system-x86_64")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        wrapper = tmp_path / name / "qemu"
        wrapper.write_text('#!/bin/sh\nexec "$(dirname "$0")/real" "$@"\n')
        wrapper.chmod(0o755)
        (tmp_path / name / "real").symlink_to(real)
    scripts = {identify(tmp_path / name / "qemu").sha256 for name in "ab"}
    copies = {identify(tmp_path / name / "real").sha256 for name in "ab"}
    assert len(scripts) == 2 and copies == {identify(real).sha256}
