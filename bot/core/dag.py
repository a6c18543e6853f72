"""The commits of a range as a graph of any shape: who is in whose history, in memory that grows with the range only.

A table of ancestors would take N²/8 bytes (400 MB for the 56,803 commits v2.9.0..v8.2.0). Instead each commit has one
*spine* parent, the one with the longest history, and a merge keeps what its other parents bring beside that: the
history of a commit is its spine and all that was brought to it. Spines make a tree; in its preorder "x is on the spine
of y" is a comparison of numbers, so that sets and sums over histories are numpy operations over the whole range.

A set of commits is a Python int whose bit i stands for the i-th oldest commit, made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bot.model import Sha

Commits = int
"""A set of commits of one `Dag`: bit i is `Dag.commits[i]`."""

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
_Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Spines:
    """The tree of spines, and what merges bring to it; arrays are by position in `Dag.commits`."""

    enter: _Positions  # place in the preorder of the tree
    leave: _Positions  # first place after the commit's subtree
    merges: _Positions  # the commits that bring something
    brought: _Positions  # what they bring, one after another in the order of `merges`
    starts: _Positions  # where in `brought` that of each begins
    owner: _Positions  # who brings it, for each of `brought`

    @classmethod
    def of(cls, inner: Sequence[tuple[int, ...]]) -> _Spines:
        spine, brings = _brings(inner)
        n = len(inner)
        size = [1] * n
        for i in range(n - 1, -1, -1):
            if spine[i] >= 0:
                size[spine[i]] += size[i]
        enter, free, top = [0] * n, [0] * n, 0  # free: the next place in a commit's subtree
        for i in range(n):
            if spine[i] < 0:
                enter[i] = top
                top += size[i]
            else:
                enter[i] = free[spine[i]]
                free[spine[i]] += size[i]
            free[i] = enter[i] + 1
        counts = np.array([len(b) for b in brings.values()], np.int64)
        merges = np.fromiter(brings, np.int64, len(brings))
        brought = np.concatenate([*brings.values(), np.zeros(0, np.int64)])
        starts = np.cumsum(counts) - counts
        place = np.array(enter, np.int64)
        return cls(place, place + np.array(size), merges, brought, starts, np.repeat(merges, counts))


def _brings(inner: Sequence[tuple[int, ...]]) -> tuple[list[int], dict[int, _Positions]]:
    """The spine parent of each commit (-1: none), and what each merge brings beside it.

    Only histories that a later commit needs are kept, as bit sets: some hundred in QEMU's range of 56,803 commits.
    """
    n, spine, brings = len(inner), list[int](), dict[int, _Positions]()
    waiting = [0] * n
    for its in inner:
        for p in its:
            waiting[p] += 1
    reach: dict[int, int] = {}
    for i, its in enumerate(inner):
        first = max(its, key=lambda p: reach[p].bit_count()) if len(its) > 1 else its[0] if its else -1
        mine = reach[first] if its else 0
        if len(its) > 1:
            other = 0
            for p in its:
                other |= reach[p]
            brought = other & ~mine
            if brought:
                brings[i] = _positions(brought, n)
                mine |= brought
        spine.append(first)
        for p in its:
            waiting[p] -= 1
            if not waiting[p]:
                del reach[p]
        if waiting[i]:
            reach[i] = mine | 1 << i
    return spine, brings


def _positions(commits: Commits, n: int) -> _Positions:
    raw = commits.to_bytes((n + 7) // 8, "little")
    return np.flatnonzero(np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little"))


@dataclass(frozen=True, slots=True, eq=False)
class Dag:
    """Commits reachable from a bad end and not from a good one, parents before children.

    Parents that are not in the range belong to the good end's history (or to none).
    """

    commits: tuple[Sha, ...]
    parents: Mapping[Sha, tuple[Sha, ...]]
    _position: Mapping[Sha, int]
    _spines: _Spines
    _edges: tuple[_Positions, _Positions]  # children and their parents in the range, pair by pair
    first_parent: bool = False  # merges stand for all that they brought

    @classmethod
    def of(cls, parents: Mapping[Sha, tuple[Sha, ...]]) -> Dag:
        """The graph of `{commit: its parents}`, parents before children, as `git rev-list --topo-order --reverse` goes.

        Raises `ValueError` if the range is empty or a commit stands before its parent.
        """
        if not parents:
            raise ValueError("the range good..bad holds no commit: bad is good itself, or an ancestor of it")
        position: dict[Sha, int] = {}
        inner: list[tuple[int, ...]] = []
        for i, (sha, its) in enumerate(parents.items()):
            late = next((p for p in its if p in parents and p not in position), None)
            if late is not None:
                raise ValueError(f"commit {sha} stands before its parent {late}: give parents before children")
            inner.append(tuple({position[p]: None for p in its if p in position}))
            position[sha] = i
        counts = np.array([len(its) for its in inner], np.int64)
        edges = (np.repeat(np.arange(len(inner)), counts), np.array([p for its in inner for p in its], np.int64))
        return cls(tuple(parents), parents, position, _Spines.of(inner), edges)

    def __len__(self) -> int:
        return len(self.commits)

    def __contains__(self, sha: object) -> bool:
        return sha in self._position

    @property
    def outside(self) -> frozenset[Sha]:
        """Parents that are not in the range: good, or older than good."""
        return frozenset(p for its in self.parents.values() for p in its if p not in self._position)

    def position(self, sha: Sha) -> int:
        """Where a commit stands in `commits`, and in every array by position."""
        return self._position[sha]

    def history(self, sha: Sha) -> Mask:
        """By position: is it in sha's history, sha itself included?"""
        tree, here = self._spines, self._spines.enter[self._position[sha]]
        found: Mask = (tree.enter <= here) & (here < tree.leave)
        found[tree.brought[found[tree.owner]]] = True
        return found

    def ancestors(self, sha: Sha) -> Commits:
        """The commits of the range that are in sha's history, itself included."""
        return _set(self.history(sha))

    def bit(self, sha: Sha) -> Commits:
        """The set of this one commit."""
        return 1 << self._position[sha]

    def names(self, commits: Commits) -> tuple[Sha, ...]:
        """The commits of a set, oldest first."""
        return tuple(self.commits[i] for i in self.positions(commits).tolist())

    def oldest(self, commits: Commits) -> tuple[Sha, ...]:
        """Those of a set that have no other of it in their history, oldest first."""
        found: list[Sha] = []
        kept = 0
        for sha in self.names(commits):
            if not self.ancestors(sha) & kept:
                found, kept = [*found, sha], kept | self.bit(sha)
        return tuple(found)

    def newest(self, commits: Commits) -> tuple[Sha, ...]:
        """Those of a set that are in no other's history, oldest first."""
        found: list[Sha] = []
        covered = 0
        for sha in reversed(self.names(commits)):
            if not self.bit(sha) & covered:
                found, covered = [sha, *found], covered | self.ancestors(sha)
        return tuple(found)

    def positions(self, commits: Commits) -> npt.NDArray[np.intp]:
        """The positions of a set's commits, oldest first."""
        return _positions(commits, len(self.commits))

    def mask(self, commits: Commits) -> Mask:
        """By position: is it in the set?"""
        found = np.zeros(len(self.commits), np.bool_)
        found[self.positions(commits)] = True
        return found

    def distance(self, older: Sha, newer: Sha) -> int:
        """How many commits newer has that older has not; an end outside the range counts as its beginning."""
        behind = self.ancestors(older) if older in self else 0
        return (self.ancestors(newer) & ~behind).bit_count()

    def mainline(self, tip: Sha) -> Dag:
        """The first-parent view: tip's first-parent line alone, each merge standing for all that it brought."""
        line = [tip]
        while (its := self.parents[line[-1]]) and its[0] in self:
            line.append(its[0])
        return replace(Dag.of({sha: self.parents[sha][:1] for sha in reversed(line)}), first_parent=True)

    def gathered(self, weights: Mapping[Sha, float], line: Dag) -> dict[Sha, float]:
        """The weights of a first-parent line: each merge has those of all that it brought."""
        below = self.below(np.fromiter((weights.get(sha, 0.0) for sha in self.commits), np.float64, len(self)))
        whole = [0.0, *(float(below[self.position(sha)]) for sha in line.commits)]
        return {sha: max(more - less, 0.0) for sha, less, more in zip(line.commits, whole, whole[1:], strict=False)}

    def below(self, weights: Floats) -> Floats:
        """By position: the weight of a commit's whole history, itself included. `weights` is by position, too."""
        tree, own = self._spines, weights.astype(np.float64)
        if len(tree.merges):
            own[tree.merges] += np.add.reduceat(weights[tree.brought], tree.starts)
        steps = np.zeros(len(own) + 1)
        steps[tree.enter] = own
        steps -= np.bincount(tree.leave, own, len(own) + 1)
        found: Floats = np.cumsum(steps)[tree.enter]
        return found

    def asked(self, suspects: Commits, weights: Floats) -> Floats:
        """By position: the weight of the suspects that cannot be named before this commit was tested.

        They are the commit itself, to be bad, and its children, to have a good parent; a child of several suspects
        counts for each with its part. `weights` is by position over the whole range.
        """
        mask = self.mask(suspects)
        child, parent = (ends[mask[self._edges[0]] & mask[self._edges[1]]] for ends in self._edges)
        parts = np.bincount(child, minlength=len(self))
        found: Floats = np.where(mask, weights, 0.0) + np.bincount(parent, weights[child] / parts[child], len(self))
        return found

    def weigh(self, suspects: Commits, weights: Floats | None = None) -> tuple[npt.NDArray[np.intp], Floats]:
        """For each suspect, oldest first: its position, and the weight of the suspects in its history, itself included.

        That is what stays suspect if it tests bad. `weights` is by position over the whole range (None: 1 each).
        """
        mask = self.mask(suspects)
        members = np.flatnonzero(mask)
        own = mask.astype(np.float64) if weights is None else np.where(mask, weights, 0.0)
        return members, self.below(own)[members]


def _set(mask: Mask) -> Commits:
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")
