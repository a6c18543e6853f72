"""Commits that need no build: they change nothing of what the build of another commit read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bot.build.artifacts import Key
from bot.build.cache import Cache
from bot.build.submodules import Pin
from bot.core.closure import same_binary
from bot.host.git import Repository
from bot.model import Build, BuildKind

_NEIGHBOURS = 32  # builds among which one is looked for, by date
_FAR = 2000  # changed files above which nobody need look: something of them was read


def shared(repository: Repository, cache: Cache, key: Key) -> Build | None:
    """The build that a commit shares with another, recorded under `key`; the nearest ones are tried."""
    artifacts = cache.artifacts
    places = repository.places((key.commit, *artifacts.commits(key.group)))
    dates = {sha: date for sha, (_, date) in places.items()}
    at = dates.pop(key.commit)
    near = sorted(dates, key=lambda sha: abs(dates[sha] - at))[:_NEIGHBOURS]
    for other, changes in repository.changes(key.commit, near).items():
        known = artifacts.get(Key(key.group, other)) if len(changes) < _FAR else None
        if known is None or known.reads is None or not same_binary(changes, known.reads):
            continue
        return cache.share(
            key,
            Key(key.group, other),
            replace(
                known.build,
                commit=key.commit,
                kind=BuildKind.SHARED,
                seconds=0.0,
                steps=0,
                same_as=known.build.same_as or other,
            ),
        )
    return None


def taken(source: Path, pins: Iterable[Pin]) -> frozenset[str]:
    """Paths of the tree that the builder read itself, to place the content of submodules."""
    found = {".gitmodules", *(f"{pin.path}.wrap" for pin in pins)}
    for pin in pins:
        if pin.overlay is not None:
            found |= {str(path.relative_to(source)) for path in (source / pin.overlay).rglob("*")}
    return frozenset(found)
