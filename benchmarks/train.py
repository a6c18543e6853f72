"""Learn the factors of evidence from culprits and fixes dated before 2020, and write them as `bot/core/learnt.py`.

    python -m benchmarks.train --graph G --tasks T --repo CLONE [--cache DIR] [--write]

A task's culprit is one of the commits of its range; weights are the exponential of a sum of factors over what each
commit shows (`core.evidence.features`). The factors are those that make the culprits most likely, held near 0 by a
normal prior (softmax regression, Newton's method). What any failure shows is learnt from all tasks but those of what is
no emulator (manuals, tests), then what words show from those with a quoted symptom, the first held fixed. Names in
which two ends differ are not learnt: there are no data.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.history import Y2020, Graph, Task, load, tasks
from bot.core import evidence
from bot.core.patch import Patch
from bot.host import diffs
from bot.host.git import Repository

Floats = npt.NDArray[np.float64]
_OTHERS = 400  # innocent commits drawn from each range
_TRUST_PLAIN = 10.0  # how strongly factors are held near 0
_TRUST_WORDS = 10.0
UNREACHED = -4.0
"""Not learnt, for the tested binary of most tasks is made up from the culprit's paths. Of the 94 tasks that name a
system emulator (three more are about broken tests) none has a culprit without a part of it, where half of all commits
have none: one in 94 would be exp(-3.8)."""


def patches(graph: Graph, known: dict[str, Patch], indices: tuple[int, ...]) -> dict[str, Patch]:
    """What is known of the commits of a range: their diffs, else what the graph says."""
    return {graph.shas[i]: known.get(graph.shas[i], graph.patches[i]) for i in indices}


def examples(
    graph: Graph,
    known: dict[str, Patch],
    chosen: list[Task],
    names: list[str],
    fixed: dict[str, float],
    others: int | None,
) -> list[tuple[Floats, Floats, int]]:
    """For each task: values by commit and name, the score that is held fixed, and the culprit's row.

    `others` innocent commits stand for a whole range, which leaves the factors what they are (None: all).
    """
    chance = np.random.default_rng(1)
    found = []
    for task in chosen:
        its_range = graph.range(task.good, task.bad)
        if others is not None and len(its_range) > others:
            drawn = chance.choice(its_range, others, replace=False).tolist()
            its_range = tuple(sorted({*drawn, graph.index[task.culprit]}))
        view = patches(graph, known, its_range)
        its, values = evidence.features(tuple(view.values()), evidence.Failure("\n".join(task.symptom), task.target))
        offset = values @ np.array([fixed.get(name, 0.0) for name in its])
        column = {name: i for i, name in enumerate(its)}
        used = np.zeros((len(view), len(names)))
        for j, name in enumerate(names):
            if name in column:
                used[:, j] = values[:, column[name]]
        found.append((used, offset, list(view).index(task.culprit)))
    return found


def fit(given: list[tuple[Floats, Floats, int]], trust: float, rounds: int = 15) -> Floats:
    """The factors, as logs, at which the culprits are most likely: Newton's steps, halved until they are uphill."""
    theta = np.zeros(given[0][0].shape[1])
    height = _height(given, trust, theta)
    for _ in range(rounds):
        slope, curve = -trust * theta, trust * np.eye(len(theta))
        for values, offset, culprit in given:
            share = _shares(values @ theta + offset)
            mean = share @ values
            slope += values[culprit] - mean
            curve += (values * share[:, None]).T @ values - np.outer(mean, mean)
        step = np.linalg.solve(curve, slope)
        while (reached := _height(given, trust, theta + step)) < height and np.abs(step).max() > 1e-4:
            step /= 2
        if reached - height < 1e-3:
            break
        theta, height = theta + step, reached
    return theta


def _shares(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max())
    found: Floats = raised / raised.sum()
    return found


def _height(given: list[tuple[Floats, Floats, int]], trust: float, theta: Floats) -> float:
    """The log of the likelihood of the culprits, times the prior."""
    found = sum(float(np.log(_shares(values @ theta + offset)[culprit])) for values, offset, culprit in given)
    return found - trust / 2 * float(theta @ theta)


def main() -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    graph = load(asked.graph)
    chosen = [task for task in tasks(asked.tasks, graph) if task.time < Y2020 and task.fixed < Y2020]
    shas = sorted({graph.shas[i] for task in chosen for i in graph.range(task.good, task.bad)})
    known = diffs.read(Repository(asked.repo), shas, asked.cache)
    factors = learn(graph, known, chosen)
    text = table(factors, len(chosen), sum(bool(task.symptom) for task in chosen))
    if asked.write:
        (Path(__file__).parents[1] / "bot" / "core" / "learnt.py").write_text(text)
    else:
        print(text, end="")
    return 0


def _sample(graph: Graph) -> list[int]:
    """Commits that show what evidence there is."""
    return list(range(0, len(graph.shas), 7))


def learn(graph: Graph, known: dict[str, Patch], chosen: list[Task]) -> dict[str, float]:
    """Factors, as logs, by the name of the evidence."""
    everything = patches(graph, known, tuple(sorted({graph.index[task.culprit] for task in chosen}) + _sample(graph)))
    names = evidence.features(tuple(everything.values()), evidence.Failure())[0]
    worded = [name for name in names if name.startswith(("rarest ", "more of "))]
    plain = [name for name in names if name not in worded]
    fixed = {evidence.UNREACHED: UNREACHED}
    emulators = [task for task in chosen if task.target]
    given = examples(graph, known, emulators, plain, fixed, _OTHERS)
    factors = fixed | dict(zip(plain, fit(given, _TRUST_PLAIN).tolist(), strict=True))
    quoted = [task for task in chosen if task.symptom]
    given = examples(graph, known, quoted, worded, factors, None)
    return factors | dict(zip(worded, _never_against(given, _TRUST_WORDS).tolist(), strict=True))


def _never_against(given: list[tuple[Floats, Floats, int]], trust: float) -> Floats:
    """Factors of which none is below 1: that a commit has a word of the failure is no reason to think it innocent."""
    kept = np.ones(given[0][0].shape[1], np.bool_)
    while True:
        theta = np.zeros(len(kept))
        theta[kept] = fit([(values[:, kept], offset, culprit) for values, offset, culprit in given], trust)
        if (theta >= 0).all():
            return theta
        kept &= theta > 0


def table(factors: dict[str, float], n: int, quoted: int) -> str:
    """The module."""
    rows = "".join(f'    "{name}": {value:.2f},\n' for name, value in sorted(factors.items()) if abs(value) >= 0.02)
    return (
        '"""Factors of evidence, as natural logarithms: written by `python -m benchmarks.train --write`.\n\n'
        f"Learnt from {n} regressions of QEMU v2.9.0..v8.2.0 whose culprit and fix are dated before 2020,\n"
        f'{quoted} of them with a quoted symptom.\n"""\n\n'
        f"FACTORS: dict[str, float] = {{\n{rows}}}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
