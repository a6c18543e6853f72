"""Properties of the fold on random histories, and single rules that the table of searches does not show."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import model
from bot.core.bisection import Bisection
from bot.core.confirmation import Phase, Rules, confirm
from bot.core.dag import Dag
from bot.core.probe import Cost
from bot.core.verdict import Count
from bot.model import FirstBad, Flaky, Inconclusive, MergeConflict, Question, Run, Signature, Suspects, Verdict
from tests.core.test_dag import dags
from tests.testing.world import CASE, SIGNATURE, run

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


@given(dags(), st.data())
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


@given(dags(), st.data())
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


@given(dags(), st.data())
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


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
def test_a_flake_that_is_everywhere_is_nobodys(rate: float) -> None:
    findings = [noisy(200, None, 0.0, rate, seed).finding for seed in range(25)]
    assert not [finding for finding in findings if isinstance(finding, FirstBad)]


# -- single rules --------------------------------------------------------------------------------------------------


def test_the_bad_end_is_asked_first_and_a_second_job_is_the_good_end() -> None:
    state = start(line(8), "c0")
    assert state.next_jobs() == (model.Test("c8", (CASE,)),)
    assert [t.commit for t in state.next_jobs(5)] == ["c8", "c0"]
    assert (state.phase, state.why("c8"), state.why("c0")) == (Phase.ENDS, "bad end", "good end")
    assert state.remaining == 2 + 3


def test_the_merge_base_is_asked_after_the_ends() -> None:
    state = fold(start(line(8), "g", merge_base="c0"), {"c8": "B", "g": "G"})
    assert [t.commit for t in state.next_jobs(3)] == ["c0"]
    assert state.why("c0") == "merge base"


def test_several_jobs_in_the_search_are_chosen_together() -> None:
    state = fold(start(line(16), "c0"), {"c16": "B", "c0": "G"})
    assert sorted(t.commit for t in state.next_jobs(3)) == ["c12", "c4", "c8"]
    assert state.why("c8") == "midpoint"
    assert state.remaining == 4


def test_the_signature_is_learnt_from_the_bad_ends_earliest_failure() -> None:
    state = start(line(8), "c0").observe(run("c8", "O", at=5.0)).observe(run("c8", "B", at=3.0))
    assert state.signature == SIGNATURE
    assert (state.count("c8").bad, state.count("c8").skip) == (1, 1)


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
