"""What people ask to be run, where nothing needs to be: what is answered at once, what waits, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.config import load
from bot.core.lifecycle import Corrected, Disputed, Retracted, State, Tried
from bot.core.replies import Verb
from bot.errors import InfraError
from bot.host.git import Repository
from bot.model import FirstBad, MergeConflict, Suspects, Tally
from bot.pipeline import asked
from bot.pipeline.disputing import _judged
from bot.pipeline.said import Said
from bot.report import data
from bot.store.replies import Fate
from bot.store.store import Store
from bot.watch.upstream import Tip
from tests.pipeline.test_obeying import ANN, Listening
from tests.testing.history import draw

HISTORY = "1 2\n2 a b\n2 3 4 5 6 7 8=b"


def reported(desk: Desk, named: str = "4", good: str = "2", bad: str = "8") -> None:
    """r0001 is about these commits of the drawn history."""
    finding = desk.report.finding
    assert isinstance(finding, FirstBad)
    regression = replace(desk.report.regression, good=desk[good], bad=desk[bad], branch="master")
    desk.report = replace(desk.report, regression=regression, finding=replace(finding, commit=desk[named]))
    desk.store.change_regression(regression)
    desk.store.conclude("r0001", "first-bad", data.dump(desk.report), "")


class Desk(Listening):
    """Where any run would be an error."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.history = draw(work / "drawn", HISTORY)
        self.now = 1_000_000.0
        self.store = Store(work, lambda: self.now)
        self.over: Callable[[], bool] = lambda: False
        reported(self)

    def __getitem__(self, name: str) -> str:
        return self.history[name]

    @property
    def bench(self) -> Any:
        return SimpleNamespace(
            config=self.config, store=self.store, repository=Repository(self.history.repository.path),
            progress=SimpleNamespace(say=self.said.append), stop=threading.Event(),
        )  # fmt: skip

    def carry_out(self) -> bool:
        return asked.carry_out(self.bench, [Tip("master", self["8"], None)], self.over)

    def answers(self) -> list[tuple[Fate, str]]:
        """What is said of each command that does not wait."""
        self.carry_out()
        return [found for found in self.fates if found[0] is not Fate.WAITING]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("4", "that is what the report says of {}; nothing was run"),
        ("1", "{} is in the history of {good}, where it passes; nothing was run"),
        ("2", "{} is in the history of {good}, where it passes; nothing was run"),
        ("x", "{} is not in the history of {bad}, where it fails; nothing was run"),
    ],
)
def test_what_is_no_question_is_not_run(desk: Desk, tmp_path: Path, name: str, said: str) -> None:
    if name == "x":
        desk.history = draw(tmp_path / "other", f"{HISTORY} x")
    desk.hear(Verb.CULPRIT, desk[name][:12])
    told = said.format(desk[name][:12], good=desk["2"][:12], bad=desk["8"][:12])
    assert desk.answers() == [(Fate.REFUSED, told)]
    assert desk.answers() == [(Fate.REFUSED, told)] and desk.store.regressions()[0].record.history == ()


def test_what_the_clone_has_not_is_said_at_once(desk: Desk) -> None:
    desk.hear(Verb.CULPRIT, "12345678")
    desk.hear(Verb.CULPRIT, "0123456789ab")
    assert [said for _, said in desk.answers()] == [
        "the clone has no commit 12345678; nothing was run", "the clone has no commit 0123456789ab; nothing was run"
    ]  # fmt: skip


def test_a_branch_that_is_called_like_a_commit_is_none(desk: Desk) -> None:
    git_dir = desk.history.repository.path
    (git_dir / ".git" / "refs" / "heads" / "deadbeef").write_text(desk["5"] + "\n")
    desk.hear(Verb.CULPRIT, "deadbeef")
    assert desk.answers()[0][1].startswith("the clone has no commit deadbeef")


@pytest.mark.parametrize("verb", [Verb.CULPRIT, Verb.TEST])
def test_of_what_is_over_nothing_is_run(desk: Desk, verb: Verb) -> None:
    desk.note(Retracted("wrong", "bob"))
    desk.hear(verb, desk["5"] if verb is Verb.CULPRIT else "a@example.org")
    assert desk.answers() == [(Fate.REFUSED, "nothing to do: it is retracted")]


@pytest.mark.parametrize("verb", [Verb.CULPRIT, Verb.TEST])
def test_it_waits_for_the_search_and_not_for_ever(desk: Desk, verb: Verb) -> None:
    (entry,) = desk.store.regressions()
    again = replace(entry.regression, good=desk["3"])
    desk.store.happened("r0001", correct(desk), entry.record, again=again)
    desk.now += 1
    desk.hear(verb, desk["6"] if verb is Verb.CULPRIT else "a@example.org")
    assert desk.answers() == [] and "the search of its regression is not done" in desk.said[-1]
    desk.now += 8 * 86400
    ((fate, said),) = desk.answers()
    assert fate is Fate.REFUSED and said.startswith("it could not be done within 7 days")


def test_once_the_time_is_over_nothing_is_begun(desk: Desk) -> None:
    desk.over = lambda: True
    desk.hear(Verb.CULPRIT, "12345678")
    assert desk.answers() == []


def test_what_the_machine_failed_at_waits_and_the_others_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Said:
        raise InfraError("the disk is full")

    desk.hear(Verb.TEST, "a@example.org")
    desk.hear(Verb.CULPRIT, "12345678")
    with monkeypatch.context() as patched:
        patched.setitem(asked._RUN, Verb.TEST, full)
        assert desk.carry_out() is True
    assert [fate for fate, _ in desk.fates] == [Fate.WAITING, Fate.REFUSED]
    assert any("not now: the disk is full" in said for said in desk.said)


def test_without_a_sandbox_no_patch_is_even_looked_for(desk: Desk, tmp_path: Path) -> None:
    given = [f"replies.mailbox.path={tmp_path}/none", "replies.trusted=mx.example.org", "sandbox.use=never"]
    desk.config = load(overrides=given, environ={})
    desk.hear(Verb.TEST, "a@example.org")
    ((fate, said),) = desk.answers()
    assert fate is Fate.REFUSED and said.startswith("nothing was run: test: what somebody posted is built and run in a")


def test_a_branch_that_is_not_watched(desk: Desk) -> None:
    regression = replace(desk.report.regression, branch="topic")
    desk.store.change_regression(regression)
    desk.hear(Verb.TEST, "a@example.org")
    assert desk.answers() == [(Fate.REFUSED, "topic is not watched any more; nothing was run")]


# -- what the runs mean --------------------------------------------------------------------------------------------


def correct(desk: Desk) -> Corrected:
    return Corrected(desk["6"], ANN, Tally(desk["6"], 10, 10), (Tally(desk["5"], 0, 10),), desk["5"], desk["4"])


def judged(desk: Desk, name: str, *parents: str, branch: str = "master") -> Disputed | Corrected:
    """What is noted of a commit that fails and whose parents pass."""
    sender: Any = SimpleNamespace(sender=ANN)
    before = tuple(Tally(desk[parent], 0, 10) for parent in parents)
    return _judged(desk.bench, desk.report, sender, Tally(desk[name], 10, 10), before, {branch: desk["8"]})


def test_a_later_commit_takes_the_report_back(desk: Desk) -> None:
    assert judged(desk, "6", "5") == correct(desk)
    assert judged(desk, "8", "7", "b") == Corrected(
        desk["8"], ANN, Tally(desk["8"], 10, 10), (Tally(desk["7"], 0, 10), Tally(desk["b"], 0, 10)), desk["7"],
        desk["4"],
    )  # fmt: skip


def test_an_earlier_commit_does_not(desk: Desk) -> None:
    event = judged(desk, "3", "2")
    assert isinstance(event, Disputed) and not event.brings
    assert f"that was gone again before {desk['4'][:12]}" in event.why


def test_a_commit_beside_it_is_another_cause(desk: Desk) -> None:
    event = judged(desk, "a", "2")
    assert isinstance(event, Disputed) and event.brings
    assert f"{desk['4'][:12]} brings it, too" in event.why and "both have to be mended" in event.why


def test_one_of_several_suspects_is_searched_and_nothing_is_taken_back(desk: Desk) -> None:
    desk.report = replace(desk.report, finding=Suspects((desk["5"], desk["6"]), (desk["5"],)), culprit=None)
    event = judged(desk, "6", "5")
    assert isinstance(event, Corrected) and event.instead is None
    event = judged(desk, "3", "2")
    assert isinstance(event, Disputed) and "a commit that has it passes" in event.why


def test_a_merge_that_was_named_can_be_wrong_too(desk: Desk) -> None:
    finding = desk.report.finding
    assert isinstance(finding, FirstBad)
    desk.report = replace(desk.report, finding=MergeConflict(desk["4"], finding.confirmation))
    event = judged(desk, "6", "5")
    assert isinstance(event, Corrected) and event.instead == desk["4"]


def test_without_a_branch_that_is_watched_nothing_is_taken_back(desk: Desk) -> None:
    event = judged(desk, "6", "5", branch="stable-9.0")
    assert isinstance(event, Disputed) and "master is not watched, so it is not searched anew" in event.why


def test_killed_after_the_note_it_is_not_run_again(desk: Desk) -> None:
    desk.hear(Verb.CULPRIT, desk["6"][:12])
    desk.hear(Verb.TEST, "a@example.org")
    desk.note(Tried("a@example.org", ANN, "it cures it"))
    (entry,) = desk.store.regressions()
    assert desk.store.happened("r0001", correct(desk), entry.record, again=entry.regression) is not None
    (one, two) = desk.answers()
    assert one[1].startswith(f"{desk['6'][:12]} was run: it fails 10 of 10") and two == (Fate.DONE, "it cures it")
    assert desk.state is State.OPEN and len(desk.store.regressions()[0].record.history) == 2


def test_a_report_that_waits_somewhere_is_held_while_it_is_searched_anew(desk: Desk) -> None:
    (entry,) = desk.store.regressions()
    desk.store.happened("r0001", correct(desk), entry.record, again=entry.regression)
    (item,) = desk.items("report")
    assert item.held[-1] == f"superseded: it is searched anew, since {desk['5'][:12]}"
