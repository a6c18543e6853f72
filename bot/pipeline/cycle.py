"""One cycle of the watch. Read answers, fetch, build what was pushed, smoke it, bisect what broke, publish, send.

A case that fails is news only if it was good before on the same branch: at the last commit where it passed, or at
`since`, which is tested for it. Everything is recorded as it comes, so a cycle that is killed is gone on with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.config import Config
from bot.errors import InfraError
from bot.host.executor import Remote
from bot.host.git import Repository
from bot.host.remote import clone
from bot.model import (
    FirstBad,
    MergeConflict,
    Report,
    Suspects,
)
from bot.pipeline import digesting
from bot.pipeline.answering import answer
from bot.pipeline.asked import carry_out
from bot.pipeline.bench import bench
from bot.pipeline.following import ask_again
from bot.pipeline.nightly import nightly
from bot.pipeline.obeying import obey
from bot.pipeline.publish import out_directory, write_site
from bot.pipeline.replying import hear
from bot.pipeline.sending import flush
from bot.pipeline.stable import survey
from bot.pipeline.succession import begin, succeed
from bot.pipeline.tips import watch_pushes, watch_tip
from bot.pipeline.tracking import late
from bot.progress import Progress
from bot.watch.upstream import Tip, newest_series, watched

NOTHING_NEW, NEW_REGRESSION, COULD_NOT_TEST = 0, 10, 131


def cycle(
    config: Config,
    work: Path,
    progress: Progress,
    stop: threading.Event,
    far: Remote | None = None,
    clock: Callable[[], float] = time.time,
) -> int:
    """One cycle of who holds the work directory. Returns 0 nothing new, 10 a new regression, 131 if something could not
    be tested.

    Once it lasts longer than `watch.budget` it begins nothing more: what waits is the next cycle's. `clock` gives
    seconds since the epoch, as the cycle is to know them: of what is recorded, of mails, and of how old they are.
    """
    hear(config, work, progress.say, stop, clock)
    try:
        return _cycle(config, work, progress, stop, far, clock)
    finally:  # what waits has nothing to do with how the cycle went
        flush(config, work, progress.say, stop, clock)


def _cycle(
    config: Config,
    work: Path,
    progress: Progress,
    stop: threading.Event,
    far: Remote | None,
    clock: Callable[[], float],
) -> int:
    over = _Over(config.watch.budget)
    repository = clone(config.upstream.url, work / "upstream.git", say=progress.say, stop=stop)
    branches = [(branch.name, branch.since) for branch in config.watch.branches]
    tips = watched(repository.branches(), branches, config.watch.stable)
    config = config.with_releases(_released(repository, tips, config.watch.releases))
    desk = bench(
        config, work, repository, progress, stop, baselines=config.baselines, profiles=config.profiles.values(),
        remote=far, clock=clock,
    )  # fmt: skip
    number = desk.store.begin_cycle()
    begin(desk)
    obey(desk.store, config, repository, progress.say)
    before = len(desk.store.builds())
    new: list[Report] = []
    trouble = carry_out(desk, tips, over)
    answer(desk.store, desk.config, progress.say)
    left = 0
    for tip in tips:
        if over():
            left += 1
            continue
        try:
            trouble = watch_pushes(desk, tip, over) or trouble
            if over():
                left += 1
                continue
            trouble = watch_tip(desk, tip, new, over) or trouble
        except InfraError as error:  # the other branches are not to suffer for it
            progress.say(f"{tip.branch}: {error}")
            trouble = True
    trouble = survey(desk, tips, over) or trouble
    ask_again(desk, tips)
    trouble = succeed(desk, tips, over) or trouble
    trouble = nightly(desk, tips, new, over) or trouble
    builds = desk.store.builds()[before:]
    kinds = {kind: sum(b.kind == kind for b in builds) for kind in ("full", "incremental")}
    told = [report for report in new if isinstance(report.finding, FirstBad | MergeConflict | Suspects)]
    count = f"{len(told)} new regression" + ("s" if len(told) > 1 else "")
    result = count if told else "nothing new"
    if len(told) < len(new):
        result += f", {len(new) - len(told)} failures whose search named no commit"
    result += ", something could not be tested" if trouble else ""
    waiting = sum(entry.finding is None and entry.state.live for entry in desk.store.regressions())
    if over() and (left or waiting):
        result += f", {left} branches and {waiting} searches left for the next cycle (watch.budget)"
    progress.say(f"cycle done: {result}; builds: {kinds['full']} full, {kinds['incremental']} incremental")
    desk.store.end_cycle(number, result)
    desk.rig.builder.release()
    late(desk.store, config, repository)
    if tips:
        digesting.tell(desk.store, config, repository, tips[0], progress.say)
    write_site(desk.store, config, out_directory(desk.config, desk.work), desk.repository)
    if told:
        return NEW_REGRESSION
    return COULD_NOT_TEST if trouble else NOTHING_NEW


def _released(repository: Repository, tips: Sequence[Tip], count: int) -> tuple[str, ...]:
    """The newest release series in the history of the first branch that is watched."""
    return newest_series(repository.releases(tips[0].sha), count) if count and tips else ()


@dataclass(frozen=True, slots=True)
class _Over:
    """Whether a cycle has lasted as long as it may."""

    budget: float | None  # seconds
    began: float = field(default_factory=time.monotonic)

    def __call__(self) -> bool:
        return self.budget is not None and time.monotonic() - self.began > self.budget
