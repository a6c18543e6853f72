"""The posterior: noise on both sides, any order, any shape, and a culprit that is never ruled out for good."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.belief import believe
from bot.core.bisection import Bisection
from bot.core.dag import Dag
from bot.core.verdict import Count
from bot.model import FirstBad, MergeConflict, Question
from tests.core.test_bisection import line, oracle, start
from tests.core.test_dag import dags
from tests.testing.world import CASE, run


def flat(dag: Dag) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.ones(len(dag))


def test_without_runs_it_is_the_prior() -> None:
    dag = line(4)
    belief = believe(dag, np.array([1.0, 2.0, 3.0, 4.0]), {})
    assert belief.weights / (1 - belief.flake) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert belief.again() == {}


def test_a_pass_moves_weight_to_younger_commits_and_leaves_some_for_a_miss() -> None:
    dag = line(8)
    belief = believe(dag, flat(dag), {"c8": Count(bad=1), "c4": Count(good=1)})
    assert 0.0 < belief.has(dag, "c4") < 0.1
    assert belief.has(dag, "c8") == pytest.approx(1.0)


def test_a_miss_is_outvoted() -> None:
    dag = line(8)
    counts = {"c8": Count(bad=9, good=1), "c4": Count(bad=6, good=1), "c3": Count(good=6), "c0": Count(good=6)}
    belief = believe(dag, flat(dag), counts)
    assert dag.commits[belief.best] == "c4"
    assert belief.confidence > 0.95


def test_a_false_failure_is_outvoted() -> None:
    dag = line(8)
    counts = {"c8": Count(bad=6), "c4": Count(bad=6), "c3": Count(good=6, bad=1), "c0": Count(good=6)}
    belief = believe(dag, flat(dag), counts)
    assert dag.commits[belief.best] == "c4"
    assert belief.confidence > 0.95


def test_a_flake_that_is_everywhere_is_seen_as_one() -> None:
    dag = line(8)
    belief = believe(dag, flat(dag), {f"c{i}": Count(good=14, bad=6) for i in range(9)})
    assert belief.flake > 0.9


def test_an_older_failure_that_was_cured_costs_once_however_often_it_is_run() -> None:
    dag = line(8)
    few, many = (
        believe(dag, flat(dag), {"c8": Count(bad=5), "c1": Count(bad=n), "c5": Count(good=9), "c6": Count(bad=5)})
        for n in (8, 80)
    )
    assert dag.commits[few.best] == dag.commits[many.best] == "c6"
    assert many.confidence > 0.8


def test_a_run_more_tells_less_of_a_commit_that_was_run_often() -> None:
    dag = line(8)
    few = believe(dag, flat(dag), {"c8": Count(bad=3), "c4": Count(good=1), "c5": Count(good=1)})
    many = believe(dag, flat(dag), {"c8": Count(bad=3), "c4": Count(good=9), "c5": Count(good=9)})
    assert few.again()["c5"] > many.again()["c5"]
    assert few.information(dag)[dag.position("c6")] > few.again()["c5"]


@settings(deadline=None, max_examples=60)
@given(dags(), st.data())
def test_it_depends_on_the_counts_alone_and_rules_nobody_out(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    dag = Dag.of(parents)
    some = st.builds(Count, good=st.integers(0, 30), bad=st.integers(0, 30))
    counts = data.draw(st.dictionaries(st.sampled_from([*dag.commits, "good"]), some))
    belief = believe(dag, flat(dag), counts)
    again = believe(dag, flat(dag), dict(data.draw(st.permutations(list(counts.items())))))
    assert (belief.weights == again.weights).all()
    assert belief.again() == again.again()
    assert belief.weights.sum() + belief.flake == pytest.approx(1.0)
    assert all(np.isfinite(belief.information(dag)))
    assert belief.flake < 1.0


@settings(deadline=None, max_examples=60)
@given(dags(), st.data(), st.integers(0, 2**32))
def test_under_noise_and_skips_it_ends_and_prefixes_and_orders_agree(
    parents: dict[str, tuple[str, ...]], data: st.DataObject, seed: int
) -> None:
    """Runs come two at a time, in either order; the state is that of the set of runs, and the culprit keeps weight."""
    dag, chance = Dag.of(parents), random.Random(seed)  # noqa: S311 - noise, not a secret
    culprit = data.draw(st.sampled_from(dag.commits))
    skipped = frozenset(data.draw(st.lists(st.sampled_from(dag.commits), max_size=3, unique=True))) - {dag.commits[-1]}
    honest = oracle(dag, culprit, skipped)
    state, swapped, runs = start(dag), start(dag), 0
    while (jobs := state.next_jobs(2)) and runs < 3000:
        assert swapped.next_jobs(2) == jobs
        came = []
        for job in jobs:
            for _ in range(job.times):
                letter, runs = honest(job.commit), runs + 1
                flipped = {"B": "G", "G": "B"}.get(letter, letter)
                rate = {"B": 0.1, "G": 0.02}.get(letter, 0.0)
                came.append(run(job.commit, flipped if chance.random() < rate else letter, at=float(runs)))
        for each in came:
            state = state.observe(each)
        for each in reversed(came):
            swapped = swapped.observe(each)
        assert state.suspects == swapped.suspects
        if state.belief is not None and swapped.belief is not None:
            assert state.belief.weights[dag.position(culprit)] > 0
            assert (state.belief.weights == swapped.belief.weights).all()
    assert runs < 3000
    assert type(state.finding) is type(swapped.finding)


def _cost(state: Bisection) -> Callable[[str], float]:
    return lambda sha: 8.0 if state.count(sha).n else 60.0


@pytest.mark.parametrize(("misses", "false"), [(0.05, 0.02), (0.1, 0.0), (0.0, 0.05)])
def test_a_culprit_is_found_through_noise(misses: float, false: float) -> None:
    wrong = 0
    for seed in range(30):
        chance = random.Random(seed)  # noqa: S311 - noise, not a secret
        dag = line(200)
        honest = oracle(dag, "c70")
        state = Bisection.start(Question("c0", "c200", CASE), dag)
        at = 0
        while jobs := state.next_jobs(cost=_cost(state)):
            for _ in range(jobs[0].times):
                bad = honest(jobs[0].commit) == "B"
                fails, at = chance.random() < (1 - misses if bad else false), at + 1
                state = state.observe(run(jobs[0].commit, "B" if fails else "G", at=float(at)))
        found = state.finding
        assert not isinstance(found, FirstBad | MergeConflict) or found.commit == "c70"
        wrong += not isinstance(found, FirstBad)
    assert wrong <= 1


def test_cost_makes_repeats_win() -> None:
    """After a pass by luck all that follows is bad: to ask again is cheaper than to go on."""
    dag = line(1024)
    state = Bisection.start(Question("c0", "c1024", CASE), dag)
    for sha, letter in (("c1024", "B"), ("c0", "G"), ("c512", "G"), ("c768", "B"), ("c640", "B"), ("c576", "B")):
        state = state.observe(run(sha, letter))
    even = state.next_jobs()
    dear = state.next_jobs(cost=lambda sha: 0.3 if state.count(sha).n else 60.0)
    assert state.belief is None
    assert not state.count(even[0].commit).n
    assert state.count(dear[0].commit).n
