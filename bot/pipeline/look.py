"""What was found, read from the store: `bot list` and `bot report`. Runs nothing."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from bot.core.matrix import machine_ranges
from bot.core.outbox import ANSWER, MAIL, Item
from bot.errors import UserError
from bot.model import Regression
from bot.pipeline.standing import no_mail, standing
from bot.report.deliver import write
from bot.report.safe import line
from bot.store.store import Mail, Store, number


def machines(regression: Regression) -> str:
    """The machine types of a regression's cases, neighbours folded to ranges."""
    names = {case.machine for case in regression.cases}
    return ", ".join(machine_ranges(names, names))


def list_(work: Path, as_json: bool, states: Collection[str] = ()) -> int:
    """Print one line a regression, newest first: those in some states, or all, then series that break something."""
    store = Store(work)
    entries = [e for e in reversed(store.regressions()) if not states or e.state in states]
    series = [] if states else list(reversed(store.series.entries()))
    if as_json:
        rows = [
            {
                "id": e.regression.id, "state": e.state, "note": e.record.note, "opened": e.opened,
                "finding": e.finding,
                "signature": str(e.regression.signature), "key": e.regression.signature.key,
                "good": e.regression.good, "bad": e.regression.bad, "branch": e.regression.branch,
                "cases": [case.id for case in e.regression.cases],
            }
            for e in entries
        ]  # fmt: skip
        told = [{"id": one.id, "found": one.at, **json.loads(one.headline)} for one in series]
        print(json.dumps({"schema": 1, "regressions": rows, "series": told}, indent=1))
        return 0
    if not entries and not series:
        print("no regression is in that state" if states else "no regressions; `bot run --once` looks for them")
    width = max((len(e.state) for e in entries), default=0)
    for e in entries:
        found, failure = e.finding or "search not done", line(str(e.regression.signature))
        note = f"  ({line(e.record.note)})" if e.record.note else ""
        print(f"{e.regression.id}  {e.state:{max(width, 6)}}  {found:15}  {failure}  {machines(e.regression)}{note}")
    for one in series:
        told = json.loads(one.headline)
        what = "; ".join(f"{patch['patch']}: {patch['machines']}" for patch in told["patches"])
        print(f"{one.id}  {'series':{max(width, 6)}}  {what}  ({told['subject']})")
    return 0


def report(work: Path, regression_id: str, kind: str | None, eml: Path | None) -> int:
    """Print the last mail (of a kind) of a regression or series, or write it to a file and say what holds it back."""
    store = Store(work)
    store.known(regression_id)
    mails = [mail for mail in store.mails(regression_id) if kind is None or mail.kind == kind]
    if kind == ANSWER:
        mails = [_answer(store, item) for item in store.outbox.items(number(regression_id)) if item.kind == kind]
    if not mails:
        raise UserError(no_mail(regression_id, kind))
    text = mails[-1].eml
    if eml is None:
        print(text.replace("\r\n", "\n"), end="")
    else:
        write(eml, text)
        print(f"{eml}: {_stands(store, mails[-1])}")
    return 0


def _stands(store: Store, mail: Mail) -> str:
    """Where a mail stands by now; of one from before there was an outbox, what held it."""
    items = store.outbox.items(number(mail.regression))
    now = next((i for i in items if (i.destination, i.message_id) == (MAIL, mail.message_id)), None)
    if now is not None:
        return standing(now)
    return f"held: {'; '.join(mail.held)}" if mail.held else "free to be sent"


def _answer(store: Store, item: Item) -> Mail:
    """An answer is kept in the outbox alone."""
    return Mail(item.regression, item.kind, item.message_id, 0.0, item.held, store.outbox.text(item))
