"""`bot replay`: the fold over recorded runs once more, from a log, with nothing but the log."""

from __future__ import annotations

import sys
from pathlib import Path

from bot.bisect import log
from bot.core.bisection import Bisection
from bot.core.course import course
from bot.data import data_dir
from bot.errors import UserError
from bot.model import (
    BadAtGoodEnd,
    By,
    Finding,
    FirstBad,
    FirstFixed,
    Flaky,
    Inconclusive,
    MergeConflict,
    NotReproduced,
    Suspects,
)
from bot.pipeline.exits import exit_code
from bot.report.deliver import write
from bot.report.picture import draw
from bot.report.safe import line


def replay(path: Path, svg: Path | None = None) -> int:
    """Print what the log's runs conclude, and draw the search into a file; exit codes as `bot bisect`.

    Raises `UserError` for what is no log, and for one of a search that was not ended.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    logged = log.parse(text, str(path))
    state = logged.replay()
    finding = state.finding
    if finding is None:
        raise UserError(f"{path}: the search that it is from was not ended: {len(state.suspects)} suspects are left")
    print(line(f"{state.question.case.id}, bad means {state.signature or 'any failure'}"))
    for sha in dict.fromkeys(run.commit for run in state.runs):
        print(f"  {sha[:12]}  {_tally(state, sha)}")
    if logged.attribution.by is By.EXPOSED:
        print(line(f"exposed by it, not introduced by it: {logged.attribution.why}"))
    print(_words(finding, cured=state.question.cured))
    if svg is not None:
        write(svg, _drawn(state, finding))
    return exit_code(finding)


def _drawn(state: Bisection, finding: Finding) -> str:
    question = state.question
    found = finding.commit if isinstance(finding, FirstBad | FirstFixed | MergeConflict) else None
    ends = question.good[:12], question.bad[:12]
    return draw(course(state), data_dir() / "templates", ends=ends, found=found, subjects={})


def _tally(state: Bisection, sha: str) -> str:
    seen = state.count(sha)
    return f"{seen.bad} bad of {seen.n}" if seen.n else "could not be tested"


def _words(finding: Finding, *, cured: bool) -> str:
    sought, failing, passing = ("fixed", "broken", "fixed") if cured else ("bad", "bad", "good")
    match finding:
        case FirstFixed(commit):
            return f"first fixed commit: {commit}"
        case FirstBad(commit):
            return f"first bad commit: {commit}"
        case MergeConflict(commit):
            return f"only the merge is bad, its parents are good: {commit}"
        case Suspects(commits):
            return f"the first {sought} commit is one of these: " + " ".join(commits)
        case NotReproduced(commit):
            return f"the {failing} end {commit} is not {failing}"
        case BadAtGoodEnd(commit, _, merge_base):
            return f"the {'merge base' if merge_base else f'{passing} end'} {commit} is bad"
        case Flaky(commit, bad, n):
            return f"flaky: {commit} is bad in {bad} of {n} runs"
        case Inconclusive(why):
            return line(f"inconclusive: {why}")
