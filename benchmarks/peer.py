"""What `git bisect` needs: its algorithm on a graph, and the real one to check that with."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bot.core.dag import Dag
from bot.host.gitdir import environment
from bot.model import Sha


def git_probes(dag: Dag, culprit: Sha) -> int:
    """How many commits git asks about until one is left: bisect.c's choice, without skips.

    It takes the first commit whose history holds half of the suspects within one or a thousandth, merges before others,
    else the one that comes nearest to half.
    """
    holder = dag.position(culprit)
    suspects = np.ones(len(dag), np.bool_)
    merges = np.array([len(dag.parents[sha]) > 1 for sha in dag.commits])
    probes = 0
    while (n := int(suspects.sum())) > 1:
        below = dag.below(suspects.astype(np.float64))
        off = np.abs(2 * below - n)
        near = suspects & ((off <= 1) | (off < n / 1024))
        first = near & merges if (near & merges).any() else near
        probe = (
            int(np.argmax(first))
            if near.any()
            else int(np.argmax(np.where(suspects, np.minimum(below, n - below), -1)))
        )
        history = dag.history(dag.commits[probe])
        suspects = suspects & history if history[holder] else suspects & ~history
        probes += 1
    return probes


def real_git(repository: Path, good: Sha, bad: Sha, culprit: Sha) -> int:
    """The probes of real `git bisect run`, without a checkout: the test looks at BISECT_HEAD."""
    with tempfile.TemporaryDirectory(prefix="bot-benchmark-") as place:
        count, clone = Path(place) / "count", Path(place) / "clone"
        env = environment(local=True)

        def git(*args: str) -> None:
            subprocess.run(["git", *args], cwd=clone, env=env, capture_output=True, text=True, check=True)

        quiet = ["git", "clone", "--quiet", "--no-checkout", "--shared", str(repository), str(clone)]
        subprocess.run(quiet, env=env, check=True)
        git("bisect", "start", "--no-checkout", bad, good)
        git(
            "bisect",
            "run",
            "sh",
            "-c",
            f"echo >>{shlex.quote(str(count))}; ! git merge-base --is-ancestor {culprit} BISECT_HEAD",
        )
        return len(count.read_text().splitlines())
