"""The program as a person meets it: real processes, real git, real QEMU; what it says, and its exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bot.core.ends import BELIEVED
from tests.build.project import Project
from tests.testing import fastqemu
from tests.testing.fastqemu import ABORTS, BROKEN, GOOD, HANGS, QEMU, SMALLER, once
from tests.testing.qemu import second
from tests.testing.tmpfs import tmpfs

ROOT = Path(__file__).parents[1]
BOT = [sys.executable, "-m", "bot"]
MACHINE = ("--machine", "pc-i440fx-7.2", "--source", str(QEMU))


@dataclass(frozen=True)
class Place:
    """A directory with a history, its configuration and a work directory."""

    path: Path
    project: Project
    shas: list[str]

    def run(self, *args: str, code: int | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """`bot ARGS` here; nothing may ever end in a traceback."""
        done = subprocess.run(
            [*BOT, "-C", "work", *args],
            cwd=self.path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def bisect(self, range_: str, *args: str, code: int | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("--set", "bisect.min_runs=3", "bisect", range_, *(args or MACHINE), code=code)


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}


def place(path: Path, *commits: tuple[str, ...] | str) -> Place:
    path.mkdir(parents=True, exist_ok=True)
    project, shas = fastqemu.history(path / "qemu", *commits)
    fastqemu.config(project, path)
    return Place(path, project, shas)


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Seven commits: the third does not build, from the fifth on RAM is smaller."""
    return place(tmp_path_factory.mktemp("simple"), GOOD, GOOD, BROKEN, GOOD, SMALLER, SMALLER, SMALLER)


# -- bisect --------------------------------------------------------------------------------------------------------


def test_bisect_names_the_culprit_and_writes_what_git_can_replay(simple: Place) -> None:
    shas = simple.shas
    done = simple.bisect(f"{shas[0]}..master", code=0)
    assert f"first bad commit: {shas[5][:12]}" in done.stdout
    out = simple.path / "work" / "out" / "r0001"
    report = json.loads((out / "report.json").read_text())["report"]
    assert report["finding"]["commit"] == shas[5]
    assert report["reproduction"]["bad_exit"] == 1
    assert report["reproduction"]["good_exit"] == 124
    mail = (out / "mail.eml").read_text()
    assert f'Fixes: {shas[5][:12]} ("hw/core: change number 5")' in mail
    log = out / "bisect.log"
    replayed = subprocess.run(["git", "bisect", "replay", log], cwd=simple.project.path, capture_output=True, text=True)
    subprocess.run(["git", "bisect", "reset", "-q"], cwd=simple.project.path, check=False)
    assert f"{shas[5]} is the first bad commit" in replayed.stdout
    drawn = simple.path / "drawn.svg"
    said = simple.run("replay", str(log), "--svg", str(drawn), code=0).stdout
    assert said.splitlines()[-1] == f"first bad commit: {shas[5]}"
    for picture in (drawn, out / "search.svg"):
        assert f"first bad commit {shas[5][:12]}" in picture.read_text()
    assert report["course"]["rows"][0]["suspects"] == report["course"]["commits"] == 7
    assert (out / "search.svg").read_text().strip() in (out / "index.html").read_text()


def test_a_name_in_which_the_ends_differ_leads_to_the_culprit(tmp_path: Path) -> None:
    """One commit of forty names the device that only the bad end has: it and its parent are all that is built."""
    watched = ("-device", "i6300esb")
    world = place(tmp_path, *[GOOD] * 32, *[watched] * 8)
    done = world.bisect("master~40..master", "--machine", "pc-i440fx-7.2", "--destination", str(QEMU), code=0)
    assert f"first bad commit: {world.shas[33][:12]}" in done.stdout
    assert "40 commits; 4 tested" in done.stdout
    assert re.search(rf"the ends differ in \d+ things.* is {world.shas[33][:12]}", done.stderr)
    report = json.loads((world.path / "work" / "out" / "r0001" / "report.json").read_text())["report"]
    spoken = "its changed lines have `i6300esb` (in 1 of 40 commits), in which the two end binaries differ"
    assert spoken in report["evidence"]
    first, *others = report["weights"]
    assert (first["commit"], first["rank"]) == (world.shas[33], 1)
    assert first["share"] > 0.8
    factors = {reason["text"]: reason["factor"] for reason in first["reasons"]}
    before = (first["share"] - BELIEVED) / (1 - BELIEVED)  # it alone has the name, so it got all that names move
    assert factors[spoken] == pytest.approx(first["share"] / before, rel=0.02)
    assert 1 < factors[spoken] <= 40
    assert len(others) == 9 and all(other["share"] < 0.02 for other in others)
    shutil.rmtree(world.path / "work" / "diffs")
    shown = world.run("show", "r0001", code=0).stdout
    assert "before the first probe, of 40 commits" in shown
    assert f"1.   {first['share']:.0%} ".replace("%", " %") in shown
    assert f'{world.shas[33][:12]} ("hw/core: change number 33"), found' in shown
    assert spoken in shown
    assert "(likeliest, " in done.stderr


def test_commits_that_no_build_read_are_not_asked(tmp_path: Path) -> None:
    """Of 21 commits 20 change a source that neither end's build read."""
    world = place(tmp_path)
    good = world.project.commit({"hw/unused.c": "int unused;\n"})
    for number in range(10):
        world.project.commit({"hw/unused.c": f"int unused = {number};\n", "docs/unused.rst": f"{number}\n"})
    culprit = world.project.commit({"dev.c": fastqemu.dev_c(SMALLER)}, "hw/core: make it smaller")
    unread = [world.project.commit({"hw/unused.c": f"long unused = {n};\n"}, f"hw: {n}") for n in range(10)]
    done = world.bisect(f"{good}..master", code=0)
    assert f"first bad commit: {culprit[:12]}" in done.stdout
    assert "21 commits; 4 tested" in done.stdout
    assert "the ends' builds read no source of 20 of 21 commits" in done.stderr
    shown = world.run("show", "r0001", code=0).stdout
    assert "the builds of both ends read no source of it" in shown
    report = json.loads((world.path / "work" / "out" / "r0001" / "report.json").read_text())["report"]
    weights = {weight["commit"]: weight for weight in report["weights"]}
    assert weights[culprit]["share"] == 1.0
    assert any(weights[sha]["share"] == 0.0 for sha in unread if sha in weights)


@pytest.mark.parametrize(
    ("level", "read", "compared"), [("all", True, True), ("patches", True, False), ("none", False, False)]
)
def test_evidence_can_be_left_out(simple: Place, level: str, read: bool, compared: bool) -> None:
    """The culprit is the same, each time in a new work directory."""
    options = ("--set", "bisect.min_runs=3", "--set", f"bisect.evidence={level}", "-C", f"work-{level}")
    done = simple.run(*options, "bisect", f"{simple.shas[4]}..master", *MACHINE, code=0)
    assert f"first bad commit: {simple.shas[5][:12]}" in done.stdout
    assert ("the ends' builds read" in done.stderr) == read
    assert ("the ends differ in" in done.stderr) == compared


def test_the_same_question_again_runs_nothing(simple: Place) -> None:
    simple.bisect(f"{simple.shas[0]}..master", code=0)
    before = simple.run("status", code=0).stdout
    again = simple.bisect(f"{simple.shas[0]}..master", code=0)
    assert "are not repeated" in again.stderr
    assert "r0001" in again.stdout
    assert "r0002" not in simple.run("list").stdout
    kinds = [line for line in before.splitlines() if "incremental" in line or "full" in line]
    assert all(line.split(" s each")[0] in simple.run("status").stdout for line in kinds)


def test_skipped_commits_stay_suspects(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD, BROKEN, BROKEN, SMALLER)
    done = here.bisect(f"{here.shas[0]}..master", code=3)
    for sha in here.shas[2:5]:
        assert sha[:12] in done.stdout
    mail = (tmp_path / "work/out/r0001/mail.eml").read_text()
    assert "Fixes:" not in mail.replace("add a Fixes:", "")
    assert "run as printed: 1 here, 124 on the good end" in mail


def test_good_that_is_bad(simple: Place) -> None:
    done = simple.bisect(f"{simple.shas[5]}..master", code=5)
    assert simple.shas[5][:12] in done.stdout


def test_bad_that_is_good(simple: Place) -> None:
    done = simple.bisect(f"{simple.shas[0]}..{simple.shas[2]}", code=4)
    assert simple.shas[2][:12] in done.stdout


def test_good_that_is_no_ancestor_tests_the_merge_base(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD, GOOD)
    here.project.git("checkout", "-q", "-b", "side", here.shas[1])
    side = here.project.commit({"side.txt": "side\n"})
    here.project.git("checkout", "-q", "master")
    culprit = here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "culprit")}, "break it")
    done = here.bisect(f"{side}..master", code=0)
    assert "merge base" in done.stderr
    assert f"first bad commit: {culprit[:12]}" in done.stdout


def test_build_that_fails_at_both_ends(tmp_path: Path) -> None:
    here = place(tmp_path, BROKEN, BROKEN + "/* 2 */\n", BROKEN + "/* 3 */\n")
    done = here.bisect(f"{here.shas[1]}..master", code=8)
    assert "does not build" in done.stdout
    assert "error:" in done.stdout


def test_build_that_hangs_is_no_verdict(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    here.project.commit({"extra.sh": "sleep 1000\n"}, "configure: wait")
    done = here.run("--set", "build.timeout=3s", "bisect", f"{here.shas[0]}..master", *MACHINE, code=131)
    assert "no verdict" in done.stderr
    assert not processes_of(tmp_path)


def test_a_symptom_says_what_bad_means(simple: Place, tmp_path: Path) -> None:
    """That commit fails, but not so: it is not what the log tells of."""
    range_ = f"{simple.shas[0]}..master"
    log = tmp_path / "guest.log"
    log.write_text("qemu-system-x86_64: Size mismatch: pc.ram: 0x8000000 != 0x4000000: Invalid argument\n")
    assert (
        f"first bad commit: {simple.shas[5][:12]}"
        in simple.bisect(range_, *MACHINE, "--symptom", str(log), code=0).stdout
    )
    log.write_text("qemu-system-x86_64: Missing section footer for i2c_bus\n")
    assert simple.shas[7][:12] in simple.bisect(range_, *MACHINE, "--symptom", str(log), code=4).stdout
    log.write_text("\n")
    assert "tells of no failure" in simple.bisect(range_, *MACHINE, "--symptom", str(log), code=129).stderr


def test_commits_that_a_person_skips_stay_suspects(simple: Place, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = simple.bisect(f"{simple.shas[1]}..master", *MACHINE, "--skip", simple.shas[5], "--log", str(log), code=3)
    assert simple.shas[5][:12] in done.stdout and simple.shas[6][:12] in done.stdout
    assert f"git bisect skip {simple.shas[5]}" in log.read_text()
    assert (
        "both ends have to be tested"
        in simple.bisect(f"{simple.shas[1]}..master", *MACHINE, "--skip", "master", code=129).stderr
    )


def test_first_parent_names_the_merge(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD, GOOD)
    here.project.git("checkout", "-q", "-b", "side", here.shas[1])
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "culprit")}, "break it")
    here.project.commit({"side.txt": "more\n"})
    here.project.git("checkout", "-q", "master")
    here.project.commit({"other.txt": "other\n"})
    here.project.git(
        "-c", "user.name=a", "-c", "user.email=a@b", "merge", "-q", "-m", "Merge side", "-X", "theirs", "side"
    )
    merge = here.project.git("rev-parse", "HEAD").strip()
    here.project.commit({"later.txt": "later\n"})
    done = here.bisect(f"{here.shas[0]}..master", *MACHINE, "--first-parent", code=0)
    assert f"first bad commit: {merge[:12]}" in done.stdout


def test_find_fix_names_what_cured_it_and_tries_it_on_the_older_end(tmp_path: Path) -> None:
    here = place(tmp_path, SMALLER, SMALLER, BROKEN, SMALLER)
    old, before = here.shas[1], here.shas[4]
    fix = here.project.commit({"dev.c": fastqemu.dev_c(GOOD, "commit 4")}, "hw/core: RAM as large as it was")
    here.project.commit({"later.txt": "later\n"})
    log = here.path / "fix.log"
    done = here.bisect(f"{old}..master", *MACHINE, "--find-fix", "--log", str(log), code=0)
    said = done.stdout.splitlines()
    assert said[0].startswith(f"first fixed commit: {fix[:12]}")
    assert "Size mismatch: pc.ram" in done.stdout
    assert f"parent      {before[:12]}    3 bad of 3" in done.stdout
    assert f"fix         {fix[:12]}    0 bad of 3" in done.stdout
    assert "Revert on master: it fails again." in done.stdout
    assert re.search(r"Picked onto [0-9a-f]{12}: it works\.", done.stdout)
    assert not (here.path / "work" / "out").exists()
    assert "r0001" not in here.run("list", code=0).stdout
    git = ["git", "-C", str(here.project.path), "bisect"]
    replayed = subprocess.run([*git, "replay", str(log)], capture_output=True, text=True)
    subprocess.run([*git, "reset", "-q"], check=False)
    assert f"{fix} is the first fixed commit" in replayed.stdout
    assert here.run("replay", str(log), code=0).stdout.splitlines()[-1] == f"first fixed commit: {fix}"
    again = here.bisect(f"{old}..master", *MACHINE, "--find-fix", code=0)
    assert "are not repeated" in again.stderr
    assert again.stdout.splitlines()[:4] == said[:4]


def test_find_fix_by_a_command(simple: Place) -> None:
    """The same history turned round: what a command calls broken is what is small no more."""
    shas = simple.shas
    script = ("sh", "-c", "! grep -q 64M dev.c")
    turned = ("sh", "-c", "grep -q 64M dev.c")
    assert f"first bad commit: {shas[5][:12]}" in simple.bisect(f"{shas[0]}..master", "--", *script, code=0).stdout
    done = simple.bisect(f"{shas[0]}..master", "--find-fix", "--", *turned, code=0)
    assert f"first fixed commit: {shas[5][:12]}" in done.stdout


def test_find_fix_with_ends_that_are_not_what_they_are_given_as(simple: Place) -> None:
    shas = simple.shas
    whole = simple.bisect(f"{shas[0]}..master", *MACHINE, "--find-fix", code=4)
    assert f"the broken end, {shas[0][:12]}, is not broken: 3 x PASS" in whole.stdout
    late = simple.bisect(f"{shas[5]}..master", *MACHINE, "--find-fix", code=5)
    assert "the fixed end, master, is not fixed: FAIL_DST" in late.stdout


def test_a_break_of_the_source_is_searched_on_its_side(simple: Place) -> None:
    range_ = f"{simple.shas[0]}..master"
    args = ("--machine", "pc-i440fx-7.2", "--source-side")
    done = simple.run("--set", "bisect.min_runs=3", "bisect", range_, *args, "--destination", str(QEMU), code=0)
    assert f"first bad commit: {simple.shas[5][:12]}" in done.stdout
    assert "needs who is migrated to" in simple.run("bisect", range_, *args, code=129).stderr
    assert "the source is what varies" in simple.run("bisect", range_, *args, "--source", str(QEMU), code=129).stderr


def main_c(here: Place, declaration: str) -> dict[str, str | bytes | None]:
    """The file of main(), with a declaration in its last line."""
    text = (here.project.path / "main.c").read_text()
    return {"main.c": text[: text.rindex("}") + 1] + f"\n\n{declaration}\n"}


def broken_in_between(tmp_path: Path) -> tuple[Place, list[str]]:
    """Two commits that do not build, the second of which makes RAM smaller."""
    here = place(tmp_path, GOOD)
    breaks = here.project.commit(main_c(here, "int names_of(;"), "main: break the build")
    culprit = here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "culprit")}, "break it")
    return here, [here.shas[1], breaks, culprit]


def test_a_commit_that_does_not_build_is_tested_with_its_later_fix(tmp_path: Path) -> None:
    here, (good, breaks, culprit) = broken_in_between(tmp_path)
    here.project.commit({"other.txt": "other\n"})
    fix = here.project.commit(main_c(here, "int names_of(void);"), f"main: mend\n\nFixes: {breaks[:12]}")
    here.project.commit({"last.txt": "last\n"})
    done = here.bisect(f"{good}..master", code=0)
    assert f"first bad commit: {culprit[:12]}" in done.stdout
    assert f"{culprit[:12]} was tested with {fix[:12]} picked onto it" in done.stdout
    assert fix[:12] in (tmp_path / "work/out/r0001/mail.eml").read_text()
    assert "are not repeated" in here.bisect(f"{good}..master", code=0).stderr


def test_a_fix_that_cures_the_failure_is_no_fixup(tmp_path: Path) -> None:
    """It has a `Fixes:` of an ancestor and makes the commit build, and would make a good one of it."""
    here, (good, breaks, culprit) = broken_in_between(tmp_path)
    mended = main_c(here, "int names_of(void);")
    cure = mended | {"dev.c": fastqemu.dev_c(GOOD, "culprit")}
    here.project.git("checkout", "-q", "-b", "other")
    here.project.commit(cure, f"main: mend\n\nFixes: {breaks[:12]}")
    here.project.git("checkout", "-q", "master")
    here.project.commit(mended, "main: mend without a word")
    done = here.bisect(f"{good}..master", code=3)
    assert "may change the answer" in done.stderr
    assert breaks[:12] in done.stdout and culprit[:12] in done.stdout


def test_any_command_as_git_bisect_run_takes_it(simple: Place) -> None:
    done = simple.bisect(f"{simple.shas[0]}..master", "--", "sh", "-c", "! grep -q 64M dev.c", code=0)
    assert f"first bad commit: {simple.shas[5][:12]}" in done.stdout


def test_a_command_that_was_edited_is_asked_anew(simple: Place, tmp_path: Path) -> None:
    script = tmp_path / "check.sh"
    for line, culprit in (("! grep -q 64M dev.c", 5), ("! grep -q 'not compile' dev.c", 3)):
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
        bad = simple.shas[culprit]
        done = simple.bisect(f"{simple.shas[0]}..{bad}", "--", str(script), code=0)
        assert f"first bad commit: {bad[:12]}" in done.stdout


def test_a_mended_recipe_lets_commits_be_built_again(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD, SMALLER)
    wrong = ("--set", "build.recipes.0.build=[ninja, no-such-goal]", "--set", "bisect.min_runs=3")
    assert "does not build" in here.run(*wrong, "bisect", f"{here.shas[0]}..master", *MACHINE, code=8).stdout
    assert f"first bad commit: {here.shas[2][:12]}" in here.bisect(f"{here.shas[0]}..master", code=0).stdout


def test_command_that_cannot_judge_ends_the_search(simple: Place) -> None:
    done = simple.bisect(f"{simple.shas[0]}..master", "--", "sh", "-c", "exit 200", code=131)
    assert "exited 200" in done.stderr


def test_own_command_line_and_pinned_destination(simple: Place) -> None:
    """--destination pins the other side, so each commit is the source; --args replaces the profile."""
    own = ("--machine", "pc-i440fx-7.2", "--args", "-nodefaults -m 96M", "--destination", str(QEMU), "--run", "0.2")
    done = simple.bisect(f"{simple.shas[4]}..master", *own, "--method", "exec", code=0)
    assert "by exec" in done.stdout.replace("\n  ", " ")
    assert f"first bad commit: {simple.shas[5][:12]}" in done.stdout
    assert "can no longer be migrated to" in done.stdout


def test_plan_only_plans(simple: Place) -> None:
    done = simple.run("bisect", f"{simple.shas[0]}..master", *MACHINE, "--plan", code=0)
    assert "7 commits, about 3 steps" in done.stdout
    assert "GiB" in done.stdout


# -- words that mean nothing ---------------------------------------------------------------------------------------

WRONG = {
    "unknown revision": (["bisect", "v99.9..master", *MACHINE], r"'v99.9': no such revision"),
    "revision that looks like an option": (["bisect", "--", "--output=x..master"], "no such revision"),
    "no range": (["bisect", "master", *MACHINE], "not a range; write GOOD..BAD"),
    "ends swapped": (["bisect", "master..master~3", *MACHINE], "BAD is an ancestor of GOOD"),
    "empty range": (["bisect", "master..master", *MACHINE], "nothing between them"),
    "no machine type": (["bisect", "master~3..master"], "--machine TYPE is missing"),
    "unknown machine type": (
        ["bisect", "master~3..master", "--machine", "pc-i440fx-77.2", "--source", str(QEMU)],
        "has no such machine type; near it are pc-i440fx-7",
    ),
    "unknown profile": (["test", "master", "--profile", "no"], 'no profile "no": there are'),
    "unknown baseline": (["test", "master", "--baseline", "no"], 'no baseline "no": there are debian'),
    "two pinned sides": (["test", "master", "--source", "/a", "--destination", "/b"], "one side must be the commit"),
    "missing installed side": (["test", "master", "--source", "/no/qemu"], "/no/qemu: no such file; install it"),
    "unquoted arguments": (["test", "master", "--args", "'a"], "--args: No closing quotation"),
    "missing binary": (["smoke", "--source", "/no/qemu", "--all"], "/no/qemu: no such file"),
    "binary that is no program": (["smoke", "--source", "/etc/passwd", "--all"], "/etc/passwd: not executable"),
    "program that is no QEMU": (["smoke", "--source", "/bin/true", "--all"], "/bin/true"),
    "neither machine nor all": (["smoke", "--source", str(QEMU)], "give --machine TYPE"),
    "unknown regression": (["show", "r9999"], "r9999: no such regression"),
    "no id": (["report", "--", "-x"], "not the id of a regression"),
    "no log": (["replay", "/etc/hostname"], "give a log that `bot bisect` wrote"),
    "missing log": (["replay", "/no/log"], "/no/log: cannot be read"),
    "unknown command": (["bisekt"], "No such command"),
    "unknown key": (["--set", "upstreem.url=x", "status"], "upstreem"),
    "missing config": (["-c", "/no/config.yaml", "status"], "/no/config.yaml"),
    "clone that cannot be reached": (
        ["--set", "upstream.url=/no/repo", "-C", "work2", "run", "--once"],
        "cannot clone /no/repo",
    ),
    "branch that is not there": (
        ["--set", "watch.branches.0.name=main", "run", "--once"],
        "no branch 'main'; it has: master",
    ),
    "work directory in a file": (["-C", "/dev/null/work", "list"], "cannot be used as work directory"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named_and_never_a_verdict(simple: Place, name: str) -> None:
    args, says = WRONG[name]
    done = simple.run(*args, code=129)
    assert says in done.stderr.replace("\n", " "), done.stderr
    assert not done.stdout.strip()


def test_broken_yaml_says_where(tmp_path: Path, simple: Place) -> None:
    broken = tmp_path / "config.yaml"
    broken.write_text("upstream:\n  url: [x\nwatch: {}\n")
    done = simple.run("-c", str(broken), "status", code=129)
    assert f"{broken}:3:" in done.stderr


def test_help_of_every_command(simple: Place) -> None:
    top = simple.run("--help", code=0).stdout
    names = [
        line.split()[0] for line in top.split("Commands:")[1].splitlines() if line.startswith("  ") and line[2] != " "
    ]
    expected = {
        "run", "bisect", "test", "build", "smoke", "report", "list", "show", "status", "replies", "replay", "site",
        "doctor", "gc", "accept", "retract",
    }  # fmt: skip
    assert expected <= set(names)
    for name in expected:
        assert "Usage: bot" in simple.run(name, "--help", code=0).stdout


# -- smoke and test ------------------------------------------------------------------------------------------------


def test_smoke_alone_writes_json_and_junit(tmp_path: Path) -> None:
    here = Place(tmp_path, None, [])  # type: ignore[arg-type] # no history: the command needs none
    twins = ["--json", "runs.json", "--junit", "runs.xml"]
    done = here.run("smoke", "--source", str(QEMU), "--machine", "pc-i440fx-7.2", "--machine", "pc", *twins, code=0)
    assert "1 PASS" in done.stdout or "2 PASS" in done.stdout
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert {run["observation"]["outcome"] for run in runs} == {"PASS"}
    assert (tmp_path / "runs.xml").read_text().count("<testcase") == len(runs) > 0
    assert not (tmp_path / "work").exists()


def test_exit_codes_of_smoke(tmp_path: Path) -> None:
    """0 good, 1 bad, 125 cannot be tested: what `git bisect run` hears."""
    here = Place(tmp_path, None, [])  # type: ignore[arg-type] # no history: the command needs none
    common = ["smoke", "--source", str(QEMU), "--machine", "pc-i440fx-7.2"]
    here.run(*common, code=0)
    here.run(*common, "--destination-args=-m 64M", code=1)
    here.run(*common, "--args=-device no-such-device", code=125)


def test_smoke_runs_once_more_what_fails(tmp_path: Path) -> None:
    """125 for `git bisect run`: neither good nor bad."""
    binary = tmp_path / "qemu-system-x86_64"
    binary.write_text(
        f"#!/bin/sh\ncase $* in *incoming*) mkdir '{tmp_path}/mark' 2>/dev/null && set -- \"$@\" -m 64M;; esac\n"
        f'exec {QEMU} "$@"\n'
    )
    binary.chmod(0o755)
    here = Place(tmp_path, None, [])  # type: ignore[arg-type] # no history: the command needs none
    common = ["smoke", "--source", str(QEMU), "--destination", str(binary), "--machine", "pc-i440fx-7.2"]
    twins = ["--json", "runs.json", "--junit", "runs.xml", "--html", "runs.html"]
    done = here.run(*common, *twins, code=125)
    assert "flaky: FAIL_DST" in done.stdout and ", in 1 of 2 runs" in done.stdout and "1 flaky" in done.stdout
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert run["observation"]["outcome"] == "FAIL_DST" and run["beside"] == ["PASS"]
    assert 'failures="0"' in (tmp_path / "runs.xml").read_text()
    assert "flaky" in (tmp_path / "runs.html").read_text()
    (tmp_path / "mark").rmdir()
    here.run("--set", "smoke.again=0", *common, code=1)
    here.run(*common, code=0)
    (tmp_path / "mark").rmdir()
    here.run(*common, "--machine", "pc-q35-7.2", code=0)  # another passed


KNOWN = "expected.mine={why: smaller, owner: me, expires: 2100, classes: ram-size, profiles: bare}"


def test_an_expected_failure_is_told_and_not_bad(tmp_path: Path) -> None:
    here = Place(tmp_path, None, [])  # type: ignore[arg-type] # no history: the command needs none
    own = "profiles.bare.destination_args=-m 64M"
    common = ["smoke", "--source", str(QEMU), "--machine", "pc-i440fx-7.2"]
    known = ["--set", own, "--set", KNOWN]
    twins = ["--json", "runs.json", "--junit", "runs.xml", "--html", "runs.html"]
    done = here.run(*known, *common, *twins, code=0)
    assert "expected, mine: 1 case: smaller" in done.stdout
    assert "1 fail as expected" in done.stdout
    assert json.loads((tmp_path / "runs.json").read_text())["runs"][0]["expected"] == "mine"
    assert 'message="expected: mine: smaller"' in (tmp_path / "runs.xml").read_text()
    assert ">known<" in (tmp_path / "runs.html").read_text()
    here.run(*known, *common, "--strict", code=1)
    for changed in ("expires=2025", "source='<7.2'", "profiles=mem-path", "directions=[forward]"):
        here.run(*known, "--set", f"expected.mine.{changed}", *common, code=1)


SWEPT = """\
each_tip:
  profiles: [bare, smp]
  directions: [same, forward, backward]
  methods: {precopy: ["*"], exec: [bare], ping-pong: [bare]}
  accels: [tcg]
smoke:
  exclude: ["[!p]*", {machines: "pc-q35-* pc-i440fx-[!7]* pc-i440fx-7.1 pc-i440fx-7.0", why: few are enough here}]
"""


def test_a_sweep_over_two_releases_in_all_directions(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SWEPT)
    here = Place(tmp_path, None, [])  # type: ignore[arg-type] # no history: the command needs none
    new = second().path
    pair = ("--source", str(QEMU), "--destination", str(new))
    done = here.run("smoke", *pair, "--sweep", "each_tip", "--json", "runs.json", code=0)
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    ways = {tuple(run["case"][key] for key in ("machine", "profile", "direction", "method")) for run in runs}
    everywhere = {("bare", "precopy"), ("bare", "exec"), ("smp", "precopy")}
    assert ways == {
        ("pc-i440fx-7.2", profile, direction, method)
        for direction in ("same", "forward", "backward")
        for profile, method in everywhere | ({("bare", "ping-pong")} if direction == "same" else set())
    }
    sides = {run["case"]["direction"]: [argv[0] for argv in run["observation"]["argv"][:2]] for run in runs}
    assert sides == {"same": [str(new)] * 2, "forward": [str(QEMU), str(new)], "backward": [str(new), str(QEMU)]}
    assert "10 cases" in done.stdout
    narrow = ("--direction", "backward", "--method", "exec")
    assert "1 case" in here.run("smoke", *pair, "--sweep", "each_tip", *narrow, code=0).stdout
    assert "4 cases" in here.run("smoke", "--source", str(QEMU), "--sweep", "each_tip", code=0).stdout
    said = here.run("smoke", *pair, "--sweep", "each_tip", "--profile", "bare", code=129).stderr
    assert "--sweep names its profiles itself" in said
    said = here.run("smoke", "--source", str(QEMU), "--all", "--direction", "forward", code=129).stderr
    assert "both sides are the same binary" in said


def test_kvm_is_run_or_missed_and_never_tcg_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SWEPT.replace("[tcg]", "[kvm-if-usable]"))
    here = Place(tmp_path, None, [])  # type: ignore[arg-type] # no history: the command needs none
    sweep = ("smoke", "--source", "/usr/bin/qemu-system-ppc64", "--sweep", "each_tip", "--json", "runs.json")
    done = here.run(*sweep, code=125)
    assert "not run: KVM of ppc64 (the host is" in done.stderr
    assert json.loads((tmp_path / "runs.json").read_text())["runs"] == []
    done = here.run("--set", "each_tip.accels=[kvm]", *sweep, code=131)
    assert "nothing was run" in done.stdout
    both = (
        "--set",
        "each_tip.accels=[tcg, kvm]",
        "--set",
        "each_tip.profiles=[bare]",
        "--set",
        "smoke.exclude=['[!m]*']",
    )
    done = here.run(*both, *sweep, code=131)
    assert {run["case"]["accel"] for run in json.loads((tmp_path / "runs.json").read_text())["runs"]} == {"tcg"}


def test_every_architecture_that_two_places_have(tmp_path: Path) -> None:
    here = Place(tmp_path, None, [])  # type: ignore[arg-type] # no history: the command needs none
    for arch in ("x86_64", "ppc64"):
        (tmp_path / f"qemu-system-{arch}").symlink_to(f"/usr/bin/qemu-system-{arch}")
    both = ("--source", "/usr/bin/qemu-system-{arch}", "--destination", str(tmp_path / "qemu-system-{arch}"))
    machines = ("--machine", "pc-q35-7.2", "--machine", "pseries-7.2")
    here.run("smoke", *both, *machines, "--json", "runs.json", code=0)
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert {(run["case"]["target"], run["case"]["machine"]) for run in runs} == {
        ("x86_64-softmmu", "pc-q35-7.2"), ("ppc64-softmmu", "pseries-7.2"),
    }  # fmt: skip


def test_test_sweeps_a_revision(simple: Place) -> None:
    sweep = ("test", "master", "--sweep", "each_tip", "--html", "sweep.html")
    done = simple.run(*sweep, code=1)
    assert "FAIL_DST ram-size" in done.stdout
    assert "not run: KVM, profiles " in done.stdout
    page = (simple.path / "sweep.html").read_text()
    assert "from debian" in page and "<p>Not run: " in page
    again = simple.run("--set", KNOWN, *sweep, code=0)
    assert "3 fail as expected" in again.stdout
    assert "cases to run" not in again.stderr
    assert "expected failure mine" not in again.stdout
    good = simple.run("--set", KNOWN, "test", simple.shas[1], "--sweep", "each_tip", code=0)
    assert "expected failure mine passes now: remove it (me)" in good.stdout


def test_test_tells_what_is_behind_an_expected_failure(tmp_path: Path) -> None:
    """Without the screen that the baseline sends, which is met only when RAM is as it was."""
    here = place(tmp_path, (*SMALLER, "-vga", "none"))
    known = KNOWN.replace("profiles: bare", "profiles: default")
    args = ("test", "master", *MACHINE, "--profile", "default")
    assert re.search("behind it: .*vga", here.run("--set", known, *args, code=0).stdout)
    assert "behind it" not in here.run("--set", known, *args, "--strict", code=1).stdout


LIBVIRT = """\
2025-03-11 08:12:04.104+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.0
LC_ALL=C \\
/usr/bin/qemu-system-x86_64 \\
-name guest=web,debug-threads=on \\
-machine pc-q35-7.2,usb=off,memory-backend=pc.ram \\
-accel kvm \\
-cpu host,migratable=on \\
-m 256 \\
-object '{"qom-type":"memory-backend-ram","id":"pc.ram","size":268435456}' \\
-no-user-config -nodefaults \\
-device '{"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0"}' \\
-blockdev '{"driver":"file","filename":"/srv/web.qcow2","node-name":"disk-storage"}' \\
-blockdev '{"node-name":"disk-format","driver":"qcow2","file":"disk-storage"}' \\
-device '{"driver":"virtio-blk-pci","bus":"pci.1","drive":"disk-format","id":"disk0"}' \\
-netdev '{"type":"tap","fd":"36","vhost":true,"id":"net0"}' \\
-device '{"driver":"virtio-net-pci","netdev":"net0","bus":"pcie.0"}' \\
-vnc 127.0.0.1:0 -msg timestamp=on
"""


def test_what_libvirt_logged_is_migrated(tmp_path: Path) -> None:
    here = Place(tmp_path, None, [])  # type: ignore[arg-type] # no history: the command needs none
    (tmp_path / "web.log").write_text(LIBVIRT)
    smoke = ("smoke", "--source", str(QEMU), "--cmdline", "web.log")
    done = here.run(*smoke, "--json", "runs.json", code=0)
    assert "left out, it is the host's: -cpu host,migratable=on" in done.stderr
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert run["case"]["machine"] == "pc-q35-7.2" and run["observation"]["outcome"] == "PASS"
    assert "virtio-blk-pci,bus=pci.1,drive=disk-format,id=disk0" in run["observation"]["argv"][0]
    wrong = here.run(*smoke, "--machine", "pc-q35-7.1", code=129)
    assert "--cmdline says machine type and arguments itself" in wrong.stderr
    (tmp_path / "web.log").write_text("nothing of the kind\n")
    assert "web.log: it holds no QEMU command line" in here.run(*smoke, code=129).stderr


def bisect_run(simple: Place, tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Real `git bisect run` over the history, in a clone of it."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", simple.project.path, clone], check=True)
    subprocess.run(["git", "bisect", "start", "master", simple.shas[0]], cwd=clone, check=True, capture_output=True)
    argv = ["git", "bisect", "run", *command]
    return subprocess.run(argv, cwd=clone, env=environment(), capture_output=True, text=True, check=False)


def test_git_bisect_run_understands_smoke(simple: Place, tmp_path: Path) -> None:
    """With a commit in the range that does not build: 125, which git skips."""
    smoke = f"{sys.executable} -m bot smoke --source {QEMU} --destination b/qemu-system-x86_64 --machine pc-i440fx-7.2"
    script = f"rm -rf b; mkdir b; (cd b && ../configure && ninja) || exit 125; exec {smoke}"
    done = bisect_run(simple, tmp_path, "sh", "-c", script)
    assert f"{simple.shas[5]} is the first bad commit" in done.stdout, done.stdout + done.stderr


def test_git_bisect_run_blames_nobody_for_a_typo(simple: Place, tmp_path: Path) -> None:
    done = bisect_run(simple, tmp_path, sys.executable, "-m", "bot", "smoke", "--sauce", str(QEMU), "--all")
    assert done.returncode != 0
    assert "first bad commit" not in done.stdout
    assert "129" in done.stdout + done.stderr


def test_test_builds_and_judges_one_revision(simple: Place) -> None:
    assert "PASS" in simple.run("test", simple.shas[1], *MACHINE, code=0).stdout
    assert "Size mismatch" in simple.run("test", "master", *MACHINE, code=1).stdout
    assert "does not build" in simple.run("test", simple.shas[3], *MACHINE, code=125).stdout


def test_qemu_that_hangs_is_ended_and_named(tmp_path: Path) -> None:
    here = place(tmp_path, HANGS)
    done = here.run("--set", "smoke.deadline=3s", "test", "master", *MACHINE)
    assert done.returncode in (1, 125, 129)
    assert not processes_of(tmp_path)


def test_qemu_that_aborts_at_start(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD, ABORTS, ABORTS)
    done = here.bisect(f"{here.shas[0]}..master", code=0)
    assert f"first bad commit: {here.shas[2][:12]}" in done.stdout


# -- the watch -----------------------------------------------------------------------------------------------------


def test_first_look_records_then_a_new_failure_is_found_and_told_once(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD, GOOD)
    run = ("--set", "bisect.min_runs=3", "run", "--once")
    first = here.run(*run, code=0)
    assert "a first look" in first.stderr
    here.project.commit({"dev.c": fastqemu.dev_c(GOOD, "more")})
    culprit = here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "culprit")}, "break it")
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "after")})
    second = here.run(*run, code=10)
    assert f"first bad commit: {culprit[:12]}" in second.stdout
    assert (tmp_path / "out/r0001/mail.eml").exists()
    third = here.run(*run, code=0)
    assert "nothing new" in third.stderr
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "later still")})
    assert "nothing new" in here.run(*run, code=0).stderr


def test_what_was_fixed_and_breaks_again_is_news(tmp_path: Path) -> None:
    """A second baseline is not installed for the target: told, and no reason to lose a search."""
    here = place(tmp_path, GOOD)
    other = "baselines=[{name: debian, path: /usr/bin/qemu-system-x86_64}, {name: no, path: '/no/qemu-system-{arch}'}]"
    run = ("--set", "bisect.min_runs=3", "--set", other, "run", "--once")
    here.run(*run, code=0)
    for number, code in ((1, 10), (2, 10)):
        bad = here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, f"breaks {number}")}, f"break it {number}")
        done = here.run(*run, code=code)
        assert f"first bad commit: {bad[:12]}" in done.stdout
        assert "baseline no: no /no/qemu-system-x86_64" in done.stderr
        here.project.commit({"dev.c": fastqemu.dev_c(GOOD, f"mended {number}")})
        here.run(*run, code=0)
    assert [line.split()[:2] for line in here.run("list").stdout.splitlines()] == [["r0001", "fixed"]]
    assert here.run("show", "r0001").stdout.count("fails again: good at") == 1


def test_what_fails_once_and_then_passes_is_no_news(tmp_path: Path) -> None:
    """It is shown, searched by nobody, and on the next commit it is a case like all others."""
    here = place(tmp_path, GOOD)
    run = ("--set", "bisect.min_runs=3", "--set", "sandbox.use=never", "run", "--once")
    here.run(*run, code=0)
    odd = here.project.commit({"dev.c": fastqemu.dev_c(once(tmp_path / "mark", *SMALLER), "flaky")}, "a flake")
    done = here.run(*run, code=0)
    assert (tmp_path / "mark").exists()
    assert f"master: 1 failing cases once more on {odd[:12]}" in done.stderr
    assert "flaky: FAIL_" in done.stdout and ", in 1 of 2 runs" in done.stdout
    assert "1 flaky" in done.stdout and "nothing new" in done.stderr
    assert here.run("list").stdout.startswith("no regressions;")
    pages = (tmp_path / "out/index.html").read_text(), (tmp_path / "out/matrix-master.html").read_text()
    assert all("flaky" in page for page in pages)
    again = here.run(*run, code=0)  # nothing is run: it is known
    assert "once more" not in again.stderr and "1 flaky" in again.stdout
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "broken")}, "break it")
    done = here.run(*run, code=10)
    assert "failing cases once more" in done.stderr and "first bad commit" in done.stdout


def test_what_was_there_before_is_listed_until_it_passes(tmp_path: Path) -> None:
    here = place(tmp_path, SMALLER)
    run = ("--set", "bisect.min_runs=3", "run", "--once")
    assert "no branch was tested yet" in here.run("list", "--inherited", code=0).stdout
    done = here.run(*run, code=0)
    assert "cases fail that were never seen good" in done.stderr
    said = here.run("list", "--inherited", code=0).stdout
    assert f"master at {here.shas[1][:12]}" in said and "FAIL_DST ram-size" in said and "pc-i440fx-7.0 ... 7.2" in said
    rows = json.loads(here.run("list", "--inherited", "--json", code=0).stdout)["branches"]["master"]
    assert {row["observation"]["outcome"] for row in rows} <= {"FAIL_DST", "FAIL_SRC"} and rows
    assert "nothing that was there before" in here.run("--set", KNOWN, "list", "--inherited", code=0).stdout
    here.run("list", "--inherited", "--state", "open", code=129)
    here.project.commit({"dev.c": fastqemu.dev_c(GOOD, "mended")})
    here.run(*run, code=0)
    assert "nothing that was there before" in here.run("list", "--inherited", code=0).stdout
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "broken")})
    here.run(*run, code=10)
    assert "nothing that was there before" in here.run("list", "--inherited", code=0).stdout
    assert "would go" not in here.run("gc", "--dry-run", code=0).stdout
    assert "logs: nothing to remove" in here.run("gc", code=0).stdout


def test_since_is_the_good_end_of_the_first_cycle(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD, SMALLER, SMALLER)
    since = f"watch.branches.0.since={here.shas[0]}"
    done = here.run("--set", "bisect.min_runs=3", "--set", since, "run", "--once", code=10)
    assert f"first bad commit: {here.shas[2][:12]}" in done.stdout


def test_what_is_expected_is_no_news_until_it_ends(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    run = ("--set", "bisect.min_runs=3", "--set", KNOWN, "run", "--once")
    here.run(*run, code=0)
    culprit = here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "breaks")}, "break it")
    done = here.run(*run, code=0)
    assert "nothing new" in done.stderr
    assert "expected, mine: 3 cases: smaller" in done.stdout
    here.project.commit({"dev.c": fastqemu.dev_c(GOOD, "mended")})
    done = here.run(*run, code=0)
    assert "expected failure mine passes now: remove it (me)" in done.stdout
    assert "passes now, unlike on an earlier master" in done.stdout
    assert ">ok<" in (tmp_path / "out/matrix-master.html").read_text()
    until = here.project.commit({"until.txt": "from here on it has to work\n"})
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER, "again")}, "break it again")
    ended = ("--set", f"expected.mine.until={until}", *run[:2], *run[4:])
    done = here.run(*ended[:2], "--set", KNOWN, *ended[:2], *ended[2:], code=10)
    assert "fails now, unlike on an earlier master" in done.stdout
    assert culprit[:12] not in done.stdout


def test_tip_that_does_not_build_is_told(tmp_path: Path) -> None:
    here = place(tmp_path, BROKEN)
    done = here.run("run", "--once", code=131)
    assert "does not build" in done.stderr


def test_own_smoke_script_judges_in_run_test_and_bisect(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD, SMALLER, SMALLER)
    script = tmp_path / "smoke.sh"
    script.write_text(
        "#!/bin/sh\n"
        'echo "$BOT_MACHINE $BOT_TARGET $BOT_PROFILE" >> seen\n'
        'grep -aq 64M "$BOT_DESTINATION" || exit 0\n'
        "exit 1\n"
    )
    script.chmod(0o755)
    own = ("--set", f"smoke.script={script}", "--set", "bisect.min_runs=3")
    done = here.run(*own, "bisect", f"{here.shas[0]}..master", *MACHINE, code=0)
    assert f"first bad commit: {here.shas[2][:12]}" in done.stdout
    assert "script exit 1" in here.run("list").stdout
    here.run(*own, "test", "master", *MACHINE, code=1)
    since = f"watch.branches.0.since={here.shas[0]}"
    assert f"first bad commit: {here.shas[2][:12]}" in here.run(*own, "--set", since, "run", "--once", code=10).stdout


# -- stopped and killed --------------------------------------------------------------------------------------------


def processes_of(path: Path) -> list[psutil.Process]:
    """Processes that still have to do with a place: their command line or directory names it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(str(path) in part for part in (*process.cmdline(), process.cwd())):
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_gone(path: Path, seconds: float = 60, *, besides: str = "") -> None:
    """None is left soon. One that was killed needs the processor once more to end, which a busy machine gives late."""
    deadline = time.monotonic() + seconds
    while left := [process for process in processes_of(path) if process.name() != besides]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def interrupted(here: Place, at: str, sig: signal.Signals, *args: str) -> int:
    """Start `bot ARGS`, send it a signal when it says `at`, and wait; the exit code."""
    process = subprocess.Popen(
        [*BOT, "-C", "work", *args], cwd=here.path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if at in line:
            process.send_signal(sig)
            break
    else:
        pytest.fail(f"never said {at!r}: {''.join(said)}")
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    del out
    return process.returncode


def test_a_sweep_that_is_stopped_tells_what_it_ran(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    args = ("smoke", "--source", str(QEMU), "--sweep", "nightly", "--json", "runs.json")
    assert interrupted(here, "smoking (1 of ", signal.SIGINT, *args) == 130
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert 1 <= len(runs) < 200
    assert all(run["observation"]["outcome"] != "INFRA" for run in runs)
    wait_gone(tmp_path)


def test_a_commit_that_cannot_start_the_device_that_fails_does_not_pass(tmp_path: Path) -> None:
    """It runs without the device: whether the device fails there nobody knows, so it may be the culprit as well."""
    device = "virtio-rng-pci"
    lacks, fails = ("-global", f"{device}.no-such=on"), ("-global", f"{device}.disable-modern=on")
    here = place(tmp_path, GOOD, lacks, fails)
    rng = ("--set", f"profiles.rng={{devices: {{pc-*: [-device {device}]}}}}")
    seen = here.run(*rng, "test", here.shas[2], *MACHINE, "--profile", "rng", code=0).stdout
    assert f"left out: 1 case: {device}" in " ".join(seen.split())
    few = ("--set", "bisect.min_runs=3")
    done = here.run(*rng, *few, "bisect", f"{here.shas[1]}..master", *MACHINE, "--profile", "rng")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "is one of 2 suspects; 1 commit could not be tested" in done.stdout
    assert all(sha[:12] in done.stdout for sha in here.shas[2:])


STAGES = {
    "configure": "configuring",
    "build": "building",
    "bad end": "step 1",
    "search": "step 3",
    "confirmation": "repeating it",
}


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Place]:
    """A history whose configure takes a second."""
    here = place(tmp_path, GOOD, GOOD, SMALLER, SMALLER)
    yield here
    wait_gone(tmp_path)


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_then_the_same_command_goes_on(slow: Place, stage: str) -> None:
    args = ("--set", "bisect.min_runs=3", "bisect", f"{slow.shas[0]}..master", *MACHINE)
    assert interrupted(slow, STAGES[stage], signal.SIGINT, *args) == 130
    wait_gone(slow.path)
    done = slow.run(*args, code=0)
    assert f"first bad commit: {slow.shas[3][:12]}" in done.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_kill_then_resume_goes_on(slow: Place, stage: str) -> None:
    """kill -9: no process is left, nothing that was recorded is run again, the answer is the same."""
    args = ("--set", "bisect.min_runs=3", "bisect", f"{slow.shas[0]}..master", *MACHINE)
    assert interrupted(slow, STAGES[stage], signal.SIGKILL, *args) == -signal.SIGKILL
    wait_gone(slow.path, besides="bwrap")  # one that was killed while it started waits for ever, until the next start
    done = slow.run("bisect", "--resume", code=0)
    wait_gone(slow.path)
    assert f"first bad commit: {slow.shas[3][:12]}" in done.stdout
    if stage == "confirmation":
        assert "are not repeated" in done.stderr
    assert "nothing was interrupted" in slow.run("bisect", "--resume", code=129).stderr


WATCH = {"clone": "cloning", "build": "building", "sweep": "cases to run", "search": "step 3"}


@pytest.mark.parametrize(
    ("stage", "sig"),
    [
        *((stage, signal.SIGKILL) for stage in WATCH),
        ("clone", signal.SIGINT),
        ("sweep", signal.SIGINT),
        ("build", signal.SIGTERM),
    ],
)
def test_a_cycle_that_was_stopped_is_gone_on_with(slow: Place, stage: str, sig: signal.Signals) -> None:
    since = f"watch.branches.0.since={slow.shas[0]}"
    args = ("--set", "bisect.min_runs=3", "--set", since, "run", "--once")
    assert interrupted(slow, WATCH[stage], sig, *args) == (-sig if sig is signal.SIGKILL else 130)
    wait_gone(slow.path, besides="bwrap" if sig is signal.SIGKILL else "")
    done = slow.run(*args, code=10)
    wait_gone(slow.path)
    assert f"first bad commit: {slow.shas[3][:12]}" in done.stdout
    assert [line.split()[0] for line in slow.run("list").stdout.splitlines()] == ["r0001"]


def test_the_daemon_finds_what_comes_and_ends_when_told(slow: Place) -> None:
    settings = ("--set", "bisect.min_runs=3", "--set", "watch.every=1s")
    slow.project.git("reset", "-q", "--hard", slow.shas[1])
    with (slow.path / "said").open("w") as said:
        process = subprocess.Popen(
            [*BOT, "-C", "work", *settings, "run"], cwd=slow.path, env=environment(), stdout=said, stderr=said
        )
    try:
        until(slow.path / "said", "cycle done: nothing new")
        slow.project.git("reset", "-q", "--hard", slow.shas[4])
        until(slow.path / "said", f"first bad commit: {slow.shas[3][:12]}")
        other = slow.run("bisect", f"{slow.shas[0]}..master", *MACHINE, code=129)
        assert f"in use by another bot (process {process.pid})" in other.stderr
        assert "r0001" in slow.run("list", code=0).stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        process.wait()


def until(file: Path, text: str, seconds: float = 90) -> None:
    """Wait for a text in a file."""
    deadline = time.monotonic() + seconds
    while text not in file.read_text():
        assert time.monotonic() < deadline, file.read_text()
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("reserve", "said"), [("0", "space"), ("1G", "it left less than 1.0 GiB of space on the disk")]
)
def test_full_disk_is_machine_trouble(tmp_path: Path, reserve: str, said: str) -> None:
    """A work directory on a file system of 3 MiB: told as such, no verdict, nothing half kept."""
    here = place(tmp_path, GOOD, SMALLER)
    small = tmp_path / "work"
    with tmpfs(small, "3M"):
        (small / "filler").write_bytes(b"x" * (2 * 2**20 + 640 * 2**10))
        reserved = ("--set", f"sandbox.reserve={reserve}")
        done = here.run(*reserved, "bisect", f"{here.shas[0]}..master", *MACHINE, code=131)
        assert said in done.stderr
        (small / "filler").unlink()
