"""Commits on their way to another clone: as a pack of just what that one lacks, for some exist in one clone alone."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable

from bot.errors import UserError
from bot.host.git import MADE, Repository
from bot.model import Sha

LARGEST = 8 * 2**20  # bytes of a pack that is sent; what is more is for a fetch


def has(repository: Repository, sha: Sha) -> bool:
    """Whether a commit is in a clone."""
    try:
        return repository.resolve(sha) == sha
    except UserError:
        return False


def tips(repository: Repository) -> tuple[Sha, ...]:
    """The commits that say what a clone has: the newest of its branches."""
    named = b"".join(_git(repository, "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes"))
    return tuple(dict.fromkeys(named.decode().split()))


def pack(repository: Repository, shas: Iterable[Sha], known: Iterable[Sha]) -> bytes | None:
    """What a clone lacks of commits, if it has those that are `known`; None if that is more than `LARGEST` bytes."""
    there = [f"^{sha}" for sha in known if has(repository, sha)]
    wanted = "\n".join([*shas, *there, ""]).encode()
    argv = ("pack-objects", "--quiet", "--revs", "--thin", "--stdout", "--delta-base-offset")
    found = bytearray()
    pieces = _git(repository, *argv, said=wanted)
    for piece in pieces:
        found += piece
        if len(found) > LARGEST:
            pieces.close()
            return None
    return bytes(found)


def unpack(repository: Repository, data: bytes, shas: Iterable[Sha], under: str = MADE) -> None:
    """Take commits from a pack, and keep them under some refs. Raises `InfraError` if the clone lacks more.

    If this is killed in its middle they may be there and not be named; whom that matters to has to `keep` them.
    """
    wanted = tuple(shas)
    for _ in _git(repository, "index-pack", "--stdin", "--fix-thin", said=data):
        pass
    for _ in _git(repository, "rev-list", "--quiet", "--objects", *wanted, "--not", "--all"):
        pass  # fails if anything is missing
    keep(repository, wanted, under)


def keep(repository: Repository, shas: Iterable[Sha], under: str) -> None:
    """Have refs under `under` for commits that are there, which also say where they came from."""
    updates = "".join(f"update {under}/{sha} {sha}\n" for sha in shas)
    for _ in _git(repository, "update-ref", "--stdin", said=updates.encode()):
        pass


def _git(repository: Repository, *args: str, said: bytes = b"") -> Generator[bytes, None, None]:
    with tempfile.TemporaryFile() as stdin:
        stdin.write(said)
        stdin.seek(0)
        yield from repository.stream(*args, stdin=stdin)
