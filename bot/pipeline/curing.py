"""What cured a regression: a commit that says so, or one that a search names; run either way before anybody is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from bot.bisect.crew import Perform
from bot.config import Config
from bot.core.claims import alike, claim
from bot.core.cure import not_shown, times
from bot.core.lifecycle import Claimed, Cured, Event, Guests, Record, Refuted, Unnamed, Way
from bot.core.outbox import GITLAB
from bot.core.outbox import State as Sending
from bot.core.tracker import addresses
from bot.core.verdict import answers, count, needed, passed
from bot.model import (
    Case,
    FirstBad,
    FirstFixed,
    MergeConflict,
    Question,
    Report,
    Run,
    Sha,
    Suspects,
    Tally,
    Test,
)
from bot.pipeline.bench import Bench, having, of_today, toolchain
from bot.pipeline.guests import guests
from bot.pipeline.hands import performer
from bot.pipeline.investigate import Asked, investigate
from bot.pipeline.tracking import thread
from bot.report import data, people
from bot.report.figures import conclusion
from bot.store.store import Entry, Store, number

_OFTEN = 3  # runs of guests that a release started


def report_of(entry: Entry) -> Report:
    """What the last search of a regression found, about the cases that are followed. Raises `UserError` if none did."""
    return replace(data.load(entry.report or "", entry.regression.id), regression=entry.regression)


def cases_of(report: Report) -> tuple[Case, ...]:
    """The cases of a report's regression, the one that was bisected first."""
    return tuple(dict.fromkeys((report.case, *report.regression.cases)))


def culprits(report: Report) -> dict[Sha, str]:
    """The commits that a report names, and those that they were picked from, with their subjects; none: there is nobody
    whose fix could be waited for."""
    finding = report.finding
    if isinstance(finding, FirstBad | MergeConflict) and report.culprit is not None:
        return alike(report.culprit)
    if isinstance(finding, Suspects):
        known = (report.commits[sha] for sha in finding.commits if sha in report.commits)
        return {sha: subject for commit in known for sha, subject in alike(commit).items()}
    return {}


def failing(report: Report) -> Tally | None:
    """How often the culprit failed; None: it was not confirmed."""
    finding = report.finding
    return finding.confirmation.culprit if isinstance(finding, FirstBad | MergeConflict) else None


def claims(desk: Bench, report: Report, record: Record) -> tuple[Claimed, ...]:
    """Commits anywhere in the clone, newer than the report, that say they cure it, and that were not noted yet."""
    also = {commit.sha: commit.subject for commit in desk.repository.commits(record.also)}
    named, names = culprits(report) | also, called(desk.store, desk.config, report.regression.id)
    texts = [text for text in (*(sha[:8] for sha in named), *named.values(), *names) if text.strip()]
    found = desk.repository.commits(desk.repository.saying(texts, report.regression.bad))
    said = ((commit.sha, claim(commit, named, names)) for commit in reversed(found))
    noted = {*record.claims, *record.refuted}
    return tuple(Claimed(sha, how) for sha, how in said if how is not None and sha not in noted)


def called(store: Store, config: Config, regression_id: str) -> list[str]:
    """What a regression is called in our mails and elsewhere: addresses, Message-IDs, URLs."""
    settings = config.report_settings
    names = [people.tagged(settings, regression_id).addr_spec, *issues(store, regression_id)]
    if own := thread(store, config, regression_id):
        names.append(own.strip("<>"))
    if settings.url:
        names.append(f"{settings.url.rstrip('/')}/{regression_id}")
    return names


def issues(store: Store, regression_id: str) -> Iterator[str]:
    """The URLs of the issues that were opened for a regression, one for trials too: what GitLab answered names them."""
    for item in store.outbox.items(number(regression_id)):
        if item.destination == GITLAB and item.state is Sending.SENT:
            yield from addresses(item.said)


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs of one case, as many on each commit, all on one host: they are compared."""

    desk: Bench
    perform: Perform
    report: Report
    host: str | None = None

    @classmethod
    def of(cls, desk: Bench, report: Report) -> Trial:
        """With the release that the case names, also where that is a baseline no more."""
        there = having(desk, cases_of(report), report.names)
        return cls(there, performer(there, there.rig), report)

    @property
    def times(self) -> int:
        limits = self.desk.config.bisect
        return times(failing(self.report), limits.min_runs, limits.max_runs)

    def runs(self, commit: Sha) -> list[Run]:
        """The case's runs on a commit; those that were recorded are not run again."""
        case, store = self.report.case, self.desk.store
        kept = answers(store.runs(commit=commit, cases=[case], setups=[self.desk.rig.setup(case)], logs=False))
        runs = [run for run in of_today(self.desk, kept) if self.host is None or run.host == self.host]
        if len(runs) < self.times:
            test = Test(commit, (case,), self.times - len(runs), host=self.host or None)
            for fact in self.perform(test, self.desk.stop):
                self.desk.keep(fact)
                if isinstance(fact, Run):
                    runs.append(fact)
        return runs

    def tally(self, commit: Sha) -> Tally:
        """How often it failed with the regression's signature; what gave no answer does not count."""
        signature = self.report.regression.signature
        counted = count(self.runs(commit), signature, needed(self.report.runs, signature))
        return Tally(commit, counted.bad, counted.n)

    def beside(self, commit: Sha) -> Trial:
        """The same on the host that ran a commit last."""
        runs = self.runs(commit)
        return replace(self, host=runs[-1].host if runs else None)


def cure(desk: Bench, record: Record, report: Report, tip: Sha, passing: int) -> Iterable[Event]:
    """What is to be noted of a regression of which `passing` cases, all that it has, pass at a branch's tip.

    The events come as they are found out, each to be noted before the next is asked for.
    """
    trial = Trial.of(desk, report).beside(tip)
    desk, at_tip = trial.desk, trial.tally(tip)
    if at_tip.bad or not at_tip.n:
        desk.progress.say(f"{report.regression.id}: fails {at_tip.bad} of {at_tip.n} at {tip[:12]}: it is not cured")
        return
    if _elsewhere(trial, report):
        if record.passing is None:
            bad = report.regression.bad[:12]
            yield Unnamed(
                at_tip, f"by now {bad}, where it was found, passes too: the other side or the toolchain changed"
            )
        return
    for sha in record.claims:
        if not desk.repository.is_ancestor(sha, tip):
            continue
        desk.progress.say(f"{report.regression.id}: running {sha[:12]}, which says that it cures it, and its parent")
        parents = tuple(trial.tally(parent) for parent in desk.repository.commit(sha).parents)
        fix = trial.tally(sha)
        why = not_shown(parents, fix, at_tip)
        if why is None:
            yield Cured(sha, Way.NAMED, parents, fix, at_tip, passing, _guests(trial, tip, sha))
            return
        yield Refuted(sha, why)
    if record.passing is None:
        yield _searched(trial, at_tip, passing)


def _elsewhere(trial: Trial, report: Report) -> bool:
    """Whether a failure is gone from the commit where it was found, too, since its baseline or the toolchain changed:
    no commit of the branch cured it."""
    bad, rig = report.regression.bad, trial.desk.rig
    then = [run for step in report.steps if step.commit.sha == bad for run in step.runs if run.case == report.case]
    now = (rig.setup(report.case), toolchain(trial.desk, bad, report.case.target))
    if not then or any(run.host for run in then) or all((run.setup, run.toolchain) == now for run in then):
        return False
    by_now = trial.tally(bad)
    return by_now.n > 0 and by_now.bad == 0


def _guests(trial: Trial, tip: Sha, fix: Sha) -> Guests | None:
    """Three runs tell it of a failure that is there every time."""
    seen = failing(trial.report)
    often = _OFTEN if seen is not None and seen.bad == seen.n else trial.times
    return guests(trial.desk, trial.host or None, trial.report, tip, fix, often)


def _searched(trial: Trial, at_tip: Tally, passing: int) -> Event:
    """What a search for the fix says, between the newest commit that is known to fail and the tip."""
    desk, report = trial.desk, trial.report
    case, regression = report.case, report.regression
    broken = _newest_bad(desk, report, at_tip.commit)
    desk.progress.say(f"{regression.id}: searching what cured it, {broken[:12]}..{at_tip.commit[:12]}")
    question = Question(broken, at_tip.commit, case, regression.signature, cured=True)
    asked = Asked(regression, question, broken[:12], regression.branch, side_test=False)
    perform = performer(desk, desk.rig)
    found, _ = investigate(desk, asked, perform, performer(desk, desk.rig, desk.config.bisect.jobs))
    if not isinstance(found.finding, FirstFixed):
        return Unnamed(at_tip, conclusion(found))
    confirmed = found.finding.confirmation
    why = not_shown(confirmed.parents, confirmed.culprit, at_tip)
    if why is not None:
        return Unnamed(at_tip, f"{found.finding.commit[:12]}: {why}")
    fix = found.finding.commit
    left = _guests(trial, at_tip.commit, fix)
    return Cured(fix, Way.SEARCHED, confirmed.parents, confirmed.culprit, at_tip, passing, left)


def _newest_bad(desk: Bench, report: Report, tip: Sha) -> Sha:
    """The newest commit of a tip's history that was seen to fail so."""
    signature, newest = report.regression.signature, report.regression.bad
    for run in desk.store.runs(cases=[report.case], logs=False):
        if run.commit in (newest, tip) or run.signature is None or run.signature.key != signature.key:
            continue
        if desk.repository.is_ancestor(newest, run.commit) and desk.repository.is_ancestor(run.commit, tip):
            newest = run.commit
    return newest


def standing(report: Report, latest: Mapping[Case, Run]) -> tuple[list[Run], list[Run]]:
    """(those that fail as the regression does, those that pass) of its cases that were run."""
    mine = [latest[case] for case in cases_of(report) if case in latest]
    signature = report.regression.signature
    devices = needed(report.runs, signature)
    failed = [run for run in mine if run.signature is not None and run.signature.key == signature.key]
    return failed, [run for run in mine if passed(run, devices)]
