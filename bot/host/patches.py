"""Posted patches: a mailbox in, a commit out. Nothing is built here, and no work tree, index or configuration touched.

Mails come from anybody. They are taken apart by `git mailinfo`, as `git am` does it, and put on the base in a
repository of their own that borrows the objects of the clone: without hooks, filters and merge drivers of the clone's,
within limits of bytes, memory and time. Only what came out whole is taken over, as a pack. `git apply` itself refuses
paths with `..`, paths below `.git`, and those beyond a symbolic link, one of the same series too.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from pathlib import Path

from bot.core.plain import clean, line
from bot.core.series import NotASeries, Subject, order, subject
from bot.errors import InfraError, UserError
from bot.host import bundles, disk, process
from bot.host.git import POSTED, Repository
from bot.host.gitdir import environment
from bot.host.picks import IDENTITY
from bot.host.process import Completed
from bot.model import Origin, Sha

BYTES = 20 * 2**20  # of a mailbox
MAILS = 500
PATCHES = 200
_HEAD = 1 << 16  # bytes of a mail's header
_MESSAGE = 1 << 16  # characters of a commit message
_LINE = 200  # characters of a subject, a name, an address
_FIELD = 4000  # characters of a header field with addresses
_MEMORY = 2**30  # bytes of one git; it holds all files that a patch makes, so this bounds what it writes, too
_WRITTEN = 256 * 2**20  # bytes that the objects of a whole series may take until they are packed
_CPU = 60  # seconds of one git; a patch of QEMU takes it 0.1
_TIME = 1800.0  # seconds for a whole series, on a machine that has more to do
_FROM = re.compile(rb"^From [^\n]*\d:\d\d +\d{4}[^\n]*\n", re.MULTILINE)  # as `git mailsplit` knows the start of a mail
_DIFF = re.compile(rb"^(?:diff --git [^\n]+|--- [^\n]+\n\+\+\+ [^\n]+)$", re.MULTILINE)
_BLANK = "*** SUBJECT HERE ***"  # of a cover letter that nobody wrote
_SHA = re.compile(r"^[0-9a-f]{40}$", re.MULTILINE)
_FILE = re.compile(
    r"^error: patch failed: (?P<hunk>.+):\d+$"
    r"|^error: (?P<named>.+?): (?:patch does not apply|does not exist in index|already exists in index|"
    r"does not match index|wrong type|has type )"
    r"|^error: affected file '(?P<beyond>.+)' is beyond a symbolic link$"
    r"|^U (?P<conflict>.+)$",
    re.MULTILINE,
)
_WORDS = re.compile(r"(?:error|fatal): (?!repository lacks the necessary blob)|Applied .* with conflicts")
_CRUD = frozenset(" .,:;<>\"\\'")  # of which alone git lets no name consist (ident.c)


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch. Author and message have no control characters; `diff` is as it was posted, with LF line ends."""

    subject: Subject
    author: str
    email: str
    message: str
    diff: bytes


@dataclass(frozen=True, slots=True)
class Series:
    """The patches in the order they are applied. `subject` is the cover letter's, else the first patch's."""

    subject: str
    patches: tuple[Patch, ...]
    left_out: tuple[str, ...] = ()  # replies that hold a patch
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True)
class _Mail:
    raw: bytes
    subject: Subject
    key: bytes  # what its copies have in common
    origin: Origin


# -- reading -------------------------------------------------------------------------------------------------------


def read(path: Path, stop: threading.Event | None = None) -> Series:
    """The series in an mbox, in one mail, in the output of `git format-patch`; `-` is standard input.

    Raises `UserError` for what is none, and for what is beyond a limit; `Stopped`.
    """
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(BYTES + 1)
        else:
            with path.open("rb") as stream:
                data = stream.read(BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    return series(data, "standard input" if str(path) == "-" else str(path), stop)


def series(data: bytes, name: str, stop: threading.Event | None = None) -> Series:
    """The same from bytes; errors call them `name`."""
    if len(data) > BYTES:
        raise UserError(f"{name}: more than {BYTES >> 20} MiB; a series is smaller")
    if data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise UserError(f"{name}: it is compressed; unpack it first")
    return whole(_split(data.replace(b"\r\n", b"\n")), name, stop)


def whole(raws: Iterable[bytes], name: str, stop: threading.Event | None = None) -> Series:
    """The series that some mails are, each with LF line ends, in any order and with copies among them."""
    mails: dict[bytes, _Mail] = {}
    size = 0
    for number, raw in enumerate(raws, 1):
        size += len(raw)
        if size > BYTES:
            raise UserError(f"{name}: more than {BYTES >> 20} MiB; a series is smaller")
        if number > MAILS:
            raise UserError(f"{name}: more than {MAILS} mails; give the mails of one series")
        mail = _mail(raw)
        mails.setdefault(mail.key, mail)
    limit = time.monotonic() + _TIME
    own = list(mails.values())
    with tempfile.TemporaryDirectory(prefix="bot-mails-") as scratch:
        git = _Git(Path(scratch), environment(), limit, stop)
        found = [_patch(git, mail, name) for mail in own]
    try:
        there = order([(patch.subject, bool(patch.diff)) for patch in found])
    except NotASeries as error:
        raise UserError(f"{name}: {error}") from error
    if len(there.patches) > PATCHES:
        raise UserError(f"{name}: {len(there.patches)} patches; more than {PATCHES} are not taken")
    patches = tuple(found[i] for i in there.patches)
    bare = next((patch for patch in patches if not patch.subject.text), None)
    if bare is not None:
        raise UserError(f"{name}: a patch without a subject; give a mail, or what `git format-patch` writes")
    title = found[there.cover].subject.text if there.cover is not None else ""
    title = patches[0].subject.text if title in ("", _BLANK) else title
    stands = own[there.patches[0] if there.cover is None else there.cover]
    return Series(title, patches, tuple(str(found[i].subject) for i in there.replies), stands.origin)


def _split(data: bytes) -> Iterator[bytes]:
    """The mails, without the `From ` lines between them; what has none is one mail."""
    began: int | None = None
    for match in _FROM.finditer(data):
        before = data[began or 0 : match.start()]
        if before.strip():
            yield before
        began = match.end()
    if data[began or 0 :].strip():
        yield data[began or 0 :]


def _mail(raw: bytes) -> _Mail:
    raw = raw.lstrip(b"\n")
    head = raw.partition(b"\n\n")[0][:_HEAD]
    fields = BytesHeaderParser().parsebytes(head + b"\n\n")
    known = str(fields.get("Message-ID", "")).strip().encode(errors="replace")
    text = _decoded(str(fields.get("Subject", "")))
    found = subject(line(text, 10 * _LINE))
    to = ", ".join(str(value) for name in ("To", "Cc") for value in fields.get_all(name, []))
    origin = Origin(
        message_id=line(str(fields.get("Message-ID", "")), _FIELD),
        sender=line(str(fields.get("From", "")), _FIELD),
        to=line(to, _FIELD),
        subject=line(text, _LINE),
        version=found.version,
    )
    return _Mail(raw, found, known or raw, origin)


def titled(text: str) -> Subject:
    """A subject as a header has it, taken apart."""
    return subject(line(_decoded(text), 10 * _LINE))


def _decoded(text: str) -> str:
    with suppress(HeaderParseError, LookupError, ValueError):  # not an encoded word after all
        return str(make_header(decode_header(text[: 10 * _LINE])))
    return text


def _patch(git: _Git, mail: _Mail, name: str) -> Patch:
    """What `git mailinfo` makes of a mail: encodings undone, headers in the body heard, signature cut off.

    Of a reply it is not asked; whether there is a patch in it is all that matters.
    """
    if mail.subject.reply:
        return Patch(mail.subject, "", "", "", mail.raw if _DIFF.search(mail.raw) else b"")
    options = ("--encoding=UTF-8", "--no-scissors", "--quoted-cr=strip")
    message, diff = git.place / "message", git.place / "diff"
    done = git.run("mailinfo", *options, str(message), str(diff), stdin=mail.raw)
    if not done.ok:
        raise UserError(f"{name}: {mail.subject}: git cannot take this mail apart: {_words(done)}")
    body, patch = message.read_bytes(), diff.read_bytes()
    told: dict[str, str] = {}
    for text in done.output.splitlines():
        key, colon, value = text.partition(": ")
        if colon:
            told.setdefault(key, value)
    title = line(told.get("Subject", ""), _LINE)
    own = mail.subject
    return Patch(
        Subject(title or line(own.text, _LINE), own.version, own.number, own.total),
        _identity(told.get("Author", ""), "unknown"),
        _identity(told.get("Email", ""), "unknown@localhost"),
        clean(body.decode(errors="replace"))[:_MESSAGE].strip(),
        patch if _DIFF.search(patch) else b"",
    )


def _identity(text: str, otherwise: str) -> str:
    """A name or an address that git takes."""
    plain = line(text.translate({ord("<"): None, ord(">"): None}), _LINE)
    return plain if any(c not in _CRUD for c in plain) else otherwise


# -- applying ------------------------------------------------------------------------------------------------------


def compose(
    repository: Repository, base: Sha, patches: Sequence[Patch], scratch: Path, stop: threading.Event | None = None
) -> Sha:
    """base with a commit for each patch, as a real commit under refs/bot/posted/, where it is known by later.

    The author is the mail's; committer and dates are fixed, so that the same base and patches give the same id.
    `scratch` is a directory for what lies between. Raises `UserError` for a patch that does not apply, `Stopped`.
    """
    with disk.writing(scratch), tempfile.TemporaryDirectory(prefix="patches-", dir=scratch.absolute()) as name:
        place = Path(name)
        git = _Git(place, environment(), time.monotonic() + _TIME, stop)
        own = _borrowing(git, repository)
        head = base
        git.call("read-tree", base)
        for patch in patches:
            head = _commit(git, head, patch)
            if disk.size(own.git.dir) > _WRITTEN:
                raise UserError(f"{_called(patch)}: the series writes more than {_WRITTEN >> 20} MiB; it is not taken")
        packed = bundles.pack(own, [head], [base])
    if packed is None:
        raise UserError(f"the series makes more than {bundles.LARGEST >> 20} MiB of objects; it is not taken")
    bundles.unpack(repository, packed, [head], POSTED)
    return head


def _borrowing(git: _Git, repository: Repository) -> Repository:
    """A new repository that reads the clone's objects and nothing else of it; `git` works in it from now on."""
    own, tree = git.place / "git", git.place / "tree"
    tree.mkdir()
    git.call("init", "--quiet", "--bare", "--template=", str(own))
    (own / "objects" / "info").mkdir(exist_ok=True)
    (own / "objects" / "info" / "alternates").write_bytes(os.fsencode(repository.git.objects) + b"\n")
    git.env = {
        **git.env,
        "GIT_DIR": str(own),
        "GIT_WORK_TREE": str(tree),  # empty: no attributes in it
        "GIT_INDEX_FILE": str(git.place / "index"),
    }
    git.cwd = tree
    return Repository(own)


def _commit(git: _Git, head: Sha, patch: Patch) -> Sha:
    """head with the patch on top."""
    diff, message = git.place / "diff", git.place / "message"
    diff.write_bytes(patch.diff)
    done = git.run("apply", "--cached", "--3way", "--whitespace=nowarn", "--", str(diff))
    if not done.ok:
        found = _FILE.search(done.output)
        file = line(next(filter(None, found.groups())), _LINE) if found else ""
        raise UserError(f"{_called(patch)} does not apply{f': {file}' if file else ''}: git says: {_words(done)}")
    message.write_text(f"{patch.subject.text}\n\n{patch.message}\n", encoding="utf-8")
    who = {**IDENTITY, "GIT_AUTHOR_NAME": patch.author, "GIT_AUTHOR_EMAIL": patch.email}
    tree = git.call("write-tree")
    return git.call("commit-tree", tree, "-p", head, "-F", str(message), env=who)


def _called(patch: Patch) -> str:
    return f'{patch.subject.place} "{patch.subject.text}"'


def _words(done: Completed) -> str:
    """The first words of a git that failed, that say why."""
    if done.timed_out:
        return f"it was not done after {_TIME:.0f} s with the series"
    lines = [line(text, _LINE) for text in done.output.splitlines() if text.strip()]
    return next((text for text in lines if _WORDS.match(text)), lines[0] if lines else f"exit {done.returncode}")


@dataclass
class _Git:
    """git on data from anybody: with a limit to its memory, and one deadline for all calls."""

    place: Path
    env: Mapping[str, str]
    deadline: float  # time.monotonic()
    stop: threading.Event | None
    cwd: Path | None = None

    def run(self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> Completed:
        return process.run(
            ["prlimit", f"--data={_MEMORY}", f"--fsize={_MEMORY}", f"--cpu={_CPU}", "--core=0", "--", "git", *args],
            cwd=self.cwd or self.place,
            env={**self.env, **(env or {})},
            timeout=max(self.deadline - time.monotonic(), 0.1),
            stop=self.stop,
            stdin=stdin,
        )

    def call(self, *args: str, env: Mapping[str, str] | None = None) -> str:
        """An id that git prints, or nothing. Raises `InfraError` if it fails."""
        done = self.run(*args, env=env)
        if not done.ok:
            raise InfraError(f"git {args[0]}: {_words(done)}")
        found = _SHA.search(done.output)
        return found[0] if found else ""
