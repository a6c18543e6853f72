"""Probes, builds, runs and accuracy of the shipped search on real regressions, beside git's.

    python -m benchmarks.corpus --graph G --tasks T [--repo CLONE] [--noise F,G] [--jobs K] [--json]

A commit is bad if and only if it has the task's culprit in its history. The search sees the commits between the two
ends and nothing that came later: no fix, no word of hindsight. It also knows which binary is tested, as a search
always does; the corpus names that for few tasks, and for the others it is made up (`benchmarks.history.tested`).
Without a clone it knows of each commit the paths, the size and the subject; with one, the words of the diff. Git is
`git bisect`'s algorithm on the same graph; `--verify N` runs the real one on N of the tasks.

Ends and confirmation are counted for neither: a probe is a commit that the search itself asked about.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.history import Y2020, Graph, Task, load, tasks
from benchmarks.peer import git_probes, real_git
from bot.bisect.runner import BUILD, TEST
from bot.core import evidence
from bot.core.bisection import Bisection
from bot.core.confirmation import Phase
from bot.core.dag import Dag
from bot.core.patch import Patch
from bot.host import diffs
from bot.host.git import Repository
from bot.model import (
    Case,
    FirstBad,
    MergeConflict,
    Observation,
    Outcome,
    Question,
    Run,
    Sha,
    Signature,
)

CASE = Case("any", "any", "oracle")
MARK = Signature("oracle")
PASS, FAIL = Observation(Outcome.PASS), Observation(Outcome.FAIL_DST, MARK)


@dataclass(frozen=True, slots=True)
class Options:
    """How tasks are played."""

    misses: float = 0.0  # chance that a run of a bad commit passes
    false: float = 0.0  # chance that a run of a good commit fails
    jobs: int = 1  # tests asked for at once
    symptom: bool = True
    culprit: bool = True  # False: nothing is bad, runs follow the noise alone
    evidence: bool = True
    target: bool = True  # the search knows which binary is tested, as it does in earnest


@dataclass(frozen=True, slots=True)
class Played:
    """One task, searched."""

    id: str
    migration: bool
    symptom: bool
    commits: int
    probes: int
    rounds: int
    git: int
    builds: int
    runs: int
    ending: str
    right: bool
    stated: float  # confidence when the suspect first went into confirmation
    guessed: bool  # and whether it was the culprit
    seconds: tuple[float, ...]  # of each decision

    @property
    def over_cap(self) -> bool:
        return self.probes > math.ceil(math.log2(self.commits)) + 2


def play(task: Task, graph: Graph, known: Mapping[Sha, Patch], options: Options) -> Played:
    """Search a task to its end."""
    indices = graph.range(task.good, task.bad)
    dag = Dag.of(graph.view(indices))
    prior = None
    if options.evidence:
        view = {graph.shas[i]: known.get(graph.shas[i], graph.patches[i]) for i in indices}
        said = "\n".join(task.symptom) if options.symptom else ""
        prior = evidence.weigh(view, evidence.Failure(said, task.target if options.target else None)).weights
    bad = (
        frozenset(sha for sha in dag.commits if dag.history(sha)[dag.position(task.culprit)])
        if options.culprit
        else frozenset()
    )
    return _search(task, dag, prior, bad, options)


def _search(task: Task, dag: Dag, prior: Mapping[Sha, float] | None, bad: frozenset[Sha], options: Options) -> Played:
    chance = random.Random(task.id)  # noqa: S311 - noise, not a secret
    state = Bisection.start(Question(task.good, task.bad, CASE, MARK), dag, prior=prior)
    probes, built = dict[Sha, None](), {task.good, task.bad}
    builds = runs = rounds = 0
    seconds: list[float] = []
    stated, guessed = 0.0, False
    while True:
        began = time.perf_counter()
        jobs = state.next_jobs(options.jobs, lambda sha: TEST if sha in built else BUILD)
        took = time.perf_counter() - began
        if not jobs:
            break
        searching = state.phase is Phase.SEARCH
        if searching:
            rounds += 1
            seconds.append(took)
        elif state.phase is Phase.CONFIRMATION and not stated:
            stated, guessed = state.confidence, state.suspect == task.culprit
        for job in jobs:
            if searching:
                probes.setdefault(job.commit)
                builds += job.commit not in built
                runs += job.times
            built.add(job.commit)
            for _ in range(job.times):
                fails = chance.random() < (1 - options.misses if job.commit in bad else options.false)
                state = state.observe(Run(job.commit, CASE, FAIL if fails else PASS, at=float(len(state.runs) + 1)))
    finding = state.finding
    right = isinstance(finding, FirstBad | MergeConflict) and finding.commit == task.culprit
    return Played(
        task.id, task.migration, bool(task.symptom), len(dag), len(set(probes) - {task.good, task.bad}), rounds,
        git_probes(dag, task.culprit), builds, runs, type(finding).__name__, right, stated, guessed, tuple(seconds),
    )  # fmt: skip


# -- figures --------------------------------------------------------------------------------------------------------


def summary(played: Sequence[Played]) -> dict[str, Any]:
    """The figures of a set of tasks."""
    if not played:
        return {"tasks": 0}
    ours, gits = [p.probes for p in played], [p.git for p in played]
    low, high = _bootstrap([g - o for o, g in zip(ours, gits, strict=True)])
    return {
        "tasks": len(played),
        "probes": _spread(ours) | {"max": max(ours)},
        "git": _spread(gits),
        "saved": {"mean": statistics.mean(gits) - statistics.mean(ours), "low": low, "high": high},
        "over_cap": sum(p.over_cap for p in played),
        "rounds": statistics.mean(p.rounds for p in played),
        "builds": statistics.mean(p.builds for p in played),
        "runs": statistics.mean(p.runs for p in played),
        "accuracy": statistics.mean(p.right for p in played),
        "endings": {e: sum(p.ending == e for p in played) for e in sorted({p.ending for p in played})},
        "calibration": _calibration(played),
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    ordered = sorted(values)
    p95 = ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
    return {"mean": statistics.mean(values), "median": statistics.median(values), "p95": p95}


def _bootstrap(differences: Sequence[int]) -> tuple[float, float]:
    """The middle 95 % of the mean, drawn 2,000 times."""
    values = np.array(differences, np.float64)
    chance = np.random.default_rng(1)
    means = [float(values[chance.integers(0, len(values), len(values))].mean()) for _ in range(2000)]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


_BINS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0 + 1e-9)


def _calibration(played: Sequence[Played]) -> list[tuple[float, float, int]]:
    """(mean confidence stated, share that was right, number) of the first suspects that went into confirmation."""
    found = []
    for low, high in pairwise(_BINS):
        part = [p for p in played if p.stated and low <= p.stated < high]
        if part:
            found.append((statistics.mean(p.stated for p in part), statistics.mean(p.guessed for p in part), len(part)))
    return found


def figures(played: Sequence[Played]) -> dict[str, Any]:
    """All that `--json` prints."""
    times = [s * 1000 for p in played for s in p.seconds] or [0.0]
    sets = {
        "all": list(played),
        "migration": [p for p in played if p.migration],
        "symptom": [p for p in played if p.symptom],
    }
    decision = {"mean": statistics.mean(times), "p95": float(np.quantile(times, 0.95)), "max": max(times)}
    return {"sets": {name: summary(part) for name, part in sets.items()}, "decision_ms": decision}


def show(found: dict[str, Any]) -> None:
    """The figures as a table."""
    print(f"{'set':10}{'tasks':>6}{'mean':>7}{'median':>8}{'p95':>5}{'max':>5}{'git':>7}{'saved (95 %)':>22}", end="")
    print(f"{'over':>6}{'builds':>8}{'runs':>7}{'right':>8}")
    for name, s in found["sets"].items():
        if s["tasks"]:
            saved = f"{s['saved']['mean']:.2f} ({s['saved']['low']:.2f}..{s['saved']['high']:.2f})"
            mean, median, p95, most = (s["probes"][k] for k in ("mean", "median", "p95", "max"))
            print(
                f"{name:10}{s['tasks']:6}{mean:7.2f}{median:8.1f}{p95:5}{most:5}{s['git']['mean']:7.2f}{saved:>22}",
                end="",
            )
            print(f"{s['over_cap']:6}{s['builds']:8.2f}{s['runs']:7.2f}{s['accuracy']:8.4f}  {s['endings']}")
    calibration = found["sets"]["all"].get("calibration", ())
    print("stated, right, tasks:", ", ".join(f"{a:.3f} {b:.3f} {n}" for a, b, n in calibration))
    print("a decision:", ", ".join(f"{name} {value:.1f} ms" for name, value in found["decision_ms"].items()))


# -- command --------------------------------------------------------------------------------------------------------

_graph: Graph
_known: dict[Sha, Patch] = {}


def _played(options: Options, task: Task) -> Played:
    return play(task, _graph, _known, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--graph", type=Path, required=True, help=".jsonl or .jsonl.xz")
    parser.add_argument("--tasks", type=Path, required=True, help=".jsonl or .jsonl.xz")
    parser.add_argument("--repo", type=Path, help="a clone with the commits of the graph: their diffs are evidence")
    parser.add_argument("--cache", type=Path, help="where digests of diffs are kept (default: a cache of the user's)")
    parser.add_argument(
        "--noise", default="0,0", metavar="F,G", help="runs of bad commits that pass, of good that fail"
    )
    parser.add_argument("--jobs", type=int, default=1, help="tests asked for at once")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--since", type=int, metavar="YEAR", help="culprits of this year and later (2020)")
    parser.add_argument("--limit", type=int, help="the first N of the tasks, in an order by chance")
    parser.add_argument("--only-symptom", action="store_true", help="tasks that quote one")
    parser.add_argument("--no-symptom", action="store_true", help="leave out what was quoted")
    parser.add_argument("--no-target", action="store_true", help="leave out which binary is tested")
    parser.add_argument("--no-evidence", action="store_true", help="every commit weighs the same")
    parser.add_argument("--no-culprit", type=int, metavar="N", help="N tasks in which nothing is bad")
    parser.add_argument("--verify", type=int, default=0, metavar="N", help="compare git's model with git on N tasks")
    parser.add_argument("--json", action="store_true")
    return parser


def _chosen(asked: argparse.Namespace, graph: Graph) -> list[Task]:
    found = tasks(asked.tasks, graph)
    if asked.since:
        first = Y2020 if asked.since == 2020 else time.mktime((asked.since, 1, 1, 0, 0, 0, 0, 0, 0))
        found = [task for task in found if task.time >= first]
    if asked.only_symptom:
        found = [task for task in found if task.symptom]
    if asked.limit or asked.no_culprit:
        random.Random(1).shuffle(found)  # noqa: S311 - samples, not secrets
    return found[: asked.no_culprit or asked.limit]


def main() -> int:
    """Play every task and print the figures."""
    global _graph, _known
    asked = _parser().parse_args()
    misses, false = map(float, asked.noise.split(","))
    _graph = load(asked.graph)
    chosen = _chosen(asked, _graph)
    if asked.repo and not asked.no_evidence:
        cache = asked.cache or Path.home() / ".cache" / "qemu-migration-bot" / "diffs"
        wanted = sorted(
            {i for task in {(t.good, t.bad): t for t in chosen}.values() for i in _graph.range(task.good, task.bad)}
        )
        _known = diffs.read(Repository(asked.repo), (_graph.shas[i] for i in wanted), cache)
    options = Options(
        misses,
        false,
        asked.jobs,
        not asked.no_symptom,
        asked.no_culprit is None,
        not asked.no_evidence,
        not asked.no_target,
    )
    if asked.processes > 1:
        with ProcessPoolExecutor(asked.processes) as pool:
            played = list(pool.map(partial(_played, options), chosen, chunksize=4))
    else:
        played = [_played(options, task) for task in chosen]
    if asked.verify:
        real = [
            (real_git(asked.repo, t.good, t.bad, t.culprit), p.git)
            for t, p in zip(chosen[: asked.verify], played, strict=False)
        ]
        print("git bisect itself:", *(statistics.mean(side) for side in zip(*real, strict=True)), file=sys.stderr)
    found = figures(played) | {"options": asdict(options)}
    if asked.json:
        print(json.dumps(found))
    else:
        show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
