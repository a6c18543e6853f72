"""Mailboxes of each kind, made by the programs that make them: each mail once, whatever is among them."""

from __future__ import annotations

import fcntl
import mailbox as stdlib
import os
import subprocess
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.replies import Policy, Sent, read
from bot.errors import UserError
from bot.host import mailbox as door
from bot.host.mailbox import LARGEST, Found, mailbox, opened
from bot.model import MailSource

Kind = Literal["maildir", "mbox", "public-inbox"]
KINDS: tuple[Kind, ...] = ("maildir", "mbox", "public-inbox")


def mail(number: int, text: str = "hello\n") -> bytes:
    message = EmailMessage()
    message["From"], message["Message-ID"] = "Ann <ann@example.org>", f"<{number}@example.org>"
    message["Subject"] = f"number {number}"
    message.set_content(text)
    return message.as_bytes()


def git(place: Path, *args: str, stdin: bytes = b"") -> bytes:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_DIR": str(place)}
    return subprocess.run(["git", *args], env=env, input=stdin, check=True, capture_output=True).stdout


def committed(repository: Path, data: bytes, name: str = "m") -> None:
    """A commit as public-inbox-v2-format(5) has it: one mail a commit, as the blob `m` of an otherwise empty tree."""
    if not repository.exists():
        subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True)
    before = git(repository, "for-each-ref", "--format=from %(objectname)", "refs/heads/master")
    told = b"commit refs/heads/master\ncommitter Ann <ann@example.org> 0 +0000\ndata 1\nx\n" + before
    blob = b"deleteall\nM 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data)
    git(repository, "fast-import", "--quiet", "--force", stdin=told + blob)
    git(repository, "symbolic-ref", "HEAD", "refs/heads/master")


class Place:
    """A mailbox of one kind, and how mails come to it."""

    def __init__(self, kind: Kind, path: Path) -> None:
        self.source, self._position = MailSource(kind, path), ""

    def deliver(self, data: bytes) -> None:
        path = self.source.path
        match self.source.kind:
            case "maildir":
                box = stdlib.Maildir(path, create=True)
                key = box.add(data)
                os.utime(path / "new" / key, ns=(0, 0))  # of one second: the names decide
            case "mbox":
                file = stdlib.mbox(path)
                file.lock()
                file.add(data)
                file.flush()
                file.unlock()
                file.close()
            case _:
                committed(path / "git" / "0.git", data)

    def read(self) -> list[Found]:
        box = mailbox(self.source, self._position or None)
        found = list(box)
        self._position = box.position()
        return found


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """One that was read before, with one mail in it."""
    made = Place(request.param, tmp_path / "box")
    made.deliver(mail(0))
    made.read()
    return made


def ids(found: list[Found]) -> list[str]:
    return [one.letter.one("message-id") if one.letter else one.why for one in found]


def test_each_mail_is_given_once(place: Place) -> None:
    assert place.read() == []
    for number in (1, 2, 3):
        place.deliver(mail(number))
    assert sorted(ids(place.read())) == [f"<{number}@example.org>" for number in (1, 2, 3)]
    assert place.read() == []
    place.deliver(mail(4))
    assert ids(place.read()) == ["<4@example.org>"]


def test_what_is_left_for_the_next_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MOST", 2)
    for number in range(1, 6):
        place.deliver(mail(number))
    batches = [ids(place.read()) for _ in range(4)]
    assert [len(batch) for batch in batches] == [2, 2, 1, 0]
    assert len({one for batch in batches for one in batch}) == 5


def test_a_mail_is_taken_apart(place: Place) -> None:
    place.deliver(mail(1, "Größe\nmigbot: no-cc\n"))
    (found,) = place.read()
    assert found.letter is not None and found.letter.text.startswith("Größe\nmigbot: no-cc\n")
    assert found.letter.one("from") == "Ann <ann@example.org>" and len(found.digest) == 64


DAMAGED = {
    "too long": (mail(1) + b"x" * LARGEST, "larger than 256 KiB"),
    "too many fields": (b"X: y\n" * 500 + b"\nx\n", "more than 300 header fields"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_passed_over_is_named_and_the_others_are_read(place: Place, name: str) -> None:
    data, why = DAMAGED[name]
    place.deliver(data)
    place.deliver(mail(2))
    found = place.read()
    assert sorted(ids(found)) == sorted(["<2@example.org>", why])
    assert all(one.name.isprintable() and one.name for one in found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["absent", "file", "empty"])
def test_what_is_no_such_mailbox(tmp_path: Path, kind: Kind, what: str) -> None:
    path = tmp_path / "box"
    if what == "file":
        path.write_text("From here to there\n")
    if what == "empty":
        path.mkdir()
    if (kind, what) == ("mbox", "file"):
        assert list(mailbox(MailSource(kind, path), None)) == []
        return
    with pytest.raises(UserError, match=str(path)):
        list(mailbox(MailSource(kind, path), None))


@pytest.mark.parametrize("position", ["", "{}", "[]", "no JSON", '{"seen": 1, "offset": -5, "mark": 0, "epochs": [1]}'])
@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_a_position_that_is_none_begins_anew(tmp_path: Path, kind: Kind, position: str) -> None:
    place = Place(kind, tmp_path / "box")
    place.deliver(mail(1))
    assert len(list(mailbox(place.source, position))) == 1


# -- Maildir -------------------------------------------------------------------------------------------------------


def test_a_mail_that_its_reader_moves_and_flags_is_the_same(tmp_path: Path) -> None:
    place = Place("maildir", tmp_path / "box")
    place.deliver(mail(1))
    assert len(place.read()) == 1
    (file,) = (tmp_path / "box" / "new").iterdir()
    file.rename(tmp_path / "box" / "cur" / f"{file.name}:2,RS")
    assert place.read() == []


def test_links_and_pipes_are_no_mails(tmp_path: Path) -> None:
    place = Place("maildir", tmp_path / "box")
    place.deliver(mail(1))
    secret = tmp_path / "secret"
    secret.write_bytes(mail(2))
    (tmp_path / "box" / "new" / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "box" / "new" / "pipe")
    (tmp_path / "box" / "new" / ".hidden").write_bytes(mail(3))
    assert ids(place.read()) == ["<1@example.org>"]


# -- mbox ----------------------------------------------------------------------------------------------------------


def test_another_file_in_its_place_is_read_from_its_beginning(tmp_path: Path) -> None:
    place = Place("mbox", tmp_path / "box")
    for number in (1, 2):
        place.deliver(mail(number))
    assert len(place.read()) == 2
    place.source.path.rename(tmp_path / "box.1")
    place.deliver(mail(3))
    assert ids(place.read()) == ["<3@example.org>"]
    place.source.path.unlink()
    for number in (4, 5, 6):
        place.deliver(mail(number, "longer than it was before\n" * 20))
    assert len(place.read()) == 3


def test_while_a_mail_is_delivered_nothing_is_read(tmp_path: Path) -> None:
    place = Place("mbox", tmp_path / "box")
    place.deliver(mail(1))
    code = "import sys, fcntl; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, 2); print('held', flush=True); input()"
    argv = ["python3", "-c", code, str(place.source.path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert place.read() == []
        holder.communicate("\n")
    assert len(place.read()) == 1
    with place.source.path.open("r+") as again:
        fcntl.lockf(again, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and we let go of it


def test_a_line_that_begins_like_a_separator_is_text(tmp_path: Path) -> None:
    place = Place("mbox", tmp_path / "box")
    place.deliver(mail(1, "As I said.\nFrom here on it is 12:30 in 2026\n\nFrom now on\n"))
    assert len(place.read()) == 1


# -- public-inbox --------------------------------------------------------------------------------------------------


def test_the_first_time_it_begins_at_the_newest_mail(tmp_path: Path) -> None:
    place = Place("public-inbox", tmp_path / "box")
    place.deliver(mail(1))
    assert place.read() == []
    place.deliver(mail(2))
    assert ids(place.read()) == ["<2@example.org>"]


def test_a_new_epoch_is_read_from_its_beginning(tmp_path: Path) -> None:
    place = Place("public-inbox", tmp_path / "box")
    place.deliver(mail(1))
    place.read()
    place.deliver(mail(2))
    for number in (3, 4):
        committed(tmp_path / "box" / "git" / "1.git", mail(number))
    assert ids(place.read()) == [f"<{number}@example.org>" for number in (2, 3, 4)]
    assert place.read() == []


def test_one_epoch_alone_and_what_was_removed(tmp_path: Path) -> None:
    place = Place("public-inbox", tmp_path / "box" / "git" / "0.git")
    repository = tmp_path / "box" / "git" / "0.git"
    committed(repository, mail(1))
    place.read()
    committed(repository, mail(1), "d")
    committed(repository, mail(2))
    assert ids(place.read()) == ["<2@example.org>"]


def test_history_that_was_rewritten(tmp_path: Path) -> None:
    """A mail was purged: what is new is found from its newest on."""
    place = Place("public-inbox", tmp_path / "box")
    place.deliver(mail(1))
    place.read()
    subprocess.run(["rm", "-r", tmp_path / "box" / "git" / "0.git"], check=True)
    for number in (2, 3):
        place.deliver(mail(number))
    assert ids(place.read()) == ["<3@example.org>"]
    place.deliver(mail(4))
    assert ids(place.read()) == ["<4@example.org>"]


# -- parts ---------------------------------------------------------------------------------------------------------


def html(message: EmailMessage) -> None:
    message.set_content("<p>migbot: no-cc</p>", subtype="html")


def attached(message: EmailMessage) -> None:
    message.set_content("see the attachment")
    message.add_attachment("migbot: no-cc\n", filename="x.txt")


def attached_first(message: EmailMessage) -> None:
    message.make_mixed()
    message.add_attachment("migbot: no-cc\n", filename="x.txt")


def second(message: EmailMessage) -> None:
    message.set_content("the first part")
    message.make_mixed()
    part = EmailMessage()
    part.set_content("migbot: no-cc\n")
    message.attach(part)


def forwarded(message: EmailMessage) -> None:
    inner = EmailMessage()
    inner.set_content("migbot: no-cc\n")
    message.make_mixed()
    message.add_attachment(inner, disposition="inline")


def plain(message: EmailMessage) -> None:
    message.set_content("migbot: no-cc\n")


def alternative(message: EmailMessage) -> None:
    message.set_content("migbot: no-cc\n")
    message.add_alternative("<p>something else</p>", subtype="html")


def encoded(message: EmailMessage) -> None:
    message.set_content("migbot: no-cc\n", cte="base64")


@pytest.mark.parametrize("make", [html, attached, attached_first, second, forwarded])
def test_parts_that_nobody_wrote_to_us(make: Callable[[EmailMessage], None]) -> None:
    message = EmailMessage()
    make(message)
    found = opened(message.as_bytes(), "x")
    assert found.letter is not None and "migbot" not in found.letter.text


@pytest.mark.parametrize("make", [plain, alternative, encoded])
def test_parts_that_a_person_wrote(make: Callable[[EmailMessage], None]) -> None:
    message = EmailMessage()
    make(message)
    found = opened(message.as_bytes(), "x")
    assert found.letter is not None and found.letter.text.startswith("migbot: no-cc")


def test_a_word_is_no_part() -> None:
    assert opened(b"Subject: x\n\n" + b"align it to a page boundary\n" * 100, "x").letter is not None


@pytest.mark.parametrize("depth", [5, 20, 300, 3000])
def test_parts_in_parts_without_end(depth: int) -> None:
    """They take seconds at most: each line is compared with every boundary."""
    deep = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(depth))
    began = time.process_time()
    found = opened(deep + b"\n" * (LARGEST - len(deep)) + b"\nmigbot: no-cc\n", "x")
    assert found.letter is None or found.letter.text == ""
    assert time.process_time() - began < 30


CHARSETS = [
    "utf-16", "punycode", "unicode_escape", "unknown-8bit", "idna", "x" * 300, "utf-7", "rot13", "base64", "undefined",
    "\0",
]  # fmt: skip


@pytest.mark.parametrize("charset", CHARSETS, ids=lambda charset: charset[:20])
def test_a_charset_that_is_none(charset: str) -> None:
    raw = b'Content-Type: text/plain; charset="%s"\n\nx\xff\n' % charset.encode() + b"x" * 200_000
    began = time.process_time()
    assert opened(raw, "x").letter is not None
    assert time.process_time() - began < 10


OURS = "r0017.1.report.5f0c1e9a@migbot.example.org"
SENT = {OURS: Sent("r0017", frozenset({"ann@example.org"}))}
POLICY = Policy("migbot", "migbot@example.org", "mx.example.org", ("ann@example.org",))
TOP = (
    b"Authentication-Results: mx.example.org;\n dkim=pass header.d=example.net\n"
    b"Received: from eve by mx.example.org; Sun, 29 Nov 2026 15:00:00 +0000\n"
)
BYTES = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"\r\n", b"\n\n", b"\n ", b"\0", b"\xff", b"\x85", b"\x0b", b"\x0c", b"\xe2\x80\xa8", b"\t",
         b"From: ann@example.org", b"From: eve@example.net", b"FROM : Ann <ann@example.org>", b"Message-ID: <1@x>",
         b"Authentication-Results: mx.example.org; dkim=pass header.d=example.org", b"dkim=pass header.d=example.org",
         f"In-Reply-To: <{OURS}>".encode(), b"migbot: invalid x", b"migbot: no-cc", b"--b", b";", b'"', b"=?x?q?=0a?=",
         b'Content-Type: multipart/mixed; boundary="b"', b"Content-Transfer-Encoding: base64", b"From x 12:30 2026"]
    ) | st.binary(max_size=6), max_size=16,
).map(b"".join)  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(BYTES)
def test_no_bytes_speak_for_others(data: bytes) -> None:
    """What the server puts on top says example.net; what Eve sends below it never counts as Ann's."""
    usual = f"In-Reply-To: <{OURS}>\nMessage-ID: <2@example.net>\n".encode()
    for raw in (TOP + data, TOP + usual + b"From: ann@example.org\n\nmigbot: no-cc\n" + data, TOP + usual + data):
        found = opened(raw, "x")
        reading = None if found.letter is None else read(found.letter, SENT, POLICY)
        assert reading is None or reading.commands == ()
