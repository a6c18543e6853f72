"""The corpus of real regressions: a graph of commits, tasks on it, and what a search may see of them.

Files are JSON lines, plain or as .xz. The first line of the graph describes it; each other is a commit: `h` its id, `p`
its parents (indices, or ids outside the graph), `s` its subject, `c` changed paths with lines added and removed. A task
has `good`, `bad`, `N`, the quoted `symptom`, and the `culprit`, which only the oracle reads.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.core.patch import Patch, described
from bot.model import Sha

Y2020 = 1577836800  # seconds: 2020-01-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class Task:
    """A question of the corpus. `culprit` and `time` (of the culprit, seconds) are for the oracle and the choice of
    tasks; nothing that was written with hindsight is read."""

    id: str
    good: Sha
    bad: Sha
    culprit: Sha
    time: int
    symptom: tuple[str, ...]
    binaries: tuple[str, ...]  # of which the symptom was quoted: "ppc64"
    migration: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """The commits by index."""

    shas: tuple[Sha, ...]
    parents: tuple[tuple[int, ...], ...]  # those in the graph
    named: tuple[tuple[Sha, ...], ...]  # all of them
    patches: tuple[Patch, ...]  # as far as paths, sizes and subjects tell
    index: dict[Sha, int]

    def reach(self, tip: Sha) -> set[int]:
        """Indices of a commit's history, itself included; nothing for a commit outside the graph."""
        found, left = set[int](), [self.index[tip]] if tip in self.index else []
        while left:
            i = left.pop()
            if i not in found:
                found.add(i)
                left += self.parents[i]
        return found

    def range(self, good: Sha, bad: Sha) -> tuple[int, ...]:
        """What bad has and good has not, parents before children: all that a search may see."""
        return tuple(sorted(self.reach(bad) - self.reach(good)))

    def view(self, indices: Iterable[int]) -> dict[Sha, tuple[Sha, ...]]:
        """Commits with their parents, as `Dag.of` takes them."""
        return {self.shas[i]: self.named[i] for i in indices}


def load(path: Path) -> Graph:
    """Read a graph. Raises `ValueError` if a commit stands before its parent."""
    shas, parents, patches = list[Sha](), list[tuple[int, ...]](), list[Patch]()
    named: list[tuple[Sha, ...]] = []
    for row in _rows(path):
        if "h" not in row:
            continue
        inside = tuple(p for p in row["p"] if isinstance(p, int))
        if any(p >= len(shas) for p in inside):
            raise ValueError(f"{path}: {row['h']} stands before its parent")
        changed = row.get("c", [])
        shas.append(row["h"])
        parents.append(inside)
        named.append(tuple(shas[p] if isinstance(p, int) else p for p in row["p"]))
        lines = sum((c[1] or 0) + (c[2] or 0) for c in changed)
        patches.append(described((c[0] for c in changed), lines, row.get("s", "")))
    return Graph(tuple(shas), tuple(parents), tuple(named), tuple(patches), {sha: i for i, sha in enumerate(shas)})


def tasks(path: Path, graph: Graph) -> list[Task]:
    """Read tasks, but those whose bad end or culprit the graph has not; a good end may be before its beginning."""
    found = []
    for row in _rows(path):
        if "id" in row and row["bad"] in graph.index and row["culprit"] in graph.index:
            found.append(
                Task(
                    row["id"], row["good"], row["bad"], row["culprit"], int(row.get("culprit_time", 0)),
                    tuple(row.get("symptom") or ()), tuple(row.get("binaries") or ()),
                    bool((row.get("migration") or {}).get("text")),
                )
            )  # fmt: skip
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as file:
        for line in file:
            if line.strip():
                yield json.loads(line)
