"""`bot show`: one regression, or one posted series, read from the store."""

from __future__ import annotations

from pathlib import Path

from bot.pipeline.look import machines
from bot.pipeline.standing import standing
from bot.report import data, posted, reasons, render, story
from bot.report.safe import line
from bot.report.words import when
from bot.store.ids import is_series
from bot.store.store import Entry, Store, number


def show(work: Path, regression_id: str, as_json: bool) -> int:
    """Print a regression: the finding with its figures, the steps, what holds its mail."""
    store = Store(work)
    if is_series(regression_id):
        return _series(store, regression_id, as_json)
    entry = store.regressions(regression_id)[0]
    if entry.report is None:
        print(_pending(entry))
        return 0
    if as_json:
        print(entry.report, end="")
        return 0
    report = data.load(entry.report, regression_id)
    print(f"{entry.regression.id}, {entry.state}, opened {when(entry.opened)}")
    for at, what in story.lines(entry.record.history):
        print(f"  {at} UTC  {what}")
    print(render.summary(report), end="")
    print("  steps:")
    for step in report.steps:
        outcomes = ", ".join(dict.fromkeys(str(run.outcome) for run in step.runs))
        print(f"    {step.commit.short}  {step.verdict:4}  {step.why}: {len(step.runs)} runs, {outcomes or 'none'}")
    for text in reasons.lines(report):
        print(f"  {text}")
    _mails(store, regression_id)
    return 0


def _series(store: Store, series_id: str, as_json: bool) -> int:
    """Print what was found about a series that somebody posted."""
    entry = store.series.entry(series_id)
    if as_json:
        print(entry.report, end="")
        return 0
    report = data.load_series(entry.report, series_id)
    print(f"{series_id}, found {when(entry.at)}: {line(str(report.posted))}")
    print(f"  answers {line(report.origin.message_id) or 'no mail'} of {line(report.origin.sender) or 'nobody'}")
    print(posted.summary(report), end="")
    _mails(store, series_id)
    return 0


def _mails(store: Store, regression_id: str) -> None:
    """Each mail, when it was written, and where it stands; one from before there was an outbox, what held it then."""
    items, mails = store.outbox.items(number(regression_id)), store.mails(regression_id)
    written = {mail.message_id: f", {when(mail.created)}" for mail in mails}
    known = {item.message_id for item in items}
    for mail in mails:
        if mail.message_id not in known:
            held = f"held: {'; '.join(mail.held)}" if mail.held else "free to be sent"
            print(f"  {mail.kind}{written[mail.message_id]}: mail {mail.message_id}: {held}")
    for item in items:
        approved = "" if item.approved_at is None else f"; approved by {item.approved_by}, {when(item.approved_at)}"
        print(f"  {item.kind}{written.get(item.message_id, '')}: {standing(item)}{approved}")


def _pending(entry: Entry) -> str:
    r = entry.regression
    return (
        f"{r.id}, {entry.state}, opened {when(entry.opened)}: {line(str(r.signature))}\n"
        f"  {machines(r)}; {r.good[:12]}..{r.bad[:12]}; the search is not done: `bot run --once` goes on with it"
    )
