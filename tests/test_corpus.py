"""The corpus benchmark on a small corpus: what a search may see, its oracle, and git's model beside the real git."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.corpus import Options, figures, play
from benchmarks.history import Graph, Task, load, tasks
from benchmarks.peer import git_probes, real_git
from bot.core.dag import Dag
from tests.testing.history import draw

N = 120


def sha(i: int) -> str:
    return f"{i + 1:040x}"


def row(i: int, **more: Any) -> dict[str, Any]:
    parents: list[int | str] = [i - 1] if i else ["f" * 40]
    return {
        "i": i,
        "h": sha(i),
        "p": parents,
        "t": i,
        "s": f"thing{i}: change",
        "c": [[f"hw/thing{i}.c", 9, 1]],
        **more,
    }


def task(culprit: int = 50, **more: Any) -> dict[str, Any]:
    asked = {"id": f"t{culprit}", "good": "f" * 40, "bad": sha(99), "culprit": sha(culprit), "N": 100}
    return (
        asked
        | {"culprit_time": 1600000000, "symptom": [f"thing{culprit} failed in hw/thing{culprit}.c:12"], "binaries": []}
        | more
    )


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    graph, asked = tmp_path / "graph.jsonl.xz", tmp_path / "tasks.jsonl"
    with lzma.open(graph, "wt") as file:
        file.write("".join(json.dumps(r) + "\n" for r in [{"meta": "a graph"}, *(row(i) for i in range(N))]))
    asked.write_text("".join(json.dumps(task(c)) + "\n" for c in (3, 50, 98)))
    return graph, asked


def read(corpus: tuple[Path, Path]) -> tuple[Graph, list[Task]]:
    graph = load(corpus[0])
    return graph, tasks(corpus[1], graph)


def test_a_search_sees_what_is_between_the_ends(corpus: tuple[Path, Path]) -> None:
    graph, chosen = read(corpus)
    assert [graph.shas[i] for i in graph.range(chosen[0].good, chosen[0].bad)] == [sha(i) for i in range(100)]
    assert graph.range(sha(10), sha(12)) == (11, 12)
    assert graph.view((0, 1))[sha(0)] == ("f" * 40,)


def test_every_culprit_is_found_and_the_word_of_a_symptom_helps(corpus: tuple[Path, Path]) -> None:
    graph, chosen = read(corpus)
    played = [play(each, graph, {}, Options()) for each in chosen]
    assert all(each.right and not each.over_cap for each in played)
    assert sum(each.probes for each in played) < sum(each.git for each in played)


def test_what_came_after_the_bad_end_changes_no_probe(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    """A later fix that names the culprit, and every field of hindsight."""
    graph, chosen = read(corpus)
    later = tmp_path / "later.jsonl"
    fixes = [row(i, x=[sha(50)], s=f"thing50: Fixes: {sha(50)}") if i >= 100 else row(i) for i in range(N)]
    later.write_text("".join(json.dumps(r) + "\n" for r in [{"meta": 1}, *fixes]))
    hindsight: dict[str, Any] = {"symptom_expected": ["thing7"], "fix_subject": "thing8", "culprit_subject": "thing9"}
    hindsight |= {"fix": sha(101), "hint": {"target": "arm"}}
    asked = tmp_path / "hindsight.jsonl"
    asked.write_text("".join(json.dumps(task(c, **hindsight)) + "\n" for c in (3, 50, 98)))
    other, told = read((later, asked))
    for one, two in zip(chosen, told, strict=True):
        mine, theirs = (replace(play(t, g, {}, Options()), seconds=()) for t, g in ((one, graph), (two, other)))
        assert mine == theirs


def test_without_a_culprit_nobody_is_blamed(corpus: tuple[Path, Path]) -> None:
    graph, chosen = read(corpus)
    for each in chosen:
        assert play(each, graph, {}, Options(0.05, 0.02, culprit=False)).ending in ("NotReproduced", "Flaky")


def test_it_prints_figures_as_json(corpus: tuple[Path, Path]) -> None:
    argv = [sys.executable, "-m", "benchmarks.corpus", "--graph", *map(str, (corpus[0], "--tasks", corpus[1]))]
    done = subprocess.run([*argv, "--json", "--processes", "1"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found["sets"]) == {"all", "migration", "symptom"}
    assert found["sets"]["all"]["tasks"] == 3
    assert found["sets"]["all"]["accuracy"] == 1.0
    assert found["sets"]["migration"] == {"tasks": 0}
    assert figures([])["sets"]["all"] == {"tasks": 0}


def test_gits_model_is_near_the_real_git(tmp_path: Path) -> None:
    drawing = "\n".join(
        [
            " ".join(map(str, range(20))),
            "5 a b c d",
            "19 20=d " + " ".join(map(str, range(21, 40))),
            "25 x y z",
            "39 40=z 41",
        ]
    )
    history = draw(tmp_path / "r", drawing)
    good, bad = history["0"], history["41"]
    dag = Dag.of(history.repository.parents([good], bad))
    culprits = dag.commits[::2]
    model = [git_probes(dag, culprit) for culprit in culprits]
    real = [real_git(history.repository.path, good, bad, culprit) for culprit in culprits]
    assert abs(sum(model) - sum(real)) <= 0.5 * len(culprits), (model, real)
