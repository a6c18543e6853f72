"""Every method on real QEMUs: it does what its name says, and where it cannot be used, that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.errors import UserError
from bot.model import Direction, Inventory, MachineOptions, Outcome, Profile, Signature, SmokeSettings
from bot.smoke.inspect import inspect
from bot.smoke.methods import METHODS, method_of
from bot.smoke.methods.savevm import empty_qcow2
from bot.smoke.qemu import Qemu, Refused
from bot.smoke.scene import Scene
from tests.smoke.conftest import BARE, Smoke
from tests.smoke.test_migration import log
from tests.testing.qemu import installed, second

RUNNING = Profile("running", ("-nodefaults",), run=0.3)
GUEST = Profile("guest", ("-nodefaults",), run=0.3, guest=True)
ARCHES = {
    "x86_64": "pc-q35-7.2",
    "ppc64": "pseries-7.2",
    "aarch64": "virt-7.2",
    "s390x": "s390-ccw-virtio-7.2",
}


@pytest.mark.parametrize("profile", [BARE, RUNNING, GUEST], ids=lambda profile: profile.name)
@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("arch", list(ARCHES))
def test_every_method_on_every_architecture(run: Smoke, arch: str, method: str, profile: Profile) -> None:
    seen = run(profile, arch=arch, machine=ARCHES[arch], method=method)
    assert seen.outcome is Outcome.PASS, seen.message


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_between_two_releases(run: Smoke, method: str) -> None:
    for source, destination in ((installed(), second()), (second(), installed())):
        seen = run(GUEST, method=method, source=source, destination=destination, direction=Direction.FORWARD)
        assert seen.outcome is Outcome.PASS, seen.message
        assert seen.releases == (inspect(source).release, inspect(destination).release)


def test_a_guest_that_is_not_up_says_nothing_about_migrations(run: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.smoke.scene._BOOT", 0.5)
    seen = run(Profile("guest", ("-nodefaults",), source_args=("-S",), run=0.3, guest=True))
    assert (seen.outcome, seen.signature) == (Outcome.UNTESTABLE, None)
    assert seen.message == "our guest was not up after 1 s"


@pytest.mark.parametrize(
    ("method", "side", "words"),
    [
        ("precopy", "source", '"uri": "unix:'),
        ("exec", "source", '"uri": "exec:cat >'),
        ("exec", "destination", '"uri": "exec:cat '),
        ("multifd", "destination", '"capability": "multifd"'),
        ("postcopy", "destination", '"status": "postcopy-active"'),
        ("ping-pong", "return", '"migrate-incoming"'),
        ("savevm", "source", '"command-line": "savevm bot"'),
        ("savevm", "destination", '"command-line": "loadvm bot"'),
    ],
)
def test_a_method_does_what_its_name_says(run: Smoke, method: str, side: str, words: str) -> None:
    trace = log(run(RUNNING, method=method), f"{side}.qmp")
    assert words.replace(" ", "") in trace.replace(" ", "")  # QEMU writes blanks after colons, we do not


def test_the_way_back_is_told_apart(run: Smoke) -> None:
    """The destination sends a device that the first source's binary, started anew, does not have."""
    profile = Profile("p", ("-nodefaults",), destination_args=("-m", "64M"))
    seen = run(profile, method="ping-pong")
    assert seen.outcome is Outcome.FAIL_DST and not seen.message.startswith("on the way back")


def test_a_failure_on_the_way_back(run: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Scene._enter

    async def other_memory(self: Scene, name: str) -> Qemu:
        if name == "return":
            object.__setattr__(self.plan, "source_args", ("-m", "64M"))
        return await original(self, name)

    monkeypatch.setattr(Scene, "_enter", other_memory)
    seen = run(method="ping-pong")
    assert seen.outcome is Outcome.FAIL_DST and seen.message.startswith("on the way back: ")
    assert seen.signature == Signature("ram-size", "ram", "pc.ram")
    assert len(seen.argv) == len(seen.exits) == 3


def test_a_method_that_one_side_does_not_know(run: Smoke) -> None:
    old = Inventory("x86_64", "2.12.0", (), capabilities=frozenset({"x-multifd", "postcopy-ram"}))
    new = Inventory("x86_64", "10.0.0", (), capabilities=frozenset({"multifd", "postcopy-ram"}))
    none = Inventory("x86_64", "2.4.0", ())
    multifd, postcopy = method_of("multifd"), method_of("postcopy")
    assert postcopy.lacks(old, new) is None
    assert multifd.lacks(old, new) == "2.12.0 calls it x-multifd, 10.0.0 multifd: they do not speak the same"
    assert multifd.lacks(none, new) == "2.4.0 does not know multifd"
    assert multifd.lacks(new, none) == "2.4.0 does not know multifd"
    assert method_of("precopy").lacks(none, none) is None


def test_a_host_that_does_not_allow_a_method(run: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without userfaultfd QEMU refuses the capability: that is the host's doing and not the commit's."""
    original = Qemu.ask

    async def ask(self: Qemu, command: str, **arguments: Any) -> Any:
        if self.name == "destination" and "postcopy-ram" in str(arguments):
            raise Refused(self.name, "Postcopy is not supported: Userfaultfd not available")
        return await original(self, command, **arguments)

    monkeypatch.setattr(Qemu, "ask", ask)
    seen = run(method="postcopy")
    assert (seen.outcome, seen.signature) == (Outcome.UNTESTABLE, None)
    assert "Userfaultfd not available" in seen.message


def test_an_unknown_method(run: Smoke) -> None:
    with pytest.raises(UserError, match="no migration method 'teleport': there are precopy, ping-pong, exec"):
        run(method="teleport")


def test_a_snapshot_that_cannot_be_made(run: Smoke) -> None:
    disk = ("-drive", "if=none,id=d,driver=null-co", "-device", "nvme,drive=d,serial=x")
    seen = run(Profile("nvme", ("-nodefaults", *disk)), method="savevm")
    assert seen.outcome is Outcome.UNTESTABLE and "non-migratable device" in seen.message


@pytest.mark.parametrize("size", [512, 2**20, 2**30, 2**40])
def test_the_empty_image_is_one_that_qemu_takes(run: Smoke, size: int, tmp_path: Path) -> None:
    image = tmp_path / "i"
    image.write_bytes(empty_qcow2(size))
    seen = run(Profile("p", ("-nodefaults", "-drive", f"if=none,id=i,format=qcow2,readonly=on,file={image}")))
    assert seen.outcome is Outcome.PASS, seen.message


def test_the_guest_is_asked_for_only_where_there_is_one(run: Smoke) -> None:
    seen = run(GUEST, machine="microvm")
    assert seen.outcome is Outcome.UNTESTABLE and seen.message == "there is no guest of ours for microvm"


def test_kvm_is_never_silently_changed(run: Smoke) -> None:
    seen = run(accel="kvm")
    assert ",accel=kvm" in seen.argv[0][4]
    assert seen.outcome in (Outcome.PASS, Outcome.INFRA), seen.message  # as this machine has it or not


def test_kvm_writes_into_the_memory_of_a_guest_that_ran(run: Smoke) -> None:
    """SeaBIOS has a kvmclock; the destination's kernel raises its version before the guest goes on."""
    for method in ("precopy", "ping-pong", "exec", "savevm"):
        seen = run(Profile("ran", ("-nodefaults",), run=1.0), accel="kvm", method=method)
        assert seen.outcome in (Outcome.PASS, Outcome.INFRA), seen.message  # as this machine has it or not


def test_machine_options_go_to_both_sides(run: Smoke) -> None:
    options = (
        MachineOptions("no TM under TCG", ("pseries-2.8",), accel="tcg", options="cap-htm=off"),
        MachineOptions("another accelerator", ("pseries-*",), accel="kvm", options="nonsense=on"),
        MachineOptions("another target", ("pseries-*",), targets=("x86_64",), options="nonsense=on"),
    )
    assert run(machine="pseries-2.8", arch="ppc64").outcome is Outcome.UNTESTABLE
    seen = run(machine="pseries-2.8", arch="ppc64", settings=SmokeSettings(machines=options))
    assert seen.outcome is Outcome.PASS, seen.message
    assert [argv[4] for argv in seen.argv] == ["pseries-2.8,cap-htm=off,accel=tcg"] * 2
