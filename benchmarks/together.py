"""Builds for several regressions of one range: each alone, one after another over one cache, and tested together.

    python -m benchmarks.together --graph G --tasks T [--repo CLONE] [--of 3] [--limit N] [--no-evidence] [--json]

Tasks of one range are put into groups as a watch cycle would find them. Alone, each search builds for itself. Over one
cache, a search prefers what an earlier one built. Together, what a search builds is also tested for those that wait, if
the answer is open (`Bisection.open`), as `bot run` does. Ends and confirmation are not counted, as in
`benchmarks.corpus`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.corpus import CASE, FAIL, MARK, PASS
from benchmarks.history import Graph, Task, load, tasks
from bot.bisect.runner import BUILD
from bot.core import evidence
from bot.core.bisection import Bisection
from bot.core.confirmation import Phase
from bot.core.dag import Dag
from bot.core.patch import Patch
from bot.host import diffs
from bot.host.git import Repository
from bot.model import FirstBad, MergeConflict, Question, Run, Sha

_TEST = 0.3  # seconds: a smoke


@dataclass(frozen=True, slots=True)
class Group:
    """Builds of one group of tasks, and whether every search named its culprit."""

    commits: int
    alone: int
    cache: int
    together: int
    right: bool


@dataclass(slots=True)
class _Search:
    """One task's search, and what is bad for it."""

    state: Bisection
    bad: frozenset[Sha]
    culprit: Sha

    def run(self, sha: Sha) -> None:
        seen = FAIL if sha in self.bad else PASS
        self.state = self.state.observe(Run(sha, CASE, seen, at=float(len(self.state.runs) + 1)))


def play(group: Sequence[Task], graph: Graph, known: Mapping[Sha, Patch], *, weighed: bool) -> Group:
    """A group in each of the three ways."""
    indices = graph.range(group[0].good, group[0].bad)
    dag = Dag.of(graph.view(indices))
    priors: list[Mapping[Sha, float] | None] = [None] * len(group)
    if weighed:
        view = {graph.shas[i]: known.get(graph.shas[i], graph.patches[i]) for i in indices}
        priors = [evidence.weigh(view, evidence.Failure("\n".join(task.symptom))).weights for task in group]
    searches = [_start(task, dag, prior) for task, prior in zip(group, priors, strict=True)]
    counts, right = list[int](), True
    for shared, widened in ((False, False), (True, False), (True, True)):
        played = [_Search(s.state, s.bad, s.culprit) for s in searches]
        counts.append(_play(played, dag, shared=shared, widened=widened))
        for search in played:
            finding = search.state.finding
            right &= isinstance(finding, FirstBad | MergeConflict) and finding.commit == search.culprit
    alone, cache, together = counts
    return Group(len(dag), alone, cache, together, right)


def _start(task: Task, dag: Dag, prior: Mapping[Sha, float] | None) -> _Search:
    bad = frozenset(sha for sha in dag.commits if dag.history(sha)[dag.position(task.culprit)])
    return _Search(Bisection.start(Question(task.good, task.bad, CASE, MARK), dag, prior=prior), bad, task.culprit)


def _play(searches: Sequence[_Search], dag: Dag, *, shared: bool, widened: bool) -> int:
    """Every search to its end, one after another; the builds of all."""
    built: set[Sha] = set()
    count = 0
    for i, search in enumerate(searches):
        if not shared:
            built = set()
        built |= {search.state.question.good, search.state.question.bad}
        while jobs := search.state.next_jobs(1, partial(_cost, built)):
            (job,) = jobs
            count += job.commit not in built and search.state.phase is Phase.SEARCH
            built.add(job.commit)
            for _ in range(job.times):
                search.run(job.commit)
            for other in searches[i + 1 :] if widened else ():
                if other.state.open(job.commit):
                    other.run(job.commit)
    return count


def _cost(built: set[Sha], sha: Sha) -> float:
    return _TEST + (0.0 if sha in built else BUILD)


def groups(found: Iterable[Task], of: int) -> list[tuple[Task, ...]]:
    """Tasks of one range, `of` at a time, by chance; what is left of a range is left out."""
    ranges: dict[tuple[Sha, Sha], dict[Sha, Task]] = {}
    for task in found:
        ranges.setdefault((task.good, task.bad), {}).setdefault(task.culprit, task)
    chance = random.Random(1)  # noqa: S311 - samples, not secrets
    made = []
    for its in ranges.values():
        mixed = list(its.values())
        chance.shuffle(mixed)
        made += [tuple(mixed[i : i + of]) for i in range(0, len(mixed) - of + 1, of)]
    chance.shuffle(made)
    return made


_graph: Graph
_known: dict[Sha, Patch] = {}


def _played(weighed: bool, group: Sequence[Task]) -> Group:
    return play(group, _graph, _known, weighed=weighed)


def main() -> int:
    """Play every group and print the means."""
    global _graph, _known
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--repo", type=Path, help="a clone with the commits of the graph: their diffs are evidence")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qemu-migration-bot" / "diffs")
    parser.add_argument("--of", type=int, default=3, help="tasks in a group")
    parser.add_argument("--limit", type=int, help="the first N groups, in an order by chance")
    parser.add_argument("--no-evidence", action="store_true", help="every commit weighs the same")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    _graph = load(asked.graph)
    chosen = groups(tasks(asked.tasks, _graph), asked.of)[: asked.limit]
    if asked.repo and not asked.no_evidence:
        wanted = sorted({i for group in chosen for i in _graph.range(group[0].good, group[0].bad)})
        _known = diffs.read(Repository(asked.repo), (_graph.shas[i] for i in wanted), asked.cache)
    with ProcessPoolExecutor(asked.processes) as pool:
        played = list(pool.map(partial(_played, not asked.no_evidence), chosen, chunksize=2))
    means = {way: statistics.mean(getattr(p, way) for p in played) for way in ("alone", "cache", "together")}
    right = statistics.mean(p.right for p in played)
    if asked.json:
        print(json.dumps({"groups": len(played), "of": asked.of, "right": right, "builds": means}))
    else:
        print(f"{len(played)} groups of {asked.of}, all named right in {right:.1%}; builds:", end="")
        print("".join(f" {way} {mean:.2f}" for way, mean in means.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
