"""`bot status`: what goes on, and whether `bot run` does its work. Runs nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bot.config import Config
from bot.core.alarms import bound
from bot.core.outbox import State
from bot.core.plain import line
from bot.host.disk import free
from bot.host.lock import holder
from bot.model import BuildKind
from bot.pipeline.noted import noted
from bot.pipeline.standing import standing
from bot.report.operator import Told, message_id
from bot.report.releases import lines
from bot.report.words import when
from bot.store.replies import Fate
from bot.store.store import Cycle, Store
from bot.terminal import duration

_STUCK = "it is followed again once that is back; `bot accept {id}` takes it from what is open"


def status(config: Config, work: Path, *, check: bool = False) -> int:
    """Print what goes on, the last cycles, what there is on the disk, and what is open.

    Returns 1 if `check` is asked for and no cycle ended within twice the time that one may take.
    """
    store = Store(work)
    cycles = store.cycles(5)
    for text in _now(config, work, cycles):
        print(text)
    if not cycles:
        print("no cycle yet: `bot run --once` runs one")
    for cycle in cycles:
        took = f"took {duration(cycle.ended - cycle.began)}" if cycle.ended else "not ended"
        print(f"cycle of {when(cycle.began)}, {duration(time.time() - cycle.began)} ago, {took}: {cycle.result or '-'}")
    for night in store.nights.last().values():
        how = "to be gone on with" if night.ended is None else f"ended {when(night.ended)}"
        print(f"nightly sweep of {line(night.branch)}: {night.sha[:12]}, began {when(night.began)}, {how}")
    builds = store.builds()
    for kind in BuildKind:
        seconds = [b.seconds for b in builds if b.kind is kind]
        if seconds:
            print(f"builds, {kind}: {len(seconds)}, {sum(seconds) / len(seconds):.1f} s each")
    print(f"disk: {free(work) / 2**30:.1f} GiB free in {work}, floor {config.build.free_space / 2**30:.1f}")
    entries = store.regressions()
    pending = sum(e.finding is None and e.state.live for e in entries)
    states = Counter(item.state for item in store.outbox.items())
    if states:
        print(f"outbox: {', '.join(f'{states[state]} {state}' for state in State if states[state])}")
    for text in _troubles(config, store):
        print(text)
    for text in lines(store.releases.used(), store.releases.waiting()):
        print(text)
    for known in store.drifts.known():
        print(f"since {when(known.began)}: {line(known.drift.said, 600)}")
    if waiting := len(store.replies.commands(Fate.WAITING)):
        print(f"replies: {waiting} wait for their turn: `bot replies`")
    for entry in entries:
        if entry.record.stuck and entry.state.live:
            print(f"{entry.regression.id}: {line(entry.record.note, 600)}; {_STUCK.format(id=entry.regression.id)}")
    print(f"regressions: {sum(e.state.live for e in entries)} open, {pending} still to be searched")
    return _check(config, store) if check else 0


def _now(config: Config, work: Path, cycles: Sequence[Cycle]) -> Iterator[str]:
    """What a `bot` of this work directory does at the moment, and when the next cycle is due."""
    pid = holder(work)
    if pid is None:
        yield "now: nothing, no bot is running here"
        return
    said = noted(work, time.time())
    yield f"now: process {pid}" + (f": {said}" if said else "")
    if cycles and cycles[0].ended:
        yield f"next cycle: {when(cycles[0].began + config.watch.every)}"


def _troubles(config: Config, store: Store) -> Iterator[str]:
    """What the operator is told of, and where the mail about it stands."""
    mails = {item.message_id: item for item in store.outbox.items()}
    for known in store.alarms.known():
        trouble = known.trouble
        yield f"trouble: {trouble.kind}, since {when(trouble.since)}: {line(trouble.said, 300)}"
        if item := mails.get(message_id(Told(trouble, known.began), config.report_settings)):
            yield f"  {standing(item)}"


def _check(config: Config, store: Store) -> int:
    most = bound(config.watch.every, config.watch.budget)
    ended = max((cycle.ended for cycle in store.cycles(100) if cycle.ended), default=None)
    age = None if ended is None else store.clock() - ended
    if age is not None and age <= most:
        return 0
    last = "no cycle has ended" if age is None else f"the last cycle ended {duration(age)} ago"
    print(
        f"{last}, {duration(most)} is the most (twice the longer of watch.every and watch.budget): is `bot run` stuck?"
    )
    return 1
