"""The history of a case: equal answers are one stretch, and what comes in bit by bit gives the same as all at once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bot.core import history
from bot.core.history import History, point, told
from bot.model import Outcome, Run
from tests.testing.world import CASE, run

SHAS = tuple(f"{i:040x}" for i in range(8))


def runs_of(at: int, letters: str, setup: str = "") -> list[Run]:
    return [replace(run(SHAS[at], letter), setup=setup) for letter in letters]


def drawn(*of_commits: str) -> list[tuple[str, int, int, int]]:
    """Outcome (`?`: flaky), commits, failed and runs of each stretch."""
    found = told(CASE, [runs_of(at, letters) for at, letters in enumerate(of_commits)])
    return [(its.outcome + "?" * its.flaky, its.commits, its.failed, its.runs) for its in found.stretches]


def test_equal_answers_are_one_stretch_and_each_change_begins_another() -> None:
    assert drawn("G", "GG", "BB", "BBB", "O", "G") == [
        ("PASS", 2, 0, 3), ("FAIL_DST", 2, 5, 5), ("CRASH_DST", 1, 1, 1), ("PASS", 1, 0, 1),
    ]  # fmt: skip
    found = told(CASE, [runs_of(at, letter) for at, letter in enumerate("GGB")])
    assert [(its.first, its.last) for its in found.stretches] == [(SHAS[0], SHAS[1]), (SHAS[2], SHAS[2])]


def test_what_fails_and_passes_on_one_commit_is_flaky() -> None:
    assert drawn("G", "BG", "GBG", "G") == [("PASS", 1, 0, 1), ("FAIL_DST?", 2, 2, 5), ("PASS", 1, 0, 1)]


def test_what_the_machine_failed_is_no_answer() -> None:
    assert drawn("G", "I", "GI") == [("PASS", 2, 0, 2)]
    assert drawn("I") == [] and point(runs_of(0, "II")) is None


def test_a_change_that_came_with_another_setup_says_so() -> None:
    found = told(CASE, [runs_of(0, "G", "a"), runs_of(1, "G", "b"), runs_of(2, "B", "b"), runs_of(3, "G", "c")])
    assert [its.moved for its in found.stretches] == [False, False, True]


def test_of_very_many_changes_the_last_are_kept_and_the_rest_counted() -> None:
    shas = [f"{i:040x}" for i in range(history.MOST + 7)]
    found = told(CASE, [[run(sha, "GB"[i % 2])] for i, sha in enumerate(shas)])
    assert len(found.stretches) + found.dropped == len(shas)
    assert history.MOST <= len(found.stretches) <= history.MOST + 1
    assert found.stretches[-1].last == shas[-1]


@given(st.lists(st.text("GBOUNI", min_size=1, max_size=4), max_size=8), st.data())
def test_bit_by_bit_it_is_the_same(of_commits: list[str], data: st.DataObject) -> None:
    whole, bits = [], History(CASE)
    for at, letters in enumerate(of_commits):
        runs = runs_of(at, letters)
        whole.append(runs)
        first = data.draw(st.integers(1, len(runs)))
        for seen in (runs[:first], runs):
            if (given_ := point(seen)) is not None:
                bits = bits.put(given_)
    assert bits == told(CASE, whole)
    assert sum(its.commits for its in bits.stretches) == sum(
        any(one.outcome is not Outcome.INFRA for one in runs) for runs in whole
    )
