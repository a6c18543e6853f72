"""`bot test --apply`: a posted series from a mailbox to an exit code, and where it is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_cli import BOT, MACHINE, Place, environment, place
from tests.testing import fastqemu
from tests.testing.fastqemu import GOOD, SMALLER

SUBJECT = "hw/core: shrink, a series"


def series(world: Place, *changes: dict[str, str | bytes | None]) -> bytes:
    """The series of these changes as its author mails it, with a cover letter; the branch stays where it is."""
    base = world.project.git("rev-parse", "HEAD")
    for number, change in enumerate(changes, 1):
        world.project.commit(change, f"hw/core: step {number}")
    text = world.project.git("format-patch", "--stdout", "--cover-letter", base)
    world.project.git("reset", "--quiet", "--hard", base)
    return (text.replace("*** SUBJECT HERE ***", SUBJECT) + "\n").encode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two good commits, and two series of which one breaks migration in its second patch."""
    found = place(tmp_path_factory.mktemp("posted"), GOOD, GOOD)
    good: dict[str, str | bytes | None] = {"dev.c": fastqemu.dev_c(GOOD, "posted"), "notes.txt": "a\n"}
    (found.path / "good.mbox").write_bytes(series(found, good))
    (found.path / "bad.mbox").write_bytes(series(found, good, {"dev.c": fastqemu.dev_c(SMALLER, "posted")}))
    return found


def test_the_patch_that_breaks_migration_is_found_bad(world: Place) -> None:
    files = ("--json", "runs.json", "--junit", "runs.xml", "--html", "page.html")
    done = world.run("test", "master", "--apply", "bad.mbox", *MACHINE, *files, "--no-search", code=1)
    base = world.shas[-1]
    told = f'master + 2 patches: "{SUBJECT}" on {base[:12]}'
    assert done.stdout.startswith(told)
    assert "Size mismatch: pc.ram" in done.stdout
    document = json.loads((world.path / "runs.json").read_text())
    commit = document["posted"]["commit"]
    expected = {"revision": "master", "base": base, "commit": commit, "subject": SUBJECT, "patches": 2}
    assert document["posted"] == expected
    assert [run["commit"] for run in document["runs"]] == [commit]
    for name in ("runs.xml", "page.html"):
        text = (world.path / name).read_text()
        assert "master + 2 patches" in text and SUBJECT in text
    assert world.project.git("rev-parse", "master") == base


def test_without_it_the_series_is_good_and_may_come_from_a_pipe(world: Place) -> None:
    done = subprocess.run(
        [*BOT, "-C", "work", "test", "master", "--apply", "-", *MACHINE],
        cwd=world.path, env=environment(), input=(world.path / "good.mbox").read_bytes(), capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith(f'master + 1 patch: "{SUBJECT}" on {world.shas[-1][:12]}')


def test_a_series_for_another_base_names_patch_and_file(world: Place) -> None:
    done = world.run("test", world.shas[0], "--apply", "bad.mbox", *MACHINE, code=129)
    assert f"bot: {world.shas[0]} ({world.shas[0][:12]}): 1/2 " in done.stderr
    assert '"hw/core: step 1" does not apply: dev.c: git says: ' in done.stderr


@pytest.mark.parametrize(("file", "said"), [("absent", "cannot be read"), ("config.yaml", "there is no patch in it")])
def test_what_is_no_series_is_bad_input(world: Place, file: str, said: str) -> None:
    assert said in world.run("test", "master", "--apply", file, *MACHINE, code=129).stderr


def test_an_error_carries_nothing_that_a_terminal_acts_on(world: Place) -> None:
    diff = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    (world.path / "odd.eml").write_text(f"From: a <a@x>\nSubject: [PATCH] red \x1b[31m\x1b]0;owned\x07\n\n---\n{diff}")
    done = world.run("test", "master", "--apply", "odd.eml", *MACHINE, code=129)
    assert 'patch "red" does not apply: x: ' in done.stderr
    assert all(c.isprintable() or c == "\n" for c in done.stderr)


def test_nor_does_what_its_build_says(world: Place) -> None:
    (world.path / "loud.mbox").write_bytes(series(world, {"dev.c": "#error \x1b]0;owned\x07 \x1b[31m red\n"}))
    done = world.run("test", "master", "--apply", "loud.mbox", *MACHINE, code=125)
    assert "does not build" in done.stdout and "red" in done.stdout
    assert all(c.isprintable() or c == "\n" for c in done.stdout + done.stderr)


# -- without a sandbox ---------------------------------------------------------------------------------------------


def nothing_built(world: Place) -> None:
    assert not (world.path / "none" / "trees").exists()
    assert not (world.path / "none" / "upstream.git").exists()


@pytest.mark.parametrize("use", ["never", "auto", "always"])
def test_it_is_refused_where_bubblewrap_is_missing(world: Place, tmp_path: Path, use: str) -> None:
    """A machine whose /usr/bin/bwrap is no program, and a PATH without one: nothing is read, cloned or built."""
    for tool in ("git", "prlimit", "setpriv", "choom", "gcc", "ninja", "sh", "strip"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "/nonexistent")
    masked = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", "/dev/null", "/usr/bin/bwrap", "--"]
    argv = [*BOT, "-C", "none", "--set", f"sandbox.use={use}", "test", "master", "--apply", "good.mbox", *MACHINE]
    done = subprocess.run(
        [*masked, *argv], cwd=world.path, env=environment() | {"PATH": str(tmp_path)},
        executable="/usr/bin/bwrap", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 129, done.stderr
    assert "--apply: what somebody posted is built and run in a sandbox only" in done.stderr
    assert ("sandbox.use is never; set it to auto or always" if use == "never" else "`bot doctor`") in done.stderr
    nothing_built(world)


def test_it_is_refused_where_no_sandbox_is_wanted(world: Place) -> None:
    args = ("--set", "sandbox.use=never", "-C", "none", "test", "master", "--apply", "good.mbox", *MACHINE)
    assert "sandbox.use is never" in world.run(*args, code=129).stderr
    nothing_built(world)


def test_nor_is_there_a_way_round_by_its_id(world: Place) -> None:
    """It is in the clone from now on, and known for what it is."""
    world.run("test", "master", "--apply", "good.mbox", *MACHINE, "--json", "again.json", code=0)
    sha = json.loads((world.path / "again.json").read_text())["posted"]["commit"]
    for command in (("test", sha), ("build", sha), ("bisect", f"{world.shas[0]}..{sha}")):
        args = MACHINE if command[0] != "build" else ()
        refused = world.run("--set", "sandbox.use=never", *command, *args, code=129)
        assert f"{sha[:12]} is of a series that somebody posted" in refused.stderr
