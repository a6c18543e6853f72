"""Which branches are watched."""

import pytest

from bot.errors import UserError
from bot.watch.upstream import Tip, newest_series, spread, watched

BRANCHES = {
    name: str(i) * 40 for i, name in enumerate(["master", "stable-9.2", "stable-10.0", "stable-8.0", "staging-10.0"])
}


def test_names_patterns_and_newest_stable_branches() -> None:
    tips = watched(BRANCHES, [("master", "v10.0.0"), ("staging-*", None), ("block-*", None)], stable=2)
    assert tips == (
        Tip("master", "0" * 40, "v10.0.0"),
        Tip("staging-10.0", "4" * 40),
        Tip("stable-10.0", "2" * 40),  # 10.0 is newer than 9.2
        Tip("stable-9.2", "1" * 40),
    )
    assert [tip.stable for tip in tips] == [False, False, True, True]


def test_a_name_that_upstream_does_not_have_is_an_error() -> None:
    with pytest.raises(UserError, match=r"no branch 'main'; it has: master, stable"):
        watched(BRANCHES, [("main", None)], stable=0)


@pytest.mark.parametrize(
    ("names", "count", "found"),
    [
        ((), 2, ()),
        (("v9.2.0", "v10.0.0", "v10.0.3", "v9.10.1"), 1, ("v10.0",)),
        (("v9.2.0", "v10.0.0", "v10.0.3", "v9.10.1"), 2, ("v10.0", "v9.10")),
        (("v9.2.0", "v10.0.0"), 5, ("v10.0", "v9.2")),
        (("v9.2.0", "v10.0.0"), 0, ()),
        (("v10.0.0-rc1", "nonsense", "v1", "10.0.0", "v9.2.0"), 2, ("v9.2",)),
    ],
)
def test_the_newest_release_series(names: tuple[str, ...], count: int, found: tuple[str, ...]) -> None:
    assert newest_series(names, count) == found


@pytest.mark.parametrize(
    ("count", "most", "wanted"),
    [
        (0, 8, []),
        (1, 8, [0]),
        (3, 8, [0, 1, 2]),
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (9, 1, [8]),
        (9, 3, [2, 5, 8]),
        (10, 4, [1, 4, 6, 9]),
        (1000, 8, [124, 249, 374, 499, 624, 749, 874, 999]),
    ],
)
def test_pushes_are_spread_evenly_and_the_tip_is_among_them(count: int, most: int, wanted: list[int]) -> None:
    commits = [f"{i:040x}" for i in range(count)]
    assert [commits.index(sha) for sha in spread(commits, most)] == wanted
