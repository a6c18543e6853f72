"""Runs of several hosts: what is concluded from them, and what is a comparison at all."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.bisection import Bisection
from bot.core.confirmation import Phase, Rules
from bot.core.dag import Dag
from bot.model import FirstBad, Flaky, Inconclusive, MergeConflict, Suspects
from tests.core.test_bisection import fold, line, oracle, start
from tests.core.test_dag import dags, tangles
from tests.testing.world import run

Answer = Callable[[str, str], str]
"""(commit, host) -> letter."""


def play(state: Bisection, answer: Answer, hosts: list[str], lose: int, seed: int) -> Bisection:
    """Each test is done on the host that it is for, if that one lives, else on any; after `lose` tests one is lost."""
    chance, alive = random.Random(seed), list(hosts)  # noqa: S311 - not a secret
    tests = 0
    while jobs := state.next_jobs():
        (job,) = jobs
        tests += 1
        assert tests < 3000, "the search does not end"
        if tests == lose and len(alive) > 1:
            alive.remove(job.host if job.host in alive else alive[0])
        host = job.host if job.host in alive else chance.choice(alive)
        for _ in range(job.times):
            found = run(job.commit, answer(job.commit, host), at=float(len(state.runs)), binary=f"{job.commit} {host}")
            state = state.observe(replace(found, host=host))
    return state


@settings(max_examples=25)
@given(dags(12) | tangles(12), st.data(), st.integers(1, 25), st.integers(0, 99))
def test_a_culprit_is_compared_with_its_parents_on_one_host(
    parents: dict[str, tuple[str, ...]], data: st.DataObject, lose: int, seed: int
) -> None:
    """Whichever host did what, and whenever one is lost: what is told of the culprit was all run on one of them."""
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    says = oracle(dag, culprit)
    state = play(start(dag, rules=Rules(min_runs=4)), lambda sha, _: says(sha), ["alpha", "beta", "gamma"], lose, seed)
    assert isinstance(state.finding, FirstBad | MergeConflict)
    assert state.finding.commit == culprit
    confirmation = state.finding.confirmation
    for tally in (confirmation.culprit, *confirmation.parents, confirmation.bad_end, confirmation.good_end):
        assert tally.n == sum(r.commit == tally.commit and r.host == state.host for r in state.runs) >= 4
    assert confirmation.binary_differs is True


@settings(max_examples=10)
@given(dags(5), st.integers(0, 40), st.integers(0, 99))
def test_a_failure_of_one_host_alone_blames_nobody(parents: dict[str, tuple[str, ...]], lose: int, seed: int) -> None:
    """Everything fails on alpha, and nothing on beta."""
    state = start(Dag.of(parents), rules=Rules(min_runs=4, max_runs=20))
    state = play(state, lambda _, host: "B" if host == "alpha" else "G", ["alpha", "beta"], lose, seed)
    assert not isinstance(state.finding, FirstBad | MergeConflict), state.finding
    if isinstance(state.finding, Flaky):
        assert state.finding.bad > 0


def test_binaries_of_two_hosts_do_not_show_that_a_commit_changed_something() -> None:
    """Other compilers, other bytes. On the host of the confirmation both commits are the same executable."""
    dag, same = line(2), {"alpha": "made by alpha", "beta": "made by beta"}
    state = start(dag, "c0")
    for sha, letter, host in (("c2", "B", "alpha"), ("c0", "G", "beta"), ("c1", "G", "beta")):
        at = float(len(state.runs))
        state = state.observe(replace(run(sha, letter, binary=same[host], at=at), host=host))
    assert state.phase is Phase.CONFIRMATION
    while jobs := state.next_jobs():
        (job,) = jobs
        assert job.host is not None
        letter = "B" if job.commit == "c2" else "G"
        at = float(len(state.runs))
        state = state.observe(replace(run(job.commit, letter, binary=same[job.host], at=at), host=job.host))
    assert isinstance(state.finding, Inconclusive)
    assert "their executables are the same" in state.finding.why


def test_what_was_recorded_here_is_not_compared_with_what_comes_from_elsewhere() -> None:
    """A search that went on without hosts, and goes on with one: it begins anew there, and counts that alone."""
    state = fold(start(line(4), "c0"), {"c4": "B" * 4, "c0": "G" * 4, "c2": "G" * 9, "c3": "B" * 8})
    assert {job.host for job in state.next_jobs(4)} == {""}
    while jobs := state.next_jobs():
        (job,) = jobs
        letter, at = "B" if job.commit in ("c3", "c4") else "G", float(len(state.runs))
        state = state.observe(replace(run(job.commit, letter, at=at), host="alpha"))
        assert len(state.runs) < 100, "the search does not end"
    assert isinstance(state.finding, FirstBad)
    assert (state.host, state.finding.confirmation.culprit.n) == ("alpha", 10)


def test_a_search_asks_any_host_and_a_confirmation_one() -> None:
    state = start(line(8), "c0")
    for sha, letter in (("c8", "B"), ("c0", "G")):
        assert {job.host for job in state.next_jobs(2)} == {None}
        state = state.observe(replace(run(sha, letter), host="alpha"))
    for sha, letter, host in (("c4", "G", "beta"), ("c6", "B", "alpha"), ("c5", "B", "beta")):
        assert {job.host for job in state.next_jobs(2)} == {None}
        state = state.observe(replace(run(sha, letter, at=float(len(state.runs))), host=host))
    assert {job.host for job in state.next_jobs(4)} == {"beta"}


# -- tests that lost their use -------------------------------------------------------------------------------------


def test_a_probe_loses_its_use_when_others_said_what_it_would() -> None:
    state = fold(start(line(16), "c0"), {"c16": "B", "c0": "G"})
    assert not any(map(state.needless, ("c4", "c8", "c12")))
    bad = fold(state, {"c8": "B"})
    assert [bad.needless(sha) for sha in ("c4", "c12")] == [False, True]
    good = fold(state, {"c8": "G"})
    assert [good.needless(sha) for sha in ("c4", "c12")] == [True, False]
    skipped = fold(state, {"c8": "N"})
    assert not any(map(skipped.needless, ("c4", "c8", "c12")))  # c8 may be mended, and c4 and c12 part the suspects


def test_the_ends_are_needless_only_once_they_are_known() -> None:
    state = start(line(16), "c0")
    assert not state.needless("c16") and not state.needless("c0")
    assert not fold(state, {"c16": "B"}).needless("c0")


def test_the_suspect_and_its_parents_keep_their_use_in_a_confirmation() -> None:
    state = fold(start(line(16), "c0"), {"c16": "B", "c0": "G", "c8": "B", "c7": "G"})
    assert [state.needless(sha) for sha in ("c8", "c7", "c16", "c0", "c4")] == [False] * 4 + [True]


def test_nothing_is_needless_while_runs_are_weighed() -> None:
    state = fold(start(line(16), "c0"), {"c16": "B", "c0": "G", "c8": "BG"})
    assert state.belief is not None and state.phase is Phase.SEARCH
    assert not any(map(state.needless, ("c4", "c12")))


def test_all_is_needless_once_there_is_a_finding() -> None:
    state = fold(start(line(2), "c0"), {"c2": "B" * 10, "c0": "G" * 10, "c1": "N"})
    assert isinstance(state.finding, Suspects)
    assert state.needless("c1")
