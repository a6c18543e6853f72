"""Patches on a list that say they mend a culprit, found in a mailbox of each kind."""

from __future__ import annotations

import threading
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from bot.config import load
from bot.errors import Stopped
from bot.host.git import POSTED, Repository
from bot.model import Commit, Offer
from bot.pipeline.fixes import has, later_fixes, posted_fixes
from tests.build.project import Project
from tests.host.test_mailbox import KINDS, Kind, Place
from tests.testing import reports

CULPRIT = reports.CULPRIT
LIST = "qemu-devel@nongnu.org"
DIFF = "\n---\n\ndiff --git a/a.c b/a.c\n+x\n"


def patch(name: str, text: str, *, to: str = f"Dev <{LIST.upper()}>", day: int | None = 1, cte: str = "7bit") -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = "Bob <bob@example.net>", to, f"<{name}@example.net>"
    mail["Subject"] = "[PATCH] mend it"
    if day is not None:
        mail["Date"] = f"Mon, {day:02} Mar 2021 10:00:00 +0100"
    mail.set_content(text, cte=cte)
    return mail.as_bytes()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    kind: Kind = request.param
    made = Place(kind, tmp_path / "box")
    made.deliver(patch("another", f"Fixes: 0123456789ab{DIFF}"))
    return made


def found(
    place: Place, said: list[str] | None = None, stop: threading.Event | None = None, taken: tuple[Commit, ...] = ()
) -> list[Offer] | None:
    box = f"replies.mailbox={{kind: {place.source.kind}, path: {place.source.path}}}"
    config = load(None, [box, "replies.trusted=mx.example.org"])
    offers = posted_fixes(config, CULPRIT, taken, (said if said is not None else []).append, stop or threading.Event())
    return None if offers is None else list(offers)


def test_the_newest_come_last_each_once_and_a_few_only(place: Place) -> None:
    fixes = f"It broke.\n\nFixes: {CULPRIT.sha[:8]}{DIFF}"
    for name, day in (("third", 3), ("first", 1), ("fourth", 4), ("second", 2), ("third", 3)):
        place.deliver(patch(name, fixes, day=day))
    place.deliver(patch("undated", fixes, day=None))
    says = f"Fixes: {CULPRIT.sha[:8]}"
    assert found(place) == [Offer(f"{name}@example.net", says) for name in ("second", "third", "fourth")]
    merged = replace(reports.commit("d96c4d5f193e", "mend it"), body="mend it\n\nMessage-Id: <third@example.net>\n")
    left = [one.mail for one in found(place, taken=(merged,)) or ()]
    assert left[-2:] == ["second@example.net", "fourth@example.net"]


def test_what_counts(place: Place) -> None:
    short = CULPRIT.sha[:12]
    place.deliver(patch("quotes", f"> Fixes: {short}\n> ---\n> diff --git a/a.c b/a.c\nFine.\n"))
    place.deliver(patch("asks", f"Please add Fixes: {short}\n"))
    place.deliver(patch("private", f"Fixes: {short}{DIFF}", to="bot@example.org"))
    place.deliver(patch("of-another", f"See {short}.\n\nFixes: 0123456789ab{DIFF}"))
    assert found(place) == []
    place.deliver(patch("reverts", f"This reverts commit {CULPRIT.sha}.{DIFF}", day=1))
    text = f'{"Long " * 40}\n\n{" " * 60}\nFixes: 0bad0bad0bad ("{CULPRIT.subject}"){DIFF}'
    place.deliver(patch("by-its-subject", text, day=2, cte="quoted-printable"))
    said = [f"reverts {CULPRIT.sha}", f'Fixes: ("{CULPRIT.subject}")']
    names = ("reverts@example.net", "by-its-subject@example.net")
    assert found(place) == [Offer(*one) for one in zip(names, said, strict=True)]


def test_a_mailbox_that_cannot_be_read_is_told_and_holds_nothing_up(place: Place) -> None:
    place.source.path.rename(place.source.path.with_name("away"))
    said = list[str]()
    assert found(place, said) is None
    assert len(said) == 1 and said[0].startswith(f"mails were not searched for a fix of {CULPRIT.short}: ")


def test_a_stop_is_heeded(place: Place) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        found(place, stop=stop)


def test_commits_that_say_so(tmp_path: Path) -> None:
    """Of a pick those that name the original, too; a posted one is on no branch."""
    project = Project(tmp_path / "upstream", {"f.c": "1\n"})
    original = project.commit({"f.c": "2\n"}, "break it")
    pick = project.commit({"g.c": "2\n"}, f"break it\n\n(cherry picked from commit {original})")
    fix = project.commit({"f.c": "3\n"}, f"mend it\n\nFixes: {original[:12]}")
    own = project.commit({"g.c": "3\n"}, f"mend it here\n\nFixes: {pick[:12]}")
    project.git("checkout", "--quiet", "--detach", pick)
    tried = project.commit({"f.c": "4\n"}, f"mend it, v2\n\nFixes: {pick[:12]}")
    project.git("update-ref", f"{POSTED}/1", tried)
    project.git("checkout", "--quiet", "master")
    repository = Repository(project.path)
    assert {found.sha for found in later_fixes(repository, repository.commit(pick))} == {fix, own}
    assert [found.sha for found in later_fixes(repository, repository.commit(original))] == [fix]
    assert has(repository, pick, pick) == pick and has(repository, original, pick) is None
    project.git("checkout", "--quiet", "--detach", project.first)
    away = project.commit({"f.c": "2\n"}, f"break it\n\n(cherry picked from commit {original})")
    project.git("branch", "away", away)
    assert has(repository, away, original) == away, "by what its message says"


def test_where_no_mails_are_read() -> None:
    assert posted_fixes(load(None, []), CULPRIT, (), print, threading.Event()) is None
