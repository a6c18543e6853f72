"""Exit codes of a search, by how it ended: those of `bot bisect` and `bot replay`."""

from __future__ import annotations

from bot.model import (
    BadAtGoodEnd,
    Finding,
    FirstBad,
    FirstFixed,
    Flaky,
    Inconclusive,
    MergeConflict,
    NotReproduced,
    Suspects,
)

_EXITS: dict[type, int] = {
    FirstBad: 0, FirstFixed: 0,
    Suspects: 3, NotReproduced: 4, BadAtGoodEnd: 5, Flaky: 6, MergeConflict: 7, Inconclusive: 8
}  # fmt: skip


def exit_code(finding: Finding) -> int:
    """0 one commit, 3 suspects, 4 bad end not bad, 5 good end not good, 6 flaky, 7 merge, 8 inconclusive."""
    return _EXITS[type(finding)]
