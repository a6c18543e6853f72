"""Posted patches as commits, by real git: what people post, and what must never get through."""

from __future__ import annotations

import base64
import gzip
import quopri
import subprocess
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import UserError
from bot.host import patches
from bot.host.git import Repository
from bot.host.patches import compose, series
from bot.model import Sha
from tests.build.project import Project

TEXT = "".join(f"{n}\n" for n in range(40))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "upstream", {"f.c": TEXT, "ä b.c": TEXT, "old.bin": bytes(range(256)) * 8})


def posted(project: Project, *changes: Mapping[str, str | bytes | None], args: Sequence[str] = ()) -> bytes:
    """What `git format-patch` writes of a commit for each change; the branch stays where it is."""
    base = project.git("rev-parse", "HEAD")
    for number, change in enumerate(changes, 1):
        project.commit(change, f"hw/foo: change {number}")
    done = subprocess.run(
        ["git", "format-patch", "--stdout", *args, base], cwd=project.path, capture_output=True, check=True
    )
    project.git("reset", "--quiet", "--hard", base)
    return done.stdout


def mail(subject: str, diff: str, sender: str = "A U Thor <a@example.org>", more: str = "") -> str:
    return f"From: {sender}\nSubject: {subject}\n{more}\nwhy\n---\n\n{diff}"


def edit(path: str, old: str = "20", new: str = "XX") -> str:
    body = f"@@ -20,3 +20,3 @@\n 19\n-{old}\n+{new}\n 21\n"
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n{body}"


def new(path: str, text: str = "x", mode: str = "100644") -> str:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n"
        + ("\\ No newline at end of file\n" if mode == "120000" else "")
    )


def mbox(*mails: str) -> bytes:
    return "".join(f"From bot Mon Sep 17 00:00:00 2001\n{text}\n" for text in mails).encode()


def put(project: Project, data: bytes, tmp_path: Path, base: Sha = "") -> Sha:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    found = series(data, "s.mbox")
    made = compose(project.repository, base or project.repository.resolve("HEAD"), found.patches, scratch)
    assert list(scratch.iterdir()) == []
    return made


# -- what people post ----------------------------------------------------------------------------------------------


def test_the_output_of_format_patch_is_what_it_was_made_of(project: Project, tmp_path: Path) -> None:
    changed = TEXT.replace("20\n", "zwanzig ä\n")
    changes: list[dict[str, str | bytes | None]]
    changes = [{"f.c": changed}, {"f.c": None, "g.c": changed}, {"ä b.c": "no newline", "new.bin": bytes(range(256))}]
    data = posted(project, *changes, args=("--cover-letter", "--subject-prefix=PATCH v2"))
    found = series(data, "s.mbox")
    assert [str(patch.subject) for patch in found.patches] == [f'v2 {n}/3 "hw/foo: change {n}"' for n in (1, 2, 3)]
    assert found.subject == "hw/foo: change 1"  # nobody wrote the cover letter
    made = put(project, data, tmp_path)
    repository = project.repository
    assert repository.file(made, "g.c") == changed
    assert repository.tree(made) == {"g.c", "ä b.c", "new.bin", "old.bin"}
    last = repository.commit(made)
    assert (last.subject, last.author, last.email) == ("hw/foo: change 3", "T", "t@example.org")
    assert last.date == last.committed == "2000-01-01T00:00:00+00:00"
    assert project.git("log", "-1", "--format=%cn <%ce>", made) == "bot <bot@localhost>"
    assert len(repository.first_parents(project.first, made)) == 3
    assert repository.resolve(f"refs/bot/posted/{made}") == made
    assert put(project, data, tmp_path) == made  # the same each time
    project.git("fsck", "--strict")


def test_the_mail_that_stands_for_a_series_is_its_cover_letter_or_its_first_patch() -> None:
    who = "=?utf-8?q?J=C3=BCrgen?= <j@example.org>"
    more = "Message-ID: <{}@x>\nTo: list@example.org\nCc: Ann <ann@example.org>,\n Bob <bob@example.org>\n"
    first = mail("[PATCH v6 1/2] one", edit("f.c"), who, more.format(1))
    second = mail("[PATCH v6 2/2] two", edit("f.c", "XX", "YY"), who, more.format(2))
    cover = mail("[PATCH v6 0/2] both =?utf-8?q?=C3=A4?=\n of them", "", who, more.format(0))
    reply = mail("Re: [PATCH v6 0/2] both", "", "reviewer@example.org", more.format(9))
    origin = series(mbox(second, reply, first, cover), "s.mbox").origin
    assert (origin.message_id, origin.sender, origin.version) == ("<0@x>", who, 6)
    assert origin.subject == "[PATCH v6 0/2] both ä of them"
    assert origin.to == "list@example.org, Ann <ann@example.org>, Bob <bob@example.org>"
    assert series(mbox(second, first), "s.mbox").origin.message_id == "<1@x>"
    assert series(mail("[PATCH] alone", edit("f.c")).encode(), "s.eml").origin.message_id == ""


def test_work_tree_index_and_branches_stay_as_they_are(project: Project, tmp_path: Path) -> None:
    data = posted(project, {"f.c": "other\n"})
    (project.path / "f.c").write_text("mine\n")
    project.git("add", "f.c")
    (project.path / "f.c").write_text("mine, later\n")
    before = project.git("status", "--porcelain=v2", "--branch"), project.git("for-each-ref", "refs/heads")
    made = put(project, data, tmp_path)
    assert (project.git("status", "--porcelain=v2", "--branch"), project.git("for-each-ref", "refs/heads")) == before
    assert (project.path / "f.c").read_text() == "mine, later\n"
    assert project.repository.file(made, "f.c") == "other\n"


def test_mails_out_of_order_with_replies_and_copies(project: Project, tmp_path: Path) -> None:
    two = mail("[PATCH v2 2/2] second", edit("f.c", "XX", "YY"), more="Message-ID: <2@x>\n")
    quoted = "".join(f"> {text}\n" for text in edit("f.c").splitlines())
    data = mbox(
        two,
        mail("Re: [PATCH v2 1/2] first", f"how about this?\n{edit('f.c', '20', 'ZZ')}"),
        mail("Re: [PATCH v2 0/2] both", quoted),
        mail("[PATCH v2 0/2] both\n of them", "Changes since v1\n"),
        mail("[PATCH v2 1/2] first", edit("f.c")),
        two,
    )
    found = series(data, "s.mbox")
    assert found.subject == "both of them"
    assert [patch.subject.text for patch in found.patches] == ["first", "second"]
    assert found.left_out == ('v2 1/2 "first"',)
    assert "YY" in (project.repository.file(put(project, data, tmp_path), "f.c") or "")


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
@pytest.mark.parametrize("multipart", [False, True])
def test_one_mail_as_a_reader_saves_it(project: Project, tmp_path: Path, encoding: str, multipart: bool) -> None:
    body = f"why, so wörtlich\n---\n{edit('f.c', new='ä')}"
    coded = {
        "base64": base64.encodebytes(body.replace("\n", "\r\n").encode()).decode(),
        "quoted-printable": quopri.encodestring(body.encode()).decode(),
        "8bit": body,
    }[encoding]
    part = f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n{coded}"
    if multipart:
        part = f'Content-Type: multipart/mixed; boundary="b"\n\n--b\n{part}\n--b--\n'
    head = "From: =?utf-8?b?SsO2cmc=?= <j@example.org>\nSubject: =?utf-8?q?=5BPATCH=5D_hw=2Ff=C3=B6=C3=B6=3A_mend?=\n"
    data = f"{head}MIME-Version: 1.0\n{part}".replace("\n", "\r\n").encode()
    made = project.repository.commit(put(project, data, tmp_path))
    assert (made.subject, made.author) == ("hw/föö: mend", "Jörg")
    assert made.body.strip() == "hw/föö: mend\n\nwhy, so wörtlich"
    assert project.repository.file(made.sha, "f.c") == TEXT.replace("20\n", "ä\n")


def test_lines_that_moved_are_found_by_what_the_patch_was_made_of(project: Project, tmp_path: Path) -> None:
    """Context that is not there any more: only a three-way merge puts this on the newer base."""
    data = posted(project, {"f.c": TEXT.replace("20\n", "XX\n")})
    base = project.commit({"f.c": TEXT.replace("22\n", "twenty-two\n")})
    assert project.repository.file(put(project, data, tmp_path), "f.c") == TEXT.replace("20\n", "XX\n").replace(
        "22\n", "twenty-two\n"
    )
    assert project.git("rev-parse", "HEAD") == base


def test_from_a_linked_worktree_and_a_bare_clone(project: Project, tmp_path: Path) -> None:
    data = posted(project, {"f.c": "other\n"})
    made = put(project, data, tmp_path)
    project.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    project.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    for place in ("linked", "bare"):
        repository = Repository(tmp_path / place)
        assert compose(repository, project.first, series(data, "s").patches, tmp_path) == made
        assert repository.file(made, "f.c") == "other\n"


# -- what does not fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("diff", "said"),
    [
        (edit("f.c", "not there"), r'2/2 "second" does not apply: f\.c: git says: error: patch failed: f\.c:20'),
        (edit("none.c"), r'2/2 "second" does not apply: none\.c: git says: error: none\.c: does not exist in index'),
        (new("f.c"), r'2/2 "second" does not apply: f\.c: git says: Applied patch to .f\.c. with conflicts'),
        (edit("f.c").replace("@@ -20,3", "@@ -20,9"), r'2/2 "second" does not apply: git says: error: corrupt patch'),
    ],
)
def test_a_patch_that_does_not_apply_is_named(project: Project, tmp_path: Path, diff: str, said: str) -> None:
    data = mbox(mail("[PATCH 1/2] first", new("g.c")), mail("[PATCH 2/2] second", diff))
    with pytest.raises(UserError, match=said):
        put(project, data, tmp_path)
    assert project.git("for-each-ref", "refs/bot") == ""
    assert "unreachable" not in project.git("fsck", "--unreachable", "--no-reflogs")  # nothing of the first is left


def test_a_conflict_names_the_file(project: Project, tmp_path: Path) -> None:
    data = posted(project, {"f.c": TEXT.replace("20\n", "XX\n")})
    project.commit({"f.c": TEXT.replace("20\n", "YY\n")})
    with pytest.raises(UserError, match=r'patch "hw/foo: change 1" does not apply: f\.c: git says: '):
        put(project, data, tmp_path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "s.mbox: there is no patch in it"),
        (bytes(range(256)) * 400, "s.mbox: there is no patch in it"),
        (b"\0" * 100000, "s.mbox: there is no patch in it"),
        (b"From x Mon Sep 17 00:00:00 2001\n" * 2, "there is no patch in it"),
        (gzip.compress(b"x", mtime=0), "s.mbox: it is compressed; unpack it first"),
        (edit("f.c").encode(), "s.mbox: a patch without a subject"),
        (mbox(mail("[PATCH 1/2] a", edit("f.c"))), "s.mbox: 2/2 missing"),
    ],
)
def test_what_is_no_series_is_told(data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        series(data, "s.mbox")


# -- limits --------------------------------------------------------------------------------------------------------


def test_too_many_bytes(tmp_path: Path) -> None:
    path = tmp_path / "s.mbox"
    with path.open("wb") as out:
        out.truncate(patches.BYTES + 1)
    with pytest.raises(UserError, match=r"s\.mbox: more than 20 MiB"):
        patches.read(path)
    with pytest.raises(UserError, match="more than 20 MiB"):
        patches.read(Path("/dev/zero"))
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        patches.read(tmp_path)


def test_too_many_mails() -> None:
    with pytest.raises(UserError, match="more than 500 mails"):
        series(mbox(*(f"Subject: {n}\n\nx\n" for n in range(501))), "s.mbox")


def test_too_many_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "PATCHES", 3)
    with pytest.raises(UserError, match="4 patches; more than 3 are not taken"):
        series(mbox(*(mail(f"[PATCH {n}/4] a", edit("f.c")) for n in range(1, 5))), "s.mbox")


@pytest.mark.parametrize("depth", [3, 20, 5000])
def test_nested_multiparts_are_a_series_or_a_user_error(depth: int) -> None:
    nested = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(depth))
    text = f"From: a <a@x>\nSubject: [PATCH] deep\nMIME-Version: 1.0\n{nested}\n\n{edit('f.c')}"
    try:
        found = series(text.encode(), "s.mbox")
    except UserError as error:
        assert depth > 3 and str(error).startswith('s.mbox: patch "deep": git cannot take this mail apart: ')
    else:
        assert [patch.subject.text for patch in found.patches] == ["deep"]


def test_a_small_patch_that_makes_much_is_not_taken(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of a file with a line changed cost the patch some bytes, and the disk a file each."""
    project.commit({"big.c": "".join(f"{n * n * 7919 % 1000003}\n" for n in range(20000))}, "big")
    head = project.git("rev-parse", "HEAD")
    project.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    for number in range(8):
        text = (project.path / "big.c").read_text()
        (project.path / f"copy{number}.c").write_text(f"{number}\n{text}")
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "copies")
    data = subprocess.run(
        ["git", "format-patch", "--stdout", "-C", "--find-copies-harder", head],
        cwd=project.path, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert len(data) < 5000
    found, without = series(data, "s").patches, Repository(tmp_path / "bare")
    monkeypatch.setattr(patches, "_WRITTEN", 100_000)
    with pytest.raises(UserError, match="the series writes more than"):
        compose(without, head, found, tmp_path)
    monkeypatch.setattr(patches, "_WRITTEN", 2**20)
    compose(without, head, found, tmp_path)


def test_git_has_a_limit_to_its_memory(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A binary patch of 170 kB that unpacks to 30 MB."""
    data = posted(project, {"zeros.bin": bytes(30_000_000)})
    assert len(data) < 200_000
    monkeypatch.setattr(patches, "_MEMORY", 20 * 2**20)
    with pytest.raises(UserError, match=r'patch "hw/foo: change 1" does not apply: git says: fatal: '):
        put(project, data, tmp_path)


# -- what must never get through -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("diffs", "said"),
    [
        ([new("../x")], "invalid path '../x'"),
        ([new("a/../../x")], "invalid path 'a/../../x'"),
        ([new("/x")], "/x"),
        ([new(".git/hooks/post-checkout", "touch /tmp/x")], "invalid path '.git/hooks/post-checkout'"),
        ([new("sub/.GIT/config")], "invalid path 'sub/.GIT/config'"),
        ([new("link", "OUT", "120000"), new("link/x")], "link/x: git says: .*is beyond a symbolic link"),
        ([new("link", "OUT", "120000") + new("link/x")], "link/x: git says: .*is beyond a symbolic link"),
    ],
)
def test_no_patch_writes_out_of_the_tree(project: Project, tmp_path: Path, diffs: list[str], said: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    diffs = [diff.replace("OUT", str(out)) for diff in diffs]
    total = len(diffs)
    data = mbox(*(mail(f"[PATCH {n}/{total}] p{n}", diff) for n, diff in enumerate(diffs, 1)))
    seen = {path for path in tmp_path.rglob("*") if ".git/" not in str(path)}
    with pytest.raises(UserError, match=f'{total}/{total} "p{total}" does not apply.*{said}'):
        put(project, data, tmp_path)
    assert {path for path in tmp_path.rglob("*") if ".git/" not in str(path)} - seen <= {tmp_path / "scratch"}
    assert list((project.path / ".git/hooks").glob("post-checkout")) == []


def test_the_clones_own_configuration_has_no_part(project: Project, tmp_path: Path) -> None:
    """Merge drivers, filters and hooks run commands of the clone's owner: not on what somebody posted."""
    mark = tmp_path / "mark"
    data = posted(project, {".gitattributes": "*.c merge=own filter=own\n"}, {"f.c": TEXT.replace("20\n", "XX  \n")})
    base = project.commit({"f.c": TEXT.replace("22\n", "other\n")})  # so that it is merged
    for key in ("merge.own.driver", "filter.own.clean", "filter.own.smudge"):
        project.git("config", key, f"touch {mark}")
    project.git("config", "apply.whitespace", "fix")
    hook = project.path / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    made = put(project, data, tmp_path, base)
    assert project.repository.file(made, "f.c") == TEXT.replace("20\n", "XX  \n").replace("22\n", "other\n")
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["...", "=?utf-8?q?=0d=0aBcc=3a_x?=", "\x1b[31mred\x1b[0m", "<>", "", "-x --amend", "a\0b"]
)
def test_names_are_data(project: Project, tmp_path: Path, name: str) -> None:
    sender = f"{name} <--exec=x@example.org>"
    data = mail(f"[PATCH] --amend {name}", edit("f.c"), sender).encode()
    made = project.repository.commit(put(project, data, tmp_path))
    for text in (made.subject, made.author, made.email, made.body.replace("\n", "")):
        assert text and text.isprintable()
    assert made.subject.startswith("--amend")


def harmless(text: str) -> bool:
    """Whether it is one line without control, format, surrogate or separator characters."""
    return not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text)


ODD = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40)
DASHED = st.builds(str.__add__, st.sampled_from(["-", "--", "--output=x", "-F/etc/passwd", "@{-1}", "a..b", ""]), ODD)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(title=DASHED, author=DASHED, email=DASHED, file=DASHED)
def test_any_words_make_a_commit_or_a_user_error(
    project: Project, tmp_path: Path, title: str, author: str, email: str, file: str
) -> None:
    data = mail(f"[PATCH] {title}", new(file or "x"), f"{author} <{email}>").encode()
    files = {path for path in tmp_path.rglob("*") if ".git/" not in str(path)}
    try:
        made = project.repository.commit(put(project, data, tmp_path))
    except UserError as error:
        assert harmless(str(error))
        return
    finally:
        now = {path for path in tmp_path.rglob("*") if ".git/" not in str(path)}
        assert now - files <= {tmp_path / "scratch"}
    assert made.parents == (project.first,)
    assert harmless(made.subject) and harmless(made.author) and harmless(made.email)
