"""What is known beside the runs of a report: how things are called, what is expected, how it was before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.model import Case, Expected, Posted, Run


@dataclass(frozen=True, slots=True)
class Background:
    """`new` is the commit or binary under test, `names` what to call each baseline.

    `expected` are failing cases that are known, with the entry that knows each; `behind` says by the entry's id what
    may break there besides. `passed` and `expired` are entries that somebody has to look at. `before` are the last
    answers of an earlier commit, named `old`; `deprecated` are machine types (with their target) that the binaries
    under test call so. `posted` is the series that was put on a revision for this.
    """

    new: str = "new"
    names: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[Case, Expected] = field(default_factory=dict)
    passed: tuple[Expected, ...] = ()
    expired: tuple[Expected, ...] = ()
    before: Mapping[Case, Run] = field(default_factory=dict)
    old: str = "before"
    behind: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deprecated: frozenset[tuple[str, str]] = frozenset()
    posted: Posted | None = None
