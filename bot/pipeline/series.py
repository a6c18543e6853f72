"""What somebody posted gets an answer: which of its patches breaks what works on its base. Sends nothing.

The cases that fail with the series are run on its base. Those that pass there are searched, one kind of failure after
another, within the commits that the series makes, as `bot bisect` searches: in the sandbox, each fact recorded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bot.core.brought import Brought, Failure, brought, to_compare
from bot.core.flaky import combined
from bot.core.gate import Kind
from bot.core.matrix import machine_ranges
from bot.core.outbox import MAIL
from bot.core.verdict import count, failed
from bot.data import data_dir
from bot.errors import InfraError
from bot.model import (
    Case,
    FirstBad,
    Observation,
    Origin,
    Outcome,
    Posted,
    Question,
    Regression,
    Report,
    Run,
    SeriesReport,
    Sha,
    Suspects,
    Test,
)
from bot.pipeline.bench import Bench
from bot.pipeline.hands import performer
from bot.pipeline.investigate import Asked, investigate
from bot.pipeline.known import Known
from bot.pipeline.posting import NEVER
from bot.pipeline.sweeping import performed, repeated
from bot.pipeline.together import lead
from bot.report import data
from bot.report import posted as words
from bot.report.deliver import as_text
from bot.report.figures import conclusion
from bot.report.safe import line
from bot.report.words import plural
from bot.store.outbox import Post
from bot.store.store import Mail
from bot.worker import perform

BASE, SERIES = "base", "series"
"""What the two ends of the search are called."""

MOST = 8
"""Searches for one series: those of the failures that most cases have."""


@dataclass(slots=True)
class _Answering:
    """One series, while what it breaks is found out."""

    desk: Bench
    posted: Posted
    not_run: tuple[str, ...]
    known: Known
    untold: list[str] = field(default_factory=list)

    def leave_out(self, cases: Collection[Case], why: str) -> None:
        """Note that a failure is not told about the series."""
        names = {case.machine for case in cases}
        text = f"{', '.join(machine_ranges(names, names))}: {why}"
        self.untold.append(text)
        self.desk.progress.say(f"not told about the series: {text}")

    # -- the base ------------------------------------------------------------------------------------------------

    def compare(self, runs: Sequence[Run], known: Collection[Case]) -> tuple[Brought, tuple[Run, ...]]:
        """What the series breaks, and the runs of both, without logs."""
        cases = to_compare(runs, known)
        base = {run.case: run for run in self.on_base(cases)}
        found = brought(runs, base, known)
        if found.older:
            self.leave_out(found.older, "the base fails, too")
        if found.open:
            self.leave_out(found.open, "it could not be compared with the base")
        compared = [*base.values(), *(run for run in runs if run.case in base)]
        return found, tuple(replace(run, observation=replace(run.observation, logs=())) for run in compared)

    def on_base(self, cases: tuple[Case, ...]) -> tuple[Run, ...]:
        """A run of each case on the base; what was recorded there is not run again."""
        desk, base = self.desk, self.posted.base
        made = desk.runs(base, cases)
        have = {run.case for run in made}
        missing = tuple(case for case in cases if case not in have)
        if missing:
            desk.progress.say(f"running {plural(len(missing), 'case')} on the base, {base[:12]}: does it fail, too?")
            made += performed(desk, base, missing)
        made += repeated(desk, base, made, self.known, BASE)
        return combined(made)

    # -- the search ----------------------------------------------------------------------------------------------

    def reports(self, found: Brought, compared: Sequence[Run]) -> Iterator[Report]:
        """A search for each kind of failure, and one more for the cases that part elsewhere than those before."""
        waiting = list(found.kinds)
        for _ in range(MOST):
            if not waiting:
                return
            kind = waiting.pop(0)
            report = self.searched(kind, compared)
            if report is None:
                continue
            yield report
            rest = tuple(case for case in kind.cases if case not in report.regression.cases)
            if rest:
                waiting.insert(0, Failure(kind.signature, rest))
        for kind in waiting:
            self.leave_out(kind.cases, f"not searched, for {MOST} others were")

    def searched(self, kind: Failure, compared: Sequence[Run]) -> Report | None:
        """Where one kind of failure begins; None if that is not to be told."""
        desk, posted = self.desk, self.posted
        regression = Regression("", kind.signature, kind.cases, posted.base, posted.commit)
        case = lead(regression)
        again = self.repeats(case, kind)
        if again is not None:
            self.leave_out(kind.cases, again)
            return None
        what, builds = line(str(kind.signature)), plural(math.ceil(math.log2(posted.patches)), "build")
        desk.progress.say(f"{what}: searching the first failing of {posted.patches} patches, about {builds}")
        asked = Asked(
            regression=regression,
            question=Question(posted.base, posted.commit, case, kind.signature),
            good_name=BASE,
            bad_name=SERIES,
            scope=tuple(run.case for run in compared if run.commit == posted.commit and run.case.target == case.target),
            not_run=self.not_run,
            side_test=False,  # the base passes with the same side pinned
            revert=False,
        )
        report, _ = investigate(
            desk, asked, performer(desk, desk.rig), performer(desk, desk.rig, desk.config.bisect.jobs)
        )
        if not isinstance(report.finding, FirstBad | Suspects):
            self.leave_out(kind.cases, line(conclusion(report)))
            return None
        return self.narrowed(report)

    def repeats(self, case: Case, kind: Failure) -> str | None:
        """Why a failure is not searched: it comes and goes, or the base shows it now and then; None if it is steady."""
        times = self.desk.config.bisect.min_runs
        base, series = (self.tally(sha, case, times) for sha in (self.posted.base, self.posted.commit))
        wanted = count(series, kind.signature)
        if any(run.outcome is not Outcome.PASS for run in base):
            failures = sum(run.outcome is not Outcome.PASS for run in base)
            return f"the base fails {failures} of {len(base)} runs of {line(case.machine)}, too"
        if wanted.bad < len(series):
            return f"it comes and goes: {wanted.bad} of {len(series)} runs of {line(case.machine)}"
        if min(len(base), len(series)) < times:
            raise InfraError(
                f"{case.id}: the machine failed some of {times} runs; the same command goes on from the others"
            )
        return None

    def tally(self, sha: Sha, case: Case, times: int) -> list[Run]:
        """At least so many runs of a case on a commit, those that were recorded among them."""
        desk = self.desk
        runs = desk.runs(sha, [case])
        if len(runs) < times:
            for fact in perform(Test(sha, (case,), times - len(runs)), desk.rig):
                desk.keep(fact)
                if isinstance(fact, Run) and fact.outcome is not Outcome.INFRA:
                    runs.append(fact)
        return runs

    def narrowed(self, report: Report) -> Report:
        """The report about the cases that part where the searched one does."""
        good, bad = _bounds(report)
        key, cases = report.regression.signature.key, report.regression.cases
        at_bad, at_good = ({run.case: run for run in self.at(sha, cases)} for sha in (bad, good))
        here = tuple(
            case
            for case in cases
            if case == report.case
            or (_fails(at_bad.get(case), key) and case in at_good and at_good[case].outcome is Outcome.PASS)
        )
        table = tuple(run for run in report.table if run.case in here or not _fails(run, key))
        return replace(report, regression=replace(report.regression, cases=here), table=table)

    def at(self, sha: Sha, cases: tuple[Case, ...]) -> list[Run]:
        """The last answer of each case on a commit; those that have none are run."""
        have = {run.case: run for run in self.desk.runs(sha, cases)}
        missing = tuple(case for case in cases if case not in have)
        return [*have.values(), *(performed(self.desk, sha, missing) if missing else ())]


def answer(
    desk: Bench,
    posted: Posted,
    origin: Origin,
    runs: Sequence[Run],
    expected: Collection[Case],
    known: Known,
    not_run: tuple[str, ...],
) -> SeriesReport | None:
    """Find out what a series breaks, given a run of each case with it, and keep that with the answer to it.

    None, and nothing is kept, if it breaks nothing that its base does not break, or no patch is found for it.
    """
    working = _Answering(desk, posted, not_run, known)
    if not to_compare(runs, expected):
        return None
    found, compared = working.compare(runs, expected)
    reports = tuple(working.reports(found, compared))
    if not reports:
        desk.progress.say("no answer to the series: nothing is to be told about it")
        return None
    report = SeriesReport(
        id="",
        posted=posted,
        origin=origin,
        base=desk.repository.commit(posted.base),
        patches=tuple(desk.repository.commits(desk.repository.parents([posted.base], posted.commit))),
        reports=reports,
        compared=compared,
        not_run=not_run,
        untold=tuple(working.untold),
        sandboxed=desk.rig.sandbox is not None,
        others=tuple(_short(run) for run in runs if run.case not in {one.case for one in compared}),
        expected=tuple(run.case for run in runs if run.case in expected and failed(run)),
    )
    return _kept(desk, report)


def _kept(desk: Bench, report: SeriesReport) -> SeriesReport:
    """The report with its id, on the disk with its mail."""
    number = desk.store.series.open(report.posted.commit, words.signature(report))
    named = [replace(one, regression=replace(one.regression, id=number)) for one in report.reports]
    report = replace(report, id=number, reports=tuple(named))
    now = desk.store.clock()
    message, holds = words.mail(
        report, settings=desk.config.report_settings, templates=data_dir() / "templates",
        date=datetime.fromtimestamp(now, UTC),
    )  # fmt: skip
    own = str(message["Message-ID"])
    mail = Mail(number, Kind.SERIES, own, now, tuple(map(str, holds)), as_text(message))
    held = mail.held if desk.config.post_settings.by != "never" else (*mail.held, NEVER)
    waiting = Post(Kind.SERIES, own, MAIL, held, mail.eml)
    desk.store.answer(number, json.dumps(words.headline(report)), data.dump_series(report), mail, (waiting,))
    return report


def _short(run: Run) -> Run:
    """What a table says of a run."""
    seen = run.observation
    return replace(run, observation=Observation(seen.outcome, seen.signature, seen.message, seen.seconds))


def _bounds(report: Report) -> tuple[Sha, Sha]:
    """(the last patch that passes, the first that is seen to fail) of a search that named one, or several."""
    shas = words.named(report)
    return report.commits[shas[0]].parents[0], shas[-1]


def _fails(run: Run | None, key: str) -> bool:
    return run is not None and run.signature is not None and run.signature.key == key
