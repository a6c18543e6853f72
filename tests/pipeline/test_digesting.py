"""What is told at a release candidate: once, of what was reported and is open, to the maintainers of migration."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.outbox import DIGEST, State
from bot.errors import UserError
from bot.host.git import Repository
from bot.pipeline import digesting, sending
from bot.watch.upstream import Tip
from tests.core.test_lifecycle import CURE, RETRACT, STUCK
from tests.pipeline.test_tracking import Desk
from tests.report.test_mail import golden
from tests.testing.history import draw, git

MAINTAINERS = "Migration\nM: Mia <mia@example.org>\nF: migration/\n"


class Branch:
    """A branch that comes to its candidates."""

    def __init__(self, path: Path) -> None:
        draw(path, "0", files={"0": {"VERSION": "4.2.50\n", "MAINTAINERS": MAINTAINERS}})
        git(path, "reset", "--quiet", "--hard")
        self.path, self.repository = path, Repository(path)

    def candidate(self, number: int) -> None:
        (self.path / "VERSION").write_text(f"4.2.9{number}\n")
        git(self.path, "commit", "--quiet", "-a", "-m", f"Update version for v5.0.0-rc{number} release")

    def tell(self, desk: Desk, branch: str = "master") -> list[str]:
        said: list[str] = []
        tip = Tip(branch, self.repository.resolve("HEAD"))
        digesting.tell(desk.store, desk.config, self.repository, tip, said.append)
        return said


@pytest.fixture
def branch(tmp_path: Path) -> Branch:
    return Branch(tmp_path / "r")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path, "report.digest=true", "report.url=https://migbot.example.org")
    desk.send(desk.items()[0])
    return desk


def test_one_mail_for_each_candidate(desk: Desk, branch: Branch) -> None:
    assert branch.tell(desk) == [], "no candidate"
    branch.candidate(1)
    assert branch.tell(desk, "stable-4.2") == [], "not of that branch"
    assert branch.tell(desk) == ["v5.0.0-rc1: 1 regression reported and open: `bot report digest`"]
    (mail,) = desk.store.mails(DIGEST)
    lines = mail.eml.replace("\r\n", "\n").splitlines(keepends=True)
    golden("digest.eml", "".join(text for text in lines if not text.startswith("Date: ")))
    (item,) = desk.items(DIGEST)
    assert (item.regression, item.state, item.held) == (DIGEST, State.HELD, ("approval: not approved by a person",))
    assert branch.tell(desk) == []
    branch.candidate(2)
    assert len(branch.tell(desk)) == 1
    first, second = desk.items(DIGEST)
    assert first.held[-1].startswith("superseded") and second.state is State.HELD
    assert sending.chosen(desk.store, DIGEST, None) == [second]


def test_what_nobody_can_run_is_not_told_as_open(desk: Desk, branch: Branch) -> None:
    desk.note(STUCK)
    branch.candidate(1)
    assert branch.tell(desk) == []


def test_silence(desk: Desk, branch: Branch, tmp_path: Path) -> None:
    branch.candidate(1)
    for name in ("unsent", "quiet"):
        (tmp_path / name).mkdir()
    unsent = Desk(tmp_path / "unsent", "report.digest=true")
    assert branch.tell(unsent) == [], "its report waits"
    quiet = Desk(tmp_path / "quiet")
    quiet.send(quiet.items()[0])
    assert branch.tell(quiet) == [], "nobody asked for it"
    desk.note(CURE)
    assert branch.tell(desk) == [], "it is fixed"


def test_a_report_that_cannot_be_read_stops_no_cycle(desk: Desk, branch: Branch) -> None:
    branch.candidate(1)
    desk.store.conclude("r0001", "first-bad", "{}", "")
    (said,) = branch.tell(desk)
    assert said.startswith("r0001: is not told of at the release candidate: ") and desk.items(DIGEST) == []


def test_what_was_taken_back_is_not_open(desk: Desk, branch: Branch) -> None:
    branch.candidate(0)
    desk.note(RETRACT)
    assert branch.tell(desk) == []
    with pytest.raises(UserError, match="digest: has no mail yet: with report"):
        sending.chosen(desk.store, DIGEST, None)
