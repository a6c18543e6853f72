"""What people asked for that has to be run: whether another commit is the culprit, and what a posted patch does.

Each is begun while the cycle's time is not over, so one at most goes on beyond that. It is noted and answered whatever
comes of it; only what the machine failed at waits for the next cycle, for some days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bot.core.outbox import DAY
from bot.core.replies import Verb
from bot.errors import InfraError, UserError
from bot.pipeline.bench import Bench
from bot.pipeline.disputing import disputed
from bot.pipeline.said import Said
from bot.pipeline.trying import tried
from bot.store.replies import Asked, Fate
from bot.watch.upstream import Tip

_PATIENCE = 7 * DAY


def carry_out(desk: Bench, tips: Iterable[Tip], over: Callable[[], bool]) -> bool:
    """Carry out what waits, until it is `over`; True if something could not be."""
    trouble, branches = False, {tip.branch: tip.sha for tip in tips}
    for asked in desk.store.replies.commands(Fate.WAITING):
        run = _RUN.get(asked.command.verb)
        if run is None:
            continue
        if over():
            break
        try:
            said = run(desk, branches, asked)
        except (UserError, InfraError) as error:  # the others are not to suffer for it
            said, trouble = _waits(desk, asked, str(error)), True
        else:
            said = said or _waits(desk, asked, "the search of its regression is not done")
        if said is not None:
            desk.store.replies.settle(asked.id, said.text, said.fate)
            desk.progress.say(f"{asked.regression}: {asked.sender} says: {asked.command}: {said.text}")
    return trouble


def _waits(desk: Bench, asked: Asked, why: str) -> Said | None:
    """None, and it waits; what is said once it waited long enough."""
    if desk.store.clock() - asked.at < _PATIENCE:
        desk.progress.say(f"{asked.regression}: {asked.sender} says: {asked.command}: not now: {why}")
        return None
    desk.progress.say(f"{asked.regression}: {asked.sender} says: {asked.command}: given up: {why}")
    return Said(f"it could not be done within {_PATIENCE / DAY:.0f} days; whoever runs the bot knows why", Fate.REFUSED)


_RUN = {Verb.CULPRIT: disputed, Verb.TEST: tried}
