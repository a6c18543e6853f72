"""The door to mails that come in: a Maildir, an mbox, or a clone of a public-inbox. They are read and left as they are.

Each mail is given once, oldest first, by a position that the caller keeps. A mail is data from anybody: what is too
large or cannot be taken apart is named and passed over.
"""

from __future__ import annotations

import codecs
import email
import email.policy
import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from bot.core.plain import line
from bot.core.replies import Letter
from bot.errors import UserError
from bot.host.git import Repository
from bot.model import MailSource

LARGEST = 2**18  # bytes of a mail; an answer is some thousand
MOST = 2000  # mails at a time
FILES = 100_000  # of a Maildir
NEWEST = 30_000  # of a public-inbox that are looked through; some three months of qemu-devel
_PARTS = 20  # multiparts of a mail: each line is held against every boundary that is open
_DEPTH = 4  # of those in each other
_FIELDS = 300  # of a header
_FIELD = 1 << 16  # characters of one
_BOUNDARY = re.compile(rb"boundary[*0-9\s]{0,20}=", re.IGNORECASE)
_CHARSETS = ("utf-8", "utf-16", "ascii", "iso", "cp1", "koi8", "gb", "big5", "euc", "shift_jis", "hz")
_FROM = re.compile(rb"From [^\n]*\d:\d\d[^\n]*\d{4}[^\n]*\n?")  # as mail programs know the start of a mail in an mbox
_LINE = 1 << 16  # bytes that are read of an mbox at once
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_EPOCH = re.compile(r"(\d{1,6})(?:\.git)?\Z")


@dataclass(frozen=True, slots=True)
class Found:
    """A mail. `letter` is None if it was passed over, for `why`; `digest` is the sha256 of its bytes."""

    name: str
    digest: str
    letter: Letter | None
    why: str = ""


class Mailbox(Protocol):
    """One source, from a position on."""

    def __iter__(self) -> Iterator[Found]:
        """At most `MOST` mails. Raises `UserError` for what is no such mailbox, `InfraError` if it cannot be read."""

    def position(self) -> str:
        """Where the next reading begins, if all that was given so far is done with."""

    def every(self, limit: int) -> Iterator[bytes]:
        """All mails as they are, wherever the reading stands; not those of more bytes. Of a public-inbox the newest
        `NEWEST`. Raises as above."""


def mailbox(source: MailSource, position: str | None) -> Mailbox:
    """The mails of a source that came after a position; None: the first time.

    Then a Maildir and an mbox are read from their beginning, a public-inbox from its newest mail on.
    """
    kept = _kept(position)
    match source.kind:
        case "maildir":
            return _Maildir(source.path, kept)
        case "mbox":
            return _Mbox(source.path, kept)
        case _:
            return _PublicInbox(source.path, kept)


def _kept(position: str | None) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(position or "")
        if isinstance(found, dict):
            return found
    return {}


# -- one mail ------------------------------------------------------------------------------------------------------


def opened(raw: bytes, name: str) -> Found:
    """A mail taken apart; of one that cannot be, why."""
    digest = hashlib.sha256(raw).hexdigest()
    if len(_BOUNDARY.findall(raw)) > _PARTS:
        return Found(name, digest, None, f"more than {_PARTS} parts")
    try:
        message = email.message_from_bytes(raw, policy=email.policy.compat32)
        fields = list(message.raw_items())[: _FIELDS + 1]
        if len(fields) > _FIELDS:
            return Found(name, digest, None, f"more than {_FIELDS} header fields")
        headers = tuple((line(str(key)), _unfolded(str(value))) for key, value in fields)
        return Found(name, digest, Letter(headers, _text(message, _DEPTH)))
    except Exception as error:  # whatever `email` trips over: one mail is not to keep us from the others
        return Found(name, digest, None, f"it cannot be taken apart: {type(error).__name__}")


def _unfolded(value: str) -> str:
    """A field on one line; bytes beyond ASCII, which no field may have as they are, become question marks."""
    return line(value[:_FIELD].encode("ascii", "replace").decode())


def _text(message: Message, depth: int) -> str:
    """What the sender wrote as plain text: the first part, or of alternatives the plain one. No attachment, no HTML."""
    kind = message.get_content_type()
    if message.get_content_disposition() == "attachment" or message.get_filename() is not None:
        return ""
    if kind == "text/plain":
        data = message.get_payload(decode=True)
        return _decoded(data, message.get_content_charset() or "utf-8") if isinstance(data, bytes) else ""
    parts = message.get_payload()
    if not isinstance(parts, list) or not depth:
        return ""
    chosen = parts if kind == "multipart/alternative" else parts[:1]
    if kind not in ("multipart/alternative", "multipart/mixed", "multipart/signed", "multipart/related"):
        return ""
    texts = (_text(part, depth - 1) for part in chosen[:20] if isinstance(part, Message))
    return next((text for text in texts if text), "")


def _decoded(data: bytes, charset: str) -> str:
    """The text; by a charset that mails are written in, not by any codec: Python's punycode takes minutes."""
    with suppress(LookupError, ValueError):
        if codecs.lookup(charset).name.startswith(_CHARSETS):
            return data.decode(charset, "replace").replace("\r\n", "\n")
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


# -- Maildir -------------------------------------------------------------------------------------------------------


class _Maildir:
    """Files in `new` and `cur`; known by what stands before the flags in their names (maildir(5))."""

    def __init__(self, path: Path, kept: dict[str, Any]) -> None:
        seen = kept.get("seen")
        self._path, self._seen = path, set(map(str, seen)) if isinstance(seen, list) else set[str]()
        self._there: set[str] = set()

    def __iter__(self) -> Iterator[Found]:
        files = self._files()
        self._there = {key for key, _, _ in files}
        for key, _, path in [one for one in files if one[0] not in self._seen][:MOST]:
            found = _file(path, key)
            self._seen.add(key)
            if found is not None:
                yield found

    def _files(self) -> list[tuple[str, int, Path]]:
        """(key, time, path) of each, by time."""
        found = []
        for folder in (self._path / "cur", self._path / "new"):
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
                            continue
                        with suppress(FileNotFoundError):  # it was moved meanwhile
                            at = entry.stat(follow_symlinks=False).st_mtime_ns
                            found.append((entry.name.partition(":")[0], at, Path(entry.path)))
                        if len(found) > FILES:
                            raise UserError(f"{self._path}: more than {FILES} mails; give a Maildir for replies alone")
            except OSError as error:
                raise UserError(f"{folder}: no Maildir that can be read: {error.strerror}") from error
        return sorted(found, key=lambda one: (one[1], one[0]))

    def position(self) -> str:
        return json.dumps({"seen": sorted(self._seen & self._there)})

    def every(self, limit: int) -> Iterator[bytes]:
        for _, _, path in self._files():
            with suppress(OSError):
                raw = _read(path, limit)
                if raw is not None and len(raw) <= limit:
                    yield raw


def _file(path: Path, name: str) -> Found | None:
    """The mail in a file; None if it is gone."""
    try:
        raw = _read(path, LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Found(line(name, 100), "", None, f"it cannot be read: {error.strerror}")
    return None if raw is None else _bounded(raw, line(name, 100))


def _read(path: Path, limit: int) -> bytes | None:
    """What a file holds, up to a byte more than the limit; None if it is none."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        return stream.read(limit + 1) if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) else None


def _bounded(raw: bytes, name: str) -> Found:
    if len(raw) > LARGEST:
        return Found(name, "", None, f"larger than {LARGEST >> 10} KiB")
    return opened(raw, name)


# -- mbox ----------------------------------------------------------------------------------------------------------


class _Mbox:
    """One file that grows. One that is another than before, or shorter, is read from its beginning."""

    def __init__(self, path: Path, kept: dict[str, Any]) -> None:
        offset = kept.get("offset")
        self._path = path
        self._offset = offset if isinstance(offset, int) and offset >= 0 else 0
        self._mark = str(kept.get("mark", ""))

    def __iter__(self) -> Iterator[Found]:
        with self._open() as stream:
            try:
                fcntl.lockf(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # a mail is being delivered: it is read the next time
                return
            yield from self._mails(stream)

    def every(self, limit: int) -> Iterator[bytes]:
        with self._open() as stream:
            yield from (raw for raw, _ in _split(stream, limit) if len(raw) <= limit)

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    raise UserError(f"{self._path}: not an mbox; give a file")
                yield stream
        except OSError as error:
            raise UserError(f"{self._path}: no mbox that can be read: {error.strerror}") from error

    def _mails(self, stream: BinaryIO) -> Iterator[Found]:
        if self._mark != _mark(stream, self._offset):
            self._offset = 0
        stream.seek(self._offset)
        for count, (raw, end) in enumerate(_split(stream)):
            if count == MOST:
                return
            name = f"{self._path.name} at byte {self._offset}"
            self._offset, self._mark = end, _mark(stream, end)
            yield _bounded(raw, name)

    def position(self) -> str:
        return json.dumps({"offset": self._offset, "mark": self._mark})


def _mark(stream: BinaryIO, offset: int) -> str:
    """What stands before a place: by that the same file is known again."""
    back = stream.tell()
    start = max(offset - 256, 0)
    stream.seek(start)
    data = stream.read(offset - start)
    stream.seek(back)
    return hashlib.sha256(data).hexdigest() if len(data) == offset - start else ""


def _split(stream: BinaryIO, limit: int = LARGEST) -> Iterator[tuple[bytes, int]]:
    """(mail, where it ends) from where the stream stands. One that is too long is given a byte longer than allowed."""
    mail, at, blank, begun = bytearray(), stream.tell(), True, False
    for text in iter(lambda: stream.readline(_LINE), b""):
        if blank and _FROM.fullmatch(text):
            if begun:
                yield bytes(mail), at
                mail.clear()
            begun = True
        elif begun and len(mail) <= limit:
            mail += text[: limit + 1 - len(mail)]
        at += len(text)
        blank = text in (b"\n", b"\r\n")
    if begun:
        yield bytes(mail), at


# -- public-inbox --------------------------------------------------------------------------------------------------


class _PublicInbox:
    """Repositories of a public-inbox, version 2: each commit has one mail, as the blob `m`; `d` says it was removed."""

    def __init__(self, path: Path, kept: dict[str, Any]) -> None:
        self._path = path
        self._first = "epochs" not in kept
        epochs = kept.get("epochs")
        known = epochs if isinstance(epochs, dict) else {}
        self._epochs = {str(epoch): str(sha) for epoch, sha in known.items() if _SHA.match(str(sha))}

    def __iter__(self) -> Iterator[Found]:
        left = MOST
        for name, path in self._repositories():
            repository = Repository(path)
            head = repository.head()
            if head is None:
                continue  # an epoch that nothing was written to
            if self._first:
                self._epochs[name] = head
                continue
            for sha in repository.linear(self._epochs.get(name), head)[:left]:
                left -= 1
                found = self._mail(repository, name, sha)
                self._epochs[name] = sha
                if found is not None:
                    yield found

    def _mail(self, repository: Repository, epoch: str, sha: str) -> Found | None:
        entry = repository.entry(sha, "m")
        if entry is None or entry[0] != "blob":
            return None
        return _bounded(repository.blob(entry[1], LARGEST + 1), f"{epoch}:{sha[:12]}")

    def _repositories(self) -> list[tuple[str, Path]]:
        """(epoch, repository), oldest first."""
        for folder in (self._path / "git", self._path):
            try:
                found = [(int(m[1]), entry) for entry in folder.iterdir() if (m := _EPOCH.match(entry.name))]
            except OSError:
                continue
            if found:
                return [(str(number), path) for number, path in sorted(found)]
        return [("0", self._path)]

    def every(self, limit: int) -> Iterator[bytes]:
        left = NEWEST
        for _, path in reversed(self._repositories()):
            repository = Repository(path)
            newest = repository.newest(left)
            left -= len(newest)
            yield from repository.files(newest, "m", limit)
            if not left:
                return

    def position(self) -> str:
        return json.dumps({"epochs": self._epochs})
