"""History drawn as text, made into a real git repository.

One line is one strand; a word is a commit, on top of the one before it; `name=other` is a merge of the one before it
with `other` (more with `+`). A line that starts with a commit drawn above goes on from there, any other has a root.

    1 2 3 4
    2 a b
    4 5=b 6

Each commit adds the file `n/NAME` and has NAME as its subject, so a tree tells which commits it holds. Drawing takes
one `git fast-import`; names, dates and so all ids are the same each time.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bot.host.git import Repository
from bot.model import Sha

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_COMMITTER_NAME": "C O Mitter",
    "GIT_COMMITTER_EMAIL": "committer@example.org",
    "LC_ALL": "C",
}


def git(where: Path, *args: str, stdin: str | None = None) -> str:
    """Output of a real git, run in `where`; raises with its words if it fails."""
    done = subprocess.run(
        ["git", *args], cwd=where, env=ENVIRONMENT, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}{done.stdout}"
    return done.stdout.rstrip("\n")


@dataclass(frozen=True, slots=True)
class History:
    """A drawn repository: ids by name and names by id."""

    repository: Repository
    shas: Mapping[str, Sha]

    def __getitem__(self, name: str) -> Sha:
        return self.shas[name]

    def name(self, sha: Sha) -> str:
        return next(name for name, known in self.shas.items() if known == sha)

    def holds(self, sha: Sha) -> frozenset[str]:
        """The names of all commits in a commit's history, read from its tree."""
        return _tree(self.repository.path, sha)


@cache
def _tree(path: Path, sha: Sha) -> frozenset[str]:
    return frozenset(git(path, "ls-tree", "--name-only", f"{sha}:n").split())


def parents_of(drawing: str) -> dict[str, tuple[str, ...]]:
    """The drawing as {name: names of its parents}, parents first."""
    found: dict[str, tuple[str, ...]] = {}
    for line in drawing.splitlines():
        before: str | None = None
        for word in line.split():
            name, _, others = word.partition("=")
            if before is None and name in found:
                before = name
                continue
            assert name not in found, f"{name} is drawn twice"
            mine = ((before,) if before else ()) + tuple(others.split("+") if others else ())
            assert all(parent in found for parent in mine), f"a parent of {name} is not drawn yet"
            found[name] = mine
            before = name
    return found


def draw(path: Path, drawing: str, branch: str | None = None, files: Mapping[str, Mapping[str, str]] = {}) -> History:
    """Make a repository at `path`; `branch` (default: the last commit drawn) becomes master.

    `files` adds or changes files in the commits named, `{name: {path: text}}`; what merges get is what the drawing's
    parents hold, the first parent's text where they differ.
    """
    parents = parents_of(drawing)
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=master")
    trees: dict[str, dict[str, str]] = {}
    stream = ["feature done"]
    for mark, (name, mine) in enumerate(parents.items(), 1):
        tree: dict[str, str] = {}
        for parent in reversed(mine):
            tree |= trees[parent]
        tree |= {f"n/{name}": f"{name}\n"} | dict(files.get(name, {}))
        trees[name] = tree
        stream += [f"commit refs/names/{name}", f"mark :{mark}"]
        for role, who in (("author", "A U Thor <author@example.org>"), ("committer", "C O Mitter <c@example.org>")):
            stream.append(f"{role} {who} {1_500_000_000 + 60 * mark} +0000")
        stream += [f"data {len(name.encode())}", name]
        marks = [list(parents).index(parent) + 1 for parent in mine]
        stream += [f"{'merge' if i else 'from'} :{m}" for i, m in enumerate(marks)]
        stream.append("deleteall")
        for file, text in tree.items():
            stream += [f"M 100644 inline {file}", f"data {len(text.encode())}", text]
        stream.append("")
    git(path, "fast-import", "--quiet", "--done", stdin="\n".join([*stream, "done", ""]))
    refs = git(path, "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/names")
    shas = {name: sha for sha, name in (line.split() for line in refs.splitlines())}
    git(path, "update-ref", "refs/heads/master", shas[branch or list(parents)[-1]])
    return History(Repository(path), {name: shas[name] for name in parents})
