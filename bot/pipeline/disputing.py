"""Somebody says that another commit is the culprit: it is run beside its parents, as a confirmation runs them.

If it brought what fails today, the report that named another is taken back in its thread, and the regression is
searched anew since a parent of it. So what is reported then passed all that a report has to pass. Else the report
stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bot.core import hypothesis
from bot.core.confirmation import Rules
from bot.core.hypothesis import Place, figures, place
from bot.core.lifecycle import Corrected, Disputed
from bot.model import FirstBad, MergeConflict, Report, Sha, Suspects, Tally
from bot.pipeline import curing
from bot.pipeline.bench import Bench
from bot.pipeline.curing import Trial
from bot.pipeline.following import noted
from bot.pipeline.said import Said, commit, no_answer, refused
from bot.store.replies import Asked
from bot.store.store import Entry


def disputed(desk: Bench, branches: Mapping[str, Sha], asked: Asked) -> Said | None:
    """Run it, and note what comes of it; None: it waits for the search of its regression."""
    (entry,) = desk.store.regressions(asked.regression)
    sha = commit(desk.repository, asked.command.value)
    if sha is None:
        return refused(f"the clone has no commit {asked.command.value}; nothing was run")
    if (known := _noted(entry, asked, sha)) is not None:
        return known
    if not entry.state.live:
        return refused(f"nothing to do: it is {entry.state}")
    if entry.finding is None or entry.report is None:
        return None
    report = curing.report_of(entry)
    if (why := _out_of_question(desk, report, sha)) is not None:
        return refused(why)
    desk.progress.say(f"{asked.regression}: running {sha[:12]}, which {asked.sender} says is the culprit")
    trial = Trial.of(desk, report).beside(sha)
    own = trial.tally(sha)
    if not own.n:
        return refused(f"{sha[:12]} {no_answer(trial.runs(sha))}")
    parents = tuple(trial.tally(parent) for parent in desk.repository.commit(sha).parents) if own.bad else ()
    event = _judged(desk, report, asked, own, parents, branches)
    again = replace(entry.regression, good=event.good) if isinstance(event, Corrected) else None
    noted(desk, asked.regression, event, again)
    return _said(event)


def _noted(entry: Entry, asked: Asked, sha: Sha) -> Said | None:
    """What was noted of it before the bot was killed."""
    for happened in entry.record.history:
        event = happened.event
        if not isinstance(event, Disputed | Corrected) or happened.at < asked.at:
            continue
        if (event.commit, event.by) == (sha, asked.sender):
            return _said(event)
    return None


def _out_of_question(desk: Bench, report: Report, sha: Sha) -> str | None:
    """Why it need not be run, as a phrase; None: it has to be."""
    good, bad = report.regression.good, report.regression.bad
    if _named(report) == sha:
        return f"that is what the report says of {sha[:12]}; nothing was run"
    if not desk.repository.is_ancestor(sha, bad):
        return f"{sha[:12]} is not in the history of {bad[:12]}, where it fails; nothing was run"
    if desk.repository.is_ancestor(sha, good):
        return f"{sha[:12]} is in the history of {good[:12]}, where it passes; nothing was run"
    return None


def _named(report: Report) -> Sha | None:
    """The one commit that a report names."""
    return report.finding.commit if isinstance(report.finding, FirstBad | MergeConflict) else None


def _judged(
    desk: Bench, report: Report, asked: Asked, own: Tally, parents: tuple[Tally, ...], branches: Mapping[str, Sha]
) -> Disputed | Corrected:
    limits, failing = desk.config.bisect, curing.failing(report)
    rules = Rules(min_runs=limits.min_runs, max_runs=limits.max_runs)
    rare = failing is not None and failing.bad < failing.n
    why = hypothesis.not_shown(own, parents, rules, rare=rare)
    if why is not None:
        return Disputed(own.commit, asked.sender, own, parents, why)
    brought, named = figures(own, parents), _named(report)
    if named is not None:
        history = desk.repository
        where = place(has=history.is_ancestor(named, own.commit), had=history.is_ancestor(own.commit, named))
        if where is Place.EARLIER:
            why = f"{brought}; but that was gone again before {named[:12]}, with which it came for the second time"
            return Disputed(own.commit, asked.sender, own, parents, why)
        if where is Place.BESIDE:
            why = f"{brought}; {named[:12]} brings it, too, on another line of the history: both have to be mended"
            return Disputed(own.commit, asked.sender, own, parents, why, brings=True)
    elif isinstance(report.finding, Suspects) and own.commit not in report.finding.commits:
        why = f"{brought}; but a commit that has it passes, so it was gone again, and came for the second time later"
        return Disputed(own.commit, asked.sender, own, parents, why)
    if report.regression.branch not in branches:
        why = f"{brought}; but {report.regression.branch or 'its branch'} is not watched, so it is not searched anew"
        return Disputed(own.commit, asked.sender, own, parents, why)
    return Corrected(own.commit, asked.sender, own, parents, parents[0].commit, named)


def _said(event: Disputed | Corrected) -> Said:
    if isinstance(event, Disputed):
        return Said(f"{event.commit[:12]} was run: {event.why}. Nothing is taken back")
    shown = f"{event.commit[:12]} was run: {figures(event.culprit, event.parents)}"
    if event.instead is None:
        return Said(f"{shown}. It is searched anew since {event.good[:12]}; what that finds is told in the thread")
    return Said(
        f"{shown}. So the report of {event.instead[:12]} is taken back, and it is searched anew since "
        f"{event.good[:12]}; what that finds is told in the thread"
    )
