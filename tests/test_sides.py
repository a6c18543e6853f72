"""The side test from the command line to the mail: a stable branch that is at fault, and a master that only shows it.

A device that one side has and the other lacks stands for a format: a destination that has it takes both streams, one
that lacks it refuses the stream of a source that has it.
"""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.test_cli import Place, interrupted, wait_gone
from tests.testing import fastqemu
from tests.testing.fastqemu import QEMU

WATCHDOG = ("-device", "i6300esb")
MACHINE = ("--machine", "pc-i440fx-7.2")
SLOW = 600  # seconds that a whole search may take on a machine with other work
NO_OTHERS = ("--set", "baselines=[]", "--set", "bisect.min_runs=3")


@dataclass(frozen=True)
class World:
    """7.2.0, a stable branch of which 7.2.2 is at fault, since `culprit`, and a master that shows it since `shows`."""

    here: Place
    culprit: str
    good: str
    shows: str

    def bisect(self, *args: str, code: int) -> tuple[str, str]:
        done = self.here.run(*NO_OTHERS, "bisect", f"{self.good}..master", *MACHINE, *args, code=code, timeout=SLOW)
        return done.stdout, done.stderr

    def report(self, name: str) -> dict[str, object]:
        found = json.loads((self.here.path / "work/out" / name / "report.json").read_text())["report"]
        assert isinstance(found, dict)
        return found


def world(path: Path, *, backward: bool = False) -> World:
    """The pinned release is the source, or, `backward`, the destination; then the others have the device."""
    lacks, has = (WATCHDOG, ()) if backward else ((), WATCHDOG)
    path.mkdir(parents=True, exist_ok=True)
    project, shas = fastqemu.history(path / "qemu", first=lacks)
    fastqemu.config(project, path)
    project.git("checkout", "-q", "-b", "stable-7.2")
    project.commit({"VERSION": "7.2.1\n"}, "Update version for 7.2.1 release")
    culprit = project.commit({"dev.c": fastqemu.dev_c(has, "stable")}, "hw: change the format")
    project.commit({"other.txt": "other\n"})
    project.commit({"VERSION": "7.2.2\n"}, "Update version for 7.2.2 release")
    project.git("checkout", "-q", "master")
    project.commit({"VERSION": "7.2.50\n"}, "Open 8.0 development tree")
    good = project.commit({"dev.c": fastqemu.dev_c(has, "master takes both")}, "hw: take both formats")
    shows = project.commit({"dev.c": fastqemu.dev_c(lacks, "master takes one")}, "hw: take one format")
    project.commit({"last.txt": "last\n"})
    return World(Place(path, project, shas), culprit, good, shows)


@pytest.mark.parametrize("backward", [False, True], ids=["source", "destination"])
def test_a_pinned_release_that_alone_fails_has_its_branch_searched(tmp_path: Path, backward: bool) -> None:
    there = world(tmp_path, backward=backward)
    pin = ("--destination" if backward else "--source", "v7.2.2")
    out, err = there.bisect(*pin, code=0)
    assert f"first bad commit: {there.culprit[:12]}" in out and "exposes" not in out
    role = pin[0].removeprefix("--")
    assert f"v7.2.2 as the {role} fails (3 of 3); v7.2.0 as the {role} passes" in out.replace("\n  ", " ")
    assert f"v7.2.0 as the {role} passes" in err
    other = "--source" if backward else "--source-side --destination"
    assert f"bot bisect v7.2.0..v7.2.2 --target x86_64-softmmu {' '.join(MACHINE)} --profile bare {other}" in err
    report = there.report("r0001")
    assert report["finding"]["attribution"]["by"] == "introduced-by"  # type: ignore[index]
    mail = (tmp_path / "work/out/r0001/mail.eml").read_text()
    assert f"Fixes: {there.culprit[:12]}" in mail and "exposed" not in mail
    assert there.shows[:12] not in out + mail
    again = there.bisect(*pin, code=0)
    assert "are not repeated" in again[1] and "building" not in again[1]
    assert "r0002" not in there.here.run("list").stdout


def test_the_command_that_is_told_finds_the_same(tmp_path: Path) -> None:
    there = world(tmp_path)
    _, err = there.bisect("--source", "v7.2.2", code=0)
    told = next(line.partition("is searched by: bot ")[2] for line in err.splitlines() if "is searched by" in line)
    out = there.here.run(*NO_OTHERS, *told.split(), code=0, timeout=SLOW).stdout
    assert f"first bad commit: {there.culprit[:12]}" in out


def test_the_commit_of_the_other_side_is_exposed_by_at_most(tmp_path: Path) -> None:
    there = world(tmp_path)
    out, err = there.bisect("--source", "v7.2.2", "--side-test", "tell", code=0)
    assert f'first bad commit: {there.shows[:12]} ("hw: take one format"), which exposes the failure' in out
    assert "bot bisect v7.2.0..v7.2.2" in out and "is not searched" not in err
    report = there.report("r0001")
    assert report["finding"]["attribution"]["by"] == "exposed-by"  # type: ignore[index]
    assert report["sides"]["side"] == "pinned"  # type: ignore[index]
    mail = (tmp_path / "work/out/r0001/mail.eml").read_text()
    head, _, body = mail.partition("\n\n")
    assert "To: list@example.org" in head and "exposed" in head.partition("X-Migbot-Held:")[2]
    assert "Fixes: " not in body.replace("a Fixes: tag", "")
    log = tmp_path / "work/out/r0001/bisect.log"
    assert "exposed by it, not introduced by it" in there.here.run("replay", str(log), code=0).stdout
    assert "held: " in there.here.run("show", "r0001", code=0).stdout


def test_siblings_that_fail_alike_leave_the_commit_at_fault(tmp_path: Path) -> None:
    """The first release of the series has the format too, so it was master's to take it."""
    there = world(tmp_path)
    there.here.project.git("checkout", "-q", "stable-7.2")
    there.here.project.commit({"VERSION": "7.2.3\n"}, "Update version for 7.2.3 release")
    there.here.project.git("checkout", "-q", "master")
    out, err = there.bisect("--source", "v7.2.3", "--sibling", "v7.2.2", code=0)
    assert f"first bad commit: {there.shows[:12]}" in out and "exposes" not in out
    assert "v7.2.2 as the source fails alike (3 of 3)" in err
    mail = (tmp_path / "work/out/r0001/mail.eml").read_text()
    assert f"Fixes: {there.shows[:12]}" in mail
    assert "v7.2.2 fails alike in the place of v7.2.3" in mail.replace("\n  ", " ")


def test_of_an_installed_release_it_is_told_what_is_missing(tmp_path: Path) -> None:
    """A build of 7.2 with a patch of its own, and Debian's as a baseline: nothing of it is a commit."""
    there = world(tmp_path)
    patched = tmp_path / "patched" / "qemu-system-x86_64"
    patched.parent.mkdir()
    patched.write_text(
        f'#!/bin/sh\ncase "$*" in *"-M none"*) exec {QEMU} "$@" ;; esac\nexec {QEMU} "$@" {" ".join(WATCHDOG)}\n'
    )
    patched.chmod(0o755)
    here = there.here
    ask = ("--set", "bisect.min_runs=3", "bisect", f"{there.good}..master", *MACHINE, "--source", str(patched))
    done = here.run(*ask, code=0, timeout=SLOW)
    assert f"first bad commit: {there.shows[:12]}" in done.stdout and "which exposes" in done.stdout
    said = done.stdout.replace("\n  ", " ")
    assert f"({QEMU}), another build of the same release, passes in the place of qemu-7.2" in said
    assert re.search(rf"no range of commits is known for the pinned side; qemu-7\.2\S* \({QEMU}\)", done.stderr)


def test_without_a_look_at_the_sides_the_commit_is_named(tmp_path: Path) -> None:
    there = world(tmp_path)
    out, err = there.bisect("--source", "v7.2.2", "--side-test", "off", code=0)
    assert f"first bad commit: {there.shows[:12]}" in out
    assert "side test" not in out + err


def test_wrong_siblings_are_told_before_anything_is_searched(tmp_path: Path) -> None:
    there = world(tmp_path)
    assert "no such revision" in there.bisect("--source", "v7.2.2", "--sibling", "v9.9.9", code=129)[1]
    assert "no side is pinned" in there.bisect("--sibling", "v7.2.0", code=129)[1]


def test_a_search_that_is_killed_in_the_side_test_goes_on(tmp_path: Path) -> None:
    there = world(tmp_path)
    args = (*NO_OTHERS, "bisect", f"{there.good}..master", *MACHINE, "--source", "v7.2.2")
    assert interrupted(there.here, "v7.2.0 as the source passes", signal.SIGKILL, *args) == -signal.SIGKILL
    wait_gone(tmp_path)
    done = there.here.run("bisect", "--resume", code=0, timeout=SLOW)
    assert f"first bad commit: {there.culprit[:12]}" in done.stdout
    assert f"building {there.here.shas[0][:12]}" not in done.stderr


def test_the_watch_searches_both_sides_and_accuses_one(tmp_path: Path) -> None:
    there = world(tmp_path)
    settings = (
        "--set", "baselines=[{name: stable, ref: v7.2.x}]", "--set", f"watch.branches.0.since={there.good}",
        "--set", "bisect.min_runs=3", "run", "--once",
    )  # fmt: skip
    done = there.here.run(*settings, code=10, timeout=SLOW)
    assert f"first bad commit: {there.shows[:12]}" in done.stdout and "which exposes" in done.stdout
    assert f"first bad commit: {there.culprit[:12]}" in done.stdout
    mails = {name: (tmp_path / "out" / name / "mail.eml").read_text() for name in ("r0001", "r0002")}
    assert "kind=exposed" in mails["r0001"] and f"Fixes: {there.culprit[:12]}" in mails["r0002"]
    assert "nothing new" in there.here.run(*settings, code=0, timeout=SLOW).stderr
