"""What an incremental build is expected to take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.cost import between, fitted
from bot.core.dag import Dag
from tests.core.test_dag import dags


@given(dags(), st.data())
def test_what_lies_between_two_commits(parents: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    dag = Dag.of(parents)
    built = data.draw(st.sampled_from([*dag.commits, "good"]))
    sizes = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(dag), max_size=len(dag))), np.float64)
    here = set(dag.names(dag.ancestors(built))) if built in dag else set()
    size = dict(zip(dag.commits, sizes.tolist(), strict=True))
    for sha, found in zip(dag.commits, between(dag, built, sizes).tolist(), strict=True):
        assert found == pytest.approx(sum(size[s] for s in here ^ set(dag.names(dag.ancestors(sha)))))


def test_builds_farther_away_take_longer_up_to_the_longest_measured() -> None:
    line = fitted([(1, 2.0), (10, 12.0), (100, 60.0), (1000, 62.0)])
    near, some, far, farther = line.seconds(np.array([1.0, 20.0, 300.0, 100_000.0])).tolist()
    assert 2.0 <= near < some < far <= farther == 62.0
    assert line.seconds(np.array([0.0])) == [2.0]


def test_one_slow_build_does_not_move_it() -> None:
    builds = [(float(n), 2.0 + 0.1 * n) for n in range(1, 60, 4)]
    calm, slow = fitted(builds), fitted([*builds, (3.0, 900.0)])
    at = np.array([5.0, 30.0])
    assert slow.seconds(at) == pytest.approx(calm.seconds(at), rel=0.3)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), min_size=1, max_size=12))
def test_it_never_falls_and_stays_within_what_was_measured(builds: list[tuple[float, float]]) -> None:
    found = fitted(builds).seconds(np.array([0.0, 1.0, 7.0, 1e3, 1e7]))
    assert (np.diff(found) >= 0).all()
    assert min(s for _, s in builds) <= found[0] + 1e-9
    assert found[-1] <= max(0.1, *(s for _, s in builds)) + 1e-9
    assert (found > 0).all()


def test_builds_at_one_distance_tell_how_long_and_no_more() -> None:
    assert fitted([(5, 3.0), (5, 4.0), (5, 90.0)]).seconds(np.array([0.0, 5.0, 500.0])).tolist() == pytest.approx(
        [4.0] * 3
    )


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="no build"):
        fitted([])
