"""The built-in migration on real QEMUs: what passes, what fails for real reasons, and by which name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from bot.core.matrix import versioned
from bot.model import Binary, Direction, Observation, Outcome, Profile, Signature, SmokeSettings
from bot.smoke.control import Controls
from bot.smoke.qemu import Qemu, Refused
from tests.smoke.conftest import BARE, Smoke
from tests.testing.qemu import faulty, installed, second

MEM_PATH = Profile("mem-path", ("-nodefaults", "-mem-path", "{dir}"))
DEFAULT = Profile("default")


def log(observation: Observation, name: str) -> str:
    return next(entry.text for entry in observation.logs if entry.name == name)


@pytest.mark.parametrize("machine", ["pc-i440fx-7.2", "pc-q35-2.12", "pc-i440fx-2.3", "isapc", "microvm"])
def test_bare_types_pass(run: Smoke, machine: str) -> None:
    seen = run(machine=machine)
    assert (seen.outcome, seen.signature, seen.message) == (Outcome.PASS, None, "")
    assert seen.exits == (None, None)
    assert seen.argv[0][:6] == ("/usr/bin/qemu-system-x86_64", "-display", "none", "-M", f"{machine},accel=tcg", "-m")
    assert seen.argv[1] == (*seen.argv[0], "-incoming", "defer") and seen.argv[0][-1] == "-S"
    assert '"completed"' in log(seen, "source.qmp") and '"completed"' in log(seen, "destination.qmp")
    assert "-> " in log(seen, "source.qmp") and "<- " in log(seen, "source.qmp")


@pytest.mark.parametrize("machine", ["pc-q35-7.2", "pc-i440fx-2.3"])
def test_a_running_guest_passes_and_runs_on(run: Smoke, machine: str) -> None:
    seen = run(Profile("firmware", run=1.0), machine=machine)
    assert seen.outcome is Outcome.PASS, seen.message
    assert "-S" not in seen.argv[0] and seen.seconds >= 1.0
    assert '"RESUME"' in log(seen, "destination.qmp")


@pytest.mark.parametrize("machine", ["pseries-7.2", "pseries-2.12", "pseries-2.3"])
def test_pseries_passes_with_its_own_memory(run: Smoke, machine: str) -> None:
    seen = run(MEM_PATH, machine=machine, arch="ppc64")
    assert seen.outcome is Outcome.PASS, seen.message
    assert seen.argv[0][seen.argv[0].index("-m") + 1] == "256M"
    place = Path(seen.argv[0][seen.argv[0].index("-mem-path") + 1])
    assert place.is_absolute() and not place.exists()


def test_profiles_with_paused_destination(run: Smoke) -> None:
    seen = run(Profile("p", ("-nodefaults",), destination_args=("-S",), run=0.2))
    assert seen.outcome is Outcome.PASS, seen.message  # running turns to paused, as -S says


def test_a_board_with_memory_of_its_own_is_tried_without_ours(run: Smoke) -> None:
    seen = run(machine="40p", arch="ppc64", settings=SmokeSettings(memory={"*": "100M"}))
    assert seen.outcome is Outcome.PASS, seen.message
    assert "-m" not in seen.argv[0]


@pytest.mark.parametrize(("binary", "audio"), [(installed, False), (second, True)])
def test_a_board_whose_sound_chip_finds_no_driver_gets_one(
    run: Smoke, binary: Callable[[str], Binary], audio: bool
) -> None:
    seen = run(machine="pegasos2", arch="ppc64", source=binary("ppc64"), destination=binary("ppc64"))
    assert seen.outcome is Outcome.PASS, seen.message
    assert [("-audio" in argv) for argv in seen.argv] == [audio, audio]


@pytest.mark.parametrize(
    ("machine", "profile", "arch", "expected"),
    [
        ("isapc", DEFAULT, "x86_64", Signature("assert", None, "memory_region_set_alias_offset: mr->alias", "SIGABRT")),
        ("bamboo", BARE, "ppc64", Signature("footer", "cpu")),
    ],
)
def test_known_bugs_of_7_2_are_found(
    run: Smoke, machine: str, profile: Profile, arch: str, expected: Signature
) -> None:
    for _ in range(3):
        seen = run(profile, machine=machine, arch=arch)
        assert seen.outcome is (Outcome.CRASH_DST if expected.signal else Outcome.FAIL_DST)
        assert seen.signature == expected
        assert seen.exits == (None, -6 if expected.signal else 1)
        assert seen.message in log(seen, "destination.stderr")


@pytest.mark.parametrize(
    ("source_args", "destination_args", "klass", "device"),
    [
        (("-m", "128M"), ("-m", "64M"), "ram-size", "ram"),
        (("-device", "virtio-rng-pci"), (), "unknown-section", "virtio-rng"),
        (("-device", "virtio-rng-pci"), ("-device", "virtio-balloon-pci"), "unknown-section", "virtio-rng"),
        (("-machine", "pc-q35-7.1"), ("-machine", "pc-q35-7.2"), "machine-name", None),
    ],
)
def test_a_destination_that_refuses(
    run: Smoke, source_args: tuple[str, ...], destination_args: tuple[str, ...], klass: str, device: str | None
) -> None:
    profile = Profile("p", ("-nodefaults",), source_args, destination_args)
    for _ in range(3):  # the source's end of it is a race; what is said of it is none
        seen = run(profile)
        assert seen.outcome is Outcome.FAIL_DST
        assert seen.signature is not None and (seen.signature.klass, seen.signature.device) == (klass, device)
        assert seen.exits == (None, 1)


def test_what_was_loaded_before_a_failure_is_noted(run: Smoke) -> None:
    seen = run(source=second("ppc64"), machine="pseries-7.2", arch="ppc64", settings=SmokeSettings({"*": "256M"}))
    assert seen.signature == Signature("section-version", "cpu/slb")
    assert {"ram", "ppc_spapr.ram", "timer", "spapr/htab"} <= set(seen.loaded)
    assert not {"cpu", "cpu/slb", "spapr", "spapr_pci"} & set(seen.loaded)  # at fault, or still to come


def test_a_device_that_cannot_migrate_is_untestable(run: Smoke) -> None:
    disk = ("-drive", "if=none,id=d,driver=null-co", "-device", "nvme,drive=d,serial=x")
    seen = run(Profile("nvme", ("-nodefaults", *disk)))
    assert seen.outcome is Outcome.UNTESTABLE
    assert seen.signature == Signature("unmigratable", "nvme")
    assert "non-migratable device" in seen.message


def test_machine_types_that_are_not_there(run: Smoke) -> None:
    seen = run(machine="pc-q35-99.9")
    assert seen.outcome is Outcome.UNTESTABLE and "has no machine type pc-q35-99.9" in seen.message
    seen = run(machine="q35")
    assert seen.outcome is Outcome.UNTESTABLE and "q35 is its alias of pc-q35-7.2" in seen.message


def test_a_newer_type_was_not_lost(run: Smoke) -> None:
    seen = run(machine="pc-q35-10.0", source=second(), direction=Direction.FORWARD)
    assert seen.outcome is Outcome.UNTESTABLE and "(7.2." in seen.message


@pytest.mark.parametrize("direction", [Direction.FORWARD, Direction.BACKWARD])
@pytest.mark.parametrize("profile", [BARE, MEM_PATH])
def test_two_releases(run: Smoke, direction: Direction, profile: Profile) -> None:
    pair = (installed(), second()) if direction is Direction.FORWARD else (second(), installed())
    for machine in ("pc-i440fx-2.12", "pc-q35-7.2"):
        seen = run(profile, machine=machine, source=pair[0], destination=pair[1], direction=direction)
        assert seen.outcome is Outcome.PASS, seen.message


def test_every_shared_type_from_7_2_to_10_0(run: Smoke) -> None:
    controls = Controls()
    there = {m.name for m in controls.inventory(second()).machines}
    names = [m.name for m in controls.inventory(installed()).machines if m.name in there and versioned(m.name)]
    names = [n for n in names if not any(fnmatchcase(n, p) for p in ("none", "x-remote", "xenfv*"))]
    assert len(names) > 40

    def one(name: str) -> Observation:
        return run(machine=name, destination=second(), direction=Direction.FORWARD, controls=controls)

    with ThreadPoolExecutor(2) as pool:
        failed = {n: o.message for n, o in zip(names, pool.map(one, names), strict=True) if o.outcome != Outcome.PASS}
    assert failed == {}


def _asking(monkeypatch: pytest.MonkeyPatch, change: Mapping[str, object]) -> list[tuple[str, str]]:
    """Make QEMU answer these commands like an older one; what was asked is noted."""
    original, asked = Qemu.ask, []

    async def ask(self: Qemu, command: str, **arguments: Any) -> Any:
        asked.append((self.name, command))
        answer = change.get(f"{self.name} {command}", change.get(command, ...))
        if answer is None:
            raise Refused(self.name, f"The command {command} has not been found")
        if answer is not ...:
            return answer
        return await original(self, command, **arguments)

    monkeypatch.setattr(Qemu, "ask", ask)
    return asked


def test_an_era_without_events(run: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _asking(monkeypatch, {"migrate-set-capabilities": None})
    assert run().outcome is Outcome.PASS
    assert ("source", "query-migrate") in asked and ("destination", "query-migrate") in asked


def test_an_era_without_a_status_of_the_destination(run: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until 2.12 a destination answers {}: leaving inmigrate is the sign."""
    _asking(monkeypatch, {"migrate-set-capabilities": None, "destination query-migrate": {}})
    assert run().outcome is Outcome.PASS
    bad = Profile("p", ("-nodefaults",), ("-device", "virtio-rng-pci"))
    seen = run(bad)
    assert seen.outcome is Outcome.FAIL_DST and seen.signature == Signature("unknown-section", "virtio-rng")


def test_an_era_with_the_old_speed_commands(run: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [{"name": "migrate_set_speed"}, {"name": "migrate_set_downtime"}]
    old = {
        "query-commands": commands,
        "query-migrate-parameters": {},
        "migrate_set_speed": {},
        "migrate_set_downtime": {},
    }
    asked = _asking(monkeypatch, old)
    assert run().outcome is Outcome.PASS
    assert ("source", "migrate_set_speed") in asked and ("source", "migrate-set-parameters") not in asked


def test_another_runstate_is_silent_corruption(run: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    _asking(monkeypatch, {"destination query-status": {"status": "running"}})
    seen = run()
    assert seen.outcome is Outcome.SILENT
    assert seen.signature == Signature("runstate", detail="prelaunch -> running, not prelaunch")


def test_lines_of_the_control_run_are_no_failure(run: Smoke, tmp_path: Path) -> None:
    noisy = faulty(tmp_path / "a", "echo 'board: no fan on slot 7' >&2")
    assert run(source=noisy, destination=noisy).outcome is Outcome.PASS
    warning = faulty(tmp_path / "b", "echo 'qemu: warning: old' >&2", when="*-incoming*")
    assert run(source=warning, destination=warning).outcome is Outcome.PASS


def test_a_line_that_only_the_migration_prints_is_a_failure(run: Smoke, tmp_path: Path) -> None:
    noisy = faulty(tmp_path, "echo 'board: no fan on slot 7' >&2", when="*-incoming*")
    seen = run(source=noisy, destination=noisy)
    assert seen.outcome is Outcome.FAIL_DST and seen.message == "board: no fan on slot 7"
    assert seen.signature == Signature("text", detail="board: no fan on slot #")
    assert seen.exits == (None, None)
