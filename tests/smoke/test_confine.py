"""What a QEMU in a sandbox has to see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.model import Binary, Outcome, Profile, Sandbox, Signature
from bot.smoke.confine import KVM, confined, homes
from bot.smoke.inspect import inspect
from tests.smoke.conftest import Smoke
from tests.testing.qemu import boxed, faulty, installed, second

BOX = Sandbox()


def binary(path: str, data: str | None = None) -> Binary:
    return Binary(Path(path), "0", data_dir=None if data is None else Path(data), sandbox=BOX)


@pytest.mark.parametrize(
    "path", ["/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64", "/bin/qemu-system-x86_64"]
)
def test_what_the_system_has_is_there_anyway(path: str) -> None:
    assert homes(binary(path)) == ()


def test_a_binary_sees_itself_and_what_is_installed_with_it_and_no_home(tmp_path: Path) -> None:
    """Somebody's ~/bin/qemu-system-x86_64, and ~/qemu-system-x86_64."""
    for name in ("bin", "lib", ".ssh", "share"):
        (tmp_path / name).mkdir()
    for name in ("bin/qemu", "qemu"):
        (tmp_path / name).touch()
    assert set(homes(binary(f"{tmp_path}/bin/qemu"))) == {
        tmp_path / name for name in ("bin/qemu", "bin", "lib", "share")
    }
    assert homes(binary(f"{tmp_path}/qemu")) == (tmp_path / "qemu",)


def test_a_binary_of_the_cache_sees_its_firmware() -> None:
    found = binary("/srv/cache/0a/qemu-system-x86_64", "/srv/cache/0a/pc-bios")
    assert homes(found) == (Path("/srv/cache/0a/qemu-system-x86_64"), Path("/srv/cache/0a/pc-bios"))


def test_files_of_the_command_line_can_be_read_and_directories_cannot(tmp_path: Path) -> None:
    kernel, disk = tmp_path / "vmlinuz", tmp_path / "disk.img"
    for file in (kernel, disk):
        file.write_bytes(b"x")
    argv = [
        "qemu",
        "-kernel",
        str(kernel),
        "-drive",
        f"file={disk},format=raw",
        "-mem-path",
        str(tmp_path),
        "-bios",
        "/no",
    ]
    box = confined(binary("/usr/bin/qemu"), argv, Path("/run/of/this"))
    assert box is not None
    assert (set(box.read), box.write, box.devices) == ({kernel, disk}, (Path("/run/of/this"),), ())


def test_kvm_is_there_for_those_who_ask_for_it() -> None:
    for word, devices in (("pc,accel=kvm", (KVM,)), ("pc,accel=tcg", ())):
        box = confined(binary("/usr/bin/qemu"), ["qemu", "-M", word])
        assert box is not None
        assert box.devices == devices


def test_a_binary_without_a_sandbox_has_none() -> None:
    assert confined(replace(binary("/usr/bin/qemu"), sandbox=None), ["qemu"]) is None


def test_wrappers_of_an_unpacked_release_run(run: Smoke) -> None:
    assert run(source=second(), destination=second()).outcome is Outcome.PASS
    assert inspect(boxed(second())).release.startswith("10.0")


def test_what_a_binary_lacks_in_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lib").write_text("exit 0\n")
    broken = faulty(tmp_path / "q", "", when="nothing")
    broken.path.write_text(f"#!/bin/sh\n. {tmp_path}/elsewhere/lib\n")
    with pytest.raises(
        UserError, match=r"in a sandbox: what it needs besides its own directory goes into sandbox\.read"
    ):
        inspect(boxed(broken))


def test_a_qemu_cannot_read_what_is_not_its_own(run: Smoke, tmp_path: Path) -> None:
    """Nor write where it likes: what it tries is its own failure, with its own words."""
    (tmp_path / "q").mkdir()
    spy = faulty(tmp_path / "q", "cat /etc/shadow >/dev/null 2>&1 && echo 'spy: seen' >&2; touch /usr/x && echo x >&2")
    seen = run(source=spy, destination=spy)
    assert seen.outcome is Outcome.PASS, seen.message


def test_one_that_goes_beyond_a_limit_is_no_verdict(run: Smoke, tmp_path: Path) -> None:
    swarm = faulty(tmp_path / "q", "for i in $(seq 2000); do sleep 4330 & done; sleep 30", when="*-incoming*")
    seen = run(Profile("p", ("-nodefaults",)), source=swarm, destination=swarm)
    assert (seen.outcome, seen.signature) == (Outcome.INFRA, None), seen.message
    text = next(entry.text for entry in seen.logs if entry.name == "destination.stderr")
    assert "sandbox: ended, for it had more than 1000 processes (sandbox.processes)" in text or "Cannot fork" in text


def test_a_crash_in_there_is_the_crash_it_is(run: Smoke, tmp_path: Path) -> None:
    crash = faulty(tmp_path / "q", "kill -SEGV $$", when="*-incoming*")
    seen = run(source=installed(), destination=crash, direction="forward")
    assert seen.signature == Signature("start", detail="crash", signal="SIGSEGV"), seen.message
    assert seen.exits[1] == -11
