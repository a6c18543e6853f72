"""Commits as files, from real repositories: what stays as it is, and what a killed git leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.errors import InfraError
from bot.host.checkout import checkout, worktree
from bot.host.remote import clone
from tests.test_cli import wait_gone
from tests.testing.cluster import processes_in, until
from tests.testing.history import History, draw, git


def test_checkout_keeps_times_of_what_does_not_change(tmp_path: Path) -> None:
    files = {"0": {"same.c": "s\n", "turns.c": "0\n", "goes.c": "g\n"}, "1": {"turns.c": "1\n"}}
    history = draw(tmp_path / "r", "0 1", files=files)
    tree, index = tmp_path / "tree", tmp_path / "index"
    checkout(history.repository, history["0"], tree, index)
    assert not (tree / ".git").exists()
    old = {path: path.stat().st_mtime_ns for path in tree.rglob("*.c")}
    (tree / "made.o").write_text("by the build")
    time.sleep(0.02)
    checkout(history.repository, history["1"], tree, index)
    assert (tree / "turns.c").read_text() == "1\n"
    assert (tree / "same.c").stat().st_mtime_ns == old[tree / "same.c"]
    assert (tree / "turns.c").stat().st_mtime_ns > old[tree / "turns.c"]
    assert (tree / "made.o").exists()
    checkout(history.repository, history["0"], tree, index)
    assert (tree / "turns.c").read_text() == "0\n"
    assert not (tree / "n" / "1").exists()
    assert (tree / "same.c").stat().st_mtime_ns == old[tree / "same.c"]


def test_checkout_mends_what_a_build_changed_once(tmp_path: Path) -> None:
    history = draw(tmp_path / "r", "0 1", files={"0": {"a.c": "a\n", "b.c": "b\n"}})
    tree, index = tmp_path / "tree", tmp_path / "index"
    checkout(history.repository, history["0"], tree, index)
    (tree / "a.c").write_text("overwritten\n")
    (tree / "b.c").unlink()
    checkout(history.repository, history["0"], tree, index)
    assert ((tree / "a.c").read_text(), (tree / "b.c").read_text()) == ("a\n", "b\n")
    mended = (tree / "a.c").stat().st_mtime_ns
    time.sleep(0.02)
    checkout(history.repository, history["1"], tree, index)
    assert (tree / "a.c").stat().st_mtime_ns == mended


def test_checkout_after_a_kill_and_by_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = draw(tmp_path / "r", "0 1")
    monkeypatch.chdir(tmp_path)
    checkout(history.repository, history["0"], Path("tree"), Path("index"))
    Path("index.lock").write_text("left by a git that was killed")
    checkout(history.repository, history["1"], Path("tree"), Path("index"))
    assert Path("tree/n/1").exists()
    assert not Path("tree/tree").exists()


def test_checkout_of_a_bare_clone_and_of_what_is_not_there(tmp_path: Path, upstream: History) -> None:
    copy = clone(str(upstream.repository.path), tmp_path / "copy.git")
    checkout(copy, upstream["5"], tmp_path / "tree", tmp_path / "index")
    assert (tmp_path / "tree" / "n" / "b").exists()
    with pytest.raises(InfraError, match="read-tree exited"):
        checkout(copy, "0" * 40, tmp_path / "tree", tmp_path / "index")


def test_checkout_does_not_write_beyond_a_committed_symlink(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tmp_path / "r"
    history = draw(path, "0 1", files={"1": {"d/f": "x\n"}})
    git(path, "reset", "--quiet", "--hard", history["0"])
    (path / "d").symlink_to(outside)
    git(path, "add", "d")
    git(path, "commit", "--quiet", "-m", "symlink")
    tree, index = tmp_path / "tree", tmp_path / "index"
    checkout(history.repository, git(path, "rev-parse", "HEAD"), tree, index)
    checkout(history.repository, history["1"], tree, index)
    assert list(outside.iterdir()) == []
    assert (tree / "d" / "f").read_text() == "x\n"


def test_a_worktree_is_made_moved_and_made_again(tmp_path: Path, upstream: History) -> None:
    copy = clone(str(upstream.repository.path), tmp_path / "copy.git")
    path = tmp_path / "deep" / "worktree"
    for name in ("3", "6", "a"):
        worktree(copy, upstream[name], path)
        assert git(path, "rev-parse", "HEAD") == upstream[name]
        assert {p.name for p in (path / "n").iterdir()} == upstream.holds(upstream[name])
        (path / "n" / "0").write_text("changed by the user's command\n")
    git(path, "clean", "--quiet", "-fdx")
    for child in path.iterdir():
        if child.is_file():
            child.unlink()
    subprocess.run(["rm", "-rf", str(path)], check=True)
    worktree(copy, upstream["4"], path)
    assert git(path, "rev-parse", "HEAD") == upstream["4"]


def test_a_worktree_goes_on_after_a_git_that_was_killed(tmp_path: Path, upstream: History) -> None:
    """A killed checkout leaves its locks, a killed `worktree add` one that is still locked, and no index."""
    copy, path = clone(str(upstream.repository.path), tmp_path / "copy.git"), tmp_path / "worktree"
    worktree(copy, upstream["3"], path)
    own = Path(git(path, "rev-parse", "--path-format=absolute", "--git-dir"))
    (own / "index.lock").write_bytes(b"half")
    (own / "HEAD.lock").touch()
    worktree(copy, upstream["6"], path)
    assert git(path, "rev-parse", "HEAD") == upstream["6"]
    (own / "locked").write_text("initializing")
    (own / "index").unlink()
    worktree(copy, upstream["3"], path)
    assert {p.name for p in (path / "n").iterdir()} == upstream.holds(upstream["3"])
    subprocess.run(["rm", "-rf", str(path)], check=True)
    worktree(copy, upstream["4"], path)
    assert git(path, "rev-parse", "HEAD") == upstream["4"]


MOVES = """
import sys; from pathlib import Path
from bot.host.checkout import worktree
from bot.host.git import Repository
worktree(Repository(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3]))
"""


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_checkout_wrote_is_no_file_of_another_commit(tmp_path: Path, sig: signal.Signals) -> None:
    """git writes the files and then the index: a file of the one is tracked by nobody if it never came to the other."""
    many = {f"n/many/{number}": "x\n" for number in range(8000)}
    history = draw(tmp_path / "r", "0 b", files={"b": {"n/b": "x\n", **many}})
    copy, path = clone(str(history.repository.path), tmp_path / "copy.git"), tmp_path / "worktree"
    for _ in range(20):
        worktree(copy, history["0"], path)
        assert not (path / "n" / "b").exists()
        asked = [sys.executable, "-c", MOVES, str(copy.path), history["b"], str(path)]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        moving = subprocess.Popen(asked, start_new_session=True, env=env)
        while not (path / "n" / "b").exists():
            assert moving.poll() is None
        os.killpg(moving.pid, sig)
        moving.wait()
        wait_gone(path)
        if git(path, "status", "--porcelain", "--untracked-files=all", "n/b").startswith("??"):
            break
    else:
        pytest.fail("no git was killed while it wrote")
    worktree(copy, history["0"], path)
    assert not (path / "n" / "b").exists()
    assert git(path, "status", "--porcelain") == ""


CHECKS_OUT = """
import sys; from pathlib import Path
from bot.host.checkout import checkout
from bot.host.git import Repository
checkout(Repository(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3]) / "tree", Path(sys.argv[3]) / "index")
"""


def test_no_git_goes_on_writing_after_a_kill(upstream: History, tmp_path: Path) -> None:
    """The next start wipes the tree and checks out another commit, and would find there what is of the first."""
    real = shutil.which("git")
    (tmp_path / "git").write_text(f'#!/bin/sh\ncase "$*" in *--reset*) exec sleep 600 ;; esac; exec {real} "$@"\n')
    (tmp_path / "git").chmod(0o755)
    asked = [sys.executable, "-c", CHECKS_OUT, str(upstream.repository.path), upstream["4"], str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    child = subprocess.Popen(asked, env=env)

    def writes() -> bool:
        return any(process.name() == "sleep" for process in processes_in(tmp_path / "tree"))

    until(writes, "it does not check out")
    child.kill()
    child.wait()
    until(lambda: not writes(), "git goes on")
