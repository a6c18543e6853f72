"""What came of a command, as its sender is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.plain import line
from bot.errors import UserError
from bot.host.git import Repository
from bot.model import Outcome, Run, Sha
from bot.store.replies import Fate


@dataclass(frozen=True, slots=True)
class Said:
    """A phrase without the sender's own words; REFUSED: nothing was run."""

    text: str
    fate: Fate = Fate.DONE


def refused(text: str) -> Said:
    return Said(line(text, 500), Fate.REFUSED)


def no_answer(runs: Sequence[Run]) -> str:
    """Why runs say nothing, as what follows a commit's name."""
    if not runs:
        return "could not be run"
    words = line(runs[-1].observation.message.partition("\n")[0], 200)
    if runs[-1].outcome is Outcome.NOT_BUILT:
        return f"does not build: {words}"
    return f"builds, and the case of the report gives no answer: {runs[-1].outcome}" + (f": {words}" if words else "")


def commit(repository: Repository, digits: str) -> Sha | None:
    """The commit whose id begins so; None if the clone has none, or several."""
    try:
        found = repository.resolve(digits)
    except UserError:
        return None
    return found if found.startswith(digits) else None  # else a branch, or a release, is called so
