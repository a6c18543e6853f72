"""Several regressions at once: what one search builds is tested for the others that wait, where that may tell more.

A build takes minutes and a smoke a fraction of a second. The runs are recorded, and each search begins with what is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from bot.bisect.crew import Perform
from bot.core import matrix
from bot.core.bisection import Bisection
from bot.core.dag import Dag
from bot.core.verdict import answers, judge
from bot.errors import UserError
from bot.model import Build, Case, Question, Regression, Run, Sha, Test, Verdict
from bot.pipeline.bench import Bench


def lead(regression: Regression) -> Case:
    """The case that is searched for all of a regression's: that of its newest machine type."""
    return max(regression.cases, key=lambda case: matrix.version_key(case.machine).numbers)


@dataclass(slots=True)
class Together:
    """A `perform` for one search, around another, that also runs the cases of others; those runs it records itself.

    It may be called in several threads.
    """

    bench: Bench
    perform: Perform
    others: list[Bisection]
    _tried: set[tuple[Sha, Case]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # of the two before

    @classmethod
    def of(cls, bench: Bench, perform: Perform, others: Iterable[Regression]) -> Together:
        """With each of the others as far as its recorded runs bring it."""
        dags: dict[tuple[Sha, Sha], Dag] = {}
        states = []
        for regression in others:
            case, ends = lead(regression), (regression.good, regression.bad)
            try:
                setup = bench.rig.setup(case)
            except UserError:
                continue  # its baseline is gone: its own search will say so
            if ends not in dags:
                dags[ends] = Dag.of(bench.repository.parents([regression.good], regression.bad))
            state = Bisection.start(Question(*ends, case, regression.signature), dags[ends])
            for run in answers(bench.store.runs(cases=[case], setups=[setup], logs=False)):
                state = state.observe(run)
            states.append(state)
        return cls(bench, perform, states)

    def __call__(self, job: Test, stop: threading.Event) -> Iterator[Build | Run]:
        with self._lock:
            more = tuple(dict.fromkeys(self._more(job))) if job.times == 1 else ()
            self._tried |= {(job.commit, case) for case in more}
        for fact in self.perform(replace(job, cases=(*job.cases, *more)), stop):
            if isinstance(fact, Run) and fact.case in more:
                with self._lock:
                    self._keep(fact)
            else:
                yield fact

    def _more(self, job: Test) -> Iterator[Case]:
        """The cases of others whose answer on this commit is open."""
        targets = {case.target for case in job.cases}
        for state in self.others:
            case = state.question.case
            fresh = case not in job.cases and (job.commit, case) not in self._tried
            if case.target in targets and fresh and state.open(job.commit):
                yield case

    def _keep(self, run: Run) -> None:
        """Record a run of another's; one that says nothing is left for its own search, which may mend the commit."""
        mine = [state for state in self.others if state.question.case == run.case]
        if any(judge(run, state.signature) is not Verdict.SKIP for state in mine):
            self.bench.keep(run)
            self.others = [state.observe(run) for state in self.others]
