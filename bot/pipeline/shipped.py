"""Which releases a commit is in: as itself, or as one that says that it was picked from it."""

from __future__ import annotations

import re

from bot.core.claims import picked
from bot.host.git import Repository
from bot.model import Sha

_RELEASED = re.compile(r"(master|main|stable-[\d.]+)\Z")


def shipped(repository: Repository, tip: Sha, culprit: Sha, fix: Sha | None = None) -> tuple[str, ...]:
    """Releases that contain the culprit, and not the fix if there is one; oldest first, as far as `tip` and the clone's
    branches reach."""
    tips = {tip, *(sha for name, sha in repository.branches().items() if _RELEASED.match(name))}
    found: dict[str, Sha] = {}
    for one in sorted(tips):
        found |= repository.releases(one)
    holding = _holding(repository, culprit, found) - (_holding(repository, fix, found) if fix else set())
    return tuple(sorted(holding, key=lambda name: [int(n) for n in name[1:].split(".")]))


def _holding(repository: Repository, commit: Sha, releases: dict[str, Sha]) -> set[str]:
    picks = (one.sha for one in repository.commits(repository.mentioning(commit)) if picked(one, commit))
    have = {sha for one in (commit, *picks) for sha in repository.holding(one, releases.values())}
    return {name for name, sha in releases.items() if sha in have}
