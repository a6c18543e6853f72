"""The reproducer: short lines, plain commands, and run as printed by a real shell on real QEMUs."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import Stopped
from bot.model import TCG, Binary, Case, Direction, Profile, SmokeSettings
from bot.smoke.argv import Common
from bot.smoke.reproducer import WIDTH, reproducer, run_as_printed, sides
from tests.smoke.conftest import BARE
from tests.testing.qemu import children, installed, nothing_left, second, until

BUILT = Binary(Path("/build/qemu-system-x86_64"), "1", Path("/build/pc-bios"))
MEM_PATH = Profile("mem-path", ("-nodefaults", "-mem-path", "{dir}"))


def case(direction: Direction = Direction.SAME, machine: str = "pc-q35-7.2", arch: str = "x86_64") -> Case:
    return Case(f"{arch}-softmmu", machine, "p", direction, None if direction is Direction.SAME else "old")


def text(
    direction: Direction, profile: Profile, source: Binary, destination: Binary, machine: str = "pc-q35-7.2",
    arch: str = "x86_64", accel: str = TCG,
) -> str:  # fmt: skip
    asked = replace(case(direction, machine, arch), accel=accel)
    return reproducer(
        Common(asked, profile, SmokeSettings()), source, destination,
        source_name="v2.12.0", destination_name="master db736e0437aa",
    )  # fmt: skip


def test_forward_from_an_installed_binary() -> None:
    assert text(Direction.FORWARD, MEM_PATH, installed(), BUILT) == (
        'O="-display none -M pc-q35-7.2 -m 128M -nodefaults -mem-path . -S"\n'
        "printf 'migrate \"exec:cat >vm.state\"\\nquit\\n' |\n"
        "  /usr/bin/qemu-system-x86_64 $O -monitor stdio  # v2.12.0\n"
        "timeout 10 new/qemu-system-x86_64 -L new/pc-bios $O -incoming \\\n"
        '  "exec:cat vm.state" </dev/null; echo $?\n'
        "# master db736e0437aa: 124 = loads, else fails"
    )


@pytest.mark.parametrize(
    ("direction", "source", "destination", "names"),
    [
        (Direction.FORWARD, installed(), BUILT, (None, "new")),
        (Direction.FORWARD, BUILT, BUILT, ("old", "new")),
        (Direction.BACKWARD, BUILT, installed(), ("new", None)),
        (Direction.SAME, installed(), installed(), ("new", "new")),  # the commit's side changes: never a fixed path
    ],
)
def test_how_sides_are_named(
    direction: Direction, source: Binary, destination: Binary, names: tuple[str | None, str | None]
) -> None:
    found = sides(case(direction), source, destination)
    assert (found.source, found.destination) == names


LONG = Profile(
    "many",
    ("-nodefaults", *(a for i in range(9) for a in ("-device", f"virtio-net-pci,id=nic{i},mac=52:54:00:12:34:0{i}"))),
)
QUOTED = Profile("quoted", ("-nodefaults", "-name", "a 'quoted' name", "-append", "x $HOME *"), run=1.5)


@pytest.mark.parametrize("profile", [BARE, MEM_PATH, LONG, QUOTED], ids=lambda p: p.name)
@pytest.mark.parametrize("direction", list(Direction))
def test_the_shell_reads_what_the_smoke_runs(tmp_path: Path, profile: Profile, direction: Direction) -> None:
    """Every line fits, bash accepts it, and both commands get exactly the arguments that they should."""
    printed = text(direction, profile, BUILT, BUILT)
    assert all(len(line) <= WIDTH for line in printed.splitlines())
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        fake = tmp_path / name / "qemu-system-x86_64"
        fake.write_text(
            '#!/bin/bash\nprintf "%s\\n" "$0" "$@" >>"$PWD/$(echo "$*" | grep -q incoming && echo d || echo s)"\n'
        )
        fake.chmod(0o755)
    done = subprocess.run(["bash", "-eu", "-c", printed], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
    old, new = (tmp_path / "s").read_text().splitlines(), (tmp_path / "d").read_text().splitlines()
    names = {Direction.FORWARD: ("old", "new"), Direction.BACKWARD: ("new", "old")}.get(direction, ("new", "new"))
    shared = ["-display", "none", "-M", "pc-q35-7.2", "-m", "128M", *(a.replace("{dir}", ".") for a in profile.args)]
    shared += ["-no-shutdown"] if profile.run else ["-S"]
    for words, name, tail in (
        (old, names[0], ["-monitor", "stdio"]),
        (new, names[1], ["-incoming", "exec:cat vm.state"]),
    ):
        assert words == [f"{name}/qemu-system-x86_64", "-L", f"{name}/pc-bios", *shared, *tail]


def test_what_a_destination_is_given_is_a_setting() -> None:
    asked = Common(case(Direction.SAME), BARE, SmokeSettings(reproducer_wait=2.5))
    assert "\ntimeout 2.5 new/qemu" in reproducer(asked, BUILT, BUILT, source_name="a", destination_name="a")


def test_the_accelerator_is_said_if_it_is_not_the_default() -> None:
    assert "accel" not in text(Direction.FORWARD, BARE, BUILT, BUILT)
    assert "-M pc-q35-7.2,accel=kvm" in text(Direction.FORWARD, BARE, BUILT, BUILT, accel="kvm")


@pytest.mark.parametrize(
    ("machine", "arch", "profile", "bad_exit", "says"),
    [
        ("isapc", "x86_64", Profile("default"), 134, "memory_region_set_alias_offset: Assertion `mr->alias' failed"),
        ("bamboo", "ppc64", BARE, 1, "Missing section footer for cpu"),
    ],
)
def test_it_tells_a_bad_build_from_a_good_one(
    tmp_path: Path, machine: str, arch: str, profile: Profile, bad_exit: int, says: str
) -> None:
    """Real bugs of 7.2 that are fixed in 10.0, run exactly as printed."""
    bad, good, scratch = installed(arch), second(arch), tmp_path / "scratch"
    printed = text(Direction.SAME, profile, bad, bad, machine, arch)
    with nothing_left(scratch):
        found = run_as_printed(printed, bad={"new": bad}, good={"new": good}, arch=arch, scratch=scratch)
    assert (found.bad_exit, found.good_exit, found.shown) == (bad_exit, 124, True)
    assert found.text == printed
    assert says in found.output and "(qemu)" not in found.output and "\x1b" not in found.output


def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    """timeout(1) puts QEMU into a process group of its own: that one is ended too."""
    stop, scratch = threading.Event(), tmp_path / "scratch"

    def later() -> None:
        until(lambda: children("exec:cat vm.state"))
        stop.set()

    thread = threading.Thread(target=later)
    thread.start()
    new = installed()
    printed = text(Direction.SAME, BARE, new, new).replace("timeout 10", "timeout 100")
    with nothing_left(scratch), pytest.raises(Stopped):
        run_as_printed(printed, bad={"new": new}, good={"new": new}, arch="x86_64", scratch=scratch, stop=stop)
    thread.join()


def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    """The state file is named, not random: different streams in different directories."""
    printed = [text(Direction.FORWARD, BARE, installed(), second(), m) for m in ("pc-q35-7.2", "pc-i440fx-7.2")]
    printed = [p.replace("timeout 10", "timeout 2") for p in printed]

    def one(program: str) -> bool:
        new = replace(second(), data_dir=None)
        found = run_as_printed(program, bad={"new": new}, good={"new": new}, arch="x86_64", scratch=tmp_path)
        return (found.bad_exit, found.good_exit) == (124, 124) and not found.shown

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(one, printed))
