"""Reverts and picks, made as real commits without an index or a work tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.errors import InfraError, UserError
from bot.host.git import MADE, Repository
from bot.host.gitdir import GitDir
from bot.model import Sha

IDENTITY = {  # of commits that are made here: the same each time, so that their ids are, too
    "GIT_AUTHOR_NAME": "bot",
    "GIT_AUTHOR_EMAIL": "bot@localhost",
    "GIT_AUTHOR_DATE": "2000-01-01T00:00:00+00:00",
    "GIT_COMMITTER_NAME": "bot",
    "GIT_COMMITTER_EMAIL": "bot@localhost",
    "GIT_COMMITTER_DATE": "2000-01-01T00:00:00+00:00",
}


@dataclass(frozen=True, slots=True)
class Conflict:
    """A composition that git could not make; `paths` are those in conflict."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revert:
    """Undo one commit (relative to its first parent, if it is a merge)."""

    sha: Sha


@dataclass(frozen=True, slots=True)
class Pick:
    """Bring one commit over (relative to its first parent, if it is a merge)."""

    sha: Sha


def compose(repository: Repository, base: Sha, ops: Sequence[Revert | Pick]) -> Sha | Conflict:
    """base with ops applied in turn, as a real commit under refs/bot/, with fixed identity and dates.

    The same base and ops give the same id. No index and no work tree is needed or touched.
    """
    head = base
    for op in ops:
        done = _apply(repository.git, head, op)
        if isinstance(done, Conflict):
            return done
        head = done
    repository.git.call("update-ref", f"{MADE}/{head}", head)
    return head


def _apply(git: GitDir, head: Sha, op: Revert | Pick) -> Sha | Conflict:
    """head with one op as a commit on top; a three-way merge, as `git revert` and `git cherry-pick` do it.

    The merge base is the commit before the op's change. git 2.39 has no --merge-base for merge-tree, so the three
    trees are put into commits of which the first is the parent of the others.
    """
    parent = git.attempt("rev-parse", "--verify", "--quiet", "--end-of-options", f"{op.sha}^1")
    if parent is None:
        raise UserError(f"{op.sha[:12]} has no parent: it can be neither reverted nor picked")
    old, new = (op.sha, parent) if isinstance(op, Revert) else (parent, op.sha)
    base, ours, theirs = (git.call("rev-parse", f"{sha}^{{tree}}").strip() for sha in (old, head, new))
    fork = _tree_commit(git, base)
    sides = _tree_commit(git, ours, fork), _tree_commit(git, theirs, fork)
    status, out, err = git.run("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", *sides)
    if status not in (0, 1):
        raise InfraError(f"{git.path}: git merge-tree exited {status}: {err.strip()}")
    tree, *paths = out.rstrip("\0").split("\0")
    if status == 1:
        return Conflict(tuple(dict.fromkeys(paths)))
    verb = "Revert" if isinstance(op, Revert) else "Pick"
    return _tree_commit(git, tree, head, message=f"{verb} {op.sha}")


def _tree_commit(git: GitDir, tree: Sha, *parents: Sha, message: str = "bot") -> Sha:
    """A commit of a tree, with fixed identity and dates; no ref names it."""
    argv = ["commit-tree", tree, "-m", message]
    for parent in parents:
        argv += ["-p", parent]
    return git.call(*argv, env=IDENTITY).strip()
