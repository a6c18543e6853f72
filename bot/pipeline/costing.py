"""What one more test of a commit takes on this machine: the case's own runs, and the build if there is none kept."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from bot.bisect.runner import BUILD, TEST
from bot.core.cost import between, fitted
from bot.core.dag import Dag, Floats
from bot.model import Build, BuildKind, BuildStatus, Case, Run, Sha
from bot.pipeline.bench import Bench
from bot.pipeline.weighing import Weighing

_LAST = 40  # builds that are learnt from: machines change


@dataclass(slots=True)
class Costing:
    """The cost of a search's tests, in seconds; `keep` is how it learns of what the search brings."""

    bench: Bench
    dag: Dag
    case: Case
    weighing: Weighing  # knows what each commit changes, once it has read the diffs
    _builds: list[Build] = field(default_factory=list)  # that compiled something, oldest first
    _kept: set[Sha] = field(default_factory=set)  # commits whose binary is in the cache
    _tests: int = 0
    _tested: float = 0.0  # seconds that all of those took
    _seconds: Floats | None = None  # of a build, by position; None: to be worked out again

    @classmethod
    def of(cls, bench: Bench, dag: Dag, case: Case, weighing: Weighing, recorded: Iterable[Run]) -> Costing:
        """From what is recorded; `recorded` are the case's runs."""
        costing = cls(bench, dag, case, weighing)
        for build in bench.store.builds():
            costing._learn(build)
        cached = bench.rig.builder.cached
        costing._kept = {sha for sha in costing._kept if sha in dag and cached(sha, case.target)}
        for run in recorded:
            costing._learn(run)
        return costing

    def keep(self, fact: Build | Run) -> None:
        """Record a fact, and know better from then on."""
        self.bench.keep(fact)
        self._learn(fact)

    def _learn(self, fact: Build | Run) -> None:
        if isinstance(fact, Run):
            if fact.case == self.case and fact.observation.seconds > 0:
                self._tests += 1
                self._tested += fact.observation.seconds
        elif fact.target == self.case.target and fact.status is BuildStatus.BUILT:
            self._kept.add(fact.commit)
            if fact.kind is not BuildKind.CACHED:
                self._builds.append(fact)
                self._seconds = None

    def __call__(self, sha: Sha) -> float:
        test = self._tested / self._tests if self._tests else TEST
        return test if sha in self._kept else test + self._build(sha)

    def _build(self, sha: Sha) -> float:
        if sha not in self.dag:
            return BUILD
        if self._seconds is None:
            self._seconds = self._predicted()
        return float(self._seconds[self.dag.position(sha)])

    def _predicted(self) -> Floats:
        """Seconds of a build by position, as far as it is from what the tree was last used for."""
        changed = self.weighing.changed
        sizes = np.array([changed.get(sha, 1) for sha in self.dag.commits], np.float64)
        recent = [(one, other) for one, other in pairwise(self._builds) if self._near(one) and self._near(other)]
        measured = [
            (self._distance(before.commit, build.commit, sizes), build.seconds)
            for before, build in recent[-_LAST:]
            if build.kind is BuildKind.INCREMENTAL and build.recipe == before.recipe
        ]
        if not measured:
            return np.full(len(self.dag), BUILD)
        if not self._near(self._builds[-1]):
            return np.full(len(self.dag), statistics.median(seconds for _, seconds in measured))
        return fitted(measured).seconds(between(self.dag, self._builds[-1].commit, sizes))

    def _near(self, build: Build) -> bool:
        return build.commit in self.dag or build.commit in self.dag.outside

    def _distance(self, one: Sha, other: Sha, sizes: Floats) -> float:
        if other not in self.dag:
            one, other = other, one
        return float(between(self.dag, one, sizes)[self.dag.position(other)]) if other in self.dag else 0.0
