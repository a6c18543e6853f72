"""Which branches are due for the whole matrix, and in which order."""

from __future__ import annotations

import pytest

from bot.store.nights import Night
from bot.watch.nightly import due
from bot.watch.upstream import Tip

NOW, DAY = 1_000_000.0, 86400.0
TIPS = (Tip("master", "a" * 40), Tip("staging", "b" * 40), Tip("stable-9.2", "c" * 40))


def night(branch: str, hours: float, ended: bool = True, sha: str = "e" * 40) -> Night:
    began = NOW - hours * 3600
    return Night(branch, sha, began, began + 60 if ended else None)


CASES: dict[str, tuple[list[Night], list[tuple[str, str]]]] = {
    "none ever began": ([], [("master", "a"), ("staging", "b"), ("stable-9.2", "c")]),
    "all of them lately": ([night(tip.branch, 23) for tip in TIPS], []),
    "a day ago": ([night("master", 24), night("staging", 23), night("stable-9.2", 1)], [("master", "a")]),
    "who waited longest": (
        [night("master", 25), night("staging", 24), night("stable-9.2", 30)],
        [("stable-9.2", "c"), ("master", "a"), ("staging", "b")],
    ),
    "one that was cut goes on first, at its commit": (
        [night("master", 99), night("staging", 2, ended=False), night("stable-9.2", 1)],
        [("staging", "e"), ("master", "a")],
    ),
    "a branch that is no more": ([night("gone", 99, ended=False), *[night(tip.branch, 1) for tip in TIPS]], []),
}


@pytest.mark.parametrize("case", CASES)
def test_who_is_due(case: str) -> None:
    nights, wanted = CASES[case]
    found = due(TIPS, {one.branch: one for one in nights}, DAY, NOW)
    assert [(tip.branch, tip.sha[0]) for tip in found] == wanted
