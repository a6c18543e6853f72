"""Commits as files: in a folder of the bot's own, or as a linked worktree."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.errors import InfraError, Killed, Stopped
from bot.host.git import Repository
from bot.model import Sha

_ADDING = threading.Lock()  # `git worktree prune` may take away what an `add` beside it is about to make
_UNSETTLED = "bot-moves"  # in git's directory of a worktree


def checkout(repository: Repository, sha: Sha, tree: Path, index: Path) -> None:
    """Make the folder `tree` (no .git in it) hold the commit's files; times of unchanged files are kept.

    `index` is git's own note of what the folder holds; delete both to start anew.
    """
    tree, index = tree.absolute(), index.absolute()  # git runs in the tree
    tree.mkdir(parents=True, exist_ok=True)
    env = {"GIT_DIR": str(repository.git.dir), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(index)}
    (index.parent / (index.name + ".lock")).unlink(missing_ok=True)  # left by a git that was killed
    if not index.exists():
        repository.git.call("read-tree", "--empty", env=env, cwd=tree)
    repository.git.call("read-tree", "--reset", "-u", sha, env=env, cwd=tree)
    repository.git.call("checkout-index", "--all", "--force", "--quiet", "-u", env=env, cwd=tree)


def worktree(repository: Repository, sha: Sha, path: Path) -> None:
    """Put a linked worktree (with a .git) at path on the commit; one of another repository is replaced.

    So is one in which something did not come to its end (`unsettled`). A git that was moving it may have written
    files that are not yet in the index: they would stay for all commits to come, tracked by none, and every test
    of that worktree would see them. Locks that were left there, and a worktree half made, are in nobody's way.
    """
    own = _own(repository, path)
    if own is not None and (own / "index").exists() and not (own / _UNSETTLED).exists():
        for lock in ("index.lock", "HEAD.lock"):
            (own / lock).unlink(missing_ok=True)
        with unsettled(repository, path):
            repository.git.call("checkout", "--quiet", "--force", "--detach", sha, cwd=path)
        return
    shutil.rmtree(path, ignore_errors=True)
    with _ADDING:
        repository.git.call("worktree", "prune")
        repository.git.call("worktree", "add", "--quiet", "--force", "--force", "--detach", str(path), sha)


@contextmanager
def unsettled(repository: Repository, path: Path) -> Iterator[None]:
    """While something changes a worktree of ours, which is made anew if that does not come to its end.

    What was told to end and did so has tidied up (`Stopped`, and not `Killed`).
    """
    own = _own(repository, path)
    if own is None:
        raise InfraError(f"{path}: is no worktree of {repository.path} any more; start again")
    (own / _UNSETTLED).touch()
    try:
        yield
    except Killed:
        raise
    except Stopped:
        (own / _UNSETTLED).unlink(missing_ok=True)
        raise
    (own / _UNSETTLED).unlink(missing_ok=True)


def _own(repository: Repository, path: Path) -> Path | None:
    """git's directory of a linked worktree; None if there is none of this repository at path."""
    if not (path / ".git").exists():
        return None
    asked = ("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir")
    status, out, _ = repository.git.run(*asked, cwd=path)
    common, _, own = out.strip().partition("\n")
    return Path(own) if status == 0 and Path(common).resolve() == repository.git.dir.resolve() else None
