"""The history of a case on a branch: what it came to on each commit that was tested, equal answers in a row made one.

A fold over commits, oldest first. The last commit stands apart in it, for more of its runs may come; so what is folded
as runs come in is what would come of all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bot.core.flaky import combined
from bot.core.verdict import failed
from bot.model import Case, Outcome, Run, Sha, Signature

MOST = 40  # stretches of one case that are kept, the last ones


@dataclass(frozen=True, slots=True)
class Stretch:
    """Commits in a row on which a case came to the same, from the one that gave it first to the one that did last.

    `failed` of `runs` failed. `host` and `releases` are those of the first one's run. `moved`: what a run depends on
    besides the commit (`setup`) was another before, so that the commit may have no part in it.
    """

    first: Sha
    last: Sha
    outcome: Outcome
    signature: Signature | None = None
    flaky: bool = False
    commits: int = 1
    runs: int = 1
    failed: int = 0
    host: str = ""
    releases: tuple[str, ...] = ()
    setup: str = ""
    moved: bool = False

    @property
    def fails(self) -> bool:
        """Whether it failed, now and then at least."""
        return self.failed > 0


@dataclass(frozen=True, slots=True)
class History:
    """Of one case: its stretches without the last commit, oldest first, and that one (`now`). `dropped` are gone."""

    case: Case
    past: tuple[Stretch, ...] = ()
    now: Stretch | None = None
    dropped: int = 0

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """All that are kept, oldest first."""
        return self.past if self.now is None else _joined(self.past, self.now)

    def put(self, point: Stretch) -> History:
        """With one more commit, a newer one; or with what the last one comes to by now."""
        if self.now is None or self.now.last == point.last:
            return replace(self, now=point)
        past = self.stretches
        return replace(self, past=past[-MOST:], now=point, dropped=self.dropped + max(0, len(past) - MOST))


def point(runs: Sequence[Run]) -> Stretch | None:
    """What the runs of one case on one commit come to; None if the machine failed them all."""
    (run,) = combined(runs)
    if run.outcome is Outcome.INFRA:
        return None
    like = [other for other in runs if other.outcome is not Outcome.INFRA and other.setup == run.setup]
    return Stretch(
        first=run.commit,
        last=run.commit,
        outcome=run.outcome,
        signature=run.signature,
        flaky=run.flaky,
        runs=len(like),
        failed=sum(map(failed, like)),
        host=run.host,
        releases=run.observation.releases,
        setup=run.setup,
    )


def told(case: Case, of_commits: Iterable[Sequence[Run]]) -> History:
    """The history of a case from its runs, commit by commit, oldest first."""
    history = History(case)
    for runs in of_commits:
        at = point(runs)
        if at is not None:
            history = history.put(at)
    return history


def _joined(past: tuple[Stretch, ...], point: Stretch) -> tuple[Stretch, ...]:
    if not past:
        return (point,)
    before = past[-1]
    if _same(before, point):
        longer = replace(
            before,
            last=point.last,
            commits=before.commits + point.commits,
            runs=before.runs + point.runs,
            failed=before.failed + point.failed,
            setup=point.setup,
        )
        return (*past[:-1], longer)
    return (*past, replace(point, moved=point.setup != before.setup))


def _same(one: Stretch, other: Stretch) -> bool:
    return _answer(one) == _answer(other)


def _answer(of: Stretch) -> tuple[object, ...]:
    return of.outcome, of.flaky, of.signature.key if of.signature else None
