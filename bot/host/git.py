"""The door to git. GitPython is used here and nowhere else, and only to execute argv lists that are built here.

Names given by people are resolved once, by `resolve`; after that only 40-hex ids travel, so that no name can be taken
for an option. The environment is git's own defaults: no system or user configuration, no hooks, no prompts, and only
the transports that were asked for (docs/architecture.md, Security).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

os.environ["GIT_PYTHON_REFRESH"] = "quiet"  # without git the import must pass: `_execute` says what to install
import git as gitpython

from bot.errors import InfraError, Killed, Stopped, UserError
from bot.host import process
from bot.model import Change, Commit, Sha

_PIECE = 1 << 18  # bytes that `stream` gives at once
_ADDING = threading.Lock()  # `git worktree prune` may take away what an `add` beside it is about to make
_UNSETTLED = "bot-moves"  # in git's directory of a worktree
_NETWORK = 3600.0  # seconds for a clone or a fetch
_HEX = re.compile(r"[0-9a-f]{40}\Z")
_RELEASE = re.compile(r"v?(\d+(?:\.\d+){1,2}(?:-rc\d+)?)\Z")
_FIELDS = "%H%x00%P%x00%s%x00%aN%x00%aE%x00%aI%x00%cI%x00%B"
_MAILMAP = "mailmap.blob=HEAD:.mailmap"  # today's, whatever is checked out; none, if there is no such file
MADE, POSTED = "refs/bot", "refs/bot/posted"
"""Where commits are kept that are made here, and among them those that somebody posted."""
IDENTITY = {  # of commits that are made here: the same each time, so that their ids are, too
    "GIT_AUTHOR_NAME": "bot",
    "GIT_AUTHOR_EMAIL": "bot@localhost",
    "GIT_AUTHOR_DATE": "2000-01-01T00:00:00+00:00",
    "GIT_COMMITTER_NAME": "bot",
    "GIT_COMMITTER_EMAIL": "bot@localhost",
    "GIT_COMMITTER_DATE": "2000-01-01T00:00:00+00:00",
}

for _name in [n for n in os.environ if n.startswith("GIT_") and n != "GIT_SSL_CAINFO"]:
    del os.environ[_name]  # GitPython hands os.environ on; a GIT_DIR or GIT_INDEX_FILE of our caller is not for us


def environment(local: bool = False) -> dict[str, str]:
    """The environment of every git call; `local` lets git read repositories by path (`file`)."""
    env = dict(os.environ)
    settings = {"core.hooksPath": "/dev/null", "core.fsmonitor": "false", "submodule.recurse": "false", "gc.auto": "0"}
    env |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" if local else "https:ssh",
        "GIT_CONFIG_COUNT": str(len(settings)),
        "LC_ALL": "C",
    }
    for i, (key, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return env


@dataclass(frozen=True, slots=True)
class Conflict:
    """A composition that git could not make; `paths` are those in conflict."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revert:
    """Op: undo one commit (relative to its first parent, if it is a merge)."""

    sha: Sha


@dataclass(frozen=True, slots=True)
class Pick:
    """Op: bring one commit over (relative to its first parent, if it is a merge)."""

    sha: Sha


Op = Revert | Pick


class Repository:
    """One git repository, bare or not. Methods take and return 40-hex ids, except `resolve`, which makes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise UserError(f"{path}: no such directory; give a git repository")
        self._git = gitpython.Git(str(path))
        self.dir = path  # `--git-dir` below
        status, found, err = self._execute("rev-parse", "--absolute-git-dir", cwd=path)
        if status != 0:
            raise UserError(f"{path}: not a git repository that can be read: {err.strip()}")
        self.dir = Path(found.removesuffix("\n"))

    # -- running git ---------------------------------------------------------------------------------------------

    def _execute(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> tuple[int, str, str]:
        """Exit status, output and errors of a git that ended by itself, whatever it answered.

        One that a signal ended answered nothing, which must not be taken for "no": raises `Killed` if it was told to
        end (a terminal's Ctrl-C reaches git with us, and git first), else `InfraError`.

        It ends with us, even by kill -9: what it would go on to write is the next start's, which begins anew there.
        """
        # a GIT_DIR: were the repository gone, git would look for another one from here upwards
        full = environment(local=True) | ({} if cwd else {"GIT_DIR": str(self.dir)}) | dict(env or {})
        runner = gitpython.Git(str(cwd)) if cwd else self._git
        argv = ["git", *args]
        if shutil.which("git") is not None:  # else it is git that is to be missed
            argv = process.dies_with_us(argv, "TERM")
        try:
            status, out, err = runner.execute(
                argv,
                with_extended_output=True,
                with_exceptions=False,
                strip_newline_in_stdout=False,
                stdout_as_string=False,
                env=full,
            )
        except gitpython.GitCommandNotFound as error:
            raise InfraError("git is not installed: apt-get install git") from error
        _lived(int(status or 0), args[0], self.path)
        return int(status or 0), _text(out), _text(err)

    def _try(self, *args: str, env: Mapping[str, str] | None = None) -> str | None:
        """Output without the last newline, or None if git exited non-zero."""
        status, out, _ = self._execute(*args, env=env)
        return out.rstrip("\n") if status == 0 else None

    def _call(self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
        """Output; raises `InfraError` with git's words if it exited non-zero."""
        status, out, err = self._execute(*args, env=env, cwd=cwd)
        if status != 0:
            raise InfraError(f"{self.path}: git {args[0]} exited {status}: {err.strip() or out.strip()}")
        return out

    def stream(self, *args: str, stdin: BinaryIO) -> Generator[bytes, None, None]:
        """Output piece by piece, for what is too long to hold; `stdin` is a file with a descriptor.

        Raises `InfraError` with git's words after the last piece if it exited non-zero.
        """
        env = environment(local=True) | {"GIT_DIR": str(self.dir)}
        try:
            running = self._git.execute(["git", *args], as_process=True, istream=stdin, env=env)
        except gitpython.GitCommandNotFound as error:
            raise InfraError("git is not installed: apt-get install git") from error
        with tempfile.TemporaryFile() as said:  # git must never wait for us to read what it complains about
            ear = threading.Thread(target=shutil.copyfileobj, args=(running.stderr, said), daemon=True)
            ear.start()
            child = running.proc
            assert child is not None  # noqa: S101 - narrows the type; it is None only after it was waited for
            try:
                while piece := running.stdout.read(_PIECE):
                    yield piece
                status = child.wait()
            finally:
                if child.poll() is None:
                    child.kill()
                child.wait()
                ear.join()
                running.stdout.close()
                running.stderr.close()
            _lived(status, args[0], self.path)
            if status != 0:
                said.seek(0)
                raise InfraError(f"{self.path}: git {args[0]} exited {status}: {_text(said.read()).strip()}")

    @property
    def objects(self) -> Path:
        """Where its objects are, those of a linked worktree too."""
        return Path(self._call("rev-parse", "--path-format=absolute", "--git-path", "objects").removesuffix("\n"))

    # -- names ---------------------------------------------------------------------------------------------------

    def resolve(self, name: str) -> Sha:
        """The commit that a name means: any git revision, or a release (`v4.2.0`, `4.2`), also without tags.

        A release without a tag is the commit that set VERSION to it. Raises `UserError` for a name that means nothing.
        """
        found = self._revision(name)
        if found is None and "/" not in name:
            found = self._revision(f"refs/remotes/origin/{name}")
        if found is None:
            found = self._release(name)
        if found is None:
            raise UserError(
                f"{name!r}: no such revision in {self.path}; give a commit, branch, tag or release (v4.2.0). "
                "A release is also found without tags, by the commit that set VERSION"
            )
        return found

    def _revision(self, name: str) -> Sha | None:
        if not name or any(c in name for c in "\0\n") or name.encode(errors="ignore").decode() != name:
            return None
        found = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return found if found and _HEX.match(found) else None

    def _release(self, name: str) -> Sha | None:
        match = _RELEASE.match(name)
        if match is None:
            return None
        digits, _, rc = match[1].partition("-rc")
        numbers = [int(n) for n in digits.split(".")]
        numbers += [0] * (3 - len(numbers))
        if rc:  # 5.0.0-rc1 is 4.2.91 in VERSION; only the release before it tells, so look for the subject git log has
            wanted = f"Update version for v{'.'.join(map(str, numbers))}-rc{rc} release"
            lines = self._call("log", "--all", "--format=%H %s", "--", "VERSION").splitlines()
            return next((line[:40] for line in lines if line[41:] == wanted), None)
        version = ".".join(map(str, numbers))
        for sha in self._call("log", "--all", "--format=%H", "--", "VERSION").split():
            if self.file(sha, "VERSION") == version + "\n":
                return sha
        return None

    def releases(self, tip: Sha) -> dict[str, Sha]:
        """Every release (`v4.2.0`) reachable from tip, by the commit that set VERSION to it, oldest first."""
        found: dict[str, Sha] = {}
        log = self._call("log", "--reverse", "--format=%H", "-p", "-U0", tip, "--", "VERSION")
        sha = ""
        for line in log.splitlines():
            if _HEX.match(line):
                sha = line
            elif (match := re.match(r"\+(\d+\.\d+\.(\d+))\s*\Z", line)) and int(match[2]) < 50:
                found.setdefault(f"v{match[1]}", sha)
        return found

    def candidate(self, tip: Sha) -> str | None:
        """The release candidate that a tip is or comes after (`v5.0.0-rc1`), until the release or another one."""
        version = re.fullmatch(r"\d+\.\d+\.(\d+)\s*", self.file(tip, "VERSION") or "")
        if version is None or int(version[1]) < 90:  # 5.0.0-rc1 is 4.2.91: only the subject tells of what it is one
            return None
        said = self._call("log", "-1", "--format=%s", tip, "--", "VERSION")
        named = re.match(r"Update version for (v\d+\.\d+\.\d+-rc\d+) release", said)
        return named[1] if named else None

    # -- reading history -----------------------------------------------------------------------------------------

    def head(self) -> Sha | None:
        """The commit of HEAD; None in a repository without one."""
        return self._try("rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}")

    def linear(self, after: Sha | None, head: Sha) -> list[Sha]:
        """Commits of head's history in their order, oldest first, without those of `after`'s.

        All of them if there is no `after`; none but head if `after` is not there any more: history was rewritten.
        """
        if after is not None and self._try("cat-file", "-e", f"{after}^{{commit}}") is None:
            return [head]
        return self._call("rev-list", "--reverse", head, *([f"^{after}"] if after else [])).split()

    def newest(self, count: int) -> list[Sha]:
        """The last commits of HEAD's history, newest first; none in a repository without one."""
        head = self.head()
        return [] if head is None else self._call("rev-list", f"--max-count={count}", head).split()

    def commit(self, sha: Sha) -> Commit:
        """What there is to say of one commit."""
        return self.commits([sha])[0]

    def commits(self, shas: Iterable[Sha]) -> list[Commit]:
        """The same for several, in the order given."""
        wanted = list(shas)
        found: dict[Sha, Commit] = {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            out = self._call("-c", _MAILMAP, "log", "--no-walk=unsorted", "-z", f"--format={_FIELDS}", *part)
            fields = out.split("\0")  # no field can hold a NUL: git itself ends names and messages there
            for i in range(0, len(fields) - 7, 8):
                sha, parents, subject, author, email, date, committed, body = fields[i : i + 8]
                found[sha] = Commit(sha, subject, author, email, date, committed, body, tuple(parents.split()))
        return [found[sha] for sha in wanted]

    def parents(self, good: Sequence[Sha], bad: Sha) -> dict[Sha, tuple[Sha, ...]]:
        """Commits reachable from bad and from no good, oldest first (parents before children), with all parents."""
        out = self._call("rev-list", "--parents", "--topo-order", "--reverse", bad, *(f"^{g}" for g in good))
        lines = (line.split() for line in out.splitlines())
        return {ids[0]: tuple(ids[1:]) for ids in lines if ids}

    def first_parents(self, good: Sha, bad: Sha) -> list[Sha]:
        """Commits on bad's first-parent line that good has not, oldest first."""
        return self._call("rev-list", "--first-parent", "--reverse", bad, f"^{good}").split()

    def is_ancestor(self, older: Sha, newer: Sha) -> bool:
        return self._try("merge-base", "--is-ancestor", older, newer) is not None

    def bases(self, sha: Sha) -> list[Sha]:
        """The newest commits of sha's history that a branch, a tag or HEAD has: itself, as a rule."""
        out = self._call("rev-list", "--boundary", sha, "--not", *self._vouched())
        lines = out.split()
        return [line[1:] for line in lines if line.startswith("-")] if lines else [sha]

    def posted(self, sha: Sha) -> bool:
        """Whether a commit is of a series that somebody posted, or stands on one; not if a branch, a tag or HEAD has
        it, for then a person took it in."""
        if not self._call("for-each-ref", "--count=1", POSTED):
            return False
        theirs = self._call("rev-list", f"--glob={POSTED}/*", "--not", *self._vouched()).split()
        own = self._call("rev-list", sha, "--not", *self._vouched()).split()
        return not set(theirs).isdisjoint(own)

    def _vouched(self) -> tuple[str, ...]:
        """What names the commits that are upstream's, or that a person has on a branch."""
        head = self._try("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        return ("--branches", "--tags", "--remotes", *([head] if head else []))

    def holding(self, older: Sha, shas: Iterable[Sha]) -> set[Sha]:
        """Those of some commits that have an older one in their history, itself included: one walk for all of them."""
        wanted = set(shas)
        newer = self._call("rev-list", "--ancestry-path", *sorted(wanted), "--not", older) if wanted else ""
        return wanted & {older, *newer.split()}

    def merge_base(self, one: Sha, other: Sha) -> Sha | None:
        """The best common ancestor, or None if the histories have nothing in common."""
        found = self._try("merge-base", one, other)
        return found.splitlines()[0] if found else None

    def paths(self, sha: Sha) -> tuple[str, ...]:
        """Paths that a commit changes against its first parent."""
        against = ("--diff-merges=first-parent", "--no-renames", "--no-ext-diff")
        out = self._call("log", "-1", *against, "--format=", "--name-only", "-z", sha)
        return tuple(p for p in out.split("\0") if p)

    def present(self, sha: Sha, paths: Iterable[str], tip: Sha) -> tuple[str, ...]:
        """What files that a commit changes are called at `tip`, as far as they are there or were renamed since."""
        wanted, there = list(paths), self.tree(tip)
        if not there.issuperset(wanted):
            asked = ("-r", "-z", "-M", "--diff-filter=R", "--name-status", "--no-ext-diff")
            fields = self._call("diff-tree", *asked, sha, tip).split("\0")[:-1]
            renamed = dict(zip(fields[1::3], fields[2::3], strict=True))
            wanted = [renamed.get(path, path) for path in wanted]
        return tuple(path for path in wanted if path in there)

    def mapped(self, people: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """(name, address) of people as today's .mailmap has them."""
        lines = [f"{name} <{address}>".strip() for name, address in people]
        with tempfile.TemporaryFile() as asked:
            asked.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
            asked.seek(0)
            out = b"".join(self.stream("-c", _MAILMAP, "check-mailmap", "--stdin", stdin=asked))
        answers = (line.rpartition("<") for line in _text(out).splitlines())
        return tuple((name.strip(), address.removesuffix(">")) for name, _, address in answers)

    def changes(self, sha: Sha, others: Sequence[Sha]) -> dict[Sha, tuple[Change, ...]]:
        """What each other commit has to change to be like sha; those that are not in this repository are left out.

        Several thousand commits apart that takes 50 ms for each of them.
        """
        places = self.places((sha, *others))
        here, trees = places[sha][0], {commit: places[commit][0] for commit in others if commit in places}
        asked = "".join(f"{tree} {here}\n" for tree in set(trees.values()))
        with tempfile.TemporaryFile() as pairs:
            pairs.write(asked.encode())
            pairs.seek(0)
            out = b"".join(self.stream("diff-tree", "--stdin", "-r", "--raw", "-z", "--no-renames", stdin=pairs))
        found: dict[str, list[Change]] = {}
        fields = iter(_text(out).split("\0"))
        for field in fields:
            *heads, meta = field.split("\n")  # "TREE TREE\n" stands before the changes of each pair, also of none
            if heads:
                changes = found.setdefault(heads[-1].split()[0], [])
            if meta:
                before, after = ("" if mode == "000000" else mode for mode in meta.lstrip(":").split()[:2])
                changes.append(Change(next(fields), before, after))
        return {commit: tuple(found.get(tree, ())) for commit, tree in trees.items()}

    def places(self, shas: Iterable[Sha]) -> dict[Sha, tuple[Sha, int]]:
        """(tree, committer date in seconds since the epoch) of the commits that this repository has."""
        wanted = list(shas)
        found: dict[Sha, tuple[Sha, int]] = {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            out = self._call("log", "--no-walk=unsorted", "--ignore-missing", "--format=%H %T %ct", *part)
            lines = (line.split() for line in out.splitlines())
            found |= {commit: (tree, int(date)) for commit, tree, date in lines}
        return found

    def tree(self, sha: Sha) -> frozenset[str]:
        """All paths of a commit's tree."""
        return frozenset(self._call("ls-tree", "-r", "--name-only", "-z", sha).split("\0")[:-1])

    def patch(self, sha: Sha) -> str:
        """A commit's diff against its first parent, each hunk with the line of code that it stands under."""
        against = ("--diff-merges=first-parent", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        return self._call("log", "-1", "--patch", *against, "--format=", sha)

    def mentioning(self, sha: Sha) -> list[Sha]:
        """Commits of any branch whose message names sha (by 8 digits or more), newest first."""
        return self._call("log", "--all", "--format=%H", "--fixed-strings", f"--grep={sha[:8]}").split()

    def saying(self, texts: Iterable[str], but: Sha) -> list[Sha]:
        """Commits anywhere in the clone, not in the history of `but`, whose message has one of some texts, newest
        first."""
        wanted = [f"--grep={text}" for text in dict.fromkeys(texts)]
        return self._call("log", "--all", "--format=%H", "--fixed-strings", *wanted, "--not", but).split()

    def fixes_since(self, sha: Sha, tips: Iterable[Sha]) -> list[tuple[Sha, tuple[str, ...]]]:
        """Commits with a `Fixes:` line that a tip has and sha has not, newest first, and the paths they change."""
        wanted = ("--no-merges", "--no-renames", "-i", "-E", "--grep=^[[:blank:]]*fixes[[:blank:]]*:")
        out = self._call("log", *wanted, "--format=%x01%H", "--name-only", *tips, "--not", sha)
        found = []
        for record in out.split("\1")[1:]:
            commit, *paths = record.split("\n")
            found.append((commit, tuple(path for path in paths if path)))
        return found

    def file(self, sha: Sha, path: str) -> str | None:
        """A file's text in a commit's tree, or None if it is not there."""
        status, out, _ = self._execute("cat-file", "blob", f"{sha}:{path}")
        return out if status == 0 else None

    def blob(self, oid: str, limit: int) -> bytes:
        """The first bytes of a blob, at most so many."""
        data = b""
        with Path(os.devnull).open("rb") as nothing:
            pieces = self.stream("cat-file", "blob", oid, stdin=nothing)
            with contextlib.closing(pieces):
                while len(data) < limit and (piece := next(pieces, b"")):
                    data += piece
        return data[:limit]

    def files(self, shas: Iterable[Sha], path: str, limit: int) -> Iterator[bytes]:
        """What a file holds in each of some commits that have it, by one git for all; not those of more bytes."""
        with tempfile.TemporaryFile() as names:
            names.writelines(f"{sha}:{path}\n".encode() for sha in shas)
            names.seek(0)
            with contextlib.closing(self.stream("cat-file", "--batch", stdin=names)) as pieces:
                yield from _blobs(pieces, limit)

    def has_word(self, sha: Sha, word: str) -> bool:
        """Whether some file of a commit's tree has a word. Raises `InfraError` if git cannot read the tree."""
        status, _, err = self._execute("grep", "--quiet", "--word-regexp", "--fixed-strings", "-e", word, sha)
        if status > 1:
            raise InfraError(f"{self.path}: git grep exited {status}: {err.strip()}")
        return status == 0

    def entry(self, sha: Sha, path: str) -> tuple[str, Sha] | None:
        """(type, object id) of a path in a commit's tree: blob, tree, or commit for a submodule; None if absent."""
        out = self._call("ls-tree", "-z", sha, "--", path.rstrip("/"))
        for record in out.split("\0"):
            meta, _, name = record.partition("\t")
            if name == path.rstrip("/"):
                _, kind, oid = meta.split()
                return kind, oid
        return None

    def submodule_url(self, sha: Sha, path: str) -> str | None:
        """The URL that a commit's .gitmodules gives for the submodule at path, or None."""
        blob = f"--blob={sha}:.gitmodules"
        paths = self._try("config", blob, "--null", "--get-regexp", r"^submodule\..*\.path$") or ""
        for record in paths.split("\0"):
            key, _, value = record.partition("\n")
            if value == path:
                return self._try("config", blob, "--get", key.removesuffix("path") + "url")
        return None

    # -- refs and remotes ----------------------------------------------------------------------------------------

    def branches(self) -> dict[str, Sha]:
        """Branch name -> tip, of the upstream that `fetch` follows."""
        out = self._call("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/remotes/origin")
        found: dict[str, Sha] = {}
        for line in out.splitlines():
            sha, ref = line.split(" ", 1)
            name = ref.removeprefix("refs/heads/").removeprefix("refs/remotes/origin/")
            if name != "HEAD":
                found[name] = sha
        return found

    def fetch(self, url: str, stop: threading.Event | None = None) -> None:
        """Bring every branch and tag of url here, also those that were forced; what went is pruned.

        It talks to a network, so it goes by the process door: raises `Stopped` if `stop` was set, `InfraError` with
        git's words if it fails, or has not ended after an hour.
        """
        argv = [
            "git", "fetch", "--quiet", "--prune", "--no-recurse-submodules", "--end-of-options", url,
            "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*",
        ]  # fmt: skip
        env = environment(is_local(url)) | {"GIT_DIR": str(self.dir)}
        done = process.run(argv, env=env, timeout=_NETWORK, stop=stop)
        if not done.ok:
            why = f"not done after {_NETWORK:.0f} s" if done.timed_out else f"git fetch exited {done.returncode}"
            raise InfraError(f"{self.path}: {why}: {done.output.strip()}")

    # -- trees ---------------------------------------------------------------------------------------------------

    def checkout(self, sha: Sha, tree: Path, index: Path) -> None:
        """Make the folder `tree` (no .git in it) hold the commit's files; times of unchanged files are kept.

        `index` is git's own note of what the folder holds; delete both to start anew.
        """
        tree, index = tree.absolute(), index.absolute()  # git runs in the tree
        tree.mkdir(parents=True, exist_ok=True)
        env = {"GIT_DIR": str(self.dir), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(index)}
        (index.parent / (index.name + ".lock")).unlink(missing_ok=True)  # left by a git that was killed
        if not index.exists():
            self._call("read-tree", "--empty", env=env, cwd=tree)
        self._call("read-tree", "--reset", "-u", sha, env=env, cwd=tree)
        self._call("checkout-index", "--all", "--force", "--quiet", "-u", env=env, cwd=tree)

    def worktree(self, sha: Sha, path: Path) -> None:
        """Put a linked worktree (with a .git) at path on the commit; one of another repository is replaced.

        So is one in which something did not come to its end (`unsettled`). A git that was moving it may have written
        files that are not yet in the index: they would stay for all commits to come, tracked by none, and every test
        of that worktree would see them. Locks that were left there, and a worktree half made, are in nobody's way.
        """
        own = self._own(path)
        if own is not None and (own / "index").exists() and not (own / _UNSETTLED).exists():
            for lock in ("index.lock", "HEAD.lock"):
                (own / lock).unlink(missing_ok=True)
            with self.unsettled(path):
                self._call("checkout", "--quiet", "--force", "--detach", sha, cwd=path)
            return
        shutil.rmtree(path, ignore_errors=True)
        with _ADDING:
            self._call("worktree", "prune")
            self._call("worktree", "add", "--quiet", "--force", "--force", "--detach", str(path), sha)

    @contextlib.contextmanager
    def unsettled(self, path: Path) -> Iterator[None]:
        """While something changes a worktree of ours, which is made anew if that does not come to its end.

        What was told to end and did so has tidied up (`Stopped`, and not `Killed`).
        """
        own = self._own(path)
        if own is None:
            raise InfraError(f"{path}: is no worktree of {self.path} any more; start again")
        (own / _UNSETTLED).touch()
        try:
            yield
        except Killed:
            raise
        except Stopped:
            (own / _UNSETTLED).unlink(missing_ok=True)
            raise
        (own / _UNSETTLED).unlink(missing_ok=True)

    def _own(self, path: Path) -> Path | None:
        """git's directory of a linked worktree; None if there is none of this repository at path."""
        if not (path / ".git").exists():
            return None
        asked = ("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir")
        status, out, _ = self._execute(*asked, cwd=path)
        common, _, own = out.strip().partition("\n")
        return Path(own) if status == 0 and Path(common).resolve() == self.dir.resolve() else None

    def compose(self, base: Sha, ops: Sequence[Op]) -> Sha | Conflict:
        """base with ops applied in turn, as a real commit under refs/bot/, with fixed identity and dates.

        The same base and ops give the same id. No index and no work tree is needed or touched.
        """
        head = base
        for op in ops:
            done = self._apply(head, op)
            if isinstance(done, Conflict):
                return done
            head = done
        self._call("update-ref", f"{MADE}/{head}", head)
        return head

    def _apply(self, head: Sha, op: Op) -> Sha | Conflict:
        """head with one op as a commit on top; a three-way merge, as `git revert` and `git cherry-pick` do it.

        The merge base is the commit before the op's change. git 2.39 has no --merge-base for merge-tree, so the three
        trees are put into commits of which the first is the parent of the others.
        """
        parent = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{op.sha}^1")
        if parent is None:
            raise UserError(f"{op.sha[:12]} has no parent: it can be neither reverted nor picked")
        old, new = (op.sha, parent) if isinstance(op, Revert) else (parent, op.sha)
        base, ours, theirs = (self._call("rev-parse", f"{sha}^{{tree}}").strip() for sha in (old, head, new))
        fork = self._tree_commit(base)
        sides = self._tree_commit(ours, fork), self._tree_commit(theirs, fork)
        status, out, err = self._execute("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", *sides)
        if status not in (0, 1):
            raise InfraError(f"{self.path}: git merge-tree exited {status}: {err.strip()}")
        tree, *paths = out.rstrip("\0").split("\0")
        if status == 1:
            return Conflict(tuple(dict.fromkeys(paths)))
        verb = "Revert" if isinstance(op, Revert) else "Pick"
        return self._tree_commit(tree, head, message=f"{verb} {op.sha}")

    def _tree_commit(self, tree: Sha, *parents: Sha, message: str = "bot") -> Sha:
        """A commit of a tree, with fixed identity and dates; no ref names it."""
        argv = ["commit-tree", tree, "-m", message]
        for parent in parents:
            argv += ["-p", parent]
        return self._call(*argv, env=IDENTITY).strip()


def clone(
    url: str,
    path: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Repository:
    """The bot's own bare copy of upstream at `path`, fetched to now. A half-made one from a killed start is redone.

    Whoever calls has the copy for itself. So the locks that are there are those of a git that was killed, which would
    keep every fetch from then on from its refs; they are removed.

    Raises `UserError` with git's words if url cannot be reached and there is no copy yet, `InfraError` if there is
    one, `Stopped` if `stop` was set.
    """
    if is_local(url) and not url.startswith("file://"):
        url = str(Path(url).absolute())  # `fetch` runs elsewhere
    shown = re.sub(r"://[^/@\s]+@", "://", url)  # a password in it is not for logs
    if not (path / "HEAD").exists():
        say(f"cloning {shown}")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        argv = ["git", "clone", "--quiet", "--bare", "--no-recurse-submodules", "--end-of-options", url, str(part)]
        result = process.run(argv, env=environment(is_local(url)), timeout=_NETWORK, stop=stop)
        if not result.ok:
            said = result.output.strip().replace(url, shown)
            raise UserError(f"upstream.url: cannot clone {shown}: {said}")
        part.rename(path)
        return Repository(path)
    repository = Repository(path)
    for lock in (*path.glob("*.lock"), *(path / "refs").rglob("*.lock")):
        lock.unlink(missing_ok=True)
    for pause in (1, 4, 0):
        try:
            repository.fetch(url, stop)
            return repository
        except InfraError as error:
            if not pause:
                said = str(error).replace(url, shown)
                raise InfraError(f"upstream.url: cannot fetch {shown}: {said}") from error
            if (stop or threading.Event()).wait(pause):
                raise Stopped(f"stopped while fetching {shown}") from error
    raise AssertionError("unreachable")


def is_local(url: str) -> bool:
    """True for a path or file:// URL."""
    return url.startswith(("/", "./", "../", "file://")) or ("://" not in url and ":" not in url)


def _blobs(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The blobs that `git cat-file --batch` tells; what is not there, or longer, is passed over."""
    held, over = bytearray(), 0  # what was not looked at yet; how much of what is to come need not be
    for piece in pieces:
        held += piece[over:]
        over = max(over - len(piece), 0)
        at = 0
        while (end := held.find(b"\n", at)) >= 0:
            told = held[at:end].split()
            if len(told) != 3 or not told[2].isdigit():  # `... missing`
                at = end + 1
                continue
            size = int(told[2])
            after = end + 1 + size + 1
            if after > len(held):
                if size > limit:
                    at, over = len(held), after - len(held)
                break
            if size <= limit and told[1] == b"blob":
                yield bytes(held[end + 1 : after - 1])
            at = after
        del held[:at]


def _lived(status: int, command: str, path: Path) -> None:
    """Raise `Killed` or `InfraError` for a git that was ended by a signal."""
    if status in (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP):
        raise Killed(f"stopped while running git {command}")
    if status < 0:
        raise InfraError(f"{path}: git {command} was ended by signal {-status}; is there memory enough?")


def _text(data: str | bytes) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data
