"""What the bot asks a git repository: names, history, what commits hold and how they differ, branches.

Names given by people are resolved once, by `resolve`; after that only 40-hex ids travel, so that no name can be taken
for an option. Nothing is changed here: `checkout` writes work trees, `picks` makes commits, `remote` fetches.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bot.errors import InfraError, UserError
from bot.host.gitdir import GitDir, text
from bot.model import Change, Commit, Sha

_HEX = re.compile(r"[0-9a-f]{40}\Z")
_RELEASE = re.compile(r"v?(\d+(?:\.\d+){1,2}(?:-rc\d+)?)\Z")
_FIELDS = "%H%x00%P%x00%s%x00%aN%x00%aE%x00%aI%x00%cI%x00%B"
_MAILMAP = "mailmap.blob=HEAD:.mailmap"  # today's, whatever is checked out; none, if there is no such file
MADE, POSTED = "refs/bot", "refs/bot/posted"
"""Where commits are kept that are made here, and among them those that somebody posted."""


class Repository:
    """One git repository, bare or not. Methods take and return 40-hex ids, except `resolve`, which makes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git = GitDir(path)

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
        found = self.git.attempt("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
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
            lines = self.git.call("log", "--all", "--format=%H %s", "--", "VERSION").splitlines()
            return next((line[:40] for line in lines if line[41:] == wanted), None)
        version = ".".join(map(str, numbers))
        for sha in self.git.call("log", "--all", "--format=%H", "--", "VERSION").split():
            if self.file(sha, "VERSION") == version + "\n":
                return sha
        return None

    def releases(self, tip: Sha) -> dict[str, Sha]:
        """Every release (`v4.2.0`) reachable from tip, by the commit that set VERSION to it, oldest first."""
        found: dict[str, Sha] = {}
        log = self.git.call("log", "--reverse", "--format=%H", "-p", "-U0", tip, "--", "VERSION")
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
        said = self.git.call("log", "-1", "--format=%s", tip, "--", "VERSION")
        named = re.match(r"Update version for (v\d+\.\d+\.\d+-rc\d+) release", said)
        return named[1] if named else None

    # -- reading history -----------------------------------------------------------------------------------------

    def head(self) -> Sha | None:
        """The commit of HEAD; None in a repository without one."""
        return self.git.attempt("rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}")

    def linear(self, after: Sha | None, head: Sha) -> list[Sha]:
        """Commits of head's history in their order, oldest first, without those of `after`'s.

        All of them if there is no `after`; none but head if `after` is not there any more: history was rewritten.
        """
        if after is not None and self.git.attempt("cat-file", "-e", f"{after}^{{commit}}") is None:
            return [head]
        return self.git.call("rev-list", "--reverse", head, *([f"^{after}"] if after else [])).split()

    def newest(self, count: int) -> list[Sha]:
        """The last commits of HEAD's history, newest first; none in a repository without one."""
        head = self.head()
        return [] if head is None else self.git.call("rev-list", f"--max-count={count}", head).split()

    def commit(self, sha: Sha) -> Commit:
        """What there is to say of one commit."""
        return self.commits([sha])[0]

    def commits(self, shas: Iterable[Sha]) -> list[Commit]:
        """The same for several, in the order given."""
        wanted = list(shas)
        found: dict[Sha, Commit] = {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            out = self.git.call("-c", _MAILMAP, "log", "--no-walk=unsorted", "-z", f"--format={_FIELDS}", *part)
            fields = out.split("\0")  # no field can hold a NUL: git itself ends names and messages there
            for i in range(0, len(fields) - 7, 8):
                sha, parents, subject, author, email, date, committed, body = fields[i : i + 8]
                found[sha] = Commit(sha, subject, author, email, date, committed, body, tuple(parents.split()))
        return [found[sha] for sha in wanted]

    def parents(self, good: Sequence[Sha], bad: Sha) -> dict[Sha, tuple[Sha, ...]]:
        """Commits reachable from bad and from no good, oldest first (parents before children), with all parents."""
        out = self.git.call("rev-list", "--parents", "--topo-order", "--reverse", bad, *(f"^{g}" for g in good))
        lines = (line.split() for line in out.splitlines())
        return {ids[0]: tuple(ids[1:]) for ids in lines if ids}

    def first_parents(self, good: Sha, bad: Sha) -> list[Sha]:
        """Commits on bad's first-parent line that good has not, oldest first."""
        return self.git.call("rev-list", "--first-parent", "--reverse", bad, f"^{good}").split()

    def is_ancestor(self, older: Sha, newer: Sha) -> bool:
        return self.git.attempt("merge-base", "--is-ancestor", older, newer) is not None

    def bases(self, sha: Sha) -> list[Sha]:
        """The newest commits of sha's history that a branch, a tag or HEAD has: itself, as a rule."""
        out = self.git.call("rev-list", "--boundary", sha, "--not", *self._vouched())
        lines = out.split()
        return [line[1:] for line in lines if line.startswith("-")] if lines else [sha]

    def posted(self, sha: Sha) -> bool:
        """Whether a commit is of a series that somebody posted, or stands on one; not if a branch, a tag or HEAD has
        it, for then a person took it in."""
        if not self.git.call("for-each-ref", "--count=1", POSTED):
            return False
        theirs = self.git.call("rev-list", f"--glob={POSTED}/*", "--not", *self._vouched()).split()
        own = self.git.call("rev-list", sha, "--not", *self._vouched()).split()
        return not set(theirs).isdisjoint(own)

    def _vouched(self) -> tuple[str, ...]:
        """What names the commits that are upstream's, or that a person has on a branch."""
        head = self.head()
        return ("--branches", "--tags", "--remotes", *([head] if head else []))

    def holding(self, older: Sha, shas: Iterable[Sha]) -> set[Sha]:
        """Those of some commits that have an older one in their history, itself included: one walk for all of them."""
        wanted = set(shas)
        newer = self.git.call("rev-list", "--ancestry-path", *sorted(wanted), "--not", older) if wanted else ""
        return wanted & {older, *newer.split()}

    def merge_base(self, one: Sha, other: Sha) -> Sha | None:
        """The best common ancestor, or None if the histories have nothing in common."""
        found = self.git.attempt("merge-base", one, other)
        return found.splitlines()[0] if found else None

    def paths(self, sha: Sha) -> tuple[str, ...]:
        """Paths that a commit changes against its first parent."""
        against = ("--diff-merges=first-parent", "--no-renames", "--no-ext-diff")
        out = self.git.call("log", "-1", *against, "--format=", "--name-only", "-z", sha)
        return tuple(p for p in out.split("\0") if p)

    def present(self, sha: Sha, paths: Iterable[str], tip: Sha) -> tuple[str, ...]:
        """What files that a commit changes are called at `tip`, as far as they are there or were renamed since."""
        wanted, there = list(paths), self.tree(tip)
        if not there.issuperset(wanted):
            asked = ("-r", "-z", "-M", "--diff-filter=R", "--name-status", "--no-ext-diff")
            fields = self.git.call("diff-tree", *asked, sha, tip).split("\0")[:-1]
            renamed = dict(zip(fields[1::3], fields[2::3], strict=True))
            wanted = [renamed.get(path, path) for path in wanted]
        return tuple(path for path in wanted if path in there)

    def mapped(self, people: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """(name, address) of people as today's .mailmap has them."""
        lines = [f"{name} <{address}>".strip() for name, address in people]
        asked = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
        out = b"".join(self.git.stream("-c", _MAILMAP, "check-mailmap", "--stdin", said=asked))
        answers = (line.rpartition("<") for line in text(out).splitlines())
        return tuple((name.strip(), address.removesuffix(">")) for name, _, address in answers)

    def changes(self, sha: Sha, others: Sequence[Sha]) -> dict[Sha, tuple[Change, ...]]:
        """What each other commit has to change to be like sha; those that are not in this repository are left out.

        Several thousand commits apart that takes 50 ms for each of them.
        """
        places = self.places((sha, *others))
        here, trees = places[sha][0], {commit: places[commit][0] for commit in others if commit in places}
        pairs = "".join(f"{tree} {here}\n" for tree in set(trees.values())).encode()
        out = b"".join(self.git.stream("diff-tree", "--stdin", "-r", "--raw", "-z", "--no-renames", said=pairs))
        found: dict[str, list[Change]] = {}
        fields = iter(text(out).split("\0"))
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
            out = self.git.call("log", "--no-walk=unsorted", "--ignore-missing", "--format=%H %T %ct", *part)
            lines = (line.split() for line in out.splitlines())
            found |= {commit: (tree, int(date)) for commit, tree, date in lines}
        return found

    def tree(self, sha: Sha) -> frozenset[str]:
        """All paths of a commit's tree."""
        return frozenset(self.git.call("ls-tree", "-r", "--name-only", "-z", sha).split("\0")[:-1])

    def patch(self, sha: Sha) -> str:
        """A commit's diff against its first parent, each hunk with the line of code that it stands under."""
        against = ("--diff-merges=first-parent", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        return self.git.call("log", "-1", "--patch", *against, "--format=", sha)

    def mentioning(self, sha: Sha) -> list[Sha]:
        """Commits of any branch whose message names sha (by 8 digits or more), newest first."""
        return self.git.call("log", "--all", "--format=%H", "--fixed-strings", f"--grep={sha[:8]}").split()

    def saying(self, texts: Iterable[str], but: Sha) -> list[Sha]:
        """Commits anywhere in the clone, not in the history of `but`, whose message has one of some texts, newest
        first."""
        wanted = [f"--grep={text}" for text in dict.fromkeys(texts)]
        return self.git.call("log", "--all", "--format=%H", "--fixed-strings", *wanted, "--not", but).split()

    def fixes_since(self, sha: Sha, tips: Iterable[Sha]) -> list[tuple[Sha, tuple[str, ...]]]:
        """Commits with a `Fixes:` line that a tip has and sha has not, newest first, and the paths they change."""
        wanted = ("--no-merges", "--no-renames", "-i", "-E", "--grep=^[[:blank:]]*fixes[[:blank:]]*:")
        out = self.git.call("log", *wanted, "--format=%x01%H", "--name-only", *tips, "--not", sha)
        found = []
        for record in out.split("\1")[1:]:
            commit, *paths = record.split("\n")
            found.append((commit, tuple(path for path in paths if path)))
        return found

    def file(self, sha: Sha, path: str) -> str | None:
        """A file's text in a commit's tree, or None if it is not there."""
        status, out, _ = self.git.run("cat-file", "blob", f"{sha}:{path}")
        return out if status == 0 else None

    def blob(self, oid: str, limit: int) -> bytes:
        """The first bytes of a blob, at most so many."""
        data = b""
        with contextlib.closing(self.git.stream("cat-file", "blob", oid)) as pieces:
            while len(data) < limit and (piece := next(pieces, b"")):
                data += piece
        return data[:limit]

    def files(self, shas: Iterable[Sha], path: str, limit: int) -> Iterator[bytes]:
        """What a file holds in each of some commits that have it, by one git for all; not those of more bytes."""
        asked = "".join(f"{sha}:{path}\n" for sha in shas).encode()
        with contextlib.closing(self.git.stream("cat-file", "--batch", said=asked)) as pieces:
            yield from _blobs(pieces, limit)

    def has_word(self, sha: Sha, word: str) -> bool:
        """Whether some file of a commit's tree has a word. Raises `InfraError` if git cannot read the tree."""
        status, _, err = self.git.run("grep", "--quiet", "--word-regexp", "--fixed-strings", "-e", word, sha)
        if status > 1:
            raise InfraError(f"{self.path}: git grep exited {status}: {err.strip()}")
        return status == 0

    def entry(self, sha: Sha, path: str) -> tuple[str, Sha] | None:
        """(type, object id) of a path in a commit's tree: blob, tree, or commit for a submodule; None if absent."""
        out = self.git.call("ls-tree", "-z", sha, "--", path.rstrip("/"))
        for record in out.split("\0"):
            meta, _, name = record.partition("\t")
            if name == path.rstrip("/"):
                _, kind, oid = meta.split()
                return kind, oid
        return None

    def submodule_url(self, sha: Sha, path: str) -> str | None:
        """The URL that a commit's .gitmodules gives for the submodule at path, or None."""
        blob = f"--blob={sha}:.gitmodules"
        paths = self.git.attempt("config", blob, "--null", "--get-regexp", r"^submodule\..*\.path$") or ""
        for record in paths.split("\0"):
            key, _, value = record.partition("\n")
            if value == path:
                return self.git.attempt("config", blob, "--get", key.removesuffix("path") + "url")
        return None

    # -- branches ------------------------------------------------------------------------------------------------

    def branches(self) -> dict[str, Sha]:
        """Branch name -> tip, of the upstream that `remote.fetch` follows."""
        out = self.git.call("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/remotes/origin")
        found: dict[str, Sha] = {}
        for line in out.splitlines():
            sha, ref = line.split(" ", 1)
            name = ref.removeprefix("refs/heads/").removeprefix("refs/remotes/origin/")
            if name != "HEAD":
                found[name] = sha
        return found


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
