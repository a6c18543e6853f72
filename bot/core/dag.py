"""The commits of a range as a graph of any shape, with sets of commits as bit sets.

A set of commits is a Python int whose bit i stands for the i-th oldest commit: union, difference and size of sets of
thousands of commits then cost microseconds, which is what makes the choice of the next probe cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.model import Sha

Commits = int
"""A set of commits of one `Dag`: bit i is `Dag.commits[i]`."""


@dataclass(frozen=True, slots=True, eq=False)
class Dag:
    """Commits reachable from a bad end and not from a good one, parents before children.

    Parents that are not in the range belong to the good end's history (or to none).
    """

    commits: tuple[Sha, ...]
    parents: Mapping[Sha, tuple[Sha, ...]]
    _position: Mapping[Sha, int]
    _inner: tuple[tuple[int, ...], ...]  # positions of the parents that are in the range
    _ancestors: tuple[Commits, ...]  # of each commit, itself included

    @classmethod
    def of(cls, parents: Mapping[Sha, tuple[Sha, ...]]) -> Dag:
        """The graph of `{commit: its parents}`, parents before children, as `git rev-list --topo-order --reverse` goes.

        Raises `ValueError` if the range is empty or a commit stands before its parent.
        """
        if not parents:
            raise ValueError("the range good..bad holds no commit: bad is good itself, or an ancestor of it")
        position: dict[Sha, int] = {}
        inner: list[tuple[int, ...]] = []
        ancestors: list[Commits] = []
        for i, (sha, its) in enumerate(parents.items()):
            late = next((p for p in its if p in parents and p not in position), None)
            if late is not None:
                raise ValueError(f"commit {sha} stands before its parent {late}: give parents before children")
            inside = tuple(position[p] for p in its if p in position)
            reach = 1 << i
            for p in inside:
                reach |= ancestors[p]
            position[sha] = i
            inner.append(inside)
            ancestors.append(reach)
        return cls(tuple(parents), parents, position, tuple(inner), tuple(ancestors))

    def __len__(self) -> int:
        return len(self.commits)

    def __contains__(self, sha: object) -> bool:
        return sha in self._position

    def ancestors(self, sha: Sha) -> Commits:
        """The commits of the range that are in sha's history, itself included."""
        return self._ancestors[self._position[sha]]

    def bit(self, sha: Sha) -> Commits:
        """The set of this one commit."""
        return 1 << self._position[sha]

    def names(self, commits: Commits) -> tuple[Sha, ...]:
        """The commits of a set, oldest first."""
        return tuple(self.commits[i] for i in self.positions(commits).tolist())

    def positions(self, commits: Commits) -> npt.NDArray[np.intp]:
        """The positions of a set's commits, oldest first."""
        raw = commits.to_bytes((len(self.commits) + 7) // 8, "little")
        return np.flatnonzero(np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little"))

    def distance(self, older: Sha, newer: Sha) -> int:
        """How many commits newer has that older has not; an end outside the range counts as its beginning."""
        behind = self.ancestors(older) if older in self else 0
        return (self.ancestors(newer) & ~behind).bit_count()

    def mainline(self, tip: Sha) -> Dag:
        """The first-parent view: tip's first-parent line alone, each merge standing for all that it brought."""
        line = [tip]
        while (its := self.parents[line[-1]]) and its[0] in self:
            line.append(its[0])
        return Dag.of({sha: self.parents[sha][:1] for sha in reversed(line)})

    def weigh(
        self, suspects: Commits, weights: npt.NDArray[np.float64] | None = None
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """For each suspect, oldest first: its position, and the weight of the suspects in its history, itself included.

        That is what stays suspect if it tests bad. `weights` is by position over the whole range (None: 1 each).
        `suspects` must be ancestors of something less ancestors of something else, as in every bisection: then the
        history of a commit with one suspect parent is that parent's plus itself, and only merges have to be counted.
        """
        members = self.positions(suspects)
        own = [1.0] * len(self.commits) if weights is None else weights.tolist()
        found: dict[int, float] = {}
        for i in members.tolist():
            inside = [p for p in self._inner[i] if p in found]
            if len(inside) < 2:
                found[i] = own[i] + (found[inside[0]] if inside else 0.0)
            elif weights is None:
                found[i] = float((self._ancestors[i] & suspects).bit_count())
            else:
                found[i] = float(weights[self.positions(self._ancestors[i] & suspects)].sum())
        return members, np.fromiter(found.values(), dtype=np.float64, count=len(found))
