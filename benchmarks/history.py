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
from bot.core.reach import reaches
from bot.model import Sha

Y2020 = 1577836800  # seconds: 2020-01-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class Task:
    """A question of the corpus. `culprit`, `time` (of the culprit, seconds) and `fixed` are for the oracle and the
    choice of tasks; nothing that was written with hindsight is read."""

    id: str
    good: Sha
    bad: Sha
    culprit: Sha
    time: int
    fixed: int  # seconds: date of the fix
    symptom: tuple[str, ...]
    binaries: tuple[str, ...]  # of which the symptom was quoted: "ppc64"
    migration: bool
    target: str | None  # whose emulator is tested (`tested`)


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
        shas.append(row["h"])
        parents.append(inside)
        named.append(tuple(shas[p] if isinstance(p, int) else p for p in row["p"]))
        sizes = {path: (added or 0, removed or 0) for path, added, removed, *_ in row.get("c", [])}
        patches.append(described(sizes, row.get("s", "")))
    return Graph(tuple(shas), tuple(parents), tuple(named), tuple(patches), {sha: i for i, sha in enumerate(shas)})


_NAMED = """
x86_64 aarch64 ppc64 s390x riscv64 mips64el sparc64 m68k alpha hppa sh4 xtensa microblaze loongarch64 or1k rx tricore
avr cris lm32 moxie nios2 tilegx unicore32
"""
_TARGETS = tuple(f"{target}-{kind}" for kind in ("softmmu", "linux-user") for target in _NAMED.split())


def tested(named: tuple[str, ...], paths: Iterable[str]) -> str | None:
    """The target whose emulator shows a task's failure: the only one that the corpus names, else one that is made up.

    A search knows what it tests, and no failure shows in an emulator that its culprit has no part of. So it is the
    first target, in the order in which one would look, of whose system emulator the culprit's paths have a part, else
    of whose user mode emulator; None for what is no emulator (manuals, tests, the guest agent).
    """
    if len(named) == 1:
        return named[0]
    known = tuple(paths)
    return next((target for target in _TARGETS if any(reaches(path, target) for path in known)), None)


def tasks(path: Path, graph: Graph) -> list[Task]:
    """Read tasks, but those whose bad end or culprit the graph has not; a good end may be before its beginning."""
    found = []
    for row in _rows(path):
        if "id" in row and row["bad"] in graph.index and row["culprit"] in graph.index:
            binaries = tuple(row.get("binaries") or ())
            found.append(
                Task(
                    row["id"], row["good"], row["bad"], row["culprit"], int(row.get("culprit_time", 0)),
                    int(row.get("fix_time", 0)),
                    tuple(row.get("symptom") or ()), binaries, bool((row.get("migration") or {}).get("text")),
                    tested(binaries, graph.patches[graph.index[row["culprit"]]].paths),
                )
            )  # fmt: skip
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as file:
        for line in file:
            if line.strip():
                yield json.loads(line)
