"""What was found, read from the store: `bot list`, `show`, `report`, `status`, `site`. Runs nothing."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from bot.config import Config
from bot.core.matrix import machine_ranges
from bot.errors import UserError
from bot.host.disk import free
from bot.host.git import Repository
from bot.model import BuildKind, Regression
from bot.pipeline.publish import write_site
from bot.report import data, reasons, render
from bot.report.deliver import write
from bot.report.safe import line
from bot.store.store import Entry, Store
from bot.terminal import duration


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _machines(regression: Regression) -> str:
    names = {case.machine for case in regression.cases}
    return ", ".join(machine_ranges(names, names))


def list_(work: Path, as_json: bool) -> int:
    """Print one line a regression, newest first."""
    entries = list(reversed(Store(work).regressions()))
    if as_json:
        rows = [
            {
                "id": e.regression.id, "state": e.state, "opened": e.opened, "finding": e.finding,
                "signature": str(e.regression.signature), "key": e.regression.signature.key,
                "good": e.regression.good, "bad": e.regression.bad, "branch": e.regression.branch,
                "cases": [case.id for case in e.regression.cases],
            }
            for e in entries
        ]  # fmt: skip
        print(json.dumps({"schema": 1, "regressions": rows}, indent=1))
        return 0
    if not entries:
        print("no regressions; `bot run --once` looks for them")
    for e in entries:
        found, failure = e.finding or "search not done", line(str(e.regression.signature))
        print(f"{e.regression.id}  {e.state:6}  {found:15}  {failure}  {_machines(e.regression)}")
    return 0


def show(work: Path, regression_id: str, as_json: bool) -> int:
    """Print a regression: the finding with its figures, the steps, what holds its mail."""
    store = Store(work)
    entry = store.regressions(regression_id)[0]
    if entry.report is None:
        print(_pending(entry))
        return 0
    if as_json:
        print(entry.report, end="")
        return 0
    report = data.load(entry.report, regression_id)
    print(f"{entry.regression.id}, {entry.state}, opened {_when(entry.opened)}")
    print(render.summary(report), end="")
    print("  steps:")
    for step in report.steps:
        outcomes = ", ".join(dict.fromkeys(str(run.outcome) for run in step.runs))
        print(f"    {step.commit.short}  {step.verdict:4}  {step.why}: {len(step.runs)} runs, {outcomes or 'none'}")
    for text in reasons.lines(report):
        print(f"  {text}")
    for mail in store.mails(regression_id):
        held = f"held: {'; '.join(mail.held)}" if mail.held else "free to be sent"
        print(f"  mail {mail.message_id}, {mail.kind}, {_when(mail.created)}, {held}")
    return 0


def _pending(entry: Entry) -> str:
    r = entry.regression
    return (
        f"{r.id}, {entry.state}, opened {_when(entry.opened)}: {line(str(r.signature))}\n"
        f"  {_machines(r)}; {r.good[:12]}..{r.bad[:12]}; the search is not done: `bot run --once` goes on with it"
    )


def report(config: Config, work: Path, regression_id: str, eml: Path | None) -> int:
    """Print the regression's mail, or write it to a file and say what holds it back."""
    store = Store(work)
    store.regressions(regression_id)
    mails = store.mails(regression_id)
    if not mails:
        raise UserError(f"{regression_id}: has no mail: `bot show {regression_id}` says how its search ended")
    text = mails[-1].eml
    if eml is None:
        print(text.replace("\r\n", "\n"), end="")
    else:
        write(eml, text)
        print(f"{eml}: held back by {'; '.join(mails[-1].held) or 'nothing'}")
    return 0


def status(config: Config, work: Path) -> int:
    """Print the last cycles, what there is on the disk, and what is open."""
    store = Store(work)
    cycles = store.cycles(5)
    if not cycles:
        print("no cycle yet: `bot run --once` runs one")
    for cycle in cycles:
        took = f"took {duration(cycle.ended - cycle.began)}" if cycle.ended else "not ended"
        print(
            f"cycle of {_when(cycle.began)}, {duration(time.time() - cycle.began)} ago, {took}: {cycle.result or '-'}"
        )
    builds = store.builds()
    for kind in BuildKind:
        seconds = [b.seconds for b in builds if b.kind is kind]
        if seconds:
            print(f"builds, {kind}: {len(seconds)}, {sum(seconds) / len(seconds):.1f} s each")
    print(f"disk: {free(work) / 2**30:.1f} GiB free in {work}, floor {config.build.free_space / 2**30:.1f}")
    entries = store.regressions()
    pending = sum(e.finding is None for e in entries)
    print(f"regressions: {sum(e.state == 'open' for e in entries)} open, {pending} still to be searched")
    return 0


def site(config: Config, work: Path, out: Path) -> int:
    """Write the pages."""
    clone = work / "upstream.git"
    write_site(Store(work), config, out, Repository(clone) if clone.exists() else None)
    print(out / "index.html")
    return 0
