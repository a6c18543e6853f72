"""The door to git, on real repositories: what is one, and what must never get through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import InfraError, Stopped, UserError
from bot.host.checkout import checkout, worktree
from bot.host.git import Repository
from bot.host.picks import Revert, compose
from bot.host.remote import clone
from tests.testing.history import History, draw, git


def test_a_path_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such directory; give a git repository"):
        Repository(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"not a git repository that can be read: fatal: not a git repository"):
        Repository(tmp_path)


def test_a_subdirectory_a_bare_clone_and_a_linked_worktree_are_the_same_repository(
    upstream: History, tmp_path: Path
) -> None:
    where = upstream.repository.path
    git(where, "reset", "--quiet", "--hard")
    git(where, "clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    git(where, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), upstream["3"])
    for path in (where, where / "n", tmp_path / "bare", tmp_path / "linked"):
        repository = Repository(path)
        assert repository.resolve("master") == upstream["6"]
        assert repository.entry(upstream["3"], "n/1") is not None
        assert repository.file(upstream["3"], "n/1") == "1\n"
    assert Repository(tmp_path / "linked").resolve("HEAD") == upstream["3"]


def test_a_repository_that_is_gone_is_not_replaced_by_the_one_above(upstream: History, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "outer")
    history = draw(tmp_path / "outer" / "inner", "1 2")
    (tmp_path / "outer" / "inner" / ".git").rename(tmp_path / "moved")
    with pytest.raises(InfraError):
        history.repository.parents([], history["2"])


def test_without_git_the_error_says_what_to_install(tmp_path: Path, upstream: History) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from bot.host.git import Repository\n"
        "from bot.errors import InfraError\n"
        "try: Repository(Path(sys.argv[1]))\n"
        "except InfraError as error: print(error)\n"
    )
    env = {"PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    where = str(upstream.repository.path)
    done = subprocess.run([sys.executable, "-c", script, where], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("git is not installed: apt-get install git", "")


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_git_that_was_ended_says_neither_yes_nor_no(
    upstream: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sig: signal.Signals
) -> None:
    """Ctrl-C reaches it too, and the kernel ends it when memory is short: "no such file" would be believed."""
    repository, (one, other) = upstream.repository, (upstream["1"], upstream["6"])
    dies = f"exec env --default-signal=INT sh -c 'kill -{sig.value} $$'"  # a shell's background job has it ignored
    (tmp_path / "git").write_text(f"#!/bin/sh\n{dies}\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    kind = InfraError if sig is signal.SIGKILL else Stopped
    asked: tuple[Callable[[], object], ...] = (
        lambda: repository.is_ancestor(one, other),
        lambda: repository.merge_base(one, other),
        lambda: repository.resolve(one),
        repository.head,
        lambda: repository.file(one, "n/1"),
        lambda: repository.has_word(one, "x"),
        lambda: repository.paths(one),
        lambda: repository.blob(one, 9),
        lambda: repository.submodule_url(one, "x"),
    )
    for ask in asked:
        with pytest.raises(kind):
            ask()


def test_hooks_and_filters_of_others_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = draw(tmp_path / "r", "0 1 2", files={"0": {"f": "x\n"}})
    repository, mark = history.repository, tmp_path / "mark"
    for name in ("post-checkout", "post-index-change", "reference-transaction", "post-commit", "pre-auto-gc"):
        for hooks in (repository.git.dir / "hooks", tmp_path / "global"):
            hooks.mkdir(exist_ok=True)
            hook = hooks / name
            hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
            hook.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\n\thooksPath = {tmp_path / 'global'}\n\tfsmonitor = touch {mark}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    checkout(repository, history["1"], tmp_path / "tree", tmp_path / "index")
    worktree(repository, history["1"], tmp_path / "worktree")
    worktree(repository, history["2"], tmp_path / "worktree")
    compose(repository, history["2"], [Revert(history["1"])])
    clone(str(repository.path), tmp_path / "copy.git")
    clone(str(repository.path), tmp_path / "copy.git")
    assert not mark.exists()


def test_the_callers_git_variables_are_not_ours(tmp_path: Path, upstream: History) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from bot.host.git import Repository\n"
        "print(Repository(Path(sys.argv[1])).resolve('master'))\n"
    )
    env = {
        **os.environ,
        "GIT_DIR": str(tmp_path / "no"),
        "GIT_INDEX_FILE": "/no",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    where = str(upstream.repository.path)
    done = subprocess.run([sys.executable, "-c", script, where], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == upstream["6"], done.stderr
