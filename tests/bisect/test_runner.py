"""The loop: facts recorded as they come, stops and restarts, what a person sees, and its probes beside git's own."""

from __future__ import annotations

import math
import re
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.bisect.runner import Search, search
from bot.core.dag import Dag
from bot.errors import InfraError, Stopped
from bot.model import Build, BuildKind, FirstBad, MergeConflict, Outcome, Question, Run, Verdict
from bot.model import Test as Job
from bot.progress import Silent
from tests.testing.history import History, draw, git
from tests.testing.world import CASE, SIGNATURE, World, run

LINE = " ".join(map(str, range(33)))
SIDES = """
0 1 2 3 4 5 6
2 a b c d e f
6 7=f 8 9
c p q r s
9 10=s 11 12 13 14
10 x y z
14 15=z 16
"""


@dataclass
class Watcher:
    """Progress that remembers."""

    said: list[str] = field(default_factory=list)
    working: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        self.working.append(what)

    def aside(self) -> Watcher:
        return self


def ask(history: History, world: World, record: Callable[[Build | Run], object], **more: object) -> Search:
    good, bad = history["0"], list(history.shas.values())[-1]
    dag = Dag.of(history.repository.parents([good], bad))
    options = {"perform": world.perform, "progress": Silent(), "clock": iter_clock(), **more}
    return search(Question(good, bad, CASE), dag, record=record, **options)  # type: ignore[arg-type]


def iter_clock() -> Callable[[], float]:
    now = [1_000.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    return clock


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> History:
    return draw(tmp_path_factory.mktemp("line") / "r", LINE)


def test_facts_are_recorded_before_the_next_is_asked_for(line: History) -> None:
    kept: list[Build | Run] = []

    def watched(test: Job, _: threading.Event) -> Iterator[Build | Run]:
        for fact in World(line, {"20": ""}).perform(test):
            yield fact
            assert (kept[-1].commit, type(kept[-1])) == (fact.commit, type(fact))

    found = ask(line, World(line), kept.append, perform=watched)
    assert isinstance(found.finding, FirstBad)
    times = [fact.at for fact in kept if isinstance(fact, Run)]
    assert times == sorted(times)
    assert times[0] > 1_000


def test_steps_and_figures(line: History) -> None:
    world = World(line, {"20": ""}, told={"16": "N", "24": "O"})
    found = ask(line, world, lambda _: None)
    assert isinstance(found.finding, FirstBad)
    names = [line.name(step.commit) for step in found.steps]
    assert names[:3] == ["32", "0", "16"]
    whys = {line.name(step.commit): step.why for step in found.steps}
    assert (whys["32"], whys["0"], whys["16"]) == ("bad end", "good end", "midpoint")
    verdicts = {line.name(step.commit): step.verdict for step in found.steps}
    assert (verdicts["32"], verdicts["0"], verdicts["16"]) == (Verdict.BAD, Verdict.GOOD, Verdict.SKIP)
    assert "midpoint, away from skipped commits" in whys.values()
    assert found.question.signature == SIGNATURE
    assert found.range_size == 32
    counts = found.counts
    assert (counts.steps, counts.known, counts.flaky) == (len(names), 0, 0)
    assert counts.skipped == [step.verdict for step in found.steps].count(Verdict.SKIP) >= 1
    assert counts.builds == len(names)  # of each commit the first build; the others came from the cache
    assert counts.runs == sum(len(step.runs) for step in found.steps) >= 40
    assert all(b.kind is not BuildKind.CACHED for step in found.steps for b in step.builds)


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing is caught on the way out."""


@pytest.mark.parametrize("how", [Killed, Stopped, InfraError])
def test_stopped_at_any_fact_and_gone_on_it_ends_alike_and_repeats_nothing(
    tmp_path: Path, how: type[BaseException]
) -> None:
    history = draw(tmp_path / "r", SIDES)
    truth: list[Build | Run] = []
    whole = ask(history, World(history, {"q": ""}), truth.append)
    assert isinstance(whole.finding, FirstBad)
    assert whole.finding.commit == history["q"]
    runs = [fact for fact in truth if isinstance(fact, Run)]
    for at in range(0, len(truth), 1 if how is Killed else 9):
        kept: list[Build | Run] = []

        def record(fact: Build | Run, kept: list[Build | Run] = kept, at: int = at) -> None:
            if len(kept) == at:
                raise how("now")
            kept.append(fact)

        with pytest.raises(how):
            ask(history, World(history, {"q": ""}), record)
        before = [fact for fact in kept if isinstance(fact, Run)]
        after: list[Build | Run] = []
        found = ask(history, World(history, {"q": ""}), after.append, known=before)
        assert found.finding == whole.finding
        again = [fact for fact in after if isinstance(fact, Run)]
        assert [r.commit for r in (*before, *again)] == [r.commit for r in runs]
        assert {s.commit for s in found.steps} == {s.commit for s in whole.steps}
        assert found.counts.known == len(before)


def test_a_test_without_a_run_is_trouble_of_the_machine_not_a_loop(line: History) -> None:
    def silent(test: Job, _: threading.Event) -> Iterator[Build | Run]:
        yield from (fact for fact in World(line).perform(test) if isinstance(fact, Build))

    with pytest.raises(InfraError, match=rf"testing {line['32'][:12]} brought no run of {CASE.id}"):
        ask(line, World(line), lambda _: None, perform=silent)


def test_earlier_trouble_of_the_machine_is_asked_again(line: History) -> None:
    trouble = [run(line["16"], "I", at=1.0)]
    world = World(line, {"20": ""})
    found = ask(line, world, lambda _: None, known=trouble * 9)
    assert isinstance(found.finding, FirstBad)
    assert "16" in world.asked
    assert all(one.outcome is not Outcome.INFRA for one in found.bisection.runs)


def test_a_person_sees_steps_time_left_and_the_confirmation(line: History) -> None:
    watcher = Watcher()
    ask(line, World(line, {"20": ""}), lambda _: None, progress=watcher)
    steps = [text for text in watcher.said if text.startswith("step ")]
    assert steps[0].startswith(f"step 1: {line['32'][:12]} is bad (FAIL_DST: Unknown ramblock")
    assert re.search(r"; 32 suspects, about 6 steps and \d+ s to go$", steps[0])
    assert re.fullmatch(
        rf"step 3: {line['16'][:12]} is good \(PASS\); 16 suspects, about 4 steps and \d+ s to go", steps[2]
    )
    assert watcher.working[2] == f"step 3 of about 7: testing {line['16'][:12]} (midpoint)"
    assert sum(text.startswith(f"one suspect is left, {line['20'][:12]}") for text in watcher.said) == 1
    assert watcher.working[-1] == f"confirming {line['20'][:12]}"


def test_a_person_sees_that_an_intermittent_failure_changes_the_plan(line: History) -> None:
    watcher = Watcher()
    found = ask(line, World(line, {"20": ""}, intermittent="GB"), lambda _: None, progress=watcher)
    assert isinstance(found.finding, FirstBad)
    assert found.finding.commit == line["20"]
    assert any("fails now and then" in text for text in watcher.said)


# -- several tests at once -----------------------------------------------------------------------------------------


class Meeting:
    """A world whose first two tests wait for each other, and that notes which commits were tested at the same time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.both = threading.Barrier(2)
        self.lock = threading.Lock()
        self.going: list[str] = []
        self.most = self.tests = 0

    def perform(self, test: Job, stop: threading.Event) -> Iterator[Build | Run]:
        with self.lock:
            assert test.commit not in self.going
            self.going.append(test.commit)
            self.tests += 1
            first, self.most = self.tests <= 2, max(self.most, len(self.going))
        if first:
            self.both.wait(timeout=60)
        try:
            yield from self.world.perform(test)
        finally:
            with self.lock:
                self.going.remove(test.commit)


@pytest.mark.parametrize("jobs", [2, 3])
@pytest.mark.parametrize("drawing", [LINE, SIDES], ids=["line", "sides"])
def test_with_several_tests_at_once_the_answer_is_the_same(tmp_path: Path, drawing: str, jobs: int) -> None:
    history = draw(tmp_path / "r", drawing)
    for culprit in list(history.shas)[1::11]:
        alone = ask(history, World(history, {culprit: ""}), lambda _: None)
        meeting, threads = Meeting(World(history, {culprit: ""})), set[int]()
        kept: list[Run] = []

        def record(fact: Build | Run, kept: list[Run] = kept, threads: set[int] = threads) -> None:
            threads.add(threading.get_ident())
            kept += [fact] if isinstance(fact, Run) else []

        found = ask(history, World(history), record, perform=meeting.perform, jobs=jobs)
        assert type(found.finding) is type(alone.finding)
        assert isinstance(found.finding, FirstBad | MergeConflict) and found.finding.commit == history[culprit]
        tally = found.finding.confirmation.culprit
        assert 10 <= tally.bad == tally.n <= 10 + jobs  # one more may have been begun when the last one needed came
        assert 2 <= meeting.most <= jobs
        assert threads == {threading.get_ident()}
        assert len(found.bisection.runs) == len(kept) == sum(len(step.runs) for step in found.steps)
        assert not meeting.going  # what was begun was finished, or told to end


def test_when_one_test_fails_the_others_are_finished_and_recorded(line: History) -> None:
    began, failed = threading.Event(), threading.Event()

    def perform(test: Job, _: threading.Event) -> Iterator[Build | Run]:
        if test.commit == line["32"]:
            assert began.wait(60)
            failed.set()
            raise InfraError("no space left on device")
        began.set()
        assert failed.wait(60)
        yield from World(line).perform(test)

    kept: list[Build | Run] = []
    watcher = Watcher()
    with pytest.raises(InfraError, match="no space left"):
        ask(line, World(line), kept.append, perform=perform, jobs=2, progress=watcher)
    assert [fact.commit for fact in kept if isinstance(fact, Run)] == [line["0"]]
    waiting = f"no space left on device; waiting for what was begun beside it: {line['0'][:12]}"
    assert waiting in watcher.said
    known = [fact for fact in kept if isinstance(fact, Run)]
    world = World(line, {"20": ""})
    found = ask(line, world, lambda _: None, known=known, jobs=2)
    assert isinstance(found.finding, FirstBad) and found.finding.commit == line["20"]
    assert found.counts.known == 1 and world.runs["0"] == 10 - 1 - 1  # of ten runs one was recorded; counted from 0


def test_a_test_that_lost_its_use_is_ended_and_is_no_verdict(line: History) -> None:
    """Of two probes the older one says bad, so the newer one could only say bad: it is told to end, and does."""
    probes: dict[str, threading.Event] = {}
    both = threading.Barrier(2)
    ended: list[str] = []

    def perform(test: Job, stop: threading.Event) -> Iterator[Build | Run]:
        name = line.name(test.commit)
        if name not in ("0", "32") and len(probes) < 2 and not ended:
            probes[name] = stop
            both.wait(60)
            if name == max(probes, key=int):
                assert stop.wait(60)
                ended.append(name)
                raise Stopped(f"stopped while testing {test.commit}")
        yield from World(line, {"5": ""}).perform(test)

    kept: list[Build | Run] = []
    watcher = Watcher()
    found = ask(line, World(line), kept.append, perform=perform, jobs=2, progress=watcher)
    assert isinstance(found.finding, FirstBad) and found.finding.commit == line["5"]
    assert len(ended) == 1
    lost = line[ended[0]]
    assert f"{lost[:12]} is not tested to its end: what it would say is known by now" in watcher.said
    assert lost not in {fact.commit for fact in kept} | {step.commit for step in found.steps}


def test_what_a_needless_test_had_told_stays_recorded(line: History) -> None:
    """One is told to end between its build and its run: the build is kept, and no run is asked for."""
    probes: list[str] = []
    both, go_on = threading.Barrier(2), threading.Event()
    asked_on: list[str] = []

    def perform(test: Job, stop: threading.Event) -> Iterator[Build | Run]:
        name = line.name(test.commit)
        first = name not in ("0", "32") and len(probes) < 2
        facts = World(line, {"5": ""}).perform(test)
        if not first:
            yield from facts
            return
        probes.append(name)
        both.wait(60)
        newer = name == max(probes, key=int)
        if not newer:
            assert go_on.wait(60)
        yield next(facts)
        if newer:
            go_on.set()
            assert stop.wait(60)
            raise Stopped("stopped between build and run")
        yield from facts
        asked_on.append(name)

    kept: list[Build | Run] = []
    found = ask(line, World(line), kept.append, perform=perform, jobs=2)
    assert isinstance(found.finding, FirstBad) and found.finding.commit == line["5"]
    lost = line[max(probes, key=int)]
    assert [type(fact) for fact in kept if fact.commit == lost] == [Build]
    assert asked_on == [min(probes, key=int)]


def test_a_stop_ends_all_tests_and_leaves_no_thread(line: History) -> None:
    stop = threading.Event()
    both = threading.Barrier(3)

    def perform(test: Job, _: threading.Event) -> Iterator[Build | Run]:
        both.wait(60)
        assert stop.wait(60)
        yield from ()
        raise Stopped(f"stopped while testing {test.commit}")

    def person() -> None:
        both.wait(60)
        stop.set()

    threading.Thread(target=person).start()
    with pytest.raises(Stopped):
        ask(line, World(line), lambda _: None, perform=perform, jobs=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test_")]


def test_a_person_sees_what_is_tested_at_once(line: History) -> None:
    watcher = Watcher()
    ask(line, World(line), lambda _: None, perform=Meeting(World(line, {"20": ""})).perform, progress=watcher, jobs=2)
    ends = f"{line['32'][:12]}, {line['0'][:12]}"
    assert f"step 2 of about 7: testing 2 commits: {ends}" in watcher.working
    steps = [re.match(r"step (\d+): (\w+) is", text) for text in watcher.said]
    told = {step[2]: int(step[1]) for step in steps if step}
    ended = sum("is not tested to its end" in text for text in watcher.said)  # it has a number, too
    assert len(set(told.values())) == len(told)
    assert set(told.values()) <= set(range(1, len(told) + ended + 1))


# -- beside the real git -------------------------------------------------------------------------------------------


def git_probes(history: History, good: str, bad: str, culprit: str, tmp_path: Path) -> tuple[str, list[str]]:
    """What `git bisect run` ends on, and what it tested on its way."""
    where = history.repository.path
    script = tmp_path / "test.sh"
    script.write_text(f"#!/bin/sh\ngit log -1 --format=%s >> {tmp_path}/probed\ntest ! -e n/{culprit}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "probed").write_text("")
    git(where, "reset", "--quiet", "--hard")
    git(where, "bisect", "start", history[bad], history[good])
    said = git(where, "bisect", "run", str(script))
    git(where, "bisect", "reset")
    match = re.search(r"([0-9a-f]{40}) is the first bad commit", said)
    assert match, said
    return match[1], (tmp_path / "probed").read_text().split()


@pytest.mark.parametrize("drawing", [LINE, SIDES], ids=["line", "sides"])
def test_as_few_probes_as_git_bisect_run_and_the_same_answer(tmp_path: Path, drawing: str) -> None:
    history = draw(tmp_path / "r", drawing)
    bad = list(history.shas)[-1]
    ours, gits = [], []
    for culprit in list(history.shas)[1::3]:
        answer, probed = git_probes(history, "0", bad, culprit, tmp_path)
        world = World(history, {culprit: ""})
        found = ask(history, world, lambda _: None)
        assert isinstance(found.finding, FirstBad | MergeConflict)
        assert found.finding.commit == answer == history[culprit]
        ours.append(sum(step.why.startswith("midpoint") for step in found.steps))
        gits.append(len(probed))
    n = len(history.shas) - 1
    assert max(ours) <= math.ceil(math.log2(n)) + 1
    assert sum(ours) <= sum(gits) + 1


def test_weights_are_asked_for_once_between_the_ends_and_the_first_probe(line: History) -> None:
    """With all the weight on one commit it is tested first, then its parent: two probes instead of five."""
    kept: list[Build | Run] = []
    asked: list[tuple[str, int]] = []

    def weigh(failing: Run) -> dict[str, float]:
        asked.append((line.name(failing.commit), sum(isinstance(fact, Run) for fact in kept)))
        return {sha: 1000.0 if name == "20" else 1.0 for name, sha in line.shas.items() if name != "0"}

    found = ask(line, World(line, {"20": ""}), kept.append, weigh=weigh)
    assert isinstance(found.finding, FirstBad) and line.name(found.finding.commit) == "20"
    assert {line.name(step.commit) for step in found.steps} == {"32", "0", "20", "19"}
    assert asked == [("32", 2)]
    unweighed = ask(line, World(line, {"20": ""}), lambda _: None, weigh=lambda _: None)
    assert [s.commit for s in unweighed.steps] == [
        s.commit for s in ask(line, World(line, {"20": ""}), lambda _: None).steps
    ]


def test_a_built_commit_is_asked_first_and_the_answer_is_the_same(line: History) -> None:
    """12 and 24 are built: two cheap cuts leave 12 suspects, and the first bad commit is what it was."""
    built = {line["0"], line["32"], line["12"], line["24"]}

    def note(fact: Build | Run) -> None:
        built.add(fact.commit)

    plain = ask(line, World(line, {"20": ""}), lambda _: None)
    found = ask(line, World(line, {"20": ""}), note, cost=lambda sha: 0.5 if sha in built else 60.0)
    assert {line.name(step.commit) for step in found.steps[2:4]} == {"12", "24"}
    assert isinstance(found.finding, FirstBad)
    assert isinstance(plain.finding, FirstBad)
    assert found.finding.commit == plain.finding.commit == line["20"]
