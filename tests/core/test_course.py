"""The course of a search: replayed from its runs, every row a whole belief, however large the range."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.bisection import Bisection
from bot.core.course import BINS, ROWS, course
from bot.core.dag import Dag
from bot.model import Course, CourseRow, Inconclusive
from tests.core.test_bisection import fold, line, noisy, oracle, play, start
from tests.core.test_dag import dags
from tests.testing.world import run


def whole(found: Course) -> None:
    """What holds for every course."""
    assert 1 <= len(found.rows) <= ROWS
    for row in found.rows:
        assert len(row.weights) == min(BINS, found.commits)
        assert min(row.weights) >= 0 <= row.nobody
        assert sum(row.weights) + row.nobody == pytest.approx(1, abs=1e-3)
        assert row.share <= max(row.weights) * 1.001
        assert 1 <= row.suspects <= found.commits
        assert all(0 <= first < last <= len(row.weights) for first, last in row.spans)
        assert sum(last - first for first, last in row.spans) <= row.suspects or found.commits > BINS


def kinds(found: Course) -> list[str]:
    return [row.phase for row in found.rows]


def searched(state: Bisection, culprit: str, skipped: frozenset[str] = frozenset()) -> tuple[Bisection, Course]:
    state, _, _ = play(state, oracle(state.dag, culprit, skipped))
    found = course(state)
    whole(found)
    return state, found


def test_a_row_is_a_step_of_the_search() -> None:
    state, found = searched(start(line(16), "c0"), "c5")
    assert kinds(found) == ["ends", *["search"] * 4, "confirmation"]
    assert [row.suspects for row in found.rows] == [16, 8, 4, 2, 1, 1]
    assert [row.probes[0].commit for row in found.rows[1:-1]] == ["c8", "c4", "c6", "c5"]
    assert [row.why for row in found.rows] == ["", *["midpoint"] * 4, ""]
    ends, first, *_, last = found.rows
    assert {(probe.commit, probe.place, probe.good, probe.bad) for probe in ends.probes} == {
        ("c16", 15, 0, 1), ("c0", None, 1, 0)
    }  # fmt: skip
    assert (first.spans, first.weights[:2], first.weights[8]) == (((0, 8),), (0.125, 0.125), 0.0)
    assert (last.likeliest, last.share) == ("c5", 1.0) and state.finding is not None
    assert {probe.commit: probe.bad for probe in last.probes}["c5"] == 9


def test_weights_show_before_the_first_probe() -> None:
    dag = line(4)
    state = start(dag, "c0", prior={"c1": 0.1, "c2": 0.6, "c3": 0.2, "c4": 0.1})
    _, found = searched(state, "c2")
    assert found.rows[0].weights == (0.1, 0.6, 0.2, 0.1)
    assert (found.rows[0].likeliest, found.rows[1].why) == ("c2", "likeliest, 60 %")
    assert found.rows[1].weights == pytest.approx((1 / 7, 6 / 7, 0, 0), abs=1e-3)


def test_suspects_without_any_weight_are_all_the_same() -> None:
    state = fold(start(line(4), "c0", prior={f"c{i}": float(i > 2) for i in range(1, 5)}), {"c4": "B", "c0": "G"})
    found = course(fold(state, {"c2": "B"}))
    whole(found)
    assert found.rows[-1].weights == (0.5, 0.5, 0.0, 0.0)


def test_a_range_of_one_commit_and_a_search_that_has_not_begun() -> None:
    _, found = searched(start(line(1), "c0"), "c1")
    assert (found.commits, kinds(found)) == (1, ["ends", "confirmation"])
    assert {row.weights for row in found.rows} == {(1.0,)}
    fresh = course(start(line(3), "c0"))
    whole(fresh)
    assert (fresh.rows[0].probes, fresh.rows[0].suspects) == ((), 3)


def test_skips_leave_suspects() -> None:
    state, found = searched(start(line(12), "c0"), "c5", frozenset({"c4", "c5", "c6"}))
    assert found.rows[-1].suspects == len(state.suspects) == 4
    assert sum(probe.skip for row in found.rows for probe in row.probes) == 3
    assert any(row.why.endswith("away from skipped commits") for row in found.rows)


def test_noise_shows_belief_and_that_it_may_be_nobody() -> None:
    for seed in range(3):
        state = noisy(60, "c20", 0.5, 0.0, seed)
        found = course(state)
        whole(found)
        assert any(0.01 < row.nobody < 1 for row in found.rows)
        assert found.rows[-1].suspects == len(state.suspects)
        runs = sum(p.good + p.bad + p.skip for row in found.rows for p in row.probes)
        assert runs == len(state.runs)  # none is lost where rows are joined


def test_what_the_machine_failed_to_run_is_no_row() -> None:
    state = fold(start(line(8), "c0"), {"c8": "IB", "c0": "G", "c4": "II"})
    assert kinds(course(state)) == ["ends"]
    assert isinstance(fold(state, {"c4": "IIIII"}).finding, Inconclusive)


@given(dags(), st.data())
def test_any_runs_in_any_order_have_a_course(parents: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    dag = Dag.of(parents)
    shas = st.sampled_from([*dag.commits, "good", *sorted(dag.outside)])
    state = start(dag)
    if data.draw(st.booleans()):
        some = st.sampled_from([0.0, 1e-6, 0.1, 1.0, 50.0])
        state = state.weighted({sha: data.draw(some) for sha in dag.commits} | {dag.commits[0]: 1.0})
    for sha, letter in data.draw(st.lists(st.tuples(shas, st.sampled_from("GBONUSI")), max_size=25)):
        state = state.observe(run(sha, letter))
    found = course(state)
    whole(found)
    assert found.rows[-1].suspects == len(state.suspects)


def test_twenty_thousand_commits_are_no_more_than_their_bins() -> None:
    rng = random.Random(2)  # noqa: S311 - a drawing, not a secret
    state = start(line(20_000), "c0", prior={f"c{i}": rng.random() for i in range(1, 20_001)})
    _, found = searched(state, "c12345")
    assert {len(row.weights) for row in found.rows} == {BINS}
    culprit: CourseRow = found.rows[-1]
    assert culprit.weights.index(1.0) == 12344 * BINS // 20_000
