"""The last thing of a cycle: once a night the whole matrix on each branch's tip, as far as the cycle's time goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.errors import InfraError
from bot.model import Report
from bot.pipeline.bench import Bench
from bot.pipeline.known import in_history, known
from bot.pipeline.sweeping import sweep
from bot.pipeline.tips import judge
from bot.watch.nightly import due
from bot.watch.upstream import Tip


def nightly(desk: Bench, tips: Sequence[Tip], new: list[Report], over: Callable[[], bool]) -> bool:
    """Run the sweep `nightly` on the branches that are due, until it is `over`, and follow what broke as at a new tip.
    True if something could not be tested.

    One that is cut is gone on with by the next cycle, on the same commit, while that is in the branch.
    """
    every = desk.config.watch.nightly
    if every is None:
        return False
    trouble, now = False, {tip.branch: tip for tip in tips}
    for tip in due(tips, desk.store.nights.last(), every, desk.store.clock()):
        if over():
            break
        try:
            there = desk.repository.is_ancestor(tip.sha, now[tip.branch].sha)
            trouble = _one(desk, tip if there else now[tip.branch], new, over) or trouble
        except InfraError as error:  # the other branches are not to suffer for it
            desk.progress.say(f"{tip.branch}: {error}")
            trouble = True
    return trouble


def _one(desk: Bench, tip: Tip, new: list[Report], over: Callable[[], bool]) -> bool:
    nights = desk.store.nights
    night = nights.last().get(tip.branch)
    if night is None or night.ended is not None or night.sha != tip.sha:
        nights.end(tip.branch)  # of a commit that the branch has no more
        nights.begin(tip.branch, tip.sha)
    about = known(desk.config, in_history(desk.repository, tip.sha))
    name = f"{tip.branch}, nightly"
    part, targets = desk.config.sweep("nightly"), desk.config.targets
    desk.progress.say(f"{name}: the whole matrix on {tip.sha[:12]}")
    swept = sweep(desk, tip.sha, part, targets, name=name, about=about, over=over)
    if swept.left:
        desk.progress.say(f"{name}: {swept.left} cases left for the next cycle (watch.budget)")
        return swept.trouble
    trouble = judge(desk, tip, swept, about, new, over, news=True)
    nights.end(tip.branch)
    return trouble
