"""Histories in a real database: folded as runs come, in whatever order, they are what all runs at once come to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.history import told
from bot.model import Commit, Run
from bot.store.store import Store
from tests.testing.world import CASE, run

CASES = (CASE, replace(CASE, machine="pc-q35-9.1"))
SHAS = tuple(f"{i:040x}" for i in range(30))


def see(store: Store, at: int) -> None:
    store.see("master", Commit(SHAS[at], f"commit {at}", "A", "a@example.org", "", ""))


def read(store: Store) -> dict[str, list[tuple[str, str, str, int]]]:
    tips = [commit.sha for commit in store.seen().get("master", [])]
    return {
        history.case.machine: [(its.outcome, its.first, its.last, its.runs) for its in history.stretches]
        for history in store.histories.of("master", tips)
    }


def test_what_is_new_is_added_and_commits_of_searches_are_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for at, letter in enumerate("GGB"):
        store.record(run(SHAS[at], letter))
        if at != 1:  # that one was a step of a search
            see(store, at)
    machine = CASE.machine
    expected = [("PASS", SHAS[0], SHAS[0], 1), ("FAIL_DST", SHAS[2], SHAS[2], 1)]
    assert read(store) == {machine: expected}
    assert read(store) == {machine: expected}
    store.record(run(SHAS[2], "B"))
    see(store, 1)  # it is tested as a tip after all
    assert read(store)[machine] == [("PASS", SHAS[0], SHAS[0], 1), ("FAIL_DST", SHAS[2], SHAS[2], 2),
                                    ("PASS", SHAS[1], SHAS[1], 1)]  # fmt: skip


def test_runs_of_an_older_commit_change_what_was_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for at in range(3):
        store.record(run(SHAS[at], "G"))
        see(store, at)
    assert read(store)[CASE.machine] == [("PASS", SHAS[0], SHAS[2], 3)]
    store.record(run(SHAS[1], "B"))
    assert [outcome for outcome, *_ in read(store)[CASE.machine]] == ["PASS", "FAIL_DST", "PASS"]


def test_many_commits_are_folded_in_several_transactions(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for at in range(len(SHAS)):
        store.record(run(SHAS[at], "GB"[at // 15]))
        see(store, at)
    assert read(store)[CASE.machine] == [("PASS", SHAS[0], SHAS[14], 15), ("FAIL_DST", SHAS[15], SHAS[29], 15)]
    assert store.histories.of("stable-9.2", []) == ()


Doing = st.one_of(
    st.tuples(st.integers(0, 5), st.sampled_from("GBOUNI"), st.integers(0, 1)), st.just("see"), st.just("read")
)


@settings(max_examples=15, deadline=None)
@given(st.lists(Doing, max_size=20))
def test_folded_as_it_comes_it_is_the_same_as_at_once(
    tmp_path_factory: pytest.TempPathFactory, doings: list[tuple[int, str, int] | str]
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    seen, recorded = 0, list[Run]()
    for doing in doings:
        if isinstance(doing, tuple):
            at, letter, which = doing
            recorded.append(run(SHAS[at], letter, case=CASES[which]))
            store.record(recorded[-1])
        elif doing == "read":
            read(store)
        elif seen < 6:
            see(store, seen)
            seen += 1
    folded = {history.case: history for history in store.histories.of("master", list(SHAS[:seen]))}
    for case in CASES:
        of_commits = [[r for r in recorded if (r.commit, r.case) == (sha, case)] for sha in SHAS[:seen]]
        whole = told(case, filter(None, of_commits))
        if whole.now is None:
            assert case not in folded or folded[case].now is None
        else:
            assert folded[case] == whole
