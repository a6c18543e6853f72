"""What people told in answers becomes events: once, killed anywhere, and what only a person can do goes on waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.lifecycle import State
from bot.core.replies import Command, Reading, Verb
from bot.host.git import Repository
from bot.pipeline.obeying import obey
from bot.store.replies import Fate, Replies
from tests.pipeline.test_tracking import Desk
from tests.testing.history import draw

ANN = "ann@example.org"


class Killed(BaseException):
    """Stands for kill -9 between two transactions."""


class Listening(Desk):
    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.said: list[str] = []
        self.history = draw(work / "clone", "1 2 3")

    def hear(self, verb: Verb, value: str, regression: str = "r0001") -> None:
        reading = Reading(f"{verb}.{value}@example.org", regression, ANN, True, (Command(verb, value),))
        fates = [(command, Fate.WAITING, "for its turn") for command in reading.commands]
        self.store.replies.keep(f"{verb}{value}", reading, fates)

    def obey(self) -> list[str]:
        self.said.clear()
        obey(self.store, self.config, Repository(self.history.repository.path), self.said.append)
        return self.said

    @property
    def state(self) -> State:
        return self.store.regressions("r0001")[0].state

    @property
    def fates(self) -> list[tuple[Fate, str]]:
        return [(asked.fate, asked.said) for asked in self.store.replies.commands()]


@pytest.fixture
def desk(tmp_path: Path) -> Listening:
    return Listening(tmp_path)


def test_invalid_takes_the_report_back_and_who_had_it_is_told_with_approval(desk: Listening) -> None:
    desk.send(desk.items()[0])
    desk.hear(Verb.INVALID, "the guest was wrong")
    assert desk.obey() == [f"r0001: {ANN} says: invalid the guest was wrong: retracted; "
                           "those who had the report are told, once a person lets that mail go"]  # fmt: skip
    assert desk.state is State.RETRACTED and desk.fates[0][0] is Fate.DONE
    (mail,) = desk.items("retract")
    assert mail.held == ("approval: not approved by a person",)
    assert desk.obey() == []
    desk.hear(Verb.EXPECTED, "too late")
    assert "nothing to do: it is retracted" in desk.obey()[0]


def test_expected_accepts_it_for_a_time(desk: Listening) -> None:
    desk.hear(Verb.EXPECTED, "2.12 is out of support")
    (said,) = desk.obey()
    assert "accepted until 20" in said and said.endswith(f"then {ANN} is asked again")
    assert desk.state is State.ACCEPTED
    taken = desk.store.regressions("r0001")[0].record.accepted
    assert taken is not None and taken.owner == taken.by == ANN


def test_fixed_by_is_a_claim_once_the_clone_has_the_commit(desk: Listening) -> None:
    desk.hear(Verb.FIXED_BY, "d96c4d5f193e")
    desk.hear(Verb.FIXED_BY, desk.history["2"][:12])
    assert len(desk.obey()) == 1
    record = desk.store.regressions("r0001")[0].record
    assert record.state is State.POSTED and record.claims == (desk.history["2"],)
    assert [fate for fate, _ in desk.fates] == [Fate.WAITING, Fate.DONE]


def test_what_has_to_be_run_waits(desk: Listening) -> None:
    desk.hear(Verb.CULPRIT, desk.history["1"][:12])
    desk.hear(Verb.TEST, "a@example.org")
    desk.hear(Verb.INVALID, "there is no such regression", "r0099")
    assert [text.partition("not done: ")[2] != "" for text in desk.obey()] == [True]
    assert [fate for fate, _ in desk.fates] == [Fate.WAITING] * 3


@pytest.mark.parametrize(
    ("verb", "value", "state"),
    [(Verb.INVALID, "x", State.RETRACTED), (Verb.EXPECTED, "x", State.ACCEPTED), (Verb.FIXED_BY, "2", State.POSTED)],
)
def test_killed_before_it_is_settled_it_is_noted_once(
    desk: Listening, monkeypatch: pytest.MonkeyPatch, verb: Verb, value: str, state: State
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    desk.send(desk.items()[0])
    desk.hear(verb, desk.history[value] if verb is Verb.FIXED_BY else value)
    with monkeypatch.context() as patched:
        patched.setattr(Replies, "settle", killed)
        for _ in range(2):
            with pytest.raises(Killed):
                desk.obey()
    desk.obey()
    assert desk.state is state and [fate for fate, _ in desk.fates] == [Fate.DONE]
    assert len(desk.store.regressions("r0001")[0].record.history) == 1
    assert len(desk.items("retract")) == (verb is Verb.INVALID)
