"""What a commit's own build may try: contained, named, and nothing of it left. Real builds in real sandboxes."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import psutil
import pytest

from bot.errors import InfraError
from bot.model import Build, BuildStatus, Limits, Sandbox
from tests.build.project import CONFIGURE, TARGET, Project
from tests.host.test_process import gone

SECRET = "canary-of-a-secret"  # noqa: S105 - bait


def hostile(project: Project, work: Path, script: str, **limits: int) -> Build:
    """The build of a commit whose configure runs a script, and then goes on as if nothing were."""
    commit = project.commit({"extra.sh": f"{script}\n", "configure": f"{CONFIGURE}# {script!r}\n"})
    box = Sandbox(Limits(**{"reserve": 0, **limits}))
    return project.builder(work, sandbox=box).build(commit, TARGET)


def spoken(build: Build) -> str:
    """What the script said, without the shell's words around it."""
    assert build.status is BuildStatus.BUILT, build.log
    return build.log


def test_it_reaches_no_network(project: Project, work: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0.1)
        build = hostile(project, work, f"bash -c 'echo x > /dev/tcp/127.0.0.1/{port}' || echo no way out")
        assert "no way out" in spoken(build)
        with pytest.raises(TimeoutError):
            server.accept()


def test_it_reads_nothing_of_ours(project: Project, work: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (work / "unpacked").mkdir(parents=True)
    (work / "bot.sqlite").write_text(SECRET)
    script = f"cat {tmp_path}/secret {work}/bot.sqlite /etc/shadow ~/* || echo nothing to see; ls {work}/* || :"
    log = spoken(hostile(project, work, script))
    assert "nothing to see" in log
    assert SECRET not in log
    assert "bot.sqlite\n" not in log


def test_it_changes_nothing_but_its_build_directory(project: Project, work: Path, tmp_path: Path) -> None:
    """Not its own sources either: what is built next would be built of them."""
    inputs = f"$src/main.c {work}/tools/x {tmp_path}/x /usr/x"
    log = spoken(hostile(project, work, f"for file in {inputs}; do echo '#error' >> $file || echo kept $file; done"))
    assert log.count("\nkept ") == 3  # that of tmp_path is written, to a /tmp of its own
    assert not (tmp_path / "x").exists()
    assert not (work / "tools" / "x").exists()


def test_meson_s_lock_in_the_sources_can_be_written(project: Project, work: Path) -> None:
    """QEMU's configure fails without; beside it nothing can be."""
    project.commit({"subprojects/keycodemapdb.wrap": "[wrap-git]\n"})
    script = "echo > $src/subprojects/.wraplock && echo locked; echo > $src/subprojects/x || echo kept"
    assert {"locked", "kept"} <= set(spoken(hostile(project, work, script)).splitlines())


@pytest.mark.parametrize("name", ["subprojects", "subprojects/.wraplock"])
def test_a_lock_that_is_a_link_is_not_followed(project: Project, work: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".wraplock").write_text(SECRET)
    (project.path / name).parent.mkdir(exist_ok=True)
    (project.path / name).symlink_to(outside if name == "subprojects" else outside / ".wraplock")
    project.git("add", "--all")
    spoken(hostile(project, work, "echo > $src/subprojects/.wraplock || cat $src/subprojects/.wraplock || :"))
    assert (outside / ".wraplock").read_text() == SECRET


def test_a_fork_bomb_is_a_fault_of_the_machine_and_named(project: Project, work: Path) -> None:
    script = "bash -c 'bomb() { bomb | bomb & sleep 97; }; bomb; wait'"
    with pytest.raises(InfraError, match=r"more than 200 processes \(sandbox\.processes\)|Resource temporarily"):
        hostile(project, work, script, processes=200)
    assert gone("sleep", "97")
    assert project.builder(work).build(project.first, TARGET).status is BuildStatus.BUILT


def test_a_log_of_a_gigabyte_is_ended_and_named(project: Project, work: Path) -> None:
    with pytest.raises(InfraError, match=r"ended, for it wrote more than 100 MiB of output"):
        hostile(project, work, "yes 'a line of a long, long log of nothing' | head -c 1000000000")
    assert gone("yes", "a line of a long, long log of nothing")


def test_a_long_log_is_cut_in_the_middle_and_said(project: Project, work: Path) -> None:
    build = hostile(project, work, "yes 'a line of a long log' | head -c 20000000; echo the last line")
    assert len(build.log) < 3 * 2**20
    assert "bytes dropped" in spoken(build)
    assert "the last line" in build.log


def test_a_terabyte_is_a_fault_of_the_machine_and_named(project: Project, work: Path) -> None:
    for script in ("truncate -s 1T huge", "head -c 100000000 /dev/zero > big"):
        with pytest.raises(InfraError, match=r"a file grew beyond sandbox\.file_size"):
            hostile(project, work, f"{script} || exit 1", file_size=50 * 2**20)
    assert sum(file.stat().st_size for file in work.rglob("*") if file.is_file()) < 60 * 2**20


def test_a_full_disk_is_a_fault_of_the_machine_and_named(project: Project, work: Path) -> None:
    with pytest.raises(InfraError, match=r"of space on the disk \(sandbox\.reserve\)"):
        hostile(project, work, "sleep 60", reserve=2**60)


def test_what_leaves_the_session_does_not_outlive_the_build(project: Project, work: Path) -> None:
    spoken(hostile(project, work, "setsid -f sleep 98; (trap '' TERM HUP INT; exec -a stubborn sleep 99) &"))
    assert gone("sleep", "98")
    assert gone("stubborn", "99")


def test_a_timeout_leaves_nothing(project: Project, work: Path) -> None:
    commit = project.commit({"extra.sh": "setsid -f sleep 96; sleep 95\n", "configure": f"{CONFIGURE}#\n"})
    with pytest.raises(InfraError, match=r"raise build\.timeout"):
        project.builder(work, timeout=2.0).build(commit, TARGET)
    assert gone("sleep", "95")
    assert gone("sleep", "96")


def test_a_binary_that_is_a_link_to_a_file_of_ours(project: Project, work: Path, tmp_path: Path) -> None:
    """Neither strip nor the cache follows it out of the build directory."""
    (tmp_path / "secret").write_text(SECRET)
    linking = CONFIGURE.replace("command = gcc -o \\$out \\$in", f"command = ln -sf {tmp_path}/secret \\$out")
    commit = project.commit({"configure": linking})
    (tmp_path / "secret").chmod(0o755)
    with pytest.raises(InfraError):
        project.builder(work).build(commit, TARGET)
    kept = [file for file in (work / "unpacked").rglob("*") if file.is_file()]
    assert not [file for file in kept if SECRET.encode() in file.read_bytes()]


@pytest.mark.parametrize("name", ["pc-bios", "pc-bios/keymaps", "pc-bios/other.bin"])
def test_firmware_that_is_a_link_out_of_the_tree(project: Project, work: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.bin").write_text(SECRET)
    place = project.path / name
    if place.is_dir():
        shutil.rmtree(place)
    place.symlink_to(outside if place.suffix == "" else outside / "secret.bin")
    project.git("add", "--all")
    project.git("commit", "--quiet", "-m", "a link")
    build = project.builder(work).build(project.git("rev-parse", "HEAD"), TARGET)
    assert build.status is BuildStatus.BUILT
    kept = [file for file in (work / "unpacked").rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if SECRET.encode() in file.read_bytes()]


def test_a_dependency_file_that_is_a_trap(project: Project, work: Path, tmp_path: Path) -> None:
    """A pipe named like one would keep a reader waiting, a link name files of ours, a huge one fill our memory."""
    project.commit({"old-style": ""})
    script = f"mkfifo pipe.d; ln -s {tmp_path}/secret link.d; truncate -s 900M large.d"
    (tmp_path / "secret").write_text(f"x: {work}/trees/make-{TARGET}/src/main.c {SECRET}\n")
    build = hostile(project, work, script)
    assert build.status is BuildStatus.BUILT
    assert SECRET not in str(project.builder(work).closure(build.commit, TARGET))


def test_a_file_that_is_marked_set_user_id_is_out_of_reach(project: Project, work: Path) -> None:
    spoken(hostile(project, work, "cp /bin/true trap; chmod u+s trap"))
    assert (work / "trees").stat().st_mode & 0o077 == 0
    assert not [file for file in (work / "unpacked").rglob("*") if file.stat().st_mode & 0o6000]


def test_nothing_is_left_of_any(project: Project, work: Path) -> None:
    before = set(psutil.pids())
    spoken(hostile(project, work, "sleep 94 & setsid -f sleep 94"))
    own = {process.pid for process in psutil.Process(os.getpid()).children(recursive=True)}
    assert not own - before
    assert gone("sleep", "94")
