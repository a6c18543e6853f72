"""Properties of the fold on random histories, and single rules that the table of searches does not show."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peer import git_probes
from bot import model
from bot.core.bisection import SPARE, Bisection
from bot.core.confirmation import Ask, Phase, Rules, confirm
from bot.core.dag import Dag
from bot.core.probe import Cost
from bot.core.verdict import Count
from bot.model import (
    BadAtGoodEnd,
    FirstBad,
    FirstFixed,
    Flaky,
    Inconclusive,
    MergeConflict,
    NotReproduced,
    Question,
    Run,
    Signature,
    Suspects,
    Verdict,
)
from tests.core.test_dag import dags, tangles
from tests.testing.history import parents_of
from tests.testing.world import CASE, LETTERS, SIGNATURE, run

Answer = Callable[[str], str]


def line(n: int) -> Dag:
    """c1 ... cn on top of c0, the good end."""
    return Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(1, n + 1)})


def start(dag: Dag, good: str = "good", **more: object) -> Bisection:
    return Bisection.start(Question(good, dag.commits[-1], CASE), dag, **more)  # type: ignore[arg-type]


def fold(state: Bisection, letters: dict[str, str]) -> Bisection:
    for sha, said in letters.items():
        for letter in said:
            state = state.observe(run(sha, letter))
    return state


def play(state: Bisection, answer: Answer, cost: Cost | None = None) -> tuple[Bisection, list[Run], list[str]]:
    """Ask and answer until there is a finding: the last state, the runs, and the commits that the search probed."""
    runs: list[Run] = []
    probes: list[str] = []
    while jobs := state.next_jobs(cost=cost):
        test = jobs[0]
        if state.phase is Phase.SEARCH:
            probes.append(test.commit)
        for _ in range(test.times):
            at = float(len(runs))
            runs.append(run(test.commit, answer(test.commit), at=at, binary=f"binary of {test.commit}"))
            state = state.observe(runs[-1])
        assert len(runs) < 50000, "the search does not end"
    return state, runs, probes


def oracle(dag: Dag, culprit: str, skipped: frozenset[str] = frozenset()) -> Answer:
    """Bad iff the culprit is in the history, as in the corpus; some commits cannot be tested."""

    def answer(sha: str) -> str:
        if sha in skipped:
            return "N"
        return "B" if sha in dag and dag.ancestors(sha) & dag.bit(culprit) else "G"

    return answer


@given(dags() | tangles(), st.data())
def test_without_skips_the_culprit_is_found_and_confirmed(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    state, runs, probes = play(start(dag), oracle(dag, culprit))
    assert isinstance(state.finding, FirstBad | MergeConflict)
    assert state.finding.commit == culprit
    assert isinstance(state.finding, MergeConflict) == (len(parents[culprit]) > 1)
    assert len(set(probes)) == len(probes)
    assert len(runs) <= 2 + len(probes) + 10 * (3 + len(parents[culprit]))


@given(dags() | tangles(), st.data())
def test_a_fix_is_searched_by_the_same_probes_as_a_culprit(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    dag = Dag.of(parents)
    sought = data.draw(st.sampled_from(dag.commits))
    prior = data.draw(st.sampled_from([None, {sha: float(i + 1) for i, sha in enumerate(dag.commits)}]))
    answers = oracle(dag, sought)
    bad, _, probes = play(start(dag, prior=prior), answers)
    question = Question("good", dag.commits[-1], CASE, cured=True)
    fixed, _, same = play(Bisection.start(question, dag, prior=prior), lambda sha: "G" if answers(sha) == "B" else "B")
    assert isinstance(bad.finding, FirstBad | MergeConflict)
    assert isinstance(fixed.finding, FirstFixed)
    assert fixed.finding.commit == bad.finding.commit == sought
    assert same == probes


@given(st.integers(1, 300), st.data())
def test_a_line_takes_no_more_probes_than_bits(n: int, data: st.DataObject) -> None:
    dag = line(n)
    culprit = f"c{data.draw(st.integers(1, n))}"
    state, _, probes = play(start(dag, "c0"), oracle(dag, culprit))
    assert isinstance(state.finding, FirstBad)
    assert state.finding.commit == culprit
    assert len(probes) <= math.ceil(math.log2(n))


@st.composite
def pulls(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """History in QEMU's manner: pull requests of some commits, based on some older point, merged into a main line."""
    main, parents = ["good"], dict[str, tuple[str, ...]]()
    for i in range(draw(st.integers(1, 12))):
        tip = draw(st.sampled_from(main[-4:]))
        for j in range(draw(st.integers(1, 15))):
            parents[f"p{i}.{j}"], tip = (tip,), f"p{i}.{j}"
        parents[f"m{i}"] = (main[-1], tip)
        main.append(f"m{i}")
    return parents


@given(pulls(), st.data())
def test_history_of_pull_requests_takes_two_probes_more_at_most(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    state, _, probes = play(start(dag), oracle(dag, culprit))
    assert isinstance(state.finding, FirstBad | MergeConflict)
    assert state.finding.commit == culprit
    assert len(probes) <= math.ceil(math.log2(len(dag))) + 2


def halvings(dag: Dag) -> int:
    """The most probes that even cuts alone take, as plain sets say."""
    reach = {sha: set(dag.names(dag.ancestors(sha))) for sha in dag.commits}

    def most(part: list[str]) -> int:
        if len(part) == 1:
            return 0
        sizes = {sha: len(reach[sha].intersection(part)) for sha in part}
        probe = max(part, key=lambda sha: min(sizes[sha], len(part) - sizes[sha]))
        older = [sha for sha in part if sha in reach[probe]]
        return 1 + max(most(older), most([sha for sha in part if sha not in reach[probe]]))

    return most(list(dag.commits))


WEIGHTS = st.sampled_from([0.0, 1e-9, 0.01, 1.0, 1.0, 100.0, 1e6])


@given(dags() | tangles() | pulls(), st.data())
def test_whatever_the_weights_say_two_probes_more_than_halving_at_most(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    """Where merges let no even cut be made, halving itself takes more than the logarithm, and nothing is added."""
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    prior = {sha: data.draw(WEIGHTS) for sha in dag.commits} | {dag.commits[0]: 1.0}
    misled = {sha: 1.0 if sha != culprit else 1e-9 for sha in dag.commits}
    most = max(math.ceil(math.log2(len(dag))) + SPARE, halvings(dag))
    for weights in (None, prior, misled):
        state, _, probes = play(start(dag, prior=weights), oracle(dag, culprit))
        assert isinstance(state.finding, FirstBad | MergeConflict)
        assert state.finding.commit == culprit
        assert len(set(probes)) == len(probes) <= most


@given(st.integers(2, 300), st.integers(0, 2**32))
def test_whatever_the_weights_say_a_line_takes_two_probes_more_at_most(n: int, seed: int) -> None:
    dag, chance = line(n), random.Random(seed)  # noqa: S311 - weights, not secrets
    culprit = f"c{chance.randint(1, n)}"
    steep = chance.choice([0.5, 2.0, 10.0, 40.0])
    prior = {sha: chance.random() ** steep for sha in dag.commits}
    _, _, probes = play(start(dag, "c0", prior=prior), oracle(dag, culprit))
    assert len(probes) <= math.ceil(math.log2(n)) + SPARE


def test_a_bushy_range_keeps_its_cap_when_the_weights_mislead() -> None:
    """By numbers alone the first probes look harmless; what they leave cannot be halved any more."""
    drawn = "c0:old c1:good,c0 c2:c1 c3:good,c1 c4:c1 c5:c4 c6:c5,c4 c7:c1 c8:c1 m:c2,c3,c6,c7,c8"
    dag = Dag.of({sha: tuple(its.split(",")) for sha, its in (word.split(":") for word in drawn.split())})
    prior = {sha: 2.0**-i for i, sha in enumerate(dag.commits)}
    taken = [len(play(start(dag, prior=prior), oracle(dag, culprit))[2]) for culprit in dag.commits]
    assert max(taken) <= math.ceil(math.log2(10)) + SPARE


def test_a_star_takes_a_probe_for_each_ray_and_so_it_does_git() -> None:
    """Thirty patches on one commit, merged at once: no probe tells of two, so no cap in logarithms can hold."""
    rays = [f"r{i}" for i in range(30)]
    dag = Dag.of(dict.fromkeys(rays, ("good",)) | {"m": tuple(rays)})
    for prior in (None, {sha: float(i) for i, sha in enumerate(dag.commits)}):
        taken = [len(play(start(dag, prior=prior), oracle(dag, culprit))[2]) for culprit in dag.commits]
        assert max(taken) == halvings(dag) == git_probes(dag, "m") == 30


@given(dags() | tangles(), st.data())
def test_honest_runs_of_any_commits_in_any_order_never_lose_the_culprit(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    """Not only of those that the search asks for: what the watch or a person ran before counts as well."""
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    tried = data.draw(st.lists(st.sampled_from([*dag.commits, "good"]), max_size=30))
    silent = {sha: data.draw(st.sampled_from("NUOI")) for sha in tried if data.draw(st.integers(0, 3)) == 0}
    honest = oracle(dag, culprit)
    state = start(dag).observe(run(dag.commits[-1], "B"))
    for sha in tried:
        state = state.observe(run(sha, silent.get(sha) or honest(sha)))
        assert culprit in state.suspects
        assert state.belief is None
        assert not isinstance(state.finding, FirstBad | MergeConflict) or state.finding.commit == culprit


@given(pulls(), st.data())
def test_costs_move_the_probes_and_never_what_is_found(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    costs = {sha: data.draw(st.sampled_from([0.3, 5.0, 60.0])) for sha in dag.commits}
    state, runs, probes = play(start(dag), oracle(dag, culprit), lambda sha: costs.get(sha, 60.0))
    assert isinstance(state.finding, FirstBad | MergeConflict)
    assert state.finding.commit == culprit
    assert len(set(probes) - {"good", dag.commits[-1]}) <= math.ceil(math.log2(len(dag))) + 3
    replayed = start(dag)
    for one in runs:
        replayed = replayed.observe(one)
    assert (replayed.finding, replayed.suspects) == (state.finding, state.suspects)


def test_when_runs_are_weighed_a_built_commit_is_asked_though_many_tell_more() -> None:
    """Each of 60 commits between c130 and c190 tells more than c80; it alone is built."""
    state = fold(start(line(200), "c0"), {"c200": "B", "c0": "G", "c100": "BG"})
    assert state.belief is not None
    (dear,) = state.next_jobs(1, lambda sha: 60.0 if not state.count(sha).n else 1e6)
    (cheap,) = state.next_jobs(1, lambda sha: 0.01 if sha == "c80" else 1e6 if state.count(sha).n else 60.0)
    assert dear.commit != "c80"
    assert cheap.commit == "c80"


@given(dags() | tangles(), st.data())
def test_skips_never_lose_the_culprit(parents: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    others = [sha for sha in dag.commits if sha != dag.commits[-1]]
    skipped = frozenset(data.draw(st.lists(st.sampled_from(others), unique=True)) if others else ())
    answer = oracle(dag, culprit, skipped)
    state = start(dag)
    while jobs := state.next_jobs():
        state = state.observe(run(jobs[0].commit, answer(jobs[0].commit)))
        assert culprit in state.suspects
    match state.finding:
        case Suspects(commits=commits, skipped=out):
            assert culprit in commits
            assert set(out) <= skipped
            assert all(sha in skipped or state.verdict(sha) is Verdict.BAD for sha in commits)
        case FirstBad(commit=sha) | MergeConflict(commit=sha):
            assert sha == culprit
            assert not skipped & {culprit, *parents[culprit]}
        case other:
            raise AssertionError(other)


@given(dags() | tangles(), st.data())
def test_skips_and_one_run_that_lies_never_lose_the_culprit(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    others = [sha for sha in dag.commits if sha != dag.commits[-1]]
    skipped = frozenset(data.draw(st.lists(st.sampled_from(others), unique=True)) if others else ())
    honest = oracle(dag, culprit, skipped)
    liars = {data.draw(st.sampled_from(dag.commits))} - skipped

    def answer(sha: str) -> str:
        if sha not in liars:
            return honest(sha)
        liars.remove(sha)
        return "G" if honest(sha) == "B" else "B"

    match play(start(dag), answer)[0].finding:
        case Suspects(commits=commits):
            assert culprit in commits
        case found:
            assert isinstance(found, FirstBad | MergeConflict), found
            assert found.commit == culprit


@given(dags() | tangles(), st.data())
def test_any_order_and_any_prefix_of_runs_gives_the_same_state(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    dag = Dag.of(parents)
    letters = st.sampled_from("GGGBBBNOUI")
    some = data.draw(st.lists(st.tuples(st.sampled_from([*dag.commits, "good"]), letters), max_size=40))
    runs = [run(sha, letter, at=float(i)) for i, (sha, letter) in enumerate(some)]
    upto = data.draw(st.integers(0, len(runs)))
    states = []
    for order in (runs[:upto], data.draw(st.permutations(runs[:upto]))):
        state = start(dag)
        for each in order:
            state = state.observe(each)
        states.append(state)
    one, other = states
    assert one.suspects == other.suspects
    assert one.suspects
    assert one.signature == other.signature
    assert one.counts == other.counts
    assert one.phase is other.phase
    assert one.next_jobs(3) == other.next_jobs(3)
    assert type(one.finding) is type(other.finding)
    assert (one.finding is None) == bool(one.next_jobs())


@settings(max_examples=40)
@given(dags() | tangles(), st.data(), st.integers(0, 2**32))
def test_whatever_order_parallel_runs_come_in_and_wherever_it_is_gone_on_from(
    parents: dict[str, tuple[str, ...]], data: st.DataObject, seed: int
) -> None:
    """Several tests at once, noise, skips, misleading weights: the runs alone decide, not who was faster."""
    dag, chance = Dag.of(parents), random.Random(seed)  # noqa: S311 - noise, not a secret
    skipped = frozenset(data.draw(st.lists(st.sampled_from(dag.commits), max_size=3, unique=True))) - {dag.commits[-1]}
    honest = oracle(dag, data.draw(st.sampled_from(dag.commits)), skipped)
    rates = {"B": data.draw(st.sampled_from([0.0, 0.1, 0.4])), "G": data.draw(st.sampled_from([0.0, 0.0, 0.03]))}
    weights = data.draw(st.none() | st.fixed_dictionaries(dict.fromkeys(dag.commits, WEIGHTS)))
    prior = weights and weights | {dag.commits[-1]: 1.0}
    k = data.draw(st.integers(1, 4))
    state = shuffled = start(dag, prior=prior)
    states, runs = [state], list[Run]()
    while jobs := state.next_jobs(k):
        assert shuffled.next_jobs(k) == jobs
        came: list[Run] = []
        for letter, sha in ((honest(job.commit), job.commit) for job in jobs for _ in range(job.times)):
            flipped = chance.random() < rates.get(letter, 0.0)
            said = {"B": "G", "G": "B"}[letter] if flipped else letter
            came.append(run(sha, said, at=float(len(runs) + len(came)), binary=f"binary of {sha}"))
        for each in came:
            state = state.observe(each)
            runs.append(each)
            states.append(state)
        for each in chance.sample(came, len(came)):
            shuffled = shuffled.observe(each)
        alike(state, shuffled)
        assert len(runs) < 5000, "the search does not end"
    upto = data.draw(st.integers(0, len(runs)))
    replayed = start(dag, prior=prior)
    for each in chance.sample(runs[:upto], upto):
        replayed = replayed.observe(each)
    alike(replayed, states[upto])


def alike(one: Bisection, other: Bisection) -> None:
    """Two states that know the same runs know the same of everything."""
    assert (one.signature, one.counts, one.suspects, one.skipped) == (
        other.signature, other.counts, other.suspects, other.skipped,
    )  # fmt: skip
    assert (one.phase, one.suspect, one.next_jobs(3)) == (other.phase, other.suspect, other.next_jobs(3))
    assert (one.belief is None) is (other.belief is None)
    if one.belief is not None and other.belief is not None:
        assert (one.belief.weights == other.belief.weights).all()
    if isinstance(one.finding, NotReproduced | BadAtGoodEnd):  # these tell of runs, in the order in which they came
        assert type(one.finding) is type(other.finding)
    else:
        assert one.finding == other.finding


def noisy(n: int, culprit: str | None, shown: float, false: float, seed: int) -> Bisection:
    """A search of a line whose culprit fails at the rate `shown`, and every other commit at the rate `false`."""
    dag, rng = line(n), random.Random(seed)  # noqa: S311 - noise, not a secret
    honest = oracle(dag, culprit) if culprit else lambda _: "G"
    state = start(dag, "c0").observe(run(f"c{n}", "B"))
    return play(state, lambda sha: "B" if rng.random() < (shown if honest(sha) == "B" else false) else "G")[0]


@pytest.mark.parametrize(("shown", "found"), [(0.9, 40), (0.5, 40), (0.2, 38)])
def test_an_intermittent_failure_is_found_and_nobody_else_is_blamed(shown: float, found: int) -> None:
    findings = [noisy(200, "c70", shown, 0.0, seed).finding for seed in range(40)]
    blamed = [finding.commit for finding in findings if isinstance(finding, FirstBad)]
    assert blamed.count("c70") == len(blamed) >= found


def test_a_short_range_is_not_built_whole_where_runs_of_what_is_built_tell_more() -> None:
    """Of 40 commits a search by halves has 8 with its ends; to tell passes of bad ones apart takes runs, not builds."""
    states = [noisy(40, "c20", 0.5, 0.0, seed) for seed in range(8)]
    assert [state.suspect for state in states] == ["c20"] * 8
    assert sum(len(state.counts) for state in states) / 8 < 16


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
def test_a_flake_that_is_everywhere_is_nobodys(rate: float) -> None:
    findings = [noisy(100, None, 0.0, rate, seed).finding for seed in range(12)]
    assert not [finding for finding in findings if isinstance(finding, FirstBad)]


PULLED = """
good a0 a1 a2
good m0=a2
good b0 b1 b2 b3 b4 b5
m0 m1=b5
m1 c0 c1 c2 c3 c4 c5 c6
m1 q
m1 m2=c6+q
"""
WEIGHTY = ("a0", "m0", "b0", "m1", "c0", "c1", "m2")


@pytest.mark.parametrize("culprit", ["m2", "q", "b3"])
def test_commits_without_any_weight_are_found_and_what_costs_little_is_not_run_for_ever(culprit: str) -> None:
    """In the end all that has weight is the bad end: to run it again tells nothing, however dear a build is."""
    dag = Dag.of({sha: its for sha, its in parents_of(PULLED).items() if sha != "good"})
    honest, state = oracle(dag, culprit), start(dag, prior={sha: float(sha in WEIGHTY) for sha in dag.commits})
    while jobs := state.next_jobs(cost=lambda sha: 8.0 if state.count(sha).n else 60.0):  # noqa: B023
        state = state.observe(run(jobs[0].commit, honest(jobs[0].commit), at=float(len(state.runs))))
        assert len(state.runs) < 300, "the search does not end"
    assert isinstance(state.finding, FirstBad | MergeConflict)
    assert state.finding.commit == culprit


def test_nobody_is_suspected_whose_own_runs_all_pass() -> None:
    """The weights are for c4; that it is bad and passes each time itself, while all above fail, is no answer."""
    dag = line(8)
    prior = dict.fromkeys(dag.commits, 1e-4) | {"c4": 1.0}
    state = fold(start(dag, "c0", prior=prior), {"c8": "B" * 10, "c0": "G" * 10, "c2": "BG", "c4": "G" * 30, "c5": "B"})
    assert state.suspect == "c5"


def test_few_runs_blame_nobody_where_runs_contradict_each_other() -> None:
    """3 of 3 against 0 of 3 is no chance if failures come every time; elsewhere it is one in twenty."""
    few = Rules(min_runs=3)
    counts = {"c1": Count(good=3), "c2": Count(bad=3), "c0": Count(good=3), "c4": Count(good=3, bad=3)}
    blamed = {
        noisy: confirm(Question("c0", "c4", CASE), "c2", ("c1",), counts, {}, few, noisy=noisy)
        for noisy in (False, True)
    }
    assert isinstance(blamed[False], FirstBad)
    assert isinstance(blamed[True], Ask)


@settings(max_examples=60)
@given(dags() | tangles(), st.data(), st.integers(2, 4))
def test_a_search_that_keeps_several_tests_going_finds_the_culprit(
    parents: dict[str, tuple[str, ...]], data: st.DataObject, k: int
) -> None:
    """They end in any order; each time one ends another is begun beside those that go on, and none of these again."""
    dag = Dag.of(parents)
    culprit = data.draw(st.sampled_from(dag.commits))
    answer, chance = oracle(dag, culprit), random.Random(data.draw(st.integers(0, 99)))  # noqa: S311 - not a secret
    state, going, count = start(dag), list[model.Test](), 0
    while True:
        running = [test.commit for test in going]
        begun = state.next_jobs(k - len(going), running=running)
        assert not {test.commit for test in begun} & set(running)
        going += begun
        assert len({test.commit for test in going}) == len(going) <= k
        if not going:
            break
        test = going.pop(chance.randrange(len(going)))
        for _ in range(test.times):
            count += 1
            name = f"binary of {test.commit}"
            state = state.observe(run(test.commit, answer(test.commit), at=float(count), binary=name))
        assert count < 5000, "the search does not end"
    assert isinstance(state.finding, FirstBad | MergeConflict)
    assert state.finding.commit == culprit


# -- single rules --------------------------------------------------------------------------------------------------


def test_the_bad_end_is_asked_first_and_a_second_job_is_the_good_end() -> None:
    state = start(line(8), "c0")
    assert state.next_jobs() == (model.Test("c8", (CASE,)),)
    assert [t.commit for t in state.next_jobs(5)] == ["c8", "c0"]
    assert (state.phase, state.why("c8"), state.why("c0")) == (Phase.ENDS, "bad end", "good end")
    assert state.remaining == 2 + 3


def test_a_merge_base_bounds_suspects_where_good_is_no_ancestor() -> None:
    state = start(line(3), "side", merge_base="c0")
    state = fold(state, {"c3": "B" * 10, "side": "G" * 10, "c0": "G", "c2": "N", "c1": "N"})
    assert state.phase is Phase.CONFIRMATION
    assert {test.commit for test in state.next_jobs(5)} == {"c0"}
    assert fold(state, {"c0": "G" * 9}).finding == Suspects(("c1", "c2", "c3"), ("c1", "c2"))
    unbuilt = fold(
        start(line(3), "side", merge_base="c0"), {"c3": "B" * 10, "side": "G" * 10, "c0": "N", "c2": "N", "c1": "N"}
    )
    assert isinstance(unbuilt.finding, Suspects)


def test_the_merge_base_is_asked_after_the_ends() -> None:
    state = fold(start(line(8), "g", merge_base="c0"), {"c8": "B", "g": "G"})
    assert [t.commit for t in state.next_jobs(3)] == ["c0"]
    assert state.why("c0") == "merge base"


def test_several_jobs_in_the_search_are_chosen_together() -> None:
    state = fold(start(line(16), "c0"), {"c16": "B", "c0": "G"})
    assert sorted(t.commit for t in state.next_jobs(3)) == ["c12", "c4", "c8"]
    assert (state.why("c8"), state.why("c4", beside=True)) == ("midpoint", "midpoint of a part")
    assert state.remaining == 4


def test_what_is_asked_beside_a_running_test_cuts_what_that_leaves() -> None:
    state = fold(start(line(16), "c0"), {"c16": "B", "c0": "G"})
    assert {t.commit for t in state.next_jobs(2, running=["c8"])} == {"c4", "c12"}
    assert [t.commit for t in state.next_jobs(1, running=["c8", "c12"])] == ["c4"]
    needless = fold(state, {"c4": "B"})  # c8 goes on, and c1..c4 are left
    assert [t.commit for t in needless.next_jobs(1, running=["c8"])] == ["c2"]
    confirming = fold(start(line(2), "c0"), {"c2": "B", "c0": "G", "c1": "G"})
    fewest = [t.commit for t in confirming.next_jobs(3)]
    assert [t.commit for t in confirming.next_jobs(3, running=fewest[:1])] == fewest[1:]


def weighted(dag: Dag, **weights: float) -> Bisection:
    """The ends are tested; commits weigh 1 but for those given."""
    state = fold(start(dag, "c0"), {dag.commits[-1]: "B", "c0": "G"})
    return state.weighted({sha: weights.get(sha, 1.0) for sha in dag.commits})


def asked(state: Bisection) -> tuple[str, str]:
    """What is asked next, and why."""
    sha = state.next_jobs()[0].commit
    return sha, state.why(sha)


def test_why_a_weighted_probe_is_made() -> None:
    assert asked(weighted(line(16))) == ("c8", "halves the weight")
    assert asked(weighted(line(16), c5=32.0)) == ("c5", "likeliest, 68 %")
    state = fold(weighted(line(16), c5=32.0), {"c5": "B"})
    assert asked(state) == ("c4", "parts the weight 11 to 89")
    assert asked(weighted(line(4), c2=2.5, c3=2.0)) == ("c2", "halves the weight")
    skips = fold(weighted(line(16)), {"c8": "N"})
    assert asked(skips)[1].endswith(", away from skipped commits")


def test_a_probe_that_the_cap_moves_says_so() -> None:
    state = weighted(line(512), **{f"c{i}": 1e5 for i in range(3, 49, 3)})
    assert asked(state) == ("c26", "halves the weight")
    while not state.why(sha := state.next_jobs()[0].commit).endswith(", to keep within the cap"):
        state = fold(state, {sha: "G"})
        assert state.phase is Phase.SEARCH, "the cap was not felt"
    assert state.why(sha).startswith("parts the weight ")


def test_once_runs_contradict_each_other_a_probe_is_made_for_what_it_tells() -> None:
    state = fold(weighted(line(200), c5=32.0), {"c5": "BG"})
    assert state.belief is not None
    phrases = {state.why(test.commit) for test in state.next_jobs(99)}
    assert phrases == {"once more", "tells most for its cost"}


def test_the_signature_is_learnt_from_the_bad_ends_earliest_failure() -> None:
    state = start(line(8), "c0").observe(run("c8", "O", at=5.0)).observe(run("c8", "B", at=3.0))
    assert state.signature == SIGNATURE
    assert (state.count("c8").bad, state.count("c8").skip) == (1, 1)


def test_what_passed_without_the_device_that_fails_is_skipped_whenever_it_was_run() -> None:
    lacks = replace(run("c4", "G"), observation=replace(LETTERS["G"], left_out=("e1000 (source: no such device)",)))
    fails = replace(run("c8", "B"), observation=replace(LETTERS["B"], blamed=("e1000,netdev=n0",)))
    before = start(line(8), "c0").observe(lacks)
    assert before.verdict("c4") is Verdict.GOOD
    after = before.observe(fails)
    assert (after.verdict("c4"), after.verdict("c8")) == (Verdict.SKIP, Verdict.BAD)
    assert "c4" in after.suspects
    assert start(line(8), "c0").observe(fails).observe(replace(lacks, commit="c5")).verdict("c5") is Verdict.SKIP
    assert after.observe(run("c2", "G")).verdict("c2") is Verdict.GOOD


def test_a_signature_that_was_asked_for_stays() -> None:
    state = Bisection.start(Question("c0", "c8", CASE, Signature("hang")), line(8))
    assert state.observe(run("c8", "B")).signature == Signature("hang")
    assert state.observe(run("c8", "B")).verdict("c8") is Verdict.SKIP


def test_runs_of_another_case_say_nothing() -> None:
    state = start(line(8), "c0")
    assert state.observe(run("c8", "B", case=replace(CASE, machine="pc-q35-9.1"))) is state


def test_a_state_is_not_changed_by_what_comes_later() -> None:
    state = fold(start(line(8), "c0"), {"c8": "B", "c0": "G"})
    before = (state.suspects, dict(state.counts), state.next_jobs())
    state.observe(run("c4", "B")).observe(run("c2", "G"))
    assert (state.suspects, dict(state.counts), state.next_jobs()) == before


def test_confirmation_runs_take_turns() -> None:
    state = fold(start(line(2), "c0"), {"c2": "B", "c0": "G", "c1": "G"})
    asked = []
    while jobs := state.next_jobs():
        asked.append(jobs[0].commit)
        assert jobs[0].times == 1
        state = state.observe(run(jobs[0].commit, "B" if jobs[0].commit == "c2" else "G"))
    assert asked == ["c1", "c2", "c0"] * 9
    assert state.phase is Phase.DONE


def test_no_commit_is_run_once_too_often_beside_the_last_run_of_another() -> None:
    """c2 has its ten; of c1 the tenth goes on, which may end it all. Once all have ten, more are asked of both."""
    state = fold(start(line(3), "c0"), {"c3": "B" * 10, "c0": "G" * 10, "c2": "B" * 10, "c1": "G" * 9})
    assert [t.commit for t in state.next_jobs(3)] == ["c1"]
    assert state.next_jobs(2, running=["c1"]) == ()
    assert isinstance(fold(state, {"c1": "G"}).finding, FirstBad)
    rare = fold(start(line(2), "c0"), {"c2": "BGGBGGBGGG", "c0": "G" * 10, "c1": "G" * 10})
    assert {t.commit for t in rare.next_jobs(3)} == {"c1", "c2"}


def test_runs_are_raised_until_passes_of_the_parent_mean_something() -> None:
    """Bad in 3 of 10: 0.7^10 is 0.028, so more runs are made until that is below 0.001, and no chance either."""
    turns: dict[str, int] = {}

    def answer(sha: str) -> str:
        turns[sha] = turns.get(sha, -1) + 1
        return "BGGBGGBGGG"[turns[sha] % 10] if sha == "c2" else "G"

    state, _, _ = play(start(line(2), "c0"), answer)
    assert isinstance(state.finding, FirstBad)
    tally, parent = state.finding.confirmation.culprit, state.finding.confirmation.parents[0]
    assert parent.bad == 0
    assert (1 - tally.bad / tally.n) ** parent.n < 0.001
    assert math.comb(tally.n, tally.bad) / math.comb(tally.n + parent.n, tally.bad) < 0.001
    assert 25 <= tally.n <= 40


def test_a_parent_that_turns_bad_opens_the_search_again() -> None:
    state = fold(start(line(8), "c0"), {"c8": "B", "c0": "G", "c4": "G", "c6": "B", "c5": "G"})
    assert (state.suspects, state.phase, state.belief) == (("c6",), Phase.CONFIRMATION, None)
    state = fold(state, {"c5": "BB"})
    assert state.belief is not None
    assert state.phase is Phase.SEARCH
    assert state.verdict("c5") is Verdict.BAD
    state = fold(state, {"c4": "GGGGGG", "c5": "BBB"})
    assert (state.suspect, state.phase) == ("c5", Phase.CONFIRMATION)


def test_a_parent_that_fails_once_does_not_clear_the_suspect() -> None:
    state = fold(start(line(8), "c0"), {"c8": "B", "c0": "G", "c4": "G", "c6": "BBBBBB", "c5": "GGGGGB"})
    assert state.verdict("c5") is Verdict.GOOD
    assert (state.suspect, state.phase) == ("c6", Phase.CONFIRMATION)


def test_bad_commits_without_a_common_suspect_do_not_empty_the_search() -> None:
    dag = Dag.of({"a": ("good",), "b": ("good",), "m": ("a", "b")})
    state = fold(start(dag), {"m": "B", "good": "G", "a": "B", "b": "B"})
    assert state.suspects in (("a",), ("b",))
    state, _, _ = play(state, lambda sha: "G" if sha == "good" else "B")
    assert isinstance(state.finding, FirstBad)


def test_a_root_commit_is_not_blamed() -> None:
    dag = Dag.of({"root": (), "tip": ("root",)})
    state, _, _ = play(start(dag), lambda sha: "G" if sha == "good" else "B")
    assert state.finding == Inconclusive("root is bad and has no parent to compare it with")


def test_an_answer_is_open_where_it_would_tell_suspects_apart() -> None:
    state = fold(start(line(8), "c0"), {"c8": "B", "c0": "G", "c3": "G", "c6": "B", "c5": "N"})
    assert state.suspects == ("c4", "c5", "c6")
    assert [f"c{i}" for i in range(9) if state.open(f"c{i}")] == ["c4"]  # c5 was run, and says nothing
    assert not fold(state, {"c4": "B"}).open("c5")
    assert not state.open("elsewhere")


def test_other_failures_are_kept_to_be_reported() -> None:
    state = fold(start(line(8), "c0"), {"c8": "B", "c0": "G", "c4": "O", "c5": "N"})
    assert [r.commit for r in state.other_failures] == ["c4"]
    assert state.skipped == ("c4", "c5")


def test_flaky_when_the_good_end_shows_it_as_often_as_not() -> None:
    state = fold(start(line(8), "c0"), {"c8": "B", "c0": "GBGBGBGBGB"})
    assert state.finding == Flaky("c0", 5, 10)


@pytest.mark.parametrize(
    ("dag", "question", "message"),
    [
        (line(4), Question("c0", "x", CASE), "the range is not c0..x"),
        (line(4), Question("c0", "c3", CASE), "the range is not c0..c3"),
        (line(4), Question("c2", "c4", CASE), "the range is not c2..c4"),
    ],
)
def test_a_range_of_another_question_is_refused(dag: Dag, question: Question, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bisection.start(question, dag)


def test_rules_that_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="min_bad <= min_runs <= max_runs"):
        Rules(min_runs=20, max_runs=10)


@pytest.mark.parametrize(("bad", "blamed"), [(2, False), (3, True)])
def test_fewer_than_three_failures_blame_nobody_however_lax_the_odds(bad: int, blamed: bool) -> None:
    lax = Rules(doubt=0.4)
    counts = {"c1": Count(good=10), "c2": Count(good=10 - bad, bad=bad), "c0": Count(good=10)}
    said = confirm(Question("c0", "c2", CASE), "c2", ("c1",), counts, {}, lax)
    assert isinstance(said, FirstBad) is blamed
