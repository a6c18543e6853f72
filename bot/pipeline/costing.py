"""What one more test of a commit takes on this machine: the case's own runs, and the build if there is none kept.

A build is put at the median of those that went on in a used tree. That near commits take less was tried and left out: a
search that went after them took more builds and no less time (docs/search.md).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.bisect.runner import BUILD, TEST
from bot.core.dag import Dag
from bot.model import Build, BuildKind, BuildStatus, Case, Run, Sha
from bot.pipeline.bench import Bench

_LAST = 40  # builds that are learnt from: machines change


@dataclass(slots=True)
class Costing:
    """The cost of a search's tests, in seconds; `keep` is how it learns of what the search brings."""

    bench: Bench
    dag: Dag
    case: Case
    _builds: list[float] = field(default_factory=list)  # seconds of incremental ones, oldest first
    _kept: set[Sha] = field(default_factory=set)  # commits whose binary is in the cache
    _tests: int = 0
    _tested: float = 0.0  # seconds that all of those took

    @classmethod
    def of(cls, bench: Bench, dag: Dag, case: Case, recorded: Iterable[Run]) -> Costing:
        """From what is recorded; `recorded` are the case's runs."""
        costing = cls(bench, dag, case)
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
            if fact.kind is BuildKind.INCREMENTAL:
                self._builds.append(fact.seconds)

    def __call__(self, sha: Sha) -> float:
        test = self._tested / self._tests if self._tests else TEST
        if sha in self._kept:
            return test
        return test + (statistics.median(self._builds[-_LAST:]) if self._builds else BUILD)
