"""A patch that somebody posted, and somebody wants tried: on the tip of the regression's branch it cures it, or not.

It is handled as `bot test --apply` handles what anybody may have posted: within the same limits, in a sandbox or not at
all, and nothing of it becomes a branch or counts as upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.core.cure import not_shown
from bot.core.hypothesis import often
from bot.core.lifecycle import Tried
from bot.core.verdict import needed, passed
from bot.errors import UserError
from bot.host import patches, postings
from bot.model import Case, Run, Sha, Test
from bot.pipeline import curing
from bot.pipeline.bench import Bench
from bot.pipeline.confining import demanded
from bot.pipeline.curing import Trial
from bot.pipeline.following import noted
from bot.pipeline.said import Said, no_answer, refused
from bot.report.safe import line
from bot.report.words import plural
from bot.store.replies import Asked
from bot.store.store import Entry


@dataclass(frozen=True, slots=True)
class _On:
    """The tip that a series is put on, and the commit that came of it."""

    branch: str
    tip: Sha
    series: Sha
    patches: int

    @property
    def base(self) -> str:
        return f"{self.branch} ({self.tip[:12]})"

    def __str__(self) -> str:
        return f"{self.patches} {'patch' if self.patches == 1 else 'patches'} on {self.base}"


def tried(desk: Bench, branches: Mapping[str, Sha], asked: Asked) -> Said | None:
    """Find it, put it on the tip, run it, and note what comes of it; None: it waits for the regression's search."""
    (entry,) = desk.store.regressions(asked.regression)
    if (known := _noted(entry, asked)) is not None:
        return known
    if not entry.state.live:
        return refused(f"nothing to do: it is {entry.state}")
    if entry.finding is None or entry.report is None:
        return None
    branch, settings = entry.regression.branch, desk.config.reply_settings
    if branch not in branches or settings is None:
        return refused(f"{branch or 'its branch'} is not watched any more; nothing was run")
    try:
        demanded(desk.config, "test")
    except UserError as error:
        return refused(f"nothing was run: {error}")
    desk.progress.say(f"{asked.regression}: trying <{asked.command.value}>, as {asked.sender} asked")
    try:
        series = postings.find(settings.source, asked.command.value, desk.stop)
    except postings.NotThere as error:
        return refused(f"{error}; nothing was run")
    count = len(series.patches)
    try:
        made = patches.compose(desk.repository, branches[branch], series.patches, desk.rig.scratch, desk.stop)
    except UserError as error:
        said = f"on {branch} ({branches[branch][:12]}): {error}"
    else:
        said = _run(desk, entry, _On(branch, branches[branch], made, count))
    event = Tried(asked.command.value, asked.sender, line(said, 500))
    noted(desk, asked.regression, event)
    return Said(event.said)


def _noted(entry: Entry, asked: Asked) -> Said | None:
    """What was noted of it before the bot was killed."""
    for happened in entry.record.history:
        event = happened.event
        if not isinstance(event, Tried) or happened.at < asked.at:
            continue
        if (event.mail, event.by) == (asked.command.value, asked.sender):
            return Said(event.said)
    return None


def _run(desk: Bench, entry: Entry, on: _On) -> str:
    """What the regression's cases say of it."""
    report = curing.report_of(entry)
    trial = Trial.of(desk, report).beside(on.tip)
    before = trial.tally(on.tip)
    if not before.n:
        return f"nothing to compare it with: {on.base} {no_answer(trial.runs(on.tip))}"
    if not before.bad:
        return f"nothing to cure: {on.base} fails {often(before)} without it"
    after = trial.tally(on.series)
    if not after.n:
        return f"{on}: it {no_answer(trial.runs(on.series))}"
    figures = f"with {on} it fails {often(after)}, without it {often(before)}"
    if after.bad:
        return f"it does not cure it: {figures}"
    if (why := not_shown((before,), after, after)) is not None:
        return f"it is not shown to cure it: {figures}; {why}"
    rest = tuple(case for case in report.regression.cases if case != report.case)
    failing = _failing(trial, on.tip, rest)
    left, others = _failing(trial, on.series, failing), plural(len(failing), "other case")
    if left:
        named = ", ".join(case.id for case in left[:3])
        return f"it cures it in part: {figures}; of {others} {len(left)} failed still: {named}"
    return f"it cures it: {figures}" + (
        f"; {others} of the report that failed without it passed, too" if failing else ""
    )


def _failing(trial: Trial, commit: Sha, cases: Iterable[Case]) -> list[Case]:
    """The cases that do not pass on a commit; those that were not run there are run once."""
    desk, wanted = trial.desk, tuple(cases)
    found: dict[Case, Run] = {run.case: run for run in desk.runs(commit, wanted)}
    missing = tuple(case for case in wanted if case not in found)
    if missing:
        for fact in trial.perform(Test(commit, missing, host=trial.host or None), desk.stop):
            desk.keep(fact)
            if isinstance(fact, Run):
                found[fact.case] = fact
    devices = needed(trial.report.runs, trial.report.regression.signature)
    return [case for case in wanted if case in found and not passed(found[case], devices)]
