"""From a question to a report: search, confirm, revert on the bad end, see where else it fails, run the reproducer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bot.bisect.crew import Perform
from bot.bisect.runner import Asked as SearchStep
from bot.bisect.runner import Search, search
from bot.core import exposing, sides
from bot.core.branches import stable_series
from bot.core.confirmation import Rules
from bot.core.course import course
from bot.core.dag import Dag
from bot.core.verdict import answers, passed
from bot.errors import InfraError
from bot.host.picks import Conflict, Pick, Revert, compose
from bot.model import (
    Attribution,
    Build,
    By,
    Case,
    Commit,
    Direction,
    Finding,
    FirstBad,
    FirstFixed,
    Inconclusive,
    MergeConflict,
    Observation,
    Offer,
    Outcome,
    Picked,
    Question,
    Regression,
    Report,
    RevertOutcome,
    Run,
    Sha,
    SideTest,
    Step,
    Suspects,
    Tally,
    Test,
)
from bot.pipeline.bench import Bench, baseline_name, of_today
from bot.pipeline.costing import Costing
from bot.pipeline.fixes import has, later_fixes, posted_fixes
from bot.pipeline.local import host
from bot.pipeline.mending import Mending
from bot.pipeline.readers import readers
from bot.pipeline.relating import related
from bot.pipeline.reproduce import reproduce
from bot.pipeline.shipped import shipped
from bot.pipeline.sides import Sides
from bot.pipeline.weighing import Weighing, symptom
from bot.worker import look_at

_REVERTED = 3  # runs of a revert, of a failure that is there every time
_PICKED = 2  # fixes that are tried on a stable branch; each is a build


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as a person or the watch put it: with the names it used, and what else to run at the bad end."""

    regression: Regression
    question: Question
    good_name: str
    bad_name: str
    scope: tuple[Case, ...] = ()  # run once at the bad end, so that the report can say where else it fails
    not_run: tuple[str, ...] = ()
    command: str | None = None  # setup of the user's own command: no QEMU, so nothing to reproduce or to compare
    symptom: str = ""  # the log that a person gave, whose failure is asked about
    skip: frozenset[Sha] = frozenset()  # commits that are not to be tested
    first_parent: bool = False  # search the first-parent line alone, each merge standing for all that it brought
    side_test: bool = True  # before the first probe
    siblings: tuple[str, ...] = ()  # of the pinned release, as a person named them
    turn: bool = False  # give the search up where it is the pinned side that has to be searched, and can be
    sides: SideTest | None = None  # the side test that this search comes from: it is about the pinned side
    revert: bool = True  # see whether the culprit's revert on the bad end passes


def investigate(
    bench: Bench, asked: Asked, perform: Perform, searching: Perform | None = None
) -> tuple[Report, Search]:
    """Answer a question, recording each fact as it comes. Raises what perform raises; recorded facts stay.

    `searching` performs the tests of the search, `bisect.jobs` at a time, in threads; None: `perform`, one by one.

    `Elsewhere` is raised where `asked.turn` allows it and the side test points at the pinned side.
    """
    question, repository = asked.question, bench.repository
    began = time.monotonic()
    base = None
    if not repository.is_ancestor(question.good, question.bad):
        base = repository.merge_base(question.good, question.bad)
    everything = Dag.of(repository.parents([question.good], question.bad))
    dag = everything.mainline(question.bad) if asked.first_parent else everything
    setup = asked.command or bench.rig.setup(question.case)
    recorded = [run for run in bench.store.runs(cases=[question.case], setups=[setup]) if run.commit not in asked.skip]
    left_out = Observation(Outcome.UNTESTABLE, message="left out by --skip")
    known = [
        *of_today(bench, answers(recorded)),
        *(Run(sha, question.case, left_out, setup=setup) for sha in sorted(asked.skip)),
    ]
    limits = bench.config.bisect
    looks = None if asked.command else lambda job: look_at(job, bench.rig)
    weighing = Weighing(bench, everything, question, looks, asked.symptom)
    tested = _side_test(bench, asked)

    def before_first_probe(failing: Run) -> Mapping[Sha, float] | None:
        if tested:
            tested(failing)
        weights = weighing(failing)
        return everything.gathered(weights, dag) if weights and asked.first_parent else weights

    costing = None if asked.command else Costing.of(bench, dag, question.case, recorded)
    mending = Mending(bench, question, dag, setup, searching or perform, asked.skip)
    found = search(
        question, dag, mending, costing.keep if costing else bench.keep, bench.progress, known=known, merge_base=base,
        rules=Rules(min_runs=limits.min_runs, max_runs=limits.max_runs), weigh=before_first_probe, cost=costing,
        jobs=limits.jobs if searching else 1,
    )  # fmt: skip
    finding = found.finding
    state = found.bisection
    lost = any(state.count(step.commit).infra > state.rules.infra_retries for step in found.steps)
    if isinstance(finding, Inconclusive) and lost:
        raise InfraError(finding.why)  # the machine's failure is no finding: the same question goes on later
    if isinstance(finding, FirstFixed):
        finding = _fix(bench, asked, finding, found, perform)
        found = replace(found, finding=finding)
    if isinstance(finding, FirstBad):
        outcome = _revert(bench, asked, finding, found, perform) if asked.revert else RevertOutcome.NOT_TRIED
        finding = replace(
            finding,
            confirmation=replace(finding.confirmation, revert=outcome),
            attribution=_attribution(bench, asked, finding.commit, found, tested),
        )
        found = replace(found, finding=finding)
    blamed = finding.commit if isinstance(finding, FirstBad | MergeConflict) else None
    fixes = later_fixes(repository, repository.commit(blamed)) if blamed else None
    picked = _picked(bench, asked, finding, fixes or (), found, perform)
    # else nobody asks where else it fails
    named = isinstance(finding, FirstBad | MergeConflict | Suspects) and not question.cured
    table = _table(bench, asked, found, blamed, perform) if named and not asked.command else ()
    report = _report(bench, asked, found, finding, blamed, table, time.monotonic() - began)
    if named:
        offers = _offers(bench, report.culprit, fixes or ())
        report = replace(_explained(bench, report, weighing), fixed_by=fixes, picked=picked, offers=offers)
    report = replace(report, sides=tested.result if tested else asked.sides, related=related(bench, report, dag))
    if named and not asked.command:
        report = replace(report, reproduction=reproduce(bench, report))
    return report, found


def _side_test(bench: Bench, asked: Asked) -> Sides | None:
    """The test of the sides, where one is pinned; not again for a search that comes from one."""
    pinned = not asked.command and asked.question.case.direction is not Direction.SAME
    if not pinned or not asked.side_test or asked.sides is not None:
        return None
    return Sides(bench, asked.question, asked.siblings, asked.turn)


def _attribution(bench: Bench, asked: Asked, culprit: Sha, found: Search, tested: Sides | None) -> Attribution:
    """Whether a first bad commit brought the failure: by the side test, else by what its diff adds."""
    given = sides.attribution(tested.result if tested else None)
    if asked.sides is not None:
        given = Attribution(By.INTRODUCED, asked.sides.why)
    if asked.command or given.by is By.EXPOSED:
        return given
    bad = (run for step in found.steps for run in step.runs if run.commit == culprit)
    failing = next((run for run in bad if run.signature and run.signature == found.question.signature), None)
    why = exposing.why(bench.repository.patch(culprit), failing.observation.message if failing else "")
    return Attribution(By.EXPOSED, why) if why else given


def _revert(bench: Bench, asked: Asked, finding: FirstBad, found: Search, perform: Perform) -> RevertOutcome:
    """Take the culprit off the bad end, build that, run the case."""
    culprit = finding.commit
    if not bench.repository.commit(culprit).parents:
        return RevertOutcome.NOT_TRIED
    bench.progress.say(f"reverting {culprit[:12]} on {asked.bad_name}")
    failing = (finding.confirmation.culprit,)
    return _composed(bench, asked, found, asked.question.bad, Revert(culprit), failing, perform)


def _picked(
    bench: Bench, asked: Asked, finding: Finding, fixes: Iterable[Commit], found: Search, perform: Perform
) -> tuple[Picked, ...]:
    """What the newest fixes that a stable branch lacks do on top of it. Fixes go to master first, so that one is there
    says nothing of this branch."""
    branch, bad = asked.regression.branch, asked.question.bad
    if stable_series(branch) is None or not isinstance(finding, FirstBad):
        return ()
    repository, tried = bench.repository, list[Picked]()
    for fix in fixes:
        if len(fix.parents) != 1 or has(repository, bad, fix.sha):
            continue
        bench.progress.say(f"picking {fix.short} onto {asked.bad_name}")
        outcome = _composed(bench, asked, found, bad, Pick(fix.sha), (finding.confirmation.culprit,), perform)
        tried.append(Picked(fix.sha, outcome))
        if outcome is RevertOutcome.OK or len(tried) == _PICKED:
            break
    return tuple(tried)


def _fix(bench: Bench, asked: Asked, finding: FirstFixed, found: Search, perform: Perform) -> FirstFixed:
    """Take the fix off the end that has it, and put it onto the one that has not: a merge can be neither."""
    fix, confirmation = finding.commit, finding.confirmation
    if len(bench.repository.commit(fix).parents) != 1:
        return finding
    undone = {RevertOutcome.STILL_BAD: RevertOutcome.OK, RevertOutcome.OK: RevertOutcome.NO_EFFECT}
    failing = confirmation.parents
    bench.progress.say(f"reverting {fix[:12]} on {asked.bad_name}")
    revert = _composed(bench, asked, found, asked.question.bad, Revert(fix), failing, perform)
    bench.progress.say(f"picking {fix[:12]} onto {asked.good_name}")
    backport = _composed(bench, asked, found, asked.question.good, Pick(fix), failing, perform)
    confirmation = replace(confirmation, revert=undone.get(revert, revert))
    return replace(finding, confirmation=confirmation, backport=backport)


def _composed(
    bench: Bench,
    asked: Asked,
    found: Search,
    base: Sha,
    change: Pick | Revert,
    failing: tuple[Tally, ...],
    perform: Perform,
) -> RevertOutcome:
    """What the case does on a commit with one change; what was recorded of it is not run again.

    It is run three times if the `failing` commits fail every time, else as often as luck alone would hardly pass; on
    the host that the culprit was confirmed on, for they are compared.
    """
    question, host = found.question, found.bisection.host
    composed = compose(bench.repository, base, (change,))
    if isinstance(composed, Conflict):
        return RevertOutcome.CONFLICT
    setup = asked.command or bench.rig.setup(question.case)
    kept = bench.store.runs(commit=composed, cases=[question.case], setups=[setup], logs=False)
    runs = of_today(bench, answers(kept))
    times = _REVERTED
    rate = min(tally.bad / tally.n for tally in failing)
    if rate < 1:
        times = min(math.ceil(math.log(Rules().doubt) / math.log(1 - rate)), bench.config.bisect.max_runs)
    if len(runs) < times:
        for fact in perform(Test(composed, (question.case,), times - len(runs), host=host), bench.stop):
            bench.keep(fact)
            if isinstance(fact, Run):
                runs.append(fact)
    if any(run.signature is not None and run.signature == question.signature for run in runs):
        return RevertOutcome.STILL_BAD
    outcomes = {run.outcome for run in runs}
    if Outcome.NOT_BUILT in outcomes:
        return RevertOutcome.NOT_BUILT
    whole = bool(runs) and all(passed(run, found.bisection.devices) for run in runs)
    return RevertOutcome.OK if whole else RevertOutcome.UNTESTABLE


def _table(bench: Bench, asked: Asked, found: Search, blamed: Sha | None, perform: Perform) -> tuple[Run, ...]:
    """Latest run of each case: the scope at the bad end; all that fail alike there, also at the culprit and parents.

    They are compared, so what is missing is run on the host of the confirmation.
    """
    signature, host = found.question.signature, found.bisection.host
    affected = (asked.question.case, *asked.regression.cases)
    rows = _latest(bench, asked.question.bad, (*affected, *asked.scope), perform, host)
    alike = tuple(run.case for run in rows if run.signature is not None and run.signature == signature)
    if blamed is not None:
        for sha in (blamed, *bench.repository.commit(blamed).parents):
            if sha != asked.question.bad:
                rows += _latest(bench, sha, (*affected, *alike), perform, host)
    return tuple(rows)


def _latest(bench: Bench, sha: Sha, cases: Iterable[Case], perform: Perform, host: str | None) -> list[Run]:
    """The last answer of each case at a commit; those that have none are run."""
    wanted = tuple(dict.fromkeys(cases))
    have = {run.case: run for run in bench.runs(sha, wanted)}
    missing = tuple(case for case in wanted if case not in have)
    if missing:
        bench.progress.say(f"running {len(missing)} more cases on {sha[:12]}, to see where else it fails")
        for fact in perform(Test(sha, missing, host=host), bench.stop):
            bench.keep(fact)
            if isinstance(fact, Run):
                have[fact.case] = fact
    return [have[case] for case in wanted if case in have]


def _report(
    bench: Bench,
    asked: Asked,
    found: Search,
    finding: Finding,
    blamed: Sha | None,
    table: tuple[Run, ...],
    seconds: float,
) -> Report:
    repository, question = bench.repository, found.question
    culprit = repository.commit(blamed) if blamed else None
    released = finding.commit if isinstance(finding, FirstFixed) else blamed
    shas: list[Sha] = [question.good, question.bad, *(step.commit for step in found.steps)]
    if isinstance(finding, Suspects):
        shas += finding.commits
    if culprit:
        shas += culprit.parents
    commits = {c.sha: c for c in repository.commits(dict.fromkeys(shas))}
    bad_runs = [r for step in found.steps for r in step.runs if r.signature and r.signature == question.signature]
    steps = tuple(Step(commits[s.commit], s.verdict, _brief(s.runs), _compiled(bench, s), s.why) for s in found.steps)
    builds = [b for step in steps for b in step.builds]
    worked = sum(b.seconds for b in builds) + sum(r.observation.seconds for s in steps for r in s.runs)
    signature = question.signature or asked.regression.signature
    paths = repository.paths(blamed) if blamed else None
    return Report(
        regression=replace(asked.regression, signature=signature),
        case=question.case,
        finding=finding,
        good=commits[question.good],
        bad=commits[question.bad],
        good_name=asked.good_name,
        bad_name=asked.bad_name,
        range_size=found.range_size,
        steps=steps,
        culprit=culprit,
        commits=commits,
        symptom=symptom(bad_runs[0]) if bad_runs else "",
        table=tuple(replace(run, observation=replace(run.observation, logs=())) for run in table),
        names=_names(bench, asked, table),
        reproduction=None,
        not_run=asked.not_run,
        releases=shipped(repository, question.bad, released) if released else None,
        accel="" if asked.command else question.case.accel,
        toolchain=_toolchain(builds, found.bisection.host),
        host=_host(found),
        seconds=max(seconds, worked / bench.config.bisect.jobs),  # one that was gone on with took time before, too
        profile=None if asked.command else bench.rig.profile(question.case),
        paths=paths,
        readers=readers(repository, question.bad, culprit, paths or ()),
        course=course(found.bisection),
        cured=question.cured,
    )


def _offers(bench: Bench, culprit: Commit | None, fixes: Iterable[Commit]) -> tuple[Offer, ...] | None:
    """Patches on a list that say they cure it; of a series that was only posted itself nobody says so."""
    if culprit is None or bench.repository.posted(culprit.sha):
        return None
    return posted_fixes(bench.config, culprit, fixes, bench.progress.say, bench.stop)


def _toolchain(builds: list[Build], on: str | None) -> str:
    """Of the last build on a host, else of the last one."""
    return next((b.toolchain for b in reversed(builds) if b.host == on), builds[-1].toolchain if builds else "")


def _host(found: Search) -> str:
    """The machine in a phrase; of several workers those that ran the search, and the one that compared."""
    where = found.bisection.host
    if not where:
        return host()
    others = sorted({run.host for run in found.bisection.runs} - {where, ""})
    return f"worker {where}" + (f"; the search also on {', '.join(others)}" if others else "")


def _explained(bench: Bench, report: Report, weighing: Weighing) -> Report:
    """The report with what the likeliest commits and those of its finding weighed before the first probe."""
    finding = report.finding
    blamed = () if report.culprit is None else (report.culprit.sha,)
    weights = weighing.explain(finding.commits if isinstance(finding, Suspects) else blamed)
    missing = [weight.commit for weight in weights if weight.commit not in report.commits]
    commits = {**report.commits, **{c.sha: c for c in bench.repository.commits(missing)}}
    reasons = next((weight.reasons for weight in weights if weight.commit in blamed), ())
    return replace(report, weights=weights, commits=commits, evidence=tuple(reason.text for reason in reasons))


def _brief(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """A commit's runs with the logs of the first one only; those of its repetitions are in the store."""
    return tuple(
        run if i == 0 else replace(run, observation=replace(run.observation, logs=())) for i, run in enumerate(runs)
    )


def _compiled(bench: Bench, step: SearchStep) -> tuple[Build, ...]:
    """What made the binaries of a step, also where that was before this start: an answer took all of it."""
    targets = dict.fromkeys([*(run.case.target for run in step.runs), *(build.target for build in step.builds)])
    recorded = bench.store.builds(commit=step.commit)
    found = []
    for target in targets:
        known = [b for b in recorded if b.target == target] + [b for b in step.builds if b.target == target]
        found += [next((b for b in known if b.kind.compiled), known[0])] if known else []
    return tuple(found)


def _names(bench: Bench, asked: Asked, table: tuple[Run, ...]) -> dict[str, str]:
    """What readers call each side: the commits' binaries by revision, baselines by name and version."""
    names: dict[str, str] = {}
    for run in table:
        if run.binary is not None:
            named = {asked.question.bad: asked.bad_name, asked.question.good: asked.good_name}
            names.setdefault(run.binary, named.get(run.commit, run.commit[:12]))
    used = {asked.question.case.baseline, *(run.case.baseline for run in table)}
    for baseline in bench.rig.baselines.values():
        if baseline.name in used:
            names[baseline.name] = baseline_name(bench, baseline, asked.question.case.target)
    return names
