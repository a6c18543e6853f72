"""Which branches are watched."""

import pytest

from bot.errors import UserError
from bot.watch.upstream import Tip, watched

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


def test_a_name_that_upstream_does_not_have_is_an_error() -> None:
    with pytest.raises(UserError, match=r"no branch 'main'; it has: master, stable"):
        watched(BRANCHES, [("main", None)], stable=0)
