"""What else was broken by the same hand: other regressions whose first bad commits are related to this one's.

Inferred, never measured. What cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.core.cause import added, brings, series, shared
from bot.core.dag import Dag
from bot.core.patch import Patch
from bot.errors import InfraError
from bot.host import diffs
from bot.model import Commit, FirstBad, Related, Report, Sha
from bot.pipeline.bench import Bench
from bot.report import data

_MOST = 10  # other regressions that are looked at, the newest ones
_TRIED = 5  # names that are looked up in the tree


def related(bench: Bench, report: Report, dag: Dag) -> tuple[Related, ...]:
    """Other regressions that may have a common cause with a report's, newest first; `dag` is its range."""
    if not isinstance(report.finding, FirstBad) or report.culprit is None:
        return ()
    found = []
    try:
        for name, other in _others(bench, report):
            same = bool(series(report.culprit.body) & series(other.body))
            named = _named(bench, dag, report.culprit.sha, other.sha)
            if same or named:
                found.append(Related(name, other, same, *(named or ("", None))))
    except InfraError as error:
        bench.progress.say(f"{report.regression.id}: not compared with what else is broken: {error}")
    return tuple(found)


def _others(bench: Bench, report: Report) -> Iterator[tuple[str, Commit]]:
    """Regressions with another first bad commit, and that commit; each commit once."""
    told = {report.culprit.sha} if report.culprit else set()
    entries = [e for e in bench.store.regressions() if e.report and e.finding == "first-bad"]
    for entry in entries[::-1][:_MOST]:
        other = data.load(entry.report or "", entry.regression.id).culprit
        if entry.regression.id != report.regression.id and other is not None and other.sha not in told:
            told.add(other.sha)
            yield entry.regression.id, other


def _named(bench: Bench, dag: Dag, one: Sha, other: Sha) -> tuple[str, Commit] | None:
    """The rarest name that both add, and the commit of the range that brought it; None if there is none."""
    if one not in dag or other not in dag:
        return None
    repository = bench.repository
    read = diffs.read(repository, dag.commits, bench.work / "diffs")
    patches = {sha: read.get(sha, Patch()) for sha in dag.commits}
    names = {sha: added(diffs.whole(repository, sha)) for sha in (one, other)}
    for candidate in shared(dag, patches, names)[:_TRIED]:
        if brings(diffs.whole(repository, candidate.commit), candidate.name):
            before = dag.parents[candidate.commit]
            if not any(repository.has_word(parent, candidate.name) for parent in before):
                return candidate.name, repository.commit(candidate.commit)
    return None
