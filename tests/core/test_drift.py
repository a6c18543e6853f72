"""Whether a last good commit still says anything, and what changed if it does not: tables of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.drift import Drift, Kind, Releases, Says, Seen, asked, candidate, changes, grouped, kind, passed
from bot.model import Outcome

A, B = "a" * 40, "b" * 40
OLD, NEW = "gcc 12 (1)", "gcc 13 (2)"
P, F, U, N = Outcome.PASS, Outcome.FAIL_DST, Outcome.UNTESTABLE, Outcome.NOT_BUILT

SAYS: dict[str, tuple[list[tuple[str, str, Outcome]], Says | None]] = {
    "it passes today": ([("s", NEW, P)], Says.GOOD),
    "it never passed": ([("s", NEW, F)], None),
    "it was never run": ([], None),
    "built by another toolchain": ([("s", OLD, P)], Says.STALE),
    "nobody knows by which": ([("s", "", P)], Says.STALE),
    "run with another setup": ([("before", NEW, P)], Says.STALE),
    "it fails by now": ([("s", OLD, P), ("s", NEW, F)], Says.BAD),
    "it fails by now, with another setup": ([("before", NEW, P), ("s", NEW, F)], Says.BAD),
    "it cannot be tested any more": ([("s", OLD, P), ("s", NEW, U)], Says.BAD),
    "it passes by now as well": ([("s", OLD, P), ("s", NEW, P)], Says.GOOD),
    "it passes by now, and did not": ([("s", OLD, F), ("s", NEW, P)], Says.GOOD),
    "it is flaky by now": ([("s", OLD, P), ("s", NEW, F), ("s", NEW, P)], None),
    "it was flaky": ([("s", OLD, P), ("s", OLD, F), ("s", OLD, P)], None),
    "the machine failed": ([("s", OLD, P), ("s", NEW, Outcome.INFRA)], Says.STALE),
    "it does not build by now": ([("s", OLD, P), ("s", NEW, N)], Says.STALE),
}


@pytest.mark.parametrize("case", SAYS)
def test_what_a_commit_says_today(case: str) -> None:
    runs, wanted = SAYS[case]
    seen = [Seen(A, setup, tools, outcome, at) for at, (setup, tools, outcome) in enumerate(runs)]
    found = candidate([Seen(B, "s", NEW, F), *seen], A, "s", NEW)
    assert (found and found.says) == wanted


def test_the_last_run_that_passed_is_what_is_compared_with() -> None:
    seen = [Seen(A, "1", OLD, P, 1.0), Seen(A, "2", OLD, P, 2.0), Seen(A, "3", NEW, F, 3.0)]
    found = candidate(seen, A, "3", NEW)
    assert found is not None and found.passed == seen[1]


def test_commits_that_passed_newest_run_first() -> None:
    assert passed([Seen(A, "s", "", P), Seen(B, "s", "", P), Seen("c", "s", "", F), Seen(A, "t", "", P)]) == (A, B)


APART: dict[str, tuple[list[tuple[str, str, Outcome]], tuple[str, str], tuple[str, str]]] = {
    # runs, setup and toolchain of the one that passed, and of the one that fails, which say what is to blame
    "the toolchain alone changed": ([("s", OLD, P), ("s", NEW, F)], ("s", OLD), ("s", NEW)),
    "the setup alone changed": ([("r", NEW, P), ("s", NEW, F)], ("r", NEW), ("s", NEW)),
    "both changed": ([("r", OLD, P), ("s", NEW, F)], ("r", OLD), ("s", NEW)),
    "both changed, and the old setup fails today": (
        [("r", OLD, P), ("s", NEW, F), ("r", NEW, F)], ("r", OLD), ("r", NEW),
    ),
    "both changed, and the old setup passes today": (
        [("r", OLD, P), ("s", NEW, F), ("r", NEW, P)], ("r", NEW), ("s", NEW),
    ),
    "both changed, and it comes and goes with the old setup": (
        [("r", OLD, P), ("s", NEW, F), ("r", NEW, F), ("r", NEW, P)], ("r", OLD), ("s", NEW),
    ),
    "both changed, and the new setup failed with the old toolchain": (
        [("r", OLD, P), ("s", OLD, F), ("s", NEW, F)], ("r", OLD), ("s", OLD),
    ),
    "with today's setup it passed, long before another came": (
        [("s", OLD, P), ("r", OLD, P), ("s", NEW, F)], ("s", OLD), ("s", NEW),
    ),
    "another failure of old says nothing of today": (
        [("r", OLD, P), ("q", OLD, F), ("s", NEW, F)], ("r", OLD), ("s", NEW),
    ),
    "the machine failed": ([("r", OLD, P), ("s", NEW, F), ("r", NEW, Outcome.INFRA)], ("r", OLD), ("s", NEW)),
}  # fmt: skip


@pytest.mark.parametrize("case", APART)
def test_what_is_to_blame_is_what_differs_in_least(case: str) -> None:
    runs, before, now = APART[case]
    seen = [Seen(A, setup, tools, outcome, at) for at, (setup, tools, outcome) in enumerate(runs)]
    found = candidate(seen, A, "s", NEW)
    assert found is not None and found.failed is not None
    assert (found.passed.setup, found.passed.toolchain) == before
    assert (found.failed.setup, found.failed.toolchain) == now
    assert found.open_question == (before == ("r", OLD) and now == ("s", NEW))


def test_whether_it_was_asked() -> None:
    seen = [Seen(A, "s", NEW, F), Seen(A, "r", NEW, Outcome.INFRA)]
    assert asked(seen, A, "s", NEW)
    assert not asked(seen, A, "r", NEW) and not asked(seen, A, "s", OLD) and not asked(seen, B, "s", NEW)


KINDS: dict[str, tuple[str, str, Releases | None, Kind, str]] = {
    "a compiler": ("s", OLD, None, Kind.TOOLCHAIN, "toolchain: gcc 12 (1) then, gcc 13 (2) now"),
    "one that nobody noted": ("s", "", None, Kind.TOOLCHAIN, "toolchain: not known then, gcc 13 (2) now"),
    "a release": ("r", NEW, Releases("v1.0.1", "v1.0.2"), Kind.BASELINE, "baseline: v1.0.1 then, v1.0.2 now"),
    "something else": (
        "r", NEW, None, Kind.SETUP, "what the case is run with (its profile, options, or the baseline's binary)",
    ),
    "a release, and something else": (
        "r", NEW, Releases("v1.0.1", "v1.0.2", alone=False), Kind.SETUP,
        "baseline: v1.0.1 then, v1.0.2 now; and what the case is run with (its profile, options, or the baseline's "
        "binary)",
    ),
    "both": (
        "r", OLD, Releases("v1.0.1", "v1.0.2"), Kind.BOTH,
        "toolchain: gcc 12 (1) then, gcc 13 (2) now; baseline: v1.0.1 then, v1.0.2 now; both changed, and no run tells "
        "which of them it is",
    ),
    "nothing that is known": ("s", NEW, None, Kind.SETUP, "what was not recorded"),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
def test_what_changed(case: str) -> None:
    setup, tools, releases, wanted, words = KINDS[case]
    assert kind(Seen(A, setup, tools, P), Seen(A, "s", NEW, F), releases) == (wanted, words)


ONE = Drift("master", Kind.TOOLCHAIN, "ramblock ram pc.ram", "1234", A, B, ("c1", "c2"), "toolchain: x then, y now")


def test_it_in_words() -> None:
    assert ONE.said == (
        "master: ramblock ram pc.ram: 2 cases at bbbbbbbbbbbb fail, and so they do at aaaaaaaaaaaa, where they passed: "
        "toolchain: x then, y now; no commit is to blame"
    )


CHANGES: dict[str, tuple[list[Drift], list[Drift], set[str], list[Drift], list[Drift]]] = {
    "nothing": ([], [], {"c1"}, [], []),
    "it begins": ([], [ONE], {"c1", "c2"}, [ONE], []),
    "it goes on, at another tip": ([ONE], [replace(ONE, tip=A)], {"c1", "c2"}, [], []),
    "one case passes": ([ONE], [replace(ONE, cases=("c2",))], {"c1", "c2"}, [replace(ONE, cases=("c2",))], []),
    "another case fails": (
        [ONE],
        [replace(ONE, cases=("c1", "c2", "c3"))],
        {"c1", "c2", "c3"},
        [replace(ONE, cases=("c1", "c2", "c3"))],
        [],
    ),
    "it is over": ([ONE], [], {"c1", "c2"}, [], [ONE]),
    "none of its cases was run": ([ONE], [], {"c3"}, [], []),
    "some were run, and pass": ([ONE], [], {"c1"}, [replace(ONE, cases=("c2",))], []),
    "some were run, and fail": ([ONE], [replace(ONE, cases=("c1",))], {"c1"}, [], []),
    "the next release does it too": (
        [ONE],
        [replace(ONE, changed="z")],
        {"c1", "c2"},
        [replace(ONE, changed="z")],
        [ONE],
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_from_tip_to_tip(case: str) -> None:
    there, found, ran, begin, over = CHANGES[case]
    assert changes(there, found, ran) == (tuple(begin), tuple(over))


def test_cases_of_one_are_put_together() -> None:
    found = grouped(
        [replace(ONE, cases=("c2",)), replace(ONE, signature_key="9", cases=("c3",)), replace(ONE, cases=("c1",))]
    )
    assert sorted(drift.cases for drift in found) == [("c1", "c2"), ("c3",)]
