"""Probes and time per decision of the shipped search, beside git's own, on the history of any clone.

    python -m benchmarks.search --repo CLONE --range GOOD..BAD [--samples 50] [--seed 1] [--weights] [--misses F]

Each sample draws a culprit from the range; a commit is bad if and only if it has the culprit in its history. The peer
is `git bisect run` itself, with a test that asks the same; its probes are counted without the ends. Ours are counted
the same way, and the confirmation is left out: git does none. Git's time includes the process that is its test; ours is
time of the processor. `--weights` gives the commits weights by chance, which lead nowhere: so the cap is felt.
With `--misses` runs of bad commits pass now and then; then every run up to the finding counts, the confirmation's, too.
"""

from __future__ import annotations

import argparse
import random
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.core.bisection import Bisection
from bot.core.confirmation import Phase
from bot.core.dag import Dag
from bot.host.git import Repository
from bot.host.gitdir import environment
from bot.model import Case, Observation, Outcome, Question, Run, Sha, Signature

CASE = Case("any", "any", "oracle")
MARK = Signature("oracle")


@dataclass(frozen=True, slots=True)
class Result:
    """Probes of one search, and the seconds that each choice took."""

    found: Sha
    probes: int
    seconds: tuple[float, ...]


def ours(
    dag: Dag, good: Sha, bad: Sha, culprit: Sha, prior: Mapping[Sha, float] | None, misses: float, chance: random.Random
) -> Result:
    """The shipped search with an oracle for a test."""
    state = Bisection.start(Question(good, bad, CASE, MARK), dag, prior=prior)
    probes, seconds = 0, list[float]()
    while True:
        began = time.process_time()
        jobs = state.next_jobs()
        took = time.process_time() - began
        if not jobs or (state.phase is Phase.CONFIRMATION and not misses):
            return Result(state.suspect, probes, tuple(seconds))
        sha = jobs[0].commit
        if sha not in (good, bad):
            probes += 1
            seconds.append(took)
        is_bad = sha in dag and bool(dag.history(sha)[dag.position(culprit)])
        is_bad = is_bad and (sha == bad or chance.random() >= misses)
        outcome = Outcome.FAIL_DST if is_bad else Outcome.PASS
        state = state.observe(Run(sha, CASE, Observation(outcome, MARK if is_bad else None)))


def gits(repository: Repository, good: Sha, bad: Sha, culprit: Sha) -> Result:
    """Real `git bisect run`, without a checkout: the test looks at BISECT_HEAD."""
    with tempfile.TemporaryDirectory(prefix="bot-benchmark-") as place:
        count = Path(place) / "count"
        clone = Path(place) / "clone"
        env = environment(local=True)

        def git(*args: str) -> str:
            done = subprocess.run(["git", *args], cwd=clone, env=env, capture_output=True, text=True, check=True)
            return done.stdout

        quiet = ["git", "clone", "--quiet", "--no-checkout", "--shared", str(repository.git.dir), str(clone)]
        subprocess.run(quiet, env=env, check=True)
        git("bisect", "start", "--no-checkout", bad, good)
        test = f"echo >>{shlex.quote(str(count))}; ! git merge-base --is-ancestor {culprit} BISECT_HEAD"
        began = time.perf_counter()
        said = git("bisect", "run", "sh", "-c", test)
        seconds = time.perf_counter() - began
        found = next(line.split()[0] for line in said.splitlines() if line.endswith("is the first bad commit"))
        probes = len(count.read_text().splitlines())
        return Result(found, probes, (seconds / probes,))


def main() -> int:
    """Print a table; exit 1 if one search named another commit than the culprit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--range", required=True, help="GOOD..BAD")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", action="store_true", help="weights by chance")
    parser.add_argument("--misses", type=float, default=0.0, metavar="F", help="runs of bad commits that pass")
    asked = parser.parse_args()
    repository = Repository(asked.repo)
    good, bad = (repository.resolve(name) for name in asked.range.split("..", 1))
    parents = repository.parents([good], bad)
    began = time.perf_counter()
    dag = Dag.of(parents)
    made = time.perf_counter() - began
    chance = random.Random(asked.seed)  # noqa: S311 - samples, not secrets
    chosen = chance.choices(tuple(parents), k=asked.samples)
    prior = {sha: chance.random() ** 8 for sha in parents} if asked.weights else None
    mine = [ours(dag, good, bad, culprit, prior, asked.misses, chance) for culprit in chosen]
    peer = [gits(repository, good, bad, culprit) for culprit in chosen]
    print(f"{asked.range}: {len(dag)} commits, {asked.samples} culprits, seed {asked.seed}")
    print(f"{'':12}{'mean':>8}{'median':>8}{'p95':>8}{'right':>8}{'ms a step':>11}{'at most':>9}")
    for name, results in (("bot", mine), ("git bisect", peer)):
        probes = [r.probes for r in results]
        p95 = sorted(probes)[int(len(probes) * 0.95)]
        right = sum(r.found == culprit for r, culprit in zip(results, chosen, strict=True))
        steps = [s * 1000 for r in results for s in r.seconds]
        step, slowest = statistics.mean(steps), max(steps)
        mean, median = statistics.mean(probes), statistics.median(probes)
        print(f"{name:12}{mean:8.2f}{median:8.1f}{p95:8}{right:5}/{len(results)}{step:11.1f}{slowest:9.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"the graph itself: {made * 1000:.0f} ms, once; memory at most {peak:.0f} MB")
    return int(any(r.found != c for r, c in zip([*mine, *peer], [*chosen, *chosen], strict=True)))


if __name__ == "__main__":
    sys.exit(main())
