"""The range as a graph, against the real git on the same drawings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.dag import Dag
from bot.core.probe import choose
from tests.testing.history import draw, git, parents_of

DRAWING = """
0 1 2 3 4
1 a b c
4 5=c 6
b x y
6 7=y 8
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dag") / "repository"


def test_sets_and_distances_are_those_of_git(drawn: Path) -> None:
    history = draw(drawn, DRAWING)
    dag = Dag.of(history.repository.parents([history["0"]], history["8"]))
    assert len(dag) == 13
    assert history["0"] not in dag
    for name, sha in history.shas.items():
        if name == "0":
            continue
        listed = git(drawn, "rev-list", sha, f"^{history['0']}").split()
        assert set(dag.names(dag.ancestors(sha))) == set(listed)
        for older, older_sha in history.shas.items():
            counted = git(drawn, "rev-list", "--count", f"{older_sha}..{sha}")
            assert dag.distance(older_sha, sha) == int(counted), (older, name)
    for names in ("1", "1 2 3 4", " ".join(history.shas)):
        some = [history[name] for name in names.split() if name != "0"]
        total = sum(map(dag.bit, some))
        assert set(dag.newest(total)) == set(git(drawn, "merge-base", "--independent", *some).split())
        assert dag.oldest(total) == tuple(
            sha for sha in dag.names(total) if not any(o != sha and o in dag.names(dag.ancestors(sha)) for o in some)
        )
    line = git(drawn, "rev-list", "--first-parent", "--reverse", f"{history['0']}..{history['8']}").split()
    assert list(dag.mainline(history["8"]).commits) == line
    assert history["a"] not in dag.mainline(history["8"])


def test_a_first_parent_line_has_the_weights_of_what_its_merges_brought() -> None:
    dag = Dag.of({"a": ("0",), "x": ("0",), "y": ("x",), "m": ("a", "y"), "b": ("m",)})
    weights = {"a": 0.1, "x": 0.2, "y": 0.3, "m": 0.05, "b": 0.35}
    line = dag.mainline("b")
    assert dag.gathered(weights, line) == pytest.approx({"a": 0.1, "m": 0.55, "b": 0.35})


def test_parents_outside_the_range_stay_known() -> None:
    dag = Dag.of({"b": ("a",), "c": ("b", "z")})
    assert dag.parents["c"] == ("b", "z")
    assert dag.names(dag.ancestors("c")) == ("b", "c")


def test_an_empty_range_says_why() -> None:
    with pytest.raises(ValueError, match="bad is good itself, or an ancestor of it"):
        Dag.of({})


def test_children_before_parents_are_refused() -> None:
    with pytest.raises(ValueError, match="commit b stands before its parent a"):
        Dag.of({"b": ("a",), "a": ()})


@st.composite
def dags(draw_: st.DrawFn, most: int = 40) -> dict[str, tuple[str, ...]]:
    """Histories in which any commit may fork off, and any two may be merged; the last one holds all."""
    n = draw_(st.integers(1, most))
    parents: dict[str, tuple[str, ...]] = {}
    tips = ["good"]
    for i in range(n):
        two = len(tips) > 1 and draw_(st.booleans())
        mine = draw_(st.permutations(tips))[: 2 if two else 1]
        if not two and parents and draw_(st.integers(0, 4)) == 0:
            mine = [draw_(st.sampled_from(list(parents)))]
        tips = [t for t in tips if t not in mine] + [f"c{i}"]
        parents[f"c{i}"] = tuple(mine)
    while len(tips) > 1:
        one, other = tips.pop(), tips.pop()
        parents[f"m{len(parents)}"] = (one, other)
        tips.append(f"m{len(parents) - 1}")
    return parents


@st.composite
def tangles(draw_: st.DrawFn, most: int = 40) -> dict[str, tuple[str, ...]]:
    """Histories of which half are merges, of two to four, criss-cross and with older good ones; the last holds all."""
    parents: dict[str, tuple[str, ...]] = {}
    for i in range(draw_(st.integers(1, most))):
        near = ["older", "good", *parents][-draw_(st.sampled_from([3, 8, 40])) :]
        many = draw_(st.sampled_from([1, 1, 1, 2, 2, 3, 4]))
        parents[f"c{i}"] = tuple(draw_(st.lists(st.sampled_from(near), min_size=1, max_size=many, unique=True)))
    tips = set(parents) - {p for its in parents.values() for p in its}
    if len(tips) > 1:
        parents["all"] = tuple(sha for sha in parents if sha in tips)
    return parents


def _reach(parents: dict[str, tuple[str, ...]], tip: str) -> set[str]:
    found, left = set[str](), [tip]
    while left:
        sha = left.pop()
        if sha in parents and sha not in found:
            found.add(sha)
            left += parents[sha]
    return found


@given(dags() | tangles(), st.integers(0, 2**32), st.booleans())
def test_weights_are_those_of_plain_walks(parents: dict[str, tuple[str, ...]], seed: int, even: bool) -> None:
    dag = Dag.of(parents)
    rng = np.random.default_rng(seed)
    weights = np.ones(len(dag)) if even else rng.random(len(dag))
    bad, good = rng.choice(dag.commits), rng.choice(dag.commits)
    suspects = dag.ancestors(bad) & ~(dag.ancestors(good) if good != bad else 0)
    names = set(dag.names(suspects))
    assert names == _reach(parents, bad) - (_reach(parents, good) if good != bad else set())
    positions, below = dag.weigh(suspects, None if even else weights)
    for i, weight in zip(positions.tolist(), below.tolist(), strict=True):
        under = _reach(parents, dag.commits[i]) & names
        assert weight == pytest.approx(sum(weights[dag.commits.index(s)] for s in under))
    asked = dict.fromkeys(names, 0.0)
    for sha in names:
        inside = set(parents[sha]) & names
        for one, part in ((sha, 1), *((parent, len(inside)) for parent in inside)):
            asked[one] += weights[dag.commits.index(sha)] / part
    found = dag.asked(suspects, weights)[positions].tolist()
    assert found == pytest.approx([asked[sha] for sha in dag.names(suspects)])


@given(dags() | tangles(), st.integers(1, 6))
def test_probes_are_distinct_untested_suspects_and_the_first_splits_best(
    parents: dict[str, tuple[str, ...]], k: int
) -> None:
    dag = Dag.of(parents)
    tip = dag.commits[-1]
    suspects = dag.ancestors(tip)
    probes = choose(dag, suspects, dag.bit(tip), 0, k=k)
    n = suspects.bit_count()
    assert len(set(probes)) == len(probes) <= k
    assert tip not in probes
    assert bool(probes) == (n > 1)
    if probes:
        halves = {s: min(b, n - b) for s in dag.names(suspects) if (b := dag.ancestors(s).bit_count())}
        assert halves[probes[0]] == max(h for s, h in halves.items() if s != tip)


def test_several_probes_cut_a_line_into_even_parts() -> None:
    dag = Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(64)})
    probes = choose(dag, dag.ancestors("c63"), dag.bit("c63"), 0, k=3)
    assert sorted(int(p[1:]) for p in probes) == [15, 31, 47]


def test_weight_moves_the_probe() -> None:
    dag = Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(64)})
    weights = np.ones(64)
    weights[50] = 1000
    assert choose(dag, dag.ancestors("c63"), dag.bit("c63"), 0, weights)[0] in ("c49", "c50")


def test_a_commit_with_most_of_the_weight_comes_first_then_its_parent() -> None:
    """Halving would run a third commit before it, for a search that ends with these two in any case."""
    dag = Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(64)})
    weights = np.ones(64)
    weights[40] = 200.0
    weights[10] = 50.0
    everything, tip = dag.ancestors("c63"), dag.bit("c63")
    assert choose(dag, everything, tip, 0, weights) == ("c40",)
    left = dag.ancestors("c40")
    assert choose(dag, left, tip | dag.bit("c40"), 0, weights)[0] == "c39"


def test_between_two_likely_commits_the_cut_is_at_one_of_them() -> None:
    dag = Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(9)})
    for likely, chosen in ({"c2": 0.45, "c6": 0.44}, "c2"), ({"c2": 0.42, "c6": 0.45}, "c5"):
        weights = np.array([likely.get(sha, 0.11 / 7) for sha in dag.commits])
        assert choose(dag, dag.ancestors("c8"), dag.bit("c8"), 0, weights, 1) == (chosen,), "not between them"


@given(dags(), st.integers(0, 2**32), st.integers(1, 4), st.booleans(), st.floats(0.01, 1e4))
def test_costs_that_are_all_the_same_change_nothing(
    parents: dict[str, tuple[str, ...]], seed: int, k: int, even: bool, each: float
) -> None:
    """Nor do those of commits that are tested already, for they are not asked."""
    dag = Dag.of(parents)
    rng = np.random.default_rng(seed)
    weights = None if even else rng.random(len(dag))
    tested = dag.bit(dag.commits[-1]) | dag.bit(str(rng.choice(dag.commits)))
    skipped = dag.bit(str(rng.choice(dag.commits)))
    done = {*dag.names(tested | skipped)}
    ask = (dag, dag.ancestors(dag.commits[-1]), tested | skipped, skipped, weights, k, 7)
    assert choose(*ask, cost=lambda sha: 0.5 if sha in done else each) == choose(*ask)


def test_a_commit_that_is_built_is_worth_an_uneven_cut() -> None:
    dag = Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(64)})
    everything, tip = dag.ancestors("c63"), dag.bit("c63")

    def cost(sha: str) -> float:
        return 1.0 if sha == "c10" else 60.0

    assert choose(dag, everything, tip, 0) == ("c31",)
    assert choose(dag, everything, tip, 0, budget=8, cost=cost) == ("c10",)
    assert choose(dag, everything, tip, 0, budget=8, cost=lambda sha: 59.0 if sha == "c10" else 60.0) == ("c31",)
    assert choose(dag, everything, tip, 0, budget=6, cost=cost) == ("c31",)  # c10 may leave more than 5 probes halve


def test_suspects_without_any_weight_are_still_asked() -> None:
    dag = Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(8)})
    asked = choose(dag, dag.ancestors("c7"), dag.bit("c7"), 0, np.zeros(8), 1, 5, lambda sha: 1.0 + int(sha[1:]))
    assert asked and asked[0] != "c7"


def test_most_of_the_weight_comes_first_whatever_it_costs() -> None:
    dag = Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(64)})
    weights = np.ones(64)
    weights[40] = 200.0
    costs = {"c40": 3600.0, "c20": 0.1}
    assert choose(dag, dag.ancestors("c63"), dag.bit("c63"), 0, weights, 1, 8, lambda s: costs.get(s, 60.0)) == ("c40",)


def test_skips_are_left_by_growing_strides() -> None:
    """A broken window of 300 in 1,000 commits is left after few skips."""
    dag = Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(1000)})
    tested, skipped, tries = dag.bit("c999"), 0, 0
    while True:
        probe = choose(dag, dag.ancestors("c999"), tested, skipped)[0]
        if not 350 <= int(probe[1:]) < 650:
            break
        tested |= dag.bit(probe)
        skipped |= dag.bit(probe)
        tries += 1
    assert tries <= 6


def test_drawings_are_read_as_drawn(tmp_path: Path) -> None:
    assert parents_of(DRAWING)["5"] == ("4", "c")
    history = draw(tmp_path / "r", "1 2 3\n1 a\n3 4=a")
    assert history.holds(history["4"]) == {"1", "2", "3", "a", "4"}
    assert history.holds(history["3"]) == {"1", "2", "3"}
    assert git(tmp_path / "r", "log", "-1", "--format=%s %P", history["4"]) == f"4 {history['3']} {history['a']}"
