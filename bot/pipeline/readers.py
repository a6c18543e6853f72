"""Who is to know of a commit: by its message, and by what MAINTAINERS and .mailmap say today."""

from __future__ import annotations

from collections.abc import Iterable

from bot.core.maintainers import MIGRATION, maintainers
from bot.core.trailers import reviewers
from bot.host.git import Repository
from bot.model import Commit, Readers, Sha


def readers(repository: Repository, tip: Sha, culprit: Commit | None, paths: Iterable[str]) -> Readers:
    """Who is to know of a culprit that changes these paths, or of a failure without one. `tip` is the newest commit
    that is known, if the clone does not say which is: what files are called there, and whose they are, counts."""
    today = repository.head() or tip
    text = repository.file(today, "MAINTAINERS") or ""
    changed = repository.present(culprit.sha, paths, today) if culprit else ()
    return Readers(
        reviewers=repository.mapped(reviewers(culprit.body)) if culprit else (),
        maintainers=repository.mapped(maintainers(text, changed)),
        migration=repository.mapped(maintainers(text, [MIGRATION])),
    )
