"""The course of a search: what was believed after each step, replayed from its runs, small enough to be drawn.

Commits are put into at most `BINS` bins of neighbours, so that a range of twenty thousand takes no more room than one
of two hundred. A row is what was learnt at one commit; the tests of both ends are one row and each confirmation is one,
for its runs go in turns. Of a search with many runs neighbouring rows are joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bot.core.bisection import Bisection
from bot.core.confirmation import Phase
from bot.core.dag import Floats, Mask
from bot.core.verdict import Count, judge
from bot.model import Course, CourseRow, Probed, Run, Sha

BINS = 128
ROWS = 24


@dataclass(slots=True)
class _Row:
    """A row while it is gathered."""

    phase: Phase
    why: str
    runs: list[Run] = field(default_factory=list)
    after: Bisection | None = None


def course(state: Bisection, bins: int = BINS, rows: int = ROWS) -> Course:
    """The course of a search that is over, or of one so far: at least one row, at most `rows` (3 or more)."""
    began = Bisection.start(
        state.question, state.dag, merge_base=state.merge_base, rules=state.rules, prior=state.prior
    )
    gathered = _gathered(began, state.runs) or [_Row(Phase.ENDS, "", after=began)]
    shown = tuple(_row(row, state, min(bins, len(state.dag))) for row in _joined(gathered, rows))
    return Course(len(state.dag), shown)


def _gathered(state: Bisection, runs: Iterable[Run]) -> list[_Row]:
    rows: list[_Row] = []
    for run in runs:
        after = state.observe(run)
        if judge(run, after.signature) is not None:  # else the machine failed, and nothing was learnt
            phase = Phase.CONFIRMATION if state.phase is Phase.DONE else state.phase
            same = rows and rows[-1].phase is phase
            if not same or (phase is Phase.SEARCH and rows[-1].runs[-1].commit != run.commit):
                rows.append(_Row(phase, state.why(run.commit) if phase is Phase.SEARCH else ""))
            rows[-1].runs.append(run)
            rows[-1].after = after
        state = after
    return rows


def _joined(rows: Sequence[_Row], most: int) -> list[_Row]:
    """The first and the last row as they are; those between, if they are too many, several in one."""
    if len(rows) <= most:
        return list(rows)
    step = -(-(len(rows) - 2) // (most - 2))
    between = [rows[i : min(i + step, len(rows) - 1)] for i in range(1, len(rows) - 1, step)]
    joined = [_Row(part[-1].phase, "", [run for row in part for run in row.runs], part[-1].after) for part in between]
    return [rows[0], *joined, rows[-1]]


def _row(row: _Row, state: Bisection, bins: int) -> CourseRow:
    after = row.after
    assert after is not None  # noqa: S101 - narrows the type; set with the first run
    dag = state.dag
    suspects = np.isin(np.arange(len(dag)), [dag.position(sha) for sha in after.suspects])
    weights, flake = _weights(after, suspects)
    places = (2 * np.arange(len(dag)) + 1) * bins // (2 * len(dag))  # where the middle of each commit's part lies
    best = int(np.argmax(weights))
    return CourseRow(
        phase=str(row.phase),
        why=row.why,
        probes=tuple(_probed(row.runs, sha, state) for sha in dict.fromkeys(run.commit for run in row.runs)),
        suspects=int(suspects.sum()),
        spans=_spans(np.bincount(places, suspects, bins) > 0),
        weights=tuple(_rounded(weight) for weight in np.bincount(places, weights, bins).tolist()),
        nobody=_rounded(flake),
        likeliest=dag.commits[best],
        share=_rounded(float(weights[best])),
    )


def _weights(state: Bisection, suspects: Mask) -> tuple[Floats, float]:
    """How likely each commit is the first bad one, by place, and that none is: together 1."""
    if state.belief is not None:
        return state.belief.weights, state.belief.flake
    prior = [1.0 if state.prior is None else state.prior.get(sha, 1.0) for sha in state.dag.commits]
    weights: Floats = np.where(suspects, np.array(prior), 0.0)
    weights = weights if weights.sum() else suspects.astype(np.float64)
    return weights / weights.sum(), 0.0


def _probed(runs: Iterable[Run], sha: Sha, state: Bisection) -> Probed:
    total = Count()
    for run in runs:
        if run.commit == sha:
            total = total.plus(judge(run, state.signature))
    place = state.dag.position(sha) if sha in state.dag else None
    return Probed(sha, place, total.good, total.bad, total.skip)


def _spans(held: Mask) -> tuple[tuple[int, int], ...]:
    """Ranges of neighbouring bins that hold a suspect: first one, and the one after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(np.int8))).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
