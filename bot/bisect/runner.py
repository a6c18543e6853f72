"""Runs a search to its end: asks the core what to test, has it performed, records every fact the moment it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bot.bisect.crew import Crew, Perform
from bot.core.bisection import Bisection
from bot.core.confirmation import Phase, Rules
from bot.core.dag import Dag
from bot.core.verdict import judge
from bot.errors import BotError, InfraError, Stopped
from bot.model import BadAtGoodEnd, Build, BuildKind, Finding, Flaky, Outcome, Question, Run, Sha, Verdict
from bot.progress import Progress

BUILD = 60.0  # seconds of an incremental build
TEST = 8.0  # seconds that a test of a built commit is put at: a smoke takes 0.3, other cases much more


@dataclass(frozen=True, slots=True)
class Asked:
    """One commit that the search asked about: the reason for its first question, and all that came of it."""

    commit: Sha
    why: str
    verdict: Verdict
    runs: tuple[Run, ...]
    builds: tuple[Build, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """The figures of a search. `runs` and `builds` are those of this search, `known` runs were recorded before it."""

    steps: int
    runs: int
    known: int
    builds: int  # that compiled something
    skipped: int  # commits that could not be tested
    flaky: int  # commits that gave both answers


@dataclass(frozen=True, slots=True)
class Search:
    """A search that has ended. `steps` in the order it asked; `seconds` of wall time."""

    bisection: Bisection
    finding: Finding
    steps: tuple[Asked, ...]
    counts: Counts
    seconds: float

    @property
    def question(self) -> Question:
        """What was asked, with the signature that was learnt at the bad end."""
        return replace(self.bisection.question, signature=self.bisection.signature)

    @property
    def range_size(self) -> int:
        """Commits good..bad."""
        return len(self.bisection.dag)


@dataclass(slots=True)
class _Step:
    """What a step gathers while the search goes on."""

    why: str
    number: int
    runs: list[Run] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)

    def add(self, fact: Build | Run) -> None:
        if isinstance(fact, Run):
            self.runs.append(fact)
        elif fact.kind is not BuildKind.CACHED or not self.builds:
            self.builds.append(fact)  # a confirmation finds the same build in the cache each time


def search(
    question: Question,
    dag: Dag,
    perform: Perform,
    record: Callable[[Build | Run], object],
    progress: Progress,
    known: Iterable[Run] = (),
    *,
    merge_base: Sha | None = None,
    rules: Rules | None = None,
    weigh: Callable[[Run], Mapping[Sha, float] | None] | None = None,
    cost: Callable[[Sha], float] | None = None,
    jobs: int = 1,
    clock: Callable[[], float] = time.time,
) -> Search:
    """Search until there is a finding.

    `perform` yields what a test brings: at least one run of the question's case, NOT_BUILT if the commit does not
    build. It is called in threads, `jobs` at a time, each with a commit of its own; all else happens in the thread of
    the caller. A test that lost its use, for others answered meanwhile what it would, is ended by its event and is no
    verdict; one beside which another failed is finished. `record` keeps each fact as it comes, so that nothing is lost
    if the next one never does; runs are stamped with `clock` (seconds since the epoch). `known` are runs recorded
    before; of those, INFRA ones count no more, for the machine may have been mended. `merge_base` of both ends is given
    if good is no ancestor of bad. `weigh` is asked once, when the ends were run, with the first run of the bad end that
    failed: how likely each commit is the one that brought that. `cost` says what a test of a commit would take now, in
    seconds; it moves what is asked next, and never what is concluded.

    Raises what `perform` and `record` raise (`Stopped`, `InfraError`, `UserError`), with everything so far recorded;
    `InfraError` if a test brought no run.
    """
    began = clock()
    state = Bisection.start(question, dag, merge_base=merge_base, rules=rules)
    state, diary = _recall(state, known)
    earlier = len(state.runs)
    if earlier:
        progress.say(f"{earlier} runs at {len(diary)} commits were recorded before and are not repeated")
    told, new, gone = state, 0, 0
    begun: dict[Sha, tuple[Bisection, str]] = {}  # by commit under test: the state that asked for it, and why
    shown: tuple[Sha, ...] = ()
    dropped = set[Sha]()  # under test, and told to end
    said: dict[Sha, Verdict | None] = {}  # what was told of each commit
    trouble: BaseException | None = None
    with Crew(perform, jobs) as crew:
        while True:
            free = 0 if trouble else jobs - len(crew.busy)
            state = _weighed(state, weigh) if free else state
            for job in state.next_jobs(free, cost or _cost(state), crew.busy) if free else ():
                why = state.why(job.commit, beside=bool(crew.busy))
                new += job.commit not in diary
                diary.setdefault(job.commit, _Step(why, len(diary) + gone + 1))
                begun[job.commit], shown = (state, why), ()
                crew.begin(job)
            if not crew.busy:
                break
            if crew.busy != shown:
                shown = crew.busy
                _announce(state, shown, begun[shown[-1]][1], diary, progress)
            job, fact = crew.take()
            silent = state.count(job.commit) == begun[job.commit][0].count(job.commit)
            if job.commit in dropped and (fact is None or isinstance(fact, BotError)):
                dropped.remove(job.commit)
                fact = None
                if silent:
                    progress.say(f"{job.commit[:12]} is not tested to its end: what it would say is known by now")
                    if not diary[job.commit].runs:
                        del diary[job.commit]
                        gone += 1
                    continue
            if isinstance(fact, BaseException):
                _regret(fact, crew.busy, progress)
                trouble = trouble or fact
            elif fact is not None:
                fact = replace(fact, at=clock()) if isinstance(fact, Run) and not fact.at else fact
                record(fact)
                diary[job.commit].add(fact)
                state = state.observe(fact) if isinstance(fact, Run) else state
                beside = [sha for sha in crew.busy if sha != job.commit and sha not in dropped]
                for sha in filter(state.needless, beside if isinstance(fact, Run) else ()):
                    dropped.add(sha)
                    crew.cancel(sha)
            elif silent:
                trouble = trouble or InfraError(f"testing {job.commit[:12]} brought no run of {question.case.id}")
            else:
                asked = begun[job.commit][0].phase
                verdict = state.count(job.commit).verdict
                again = job.commit in said and said[job.commit] is verdict
                _tell(told, state, asked, job.commit, diary, (clock() - began) / max(new, 1), progress, again=again)
                told, said[job.commit] = state, verdict
    if trouble:
        raise trouble
    finding = state.finding
    assert finding is not None  # noqa: S101 - narrows the type; without one there were jobs
    steps = tuple(
        Asked(sha, step.why, state.verdict(sha) or Verdict.SKIP, tuple(step.runs), tuple(step.builds))
        for sha, step in diary.items()
    )
    return Search(state, finding, steps, _figures(state, steps, earlier), clock() - began)


def _cost(state: Bisection) -> Callable[[Sha], float]:
    """Seconds of one more test: a commit that was run is in the cache, any other has to be built."""
    return lambda sha: TEST if state.count(sha).n else BUILD


def _weighed(state: Bisection, weigh: Callable[[Run], Mapping[Sha, float] | None] | None) -> Bisection:
    """The state with the weights of the commits, as soon as the failure is known that they are weighed for."""
    if weigh is None or state.prior is not None or state.phase is Phase.ENDS:
        return state
    if isinstance(state.finding, BadAtGoodEnd):  # nothing is searched
        return state
    end = state.question.failing
    failing = [r for r in state.runs if r.commit == end and judge(r, state.signature) is Verdict.BAD]
    if not failing:
        return state
    prior = weigh(min(failing, key=lambda run: run.at))
    return state if prior is None else state.weighted(prior)


def _recall(state: Bisection, known: Iterable[Run]) -> tuple[Bisection, dict[Sha, _Step]]:
    """The state after what was recorded before, and its steps: of commits that this search could have asked."""
    question, diary = state.question, dict[Sha, _Step]()
    ends = {end: question.role(end) for end in (question.bad, question.good)}
    ends |= {state.merge_base: "merge base"} if state.merge_base else {}
    for run in known:
        inside = run.commit in state.dag or run.commit in ends
        if not inside and run.commit not in state.dag.outside:
            continue  # a revert's, or of another range
        if run.case == question.case and run.outcome is not Outcome.INFRA:
            state = state.observe(run)
            if inside:
                diary.setdefault(run.commit, _Step(ends.get(run.commit, "tested before"), len(diary) + 1)).add(run)
    return state, diary


def _figures(state: Bisection, steps: tuple[Asked, ...], known: int) -> Counts:
    builds = {(b.commit, b.target, b.seconds) for s in steps for b in s.builds if b.kind.compiled}
    seen = [state.count(step.commit) for step in steps]
    return Counts(
        steps=len(steps),
        runs=len(state.runs) - known,
        known=known,
        builds=len(builds),
        skipped=sum(c.verdict is Verdict.SKIP for c in seen),
        flaky=sum(c.good > 0 and c.bad > 0 for c in seen),
    )


# -- what a person sees ----------------------------------------------------------------------------------------------


def _announce(
    state: Bisection, busy: tuple[Sha, ...], why: str, diary: Mapping[Sha, _Step], progress: Progress
) -> None:
    """Say what goes on; `why` is the reason for the last one of those that are tested."""
    if state.phase is not Phase.CONFIRMATION:
        total = len(diary) - len(busy) + state.remaining
        tested = f"{len(busy)} commits: {_names(busy)}" if len(busy) > 1 else f"{_names(busy)} ({why})"
        progress.work(f"step {_number(diary, busy[-1])} of about {total}: testing {tested}")
        return
    culprit, each = state.suspect, state.rules.min_runs
    shas = {culprit, *state.dag.parents[culprit], state.question.good, state.question.bad}
    ran = sum(min(state.count(sha).n, each) for sha in shas)
    progress.work(f"confirming {culprit[:12]}", ran, len(shas) * each)


def _regret(error: BaseException, busy: tuple[Sha, ...], progress: Progress) -> None:
    """Say that the search stops, if that is not all that there is to say."""
    if busy and not isinstance(error, Stopped):
        progress.say(f"{error}; waiting for what was begun beside it: {_names(busy)}")


def _tell(
    before: Bisection,
    state: Bisection,
    asked: Phase,
    sha: Sha,
    diary: Mapping[Sha, _Step],
    pace: float,
    progress: Progress,
    *,
    again: bool,
) -> None:
    """Say what came of a question, since what was told `before`; it was asked in the phase `asked`, and `pace` is
    seconds a step. Confirmation runs are told as one, and so are those that make sure of a verdict, `again` the same.
    """
    seen = state.count(sha)
    if asked is not Phase.CONFIRMATION and not again:
        last = next(run for run in reversed(state.runs) if run.commit == sha).observation
        what = f"{last.outcome}: {last.message.splitlines()[0]}" if last.message else str(last.outcome)
        said = f"step {_number(diary, sha)}: {sha[:12]} is {_verdict(seen.verdict)} ({what})"
        left = state.remaining
        if left:
            said += f"; {len(state.suspects)} suspects, about {left} steps and {_minutes(left * pace)} to go"
        progress.say(said)
    if state.phase is Phase.CONFIRMATION and before.phase is not Phase.CONFIRMATION:
        progress.say(f"one suspect is left, {state.suspect[:12]}: repeating it, its parents and both ends in turns")
    if before.belief is None and state.belief is not None:
        what = f"fails now and then ({seen.bad} of {seen.n})" if seen.good and seen.bad else "contradicts earlier runs"
        progress.say(f"{sha[:12]} {what}: from here on runs are weighed, none is taken at its word")
    if before.phase is Phase.CONFIRMATION and state.phase is Phase.SEARCH:
        progress.say("the suspect is not alone any more: going on among the others")
    if isinstance(state.finding, Flaky):
        progress.say(f"{state.finding.commit[:12]} is flaky: bad in {state.finding.bad} of {state.finding.n} runs")


def _number(diary: Mapping[Sha, _Step], sha: Sha) -> int:
    return diary[sha].number


def _names(shas: Iterable[Sha]) -> str:
    return ", ".join(sha[:12] for sha in shas)


def _verdict(verdict: Verdict | None) -> str:
    words = {Verdict.GOOD: "good", Verdict.BAD: "bad", Verdict.SKIP: "skipped", None: "still open"}
    return words[verdict]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
