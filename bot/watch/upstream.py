"""What is new upstream: the branches that are watched, and their tips."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bot.core.branches import stable_series
from bot.errors import UserError
from bot.model import Sha

_RELEASE = re.compile(r"v(\d+)\.(\d+)\.\d+\Z")


@dataclass(frozen=True, slots=True)
class Tip:
    """A watched branch as it stands; `since` is the revision that its first cycle starts from, if one was named."""

    branch: str
    sha: Sha
    since: str | None = None

    @property
    def stable(self) -> bool:
        """Whether it is a stable branch, by its name."""
        return stable_series(self.branch) is not None


def newest_series(releases: Iterable[str], count: int) -> tuple[str, ...]:
    """The newest release series of all those named, newest first: `v11.2` for v11.2.0, v11.2.1 and so on."""
    found = {(int(m[1]), int(m[2])) for name in releases if (m := _RELEASE.match(name))}
    return tuple(f"v{major}.{minor}" for major, minor in sorted(found, reverse=True)[:count])


def watched(branches: Mapping[str, Sha], patterns: Iterable[tuple[str, str | None]], stable: int) -> tuple[Tip, ...]:
    """Tips of the branches that match a (pattern, since), and of the `stable` newest stable-X.Y branches.

    Raises `UserError` for a plain name that upstream does not have; a pattern may match nothing.
    """
    tips: dict[str, Tip] = {}
    for pattern, since in patterns:
        found = sorted(name for name in branches if fnmatchcase(name, pattern))
        if not found and not any(c in pattern for c in "*?["):
            known = ", ".join(sorted(branches)[:10]) or "none"
            raise UserError(f"watch.branches: upstream has no branch {pattern!r}; it has: {known}")
        for name in found:
            tips.setdefault(name, Tip(name, branches[name], since))
    numbered = sorted(((number, name) for name in branches if (number := stable_series(name))), reverse=True)
    for _, name in numbered[:stable]:
        tips.setdefault(name, Tip(name, branches[name]))
    return tuple(tips.values())


def spread(commits: Sequence[Sha], most: int) -> tuple[Sha, ...]:
    """At most so many of the commits, evenly spread, in their order; the last one is always among them."""
    count = min(most, len(commits))
    return tuple(commits[len(commits) * number // count - 1] for number in range(1, count + 1))
