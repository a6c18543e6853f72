"""The builder on a tiny project: what is built again, what is not, and whose fault a failure is."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from bot.config import load
from bot.errors import InfraError, Killed, Stopped, UserError
from bot.host import process
from bot.host.process import Completed
from bot.model import Build, BuildKind, BuildStatus, Recipe
from tests.build.project import CONFIGURE, GENERATOR, MAKE, NINJA, TARGET, Project, Watcher
from tests.testing.cluster import until
from tests.testing.tmpfs import resize

STYLES = pytest.mark.parametrize("style", ["ninja", "make"])


def styled(project: Project, style: str) -> None:
    if style == "make":
        project.commit({"old-style": ""})


def says(build: Build) -> str:
    assert build.binary is not None
    return subprocess.run([build.binary.path], capture_output=True, text=True, check=True).stdout.strip()


def configured(work: Path, style: str = "ninja") -> int:
    return len((work / f"trees/{style}-{TARGET}/build/configured.log").read_text().splitlines())


@STYLES
def test_full_then_incremental_then_cached(project: Project, work: Path, style: str) -> None:
    styled(project, style)
    first = project.commit({"README": "first\n"})
    second = project.commit({"dev.c": "int dev(void) { return 3; }\n"})
    watcher = Watcher()
    builder = project.builder(work, watcher)
    full = builder.build(first, TARGET)
    assert (full.status, full.kind, full.recipe, full.steps) == (BuildStatus.BUILT, BuildKind.FULL, style, 4)
    assert says(full) == "QEMU emulator version 7.2"
    assert full.toolchain.startswith("gcc ")
    assert full.seconds > 0
    total = 4 if style == "ninja" else 0
    assert (f"building {first[:12]} {TARGET}", 4, total) in watcher.worked
    assert f"{style}" == full.recipe
    incremental = builder.build(second, TARGET)
    assert (incremental.kind, incremental.steps) == (BuildKind.INCREMENTAL, 2)
    assert says(incremental) == "QEMU emulator version 7.3"
    assert configured(work, style) == 1
    cached = project.builder(work).build(first, TARGET)  # as after a restart
    assert cached == dataclasses.replace(full, kind=BuildKind.CACHED, seconds=0.0, steps=0)
    assert says(cached) == "QEMU emulator version 7.2"


def test_incremental_and_full_make_the_same_bytes(project: Project, work: Path, tmp_path: Path) -> None:
    second = project.commit({"dev.c": "int dev(void) { return 3; }\n"})
    builder = project.builder(work)
    builder.build(project.first, TARGET)
    incremental = builder.build(second, TARGET).binary
    full = project.builder(tmp_path / "other").build(second, TARGET).binary
    assert incremental is not None and full is not None
    assert incremental.sha256 == full.sha256


def test_the_work_directory_need_not_show_in_the_bytes(project: Project, work: Path, tmp_path: Path) -> None:
    """Two work directories that share nothing agree on the sha256 if the recipe maps its paths away."""
    commit = project.commit({"dev.c": "const char *f = __FILE__; int dev(void) { return f[0]; }\n"})
    mapped = {"CC": "gcc -ffile-prefix-map={source}=."}

    def sha256(where: Path, recipe: Recipe) -> str:
        binary = project.builder(where, recipes=(recipe,)).build(commit, TARGET).binary
        assert binary is not None
        return binary.sha256

    commit = project.commit({"configure": CONFIGURE.replace("command = gcc -I.", "command = $CC -I.")})
    plain = dataclasses.replace(NINJA, env={"CC": "gcc"})
    assert sha256(work, plain) != sha256(tmp_path / "other", plain)
    recipe = dataclasses.replace(NINJA, env=mapped)
    assert sha256(work, recipe) == sha256(tmp_path / "other", recipe)


def test_artifact_is_stripped_and_has_the_firmware(project: Project, work: Path) -> None:
    binary = project.builder(work).build(project.first, TARGET).binary
    assert binary is not None and binary.data_dir is not None
    assert binary.commit == project.first and binary.name == project.first[:12]
    names = {str(p.relative_to(binary.data_dir)) for p in binary.data_dir.rglob("*") if p.is_file()}
    assert names == {"bios-256k.bin", "keymaps/en-us"}
    assert "no symbols" in subprocess.run(["nm", binary.path], capture_output=True, text=True).stderr
    assert not binary.path.is_relative_to(work / "trees")


def test_refused_options_are_dropped_a_value_first(project: Project, work: Path) -> None:
    build = project.builder(work).build(project.first, TARGET)
    assert build.status is BuildStatus.BUILT
    taken = (work / f"trees/ninja-{TARGET}/build/configured.log").read_text()
    assert taken == f"--target-list={TARGET} --disable-werror --enable-fdt\n"
    assert "configure does not know --disable-bluez" in build.log
    assert "configure does not know --enable-fdt=system" in build.log


def test_configure_runs_again_when_it_changes(project: Project, work: Path) -> None:
    second = project.commit({"configure": CONFIGURE + "# changed\n"})
    builder = project.builder(work)
    builder.build(project.first, TARGET)
    build = builder.build(second, TARGET)
    assert configured(work) == 2
    assert (build.kind, build.steps) == (BuildKind.INCREMENTAL, 1)  # the same commands: only the link


@STYLES
def test_other_flags_get_a_clean_directory(project: Project, work: Path, style: str) -> None:
    """make does not know with which flags the objects were made that it finds."""
    styled(project, style)
    commit = project.commit({"dev.c": "#ifndef DEV\n#define DEV 2\n#endif\nint dev(void) { return DEV; }\n"})
    sources = {"configure": CONFIGURE.replace("gcc -I.", "$CC -I.")}
    commit = project.commit(sources)
    recipe = MAKE if style == "make" else NINJA
    for number in ("3", "4"):
        changed = dataclasses.replace(recipe, env={"CC": f"gcc -DDEV={number}"})
        build = project.builder(work, recipes=(changed,)).build(commit, TARGET)
        assert (says(build), build.kind) == (f"QEMU emulator version 7.{number}", BuildKind.FULL)
        assert configured(work, style) == 1


@STYLES
def test_a_compile_error_costs_no_full_build(project: Project, work: Path, style: str) -> None:
    styled(project, style)
    good = project.commit({"README": "good\n"})
    broken = project.commit({"dev.c": "int dev(void) { return port; }\n"})
    mended = project.commit({"dev.c": "int dev(void) { return 4; }\n"})
    watcher = Watcher()
    builder = project.builder(work, watcher)
    builder.build(good, TARGET)
    build = builder.build(broken, TARGET)
    assert (build.status, build.kind, build.binary) == (BuildStatus.FAILED, BuildKind.INCREMENTAL, None)
    assert build.error is not None and build.error.startswith("dev.c:1:24: error: 'port' undeclared")
    assert "'port' undeclared" in build.log.translate({0x2018: "'", 0x2019: "'"})
    assert watcher.said == []  # no second attempt
    after = builder.build(mended, TARGET)
    assert (after.kind, after.steps) == (BuildKind.INCREMENTAL, 2)
    assert says(after) == "QEMU emulator version 7.4"
    again = project.builder(work).build(broken, TARGET)
    assert again == dataclasses.replace(build, kind=BuildKind.CACHED, seconds=0.0, steps=0)


def test_an_error_in_an_unchanged_file_gets_a_clean_directory(project: Project, work: Path) -> None:
    builder = project.builder(work)
    builder.build(project.first, TARGET)
    build_dir = work / f"trees/ninja-{TARGET}/build"
    (build_dir / "names.h").write_text("#define NAME_MAJOR oops(\n")
    second = project.commit({"dev.c": "int dev(void) { return 5; }\n"})
    watcher = Watcher()
    build = project.builder(work, watcher).build(second, TARGET)
    assert (build.status, build.kind) == (BuildStatus.BUILT, BuildKind.FULL)
    assert says(build) == "QEMU emulator version 7.5"
    assert len(watcher.said) == 1 and "once more in a clean directory" in watcher.said[0]
    assert not (work / f"trees/ninja-{TARGET}/aside").exists()


def test_a_failed_regeneration_gets_a_clean_directory(project: Project, work: Path) -> None:
    """configure that fails on what an earlier commit left, as meson does on its own cache."""
    picky = project.commit(
        {"extra.sh": "test ! -e main.o || { echo 'ERROR: stale cache'; exit 1; }\n", "configure": CONFIGURE + "#\n"}
    )
    builder = project.builder(work)
    builder.build(project.first, TARGET)
    build = builder.build(picky, TARGET)
    assert (build.status, build.kind) == (BuildStatus.BUILT, BuildKind.FULL)


def test_a_header_error_in_untouched_files_is_checked_clean_and_spoils_nothing(project: Project, work: Path) -> None:
    """An error that only a clean directory can vouch for; the next commit still builds on what was there."""
    good = project.commit(
        {
            "main.c": (project.path / "main.c").read_text() + "int more = NAME_MORE 1;\n",
            "names.txt": "MAJOR 7 *\nMORE 7 *\n",
        }
    )
    broken = project.commit({"names.txt": "MAJOR 7 *\n"})
    mended = project.commit({"names.txt": "MAJOR 7 *\nMORE 8 *\n"})
    builder = project.builder(work)
    builder.build(good, TARGET)
    build = builder.build(broken, TARGET)
    assert (build.status, build.kind) == (BuildStatus.FAILED, BuildKind.FULL)
    assert build.error is not None and "main.c" in build.error and "NAME_MORE" in build.error
    after = builder.build(mended, TARGET)
    assert (after.status, after.kind, after.steps) == (BuildStatus.BUILT, BuildKind.INCREMENTAL, 3)  # dev.o was kept


def test_a_compile_error_after_configure_ran_again_is_checked_clean(project: Project, work: Path) -> None:
    builder = project.builder(work)
    builder.build(project.first, TARGET)
    broken = project.commit({"configure": CONFIGURE + "#\n", "dev.c": "int dev(void) { return port; }\n"})
    build = builder.build(broken, TARGET)
    assert (build.status, build.kind) == (BuildStatus.FAILED, BuildKind.FULL)


def test_a_directory_that_never_built_is_not_believed(project: Project, work: Path) -> None:
    first = project.commit({"dev.c": "int dev(void) { return port; }\n"})
    second = project.commit({"dev.c": "int dev(void) { return ports; }\n"})
    third = project.commit({"dev.c": "int dev(void) { return 1; }\n"})
    builder = project.builder(work)
    assert [builder.build(c, TARGET).kind for c in (first, second)] == [BuildKind.FULL, BuildKind.FULL]
    assert says(builder.build(third, TARGET)) == "QEMU emulator version 7.1"


def test_a_link_error_is_the_commits_own_in_a_clean_directory(project: Project, work: Path) -> None:
    broken = project.commit({"dev.c": "int nothing;\n"})
    build = project.builder(work).build(broken, TARGET)
    assert (build.status, build.kind) == (BuildStatus.FAILED, BuildKind.FULL)
    assert build.error is not None and "undefined reference to" in build.error


def test_an_old_binary_is_never_taken_for_a_new_one(project: Project, work: Path) -> None:
    """A build that exits 0 and makes nothing, with the binary of the last commit still there."""
    builder = project.builder(work)
    builder.build(project.first, TARGET)
    lazy = project.commit(
        {
            "configure": CONFIGURE.replace("build qemu-system-x86_64: link", "build other: link")
            + "echo 'build qemu-system-x86_64: phony other' >> build.ninja\n"
        }
    )
    build = builder.build(lazy, TARGET)
    assert build.status is BuildStatus.FAILED
    assert build.error == "error: the build ended without an error, but made no qemu-system-x86_64"


def test_configure_that_fails_is_a_failed_build(project: Project, work: Path) -> None:
    broken = project.commit({"extra.sh": "echo 'meson.build:3:0: ERROR: Unknown function'; exit 1\n"})
    build = project.builder(work).build(broken, TARGET)
    assert (build.status, build.kind) == (BuildStatus.FAILED, BuildKind.FULL)
    assert build.error == "meson.build:3:0: ERROR: Unknown function"


# -- the machine's fault -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("echo 'gcc: fatal error: Killed signal terminated program cc1'; exit 1", InfraError, "memory"),
        ("kill -9 $$", InfraError, "memory"),
        ("echo 'foo.o: No space left on device'; exit 1", InfraError, "disk is full"),
        ("echo 'ERROR: glib-2.56 gthread-2.0 is required to compile QEMU'; exit 1", UserError, "glib-2.56"),
        ("echo 'meson.build:5:0: ERROR: Dependency \"pixman-1\" not found, tried x'; exit 1", UserError, "pixman-1"),
    ],
)  # fmt: skip
def test_the_machines_fault_is_never_the_commits(
    project: Project, work: Path, script: str, kind: type[Exception], text: str
) -> None:
    commit = project.commit({"extra.sh": script + "\n"})
    builder = project.builder(work)
    with pytest.raises(kind, match=text):
        builder.build(commit, TARGET)
    assert kind is not InfraError or not (work / f"trees/ninja-{TARGET}/build").exists()
    mended = project.commit({"extra.sh": ":\n"})
    assert builder.build(mended, TARGET).status is BuildStatus.BUILT
    assert not [f for f in (work / "unpacked").glob("*/*/manifest.json") if commit in f.read_text()]


def test_words_in_quoted_source_are_not_the_machines(project: Project, work: Path) -> None:
    broken = project.commit({"dev.c": 'int dev(void) { return perror("x: No space left on device") + y; }\n'})
    assert project.builder(work).build(broken, TARGET).status is BuildStatus.FAILED


def test_a_hang_is_ended_with_all_its_children(project: Project, work: Path) -> None:
    commit = project.commit({"gen.sh": "sleep 4711 & sleep 4711\n"})
    began = time.monotonic()
    with pytest.raises(InfraError, match=r"raise build\.timeout"):
        project.builder(work, timeout=2.0).build(commit, TARGET)
    assert time.monotonic() - began < 20
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "4711"]]


def test_stop_ends_a_build_and_the_next_goes_on(project: Project, work: Path) -> None:
    builder = project.builder(work)
    builder.build(project.first, TARGET)
    slow = project.commit({"gen.sh": "sleep 30\n"})
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    with pytest.raises(Stopped):
        builder.build(slow, TARGET, stop=stop)
    after = project.commit({"gen.sh": 'sed "s/^/#define NAME_/" "$1" > "$2" #\n'})
    assert builder.build(after, TARGET).kind is BuildKind.INCREMENTAL


def test_what_a_killed_make_left_half_is_not_taken_for_made(
    project: Project, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not end when it is told to leaves what it was making, and that is newer than its sources."""
    monkeypatch.setattr("bot.build.making._GRACE", 1.0)
    styled(project, "make")
    half = "trap '' TERM; echo '#define NAME_MAJOR 9 *' >\"$2\"; touch \"$2.half\"; sleep 60\n"
    commit = project.commit({"gen.sh": f"if test -e {work}/whole; then {GENERATOR}exit; fi\n{half}"})
    builder, stop = project.builder(work, sandbox=None), threading.Event()

    def person() -> None:
        until(lambda: next(work.glob("trees/*/build/names.h.half"), None) is not None, "it does not begin")
        stop.set()

    thread = threading.Thread(target=person)
    thread.start()
    with pytest.raises(Killed):
        builder.build(commit, TARGET, stop=stop)
    thread.join()
    (work / "whole").touch()
    again = builder.build(commit, TARGET)
    assert (again.kind, says(again)) == (BuildKind.FULL, "QEMU emulator version 7.2")


def test_free_space_is_asked_for_first(project: Project, work: Path) -> None:
    with pytest.raises(InfraError, match=r"build\.free_space"):
        project.builder(work, free_space=2**60).build(project.first, TARGET)


def test_work_directory_that_cannot_be_written(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write there"):
        project.builder(tmp_path / "file" / "work")


def test_no_recipe_fits(project: Project, work: Path) -> None:
    recipe = Recipe("none", has=("configure:NOT THERE",))
    with pytest.raises(UserError, match="no recipe fits"):
        project.builder(work, recipes=(recipe,)).build(project.first, TARGET)


def test_target_that_is_no_system_emulator(project: Project, work: Path) -> None:
    with pytest.raises(UserError, match="x86_64-softmmu"):
        project.builder(work).build(project.first, "../x86")


def test_build_tool_that_is_missing(project: Project, work: Path) -> None:
    recipe = dataclasses.replace(NINJA, build=("no-such-ninja", "all"))
    with pytest.raises(UserError, match="no-such-ninja"):
        project.builder(work, recipes=(recipe,)).build(project.first, TARGET)


def test_the_callers_environment_does_not_get_in(project: Project, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-DSECRET")
    commit = project.commit(
        {"extra.sh": 'test -z "$CFLAGS" && echo "$PATH" | grep -q "^/usr/bin:"\n', "configure": CONFIGURE + "#\n"}
    )
    assert project.builder(work).build(commit, TARGET).status is BuildStatus.BUILT


# -- killed --------------------------------------------------------------------------------------------------------

_KILLED = """\
import os, sys
from pathlib import Path
from bot.build import artifacts, cache
from bot.host import process
from tests.build.project import NINJA, TARGET, Watcher
from bot.build.builder import Builder
from bot.host.git import Repository
from bot.model import BuildSettings

def run(argv, **keywords):
    done = process.run(argv, **keywords)
    if argv[0].endswith(sys.argv[4]):
        os.kill(os.getpid(), 9)
    return done

if sys.argv[4] == "publish":
    cache.disk.sync_file = lambda path: os.kill(os.getpid(), 9)
if sys.argv[4] == "object":
    artifacts.Artifacts._publish = lambda self, part, to: os.kill(os.getpid(), 9)
if sys.argv[4] == "record":
    artifacts.Artifacts._write = lambda self, to, data: os.kill(os.getpid(), 9)
settings = BuildSettings(recipes=(NINJA,), free_space=0, jobs=1)
Builder(Repository(Path(sys.argv[1])), settings, Path(sys.argv[2]), Watcher(), run=run).build(sys.argv[3], TARGET)
"""


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("configure", BuildKind.FULL),  # what was being built is not trusted
        ("ninja", BuildKind.FULL),
        ("strip", BuildKind.INCREMENTAL),  # the build had ended
        ("publish", BuildKind.INCREMENTAL),
        ("object", BuildKind.CACHED),  # it is unpacked, and other hosts do not know of it
        ("record", BuildKind.CACHED),
    ],
)
def test_killed_anywhere_leaves_nothing_half(project: Project, work: Path, where: str, kind: BuildKind) -> None:
    second = project.commit({"dev.c": "int dev(void) { return 6; }\n"})
    project.builder(work).build(project.first, TARGET)
    commit = second if where != "configure" else project.commit({"configure": CONFIGURE + "#\n"})
    argv = [sys.executable, "-c", _KILLED, str(project.path), str(work), commit, where]
    assert subprocess.run(argv, cwd=Path(__file__).parents[2], check=False).returncode == -9
    builder = project.builder(work)
    assert len(list((work / "unpacked").glob("*/*/manifest.json"))) == 1 + (kind is BuildKind.CACHED)
    assert len([file for file in (work / "artifacts/builds").rglob("*") if file.is_file()]) == 1
    build = builder.build(commit, TARGET)
    assert (build.status, build.kind) == (BuildStatus.BUILT, kind)
    assert says(build) == "QEMU emulator version 7.6"
    assert not (work / "unpacked/new").exists()


def test_disk_that_fills_up(project: Project, small: Path) -> None:
    """On a real file system with no room: an `InfraError`, and fine once there is room."""
    resize(small, "2m")
    big = project.commit({"dev.c": "char big[1 << 20] = {1}; int dev(void) { return big[3] + 7; }\n"})
    with pytest.raises(InfraError, match=r"full|No space"):
        project.builder(small).build(big, TARGET)
    assert not list((small / "unpacked").glob("*/*/manifest.json"))
    resize(small, "64m")
    assert project.builder(small).build(big, TARGET).status is BuildStatus.BUILT


# -- two at once ---------------------------------------------------------------------------------------------------


def test_two_builders_of_one_commit_build_it_once(project: Project, work: Path) -> None:
    ran: list[str] = []

    def run(argv: Sequence[str], **keywords: Any) -> Completed:
        ran.append(Path(argv[0]).name)
        time.sleep(0.3)
        return process.run(argv, **keywords)

    builds: list[Build] = []
    threads = [
        threading.Thread(target=lambda: builds.append(project.builder(work, run=run).build(project.first, TARGET)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(b.kind for b in builds) == ["cached", "cached", "full"]
    assert ran.count("strip") == 1
    assert MAKE.name not in {b.recipe for b in builds}


TOGETHER = "const char *where(void) { return __FILE__; }\nint dev(void) { return where()[0] ? %d : 0; }\n"
SHIPPED = load(environ={}).build_settings.recipes
MAPPED = dataclasses.replace(NINJA, env={"CC": f"gcc {SHIPPED[0].env['CFLAGS']}"})


def told_apart(project: Project, *numbers: int) -> list[str]:
    """Commits of a project whose binaries hold the name of a source file."""
    project.commit({"configure": CONFIGURE.replace("command = gcc -I.", "command = $CC -I.")})
    return [project.commit({"dev.c": TOGETHER % number}) for number in numbers]


def test_builds_at_the_same_time_have_a_tree_and_cores_each_and_make_the_same_bytes(
    project: Project, work: Path, tmp_path: Path
) -> None:
    commits = told_apart(project, 3, 4)
    both = threading.Barrier(2)
    ran: list[Path] = []

    def run(argv: Sequence[str], **keywords: Any) -> Completed:
        if argv[:2] == ["ninja", "-j3"]:
            both.wait(60)  # each waits for the other: they do build at the same time
            ran.append(keywords["cwd"])
        return process.run(argv, **keywords)

    builder = project.builder(work, run=run, recipes=(MAPPED,), jobs=7, parallel=2).beside(2)
    with ThreadPoolExecutor(2) as pool:
        builds = list(pool.map(lambda commit: builder.build(commit, TARGET), commits))
    assert [says(build)[-3:] for build in builds] == ["7.3", "7.4"]
    assert len(ran) == 2 and set(ran) == {work / f"trees/ninja-{TARGET}{end}/build" for end in ("", "-2")}
    for build in builds:
        alone = project.builder(tmp_path / build.commit, recipes=(MAPPED,)).build(build.commit, TARGET)
        assert alone.binary is not None and build.binary is not None
        assert alone.binary.sha256 == build.binary.sha256
    shas = {build.binary.sha256 for build in builds if build.binary}
    assert len(shas) == 2


def test_one_build_at_a_time_goes_on_beside_the_tests_of_what_is_built(project: Project, work: Path) -> None:
    """Three are wanted at once: each has the one tree and all cores in its turn, and is known before the next is."""
    commits = [project.commit({"dev.c": f"int dev(void) {{ return {number}; }}\n"}) for number in (3, 4, 5)]
    begun = [threading.Event() for _ in commits]
    making, most = 0, 0
    order: list[str] = []

    def run(argv: Sequence[str], **keywords: Any) -> Completed:
        nonlocal making, most
        if argv[:2] != ["ninja", "-j7"]:
            return process.run(argv, **keywords)
        begun[len(order)].set()
        order.append(str(keywords["cwd"]))
        making += 1
        most = max(most, making)
        time.sleep(0.2)  # another that were let in would be seen
        done = process.run(argv, **keywords)
        making -= 1
        return done

    builder = project.builder(work, run=run, jobs=7).beside(3)

    def tested(number: int) -> str:
        if number:
            assert begun[number - 1].wait(60)  # asked for after it
        build = builder.build(commits[number], TARGET)
        if number + 1 < len(commits):
            assert begun[number + 1].wait(60)  # a test that is over only once the next build goes on
        return says(build)[-3:]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(tested, range(3))) == ["7.3", "7.4", "7.5"]
    assert most == 1 and order == [str(work / f"trees/ninja-{TARGET}/build")] * 3


def test_builds_that_wait_are_made_in_the_order_they_were_asked_for(project: Project, work: Path) -> None:
    commits = [project.commit({"dev.c": f"int dev(void) {{ return {number}; }}\n"}) for number in (3, 4, 5, 6)]
    go, made = threading.Event(), list[str]()

    def run(argv: Sequence[str], **keywords: Any) -> Completed:
        if argv[0] == "ninja":
            assert go.wait(60)
        return process.run(argv, **keywords)

    watcher = Watcher()
    builder = project.builder(work, watcher, run=run).beside(4)

    def built(commit: str) -> None:
        made.append(commit if builder.build(commit, TARGET).status is BuildStatus.BUILT else "")

    with ThreadPoolExecutor(4) as pool:
        builds = []
        for number, commit in enumerate(commits):
            builds.append(pool.submit(built, commit))
            deadline = time.monotonic() + 60
            while builder._turns.length < number + 1 and time.monotonic() < deadline:
                time.sleep(0.01)
        go.set()
        assert all(build.result() is None for build in builds)
    assert made == commits


def test_all_shipped_recipes_keep_paths_out_alike() -> None:
    assert {recipe.env["CFLAGS"] for recipe in SHIPPED} == {SHIPPED[0].env["CFLAGS"]}


def test_binaries_that_hold_the_path_of_their_tree_are_not_built_in_several(project: Project, work: Path) -> None:
    (commit,) = told_apart(project, 3)
    bare = dataclasses.replace(NINJA, env={"CC": "gcc"})
    builder = project.builder(work, recipes=(bare,), parallel=2)
    with pytest.raises(UserError, match=r"build\.recipes\.ninja: .* -ffile-prefix-map=\{source\}=\."):
        builder.beside(2).build(commit, TARGET)
    assert builder.beside(1).build(commit, TARGET).status is BuildStatus.BUILT


def test_what_two_threads_want_is_built_once(project: Project, work: Path) -> None:
    ran: list[str] = []

    def run(argv: Sequence[str], **keywords: Any) -> Completed:
        ran.append(Path(argv[0]).name)
        time.sleep(0.3)
        return process.run(argv, **keywords)

    builder = project.builder(work, run=run, parallel=3).beside(3)
    with ThreadPoolExecutor(3) as pool:
        builds = list(pool.map(lambda _: builder.build(project.first, TARGET), range(3)))
    assert sorted(b.kind for b in builds) == ["cached", "cached", "full"]
    assert ran.count("strip") == 1
    assert not (work / f"trees/ninja-{TARGET}-2").exists()


def test_a_stop_ends_the_wait_for_a_free_tree(project: Project, work: Path) -> None:
    slow, other = project.commit({"gen.sh": "sleep 60\n"}), project.commit({"dev.c": "int dev(void) { return 1; }\n"})
    stop, watcher = threading.Event(), Watcher()
    builder = project.builder(work, watcher)

    def waiting() -> bool:
        return any(what.startswith("waiting for another build") for what, _, _ in watcher.worked)

    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(builder.build, commit, TARGET, stop=stop) for commit in (slow, other)]
        deadline = time.monotonic() + 50
        while not waiting() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert waiting()
        stop.set()
        assert all(isinstance(build.exception(), Stopped) for build in builds)
