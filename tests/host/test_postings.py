"""A series in a mailbox of each kind, found by Message-ID, as people post it with git: whole, or not at all."""

from __future__ import annotations

import itertools
import re
import threading
from pathlib import Path

import pytest

from bot.errors import InfraError, Stopped
from bot.host import mailbox, patches, postings
from bot.host.git import Repository
from bot.host.patches import Series
from tests.build.project import Project
from tests.host import test_mailbox
from tests.host.test_mailbox import KINDS, Kind, mail
from tests.host.test_patches import TEXT

SERIES = itertools.count()


def mails(project: Project, count: int, *args: str) -> list[bytes]:
    """A series as it is sent, each mail by itself, the first one first; the branch stays where it is."""
    base = project.git("rev-parse", "HEAD")
    for number in range(1, count + 1):
        text = f"{next(SERIES)}\n"  # git makes Message-IDs of commits and seconds
        project.commit({f"new{number}.c": text}, f"hw/foo: change {number}")
    text = project.git("format-patch", "--stdout", "--thread=shallow", *args, base) + "\n"
    project.git("reset", "--quiet", "--hard", base)
    return [one.partition("\n")[2].encode() for one in re.split(r"^From (?=[0-9a-f]{40} )", text, flags=re.M) if one]


def own(data: bytes) -> str:
    found = re.search(rb"^Message-I[Dd]: <(.+)>$", data, re.M)
    assert found is not None
    return found[1].decode()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project") / "upstream", {"f.c": TEXT})


@pytest.fixture(scope="module", params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> test_mailbox.Place:
    kind: Kind = request.param
    made = test_mailbox.Place(kind, tmp_path_factory.mktemp("mails") / "box")
    made.deliver(mail(1))
    return made


def find(place: test_mailbox.Place, message_id: str) -> Series:
    return postings.find(place.source, message_id, threading.Event())


def test_a_series_is_found_whole_by_each_of_its_mails(place: test_mailbox.Place, project: Project) -> None:
    series = mails(project, 3, "--cover-letter")
    for data in reversed(series):  # as it may arrive
        place.deliver(data)
    place.deliver(
        mail(2, text="thanks\n").replace(b"Subject:", f"References: <{own(series[0])}>\nSubject: Re:".encode())
    )
    for data in series:
        found = find(place, own(data))
        assert [patch.subject.number for patch in found.patches] == [1, 2, 3]
    (single,) = mails(project, 1)
    place.deliver(single)
    assert [patch.subject.text for patch in find(place, own(single)).patches] == ["hw/foo: change 1"]


def test_what_is_no_whole_series(place: test_mailbox.Place, project: Project) -> None:
    first, _, third = mails(project, 3, "-v7")
    place.deliver(first)
    place.deliver(third)
    answer = mail(3).replace(b"Subject:", b"Subject: Re: [PATCH]")
    place.deliver(answer)
    for message_id, why in (
        ("nobody@example.org", "<nobody@example.org> is not in the mailbox"),
        (own(third), f"<{own(third)}>: 2/3 missing; a series is tested whole"),
        (own(mail(1)), "there is no patch in it"),
        (own(answer), "is a reply; give the Message-ID of a patch"),
    ):
        with pytest.raises(postings.NotThere) as error:
            find(place, message_id)
        assert why in str(error.value)


def test_what_somebody_else_adds_to_a_series_is_not_taken(place: test_mailbox.Place, project: Project) -> None:
    first, second = mails(project, 2, "-v8")
    for data in (first, second):
        place.deliver(data)
    evil = second.replace(own(second).encode(), b"evil@example.net")
    place.deliver(re.sub(rb"^From: .*$", b"From: Mallory <m@example.net>", evil, flags=re.M))
    assert len(find(place, own(first)).patches) == 2


def test_limits(place: test_mailbox.Place, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    series = mails(project, 2, "-v9")
    for data in series:
        place.deliver(data)
    with monkeypatch.context() as patched:
        patched.setattr(patches, "MAILS", 1)
        with pytest.raises(postings.NotThere, match=r"2/2 missing|more than 1 mails"):
            find(place, own(series[0]))
    with monkeypatch.context() as patched:
        patched.setattr(patches, "BYTES", len(series[0]) - 1)
        with pytest.raises(postings.NotThere, match="is not in the mailbox"):
            find(place, own(series[0]))
    with monkeypatch.context() as patched:
        patched.setattr(postings, "_TIME", -1.0)
        with pytest.raises(InfraError, match="was not looked through"):
            find(place, own(series[0]))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        postings.find(place.source, own(series[0]), stop)


def test_of_a_public_inbox_the_newest_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = tmp_path / "box"
    for epoch, number in (("0", 1), ("0", 2), ("1", 3), ("1", 4)):
        test_mailbox.committed(box / "git" / f"{epoch}.git", mail(number))
    source = test_mailbox.Place("public-inbox", box).source
    for newest, there in ((9, [4, 3, 2, 1]), (3, [4, 3, 2]), (2, [4, 3])):
        monkeypatch.setattr(mailbox, "NEWEST", newest)
        found = [own(data) for data in mailbox.mailbox(source, None).every(1 << 20)]
        assert found == [f"{number}@example.org" for number in there]


def test_blobs_of_many_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pieces are in which git tells them; what is too long or not there is passed over."""
    place = tmp_path / "x.git"
    texts = [b"", b"a\n", b"x" * 5000, b"1234 blob 7\n", b"z" * 101, b"end"]
    for text in texts:
        test_mailbox.committed(place, text)
    test_mailbox.committed(place, b"removed", "d")
    repository = Repository(place)
    for size in (1, 7, 64, 1 << 18):
        monkeypatch.setattr("bot.host.gitdir._PIECE", size)
        found = list(repository.files(repository.newest(99), "m", 100))
        assert found == [text for text in reversed(texts) if len(text) <= 100]
    assert Repository(place).newest(0) == []
