"""Commits as files: in a folder of the bot's own, or as a linked worktree."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from bot.host.git import Repository
from bot.model import Sha

_ADDING = threading.Lock()  # `git worktree prune` may take away what an `add` beside it is about to make


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

    So is one that a git which did not end was moving: files that it had written and not yet noted in the index
    would stay there for all commits to come, tracked by none, and every test of that worktree would see them.
    Locks that were left there, and a worktree half made, are in nobody's way.
    """
    if (path / ".git").exists():
        asked = ("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir")
        status, out, _ = repository.git.run(*asked, cwd=path)
        common, _, own = out.strip().partition("\n")
        moves = Path(own) / "bot-moves"
        ours = status == 0 and Path(common).resolve() == repository.git.dir.resolve()
        if ours and (Path(own) / "index").exists() and not moves.exists():
            for lock in ("index.lock", "HEAD.lock"):
                (Path(own) / lock).unlink(missing_ok=True)
            moves.touch()
            repository.git.call("checkout", "--quiet", "--force", "--detach", sha, cwd=path)
            moves.unlink()
            return
    shutil.rmtree(path, ignore_errors=True)
    with _ADDING:
        repository.git.call("worktree", "prune")
        repository.git.call("worktree", "add", "--quiet", "--force", "--force", "--detach", str(path), sha)
