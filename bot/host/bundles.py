"""Commits on their way to another clone: as a pack of just what that one lacks, for some exist in one clone alone."""

from __future__ import annotations

from collections.abc import Iterable

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
    named = repository.git.call("for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes")
    return tuple(dict.fromkeys(named.split()))


def pack(repository: Repository, shas: Iterable[Sha], known: Iterable[Sha]) -> bytes | None:
    """What a clone lacks of commits, if it has those that are `known`; None if that is more than `LARGEST` bytes."""
    there = [f"^{sha}" for sha in known if has(repository, sha)]
    wanted = "\n".join([*shas, *there, ""]).encode()
    argv = ("pack-objects", "--quiet", "--revs", "--thin", "--stdout", "--delta-base-offset")
    found = bytearray()
    pieces = repository.git.stream(*argv, said=wanted)
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
    for _ in repository.git.stream("index-pack", "--stdin", "--fix-thin", said=data):
        pass
    repository.git.call("rev-list", "--quiet", "--objects", *wanted, "--not", "--all")  # fails if anything is missing
    keep(repository, wanted, under)


def keep(repository: Repository, shas: Iterable[Sha], under: str) -> None:
    """Have refs under `under` for commits that are there, which also say where they came from."""
    updates = "".join(f"update {under}/{sha} {sha}\n" for sha in shas)
    for _ in repository.git.stream("update-ref", "--stdin", said=updates.encode()):
        pass
