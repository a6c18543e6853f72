"""What pages tell of the past of cases: their histories, with whose regression a failure is, and who expects it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from bot.config import Config
from bot.core.history import History, Stretch
from bot.host.git import Repository
from bot.model import Case, Commit, Expected, Observation, Outcome, Run, Sha
from bot.pipeline.known import Known, in_history, known, unknown
from bot.report.history import Told
from bot.store.store import Entry, Store


def histories(
    store: Store,
    config: Config,
    branch: str,
    commits: Sequence[Commit],
    shown: Sequence[Entry],
    expected: Mapping[Case, Expected],
    repository: Repository | None,
) -> tuple[Told, ...]:
    """Of all cases that ran on a branch's tips, `commits`, oldest first.

    `shown` are the regressions that have a page, `expected` the failures of the last tip that are known: those of
    older ones are looked up in today's configuration.
    """
    shas = [commit.sha for commit in commits]
    places = {sha: place for place, sha in enumerate(shas)}
    blamed: dict[tuple[Case, str], list[Entry]] = {}
    for entry in shown:
        if entry.regression.branch == branch:
            for case in entry.regression.cases:
                blamed.setdefault((case, entry.regression.signature.key), []).append(entry)

    @cache
    def about(sha: Sha) -> Known:
        return known(config, in_history(repository, sha) if repository else unknown)

    def told(history: History) -> Told:
        regressions: dict[int, str] = {}
        entries: dict[int, Expected] = {}
        for at, its in enumerate(history.stretches):
            if not its.fails:
                continue
            key = its.signature.key if its.signature else ""
            if name := _whose(its, blamed.get((history.case, key), ()), places):
                regressions[at] = name
            if its.last == shas[-1]:
                entry = expected.get(history.case)
            else:
                run = _run(history.case, its)
                entry = about(its.last).explained([run]).get(history.case)
            if entry is not None:
                entries[at] = entry
        return Told(history, regressions, entries)

    return tuple(told(history) for history in store.histories.of(branch, shas))


def earlier(store: Store, branch: str, shas: Sequence[Sha], tip: Sha) -> dict[Case, Run]:
    """Each case's last answer on another tip of a branch than that, as far as outcome and signature go."""
    found: dict[Case, Run] = {}
    for history in store.histories.of(branch, shas):
        known = history.past if history.now is None or history.now.last == tip else history.stretches
        its = next((its for its in reversed(known) if its.outcome is not Outcome.NOT_BUILT), None)
        if its is not None:
            found[history.case] = _run(history.case, its)
    return found


def _whose(its: Stretch, entries: Sequence[Entry], places: Mapping[Sha, int]) -> str:
    """The regression that a stretch of failures is: the one that was found in it, else the last with that failure."""
    for entry in reversed(entries):
        if places.get(its.first, -1) <= places.get(entry.regression.bad, -1) <= places.get(its.last, -1):
            return entry.regression.id
    return entries[-1].regression.id if entries else ""


def _run(case: Case, its: Stretch) -> Run:
    """A run that says what those of a stretch did, for who looks at outcome, signature and releases."""
    flaky = (Outcome.PASS,) if its.flaky else ()
    return Run(its.last, case, Observation(its.outcome, its.signature, releases=its.releases), beside=flaky)
