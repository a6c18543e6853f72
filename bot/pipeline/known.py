"""What is known before anything is run: machine types that are left out, and failures that are no news, as of today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from bot.config import Config
from bot.core import expected
from bot.core.expected import Contains
from bot.errors import UserError
from bot.model import Case, Exclusion, Expected, Run, Sha

if TYPE_CHECKING:
    from bot.host.git import Repository


@dataclass(frozen=True, slots=True)
class Known:
    """The entries of the configuration, for one commit (or binary) on one day."""

    entries: tuple[Expected, ...]
    exclusions: tuple[Exclusion, ...]
    today: str  # YYYY-MM-DD
    contains: Contains

    @property
    def excluded(self) -> tuple[Exclusion, ...]:
        """Machine types that are not run, and why."""
        return tuple(e for e in self.exclusions if not expected.ended(e, today=self.today, contains=self.contains))

    @property
    def exclude(self) -> tuple[str, ...]:
        """Patterns of the machine types that are not run."""
        return tuple(pattern for entry in self.excluded for pattern in entry.machines)

    def explained(self, runs: Iterable[Run]) -> Mapping[Case, Expected]:
        """The cases whose failure is known, each with the entry that knows it."""
        found = {r.case: expected.find(self.entries, r, today=self.today, contains=self.contains) for r in runs}
        return {case: entry for case, entry in found.items() if entry is not None}

    def passed(self, runs: Iterable[Run]) -> tuple[Expected, ...]:
        """Entries that the runs of a whole sweep show to be no longer needed."""
        return expected.passed(self.entries, runs, today=self.today, contains=self.contains)

    def expired(self) -> tuple[Expected, ...]:
        """Entries whose date has passed."""
        return expected.expired(self.entries, self.today)


def known(config: Config, contains: Contains) -> Known:
    """The configuration's entries, today in UTC."""
    today = datetime.now(UTC).date().isoformat()
    return Known(config.expected, config.exclusions, today, contains)


def unknown(_sha: str) -> None:
    """`Contains` of an installed binary, whose commits nobody knows."""


def in_history(repository: Repository, commit: Sha) -> Contains:
    """`Contains` of a commit. What the clone does not have is not in its history."""

    @cache
    def contains(sha: str) -> bool:
        try:
            return repository.is_ancestor(repository.resolve(sha), commit)
        except UserError:
            return False

    return contains
