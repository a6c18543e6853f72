"""Siblings of a pinned release: what can be put in its place, from the clone, the configuration, or as a person names.

Of a release that is built they are point releases of its own series in the clone: the first and, if that cannot run the
case, some between; and the newest one. Then the configured baselines: those of the same series, and the nearest older
and newer ones. Siblings of one group are alternates: the first that gives an answer is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bot.core.matrix import version_key
from bot.core.sides import Release, numbers, place
from bot.errors import UserError
from bot.model import Baseline, Case, Place
from bot.pipeline.asking import pinned
from bot.pipeline.bench import Bench, newest
from bot.smoke.inspect import inspect
from bot.worker import installed

_ALTERNATES = 2  # neighbours of which the first that gives an answer is enough


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sibling that can be tried. `identity` is the commit of one that is built, else the hash of the binary."""

    baseline: Baseline
    identity: str
    release: Release
    place: Place


Groups = tuple[tuple[Candidate, ...], ...]


def siblings(bench: Bench, case: Case, chosen: Sequence[str] = ()) -> Groups:
    """Groups of alternates, the most telling first; only the `chosen` ones, if a person named some.

    Raises `UserError` for a name that means nothing. What only the configuration has, and cannot be had, is left out.
    """
    this = bench.rig.baseline(case)
    if this is None:
        return ()
    mine = _found(bench, this, case)
    if mine is None:
        return ()
    if chosen:
        return tuple((_candidate(bench, named(bench, case, text), case, mine),) for text in chosen)
    points = list(_points(bench, mine)) if this.ref is not None else []
    configured = (baseline for baseline in bench.config.baselines if baseline.name != this.name)
    others = [bench.rig.baselines.get(baseline.name, baseline) for baseline in configured]
    seen = {mine[0]}
    found: list[Candidate] = []
    for baseline in (*points, *others):
        try:
            one = _candidate(bench, baseline, case, mine)
        except UserError as error:
            bench.progress.say(f"side test: {baseline.name} is left out: {error}")
            continue
        if one.identity not in seen and _has(case.machine, one.release):
            seen.add(one.identity)
            found.append(one)
    return tuple(filter(None, _grouped(found, {point.name for point in points})))


def _grouped(found: Iterable[Candidate], points: set[str]) -> Iterator[tuple[Candidate, ...]]:
    """Of the same series the older ones first, configured ones each for itself; then neighbours by their distance."""
    by: dict[Place, list[Candidate]] = {where: [] for where in Place}
    for one in found:
        by[one.place].append(one)
    near = (Place.OLDER_POINT, Place.SAME, Place.NEWER_POINT)
    for where in near:
        yield from ((one,) for one in by[where] if one.baseline.name not in points)
        yield tuple(one for one in by[where] if one.baseline.name in points)
    yield tuple(sorted(by[Place.OLDER], key=lambda one: one.release, reverse=True)[:_ALTERNATES])
    yield tuple(sorted(by[Place.NEWER], key=lambda one: one.release)[:_ALTERNATES])


def _points(bench: Bench, mine: tuple[str, Release]) -> Iterator[Baseline]:
    """Point releases of the series in the clone: the first, the last and the middle one before it, the newest after."""
    sha, release = mine
    series = f"{release[0]}.{release[1]}"
    branches = bench.repository.branches()
    tips = [sha, *(branches[name] for name in (f"stable-{series}", "master") if name in branches)]
    known: dict[Release, str] = {}
    for tip in dict.fromkeys(tips):
        for name in bench.repository.releases(tip):
            if (version := numbers(name)) and version[:2] == release[:2]:
                known.setdefault(version, name)
    before, after = sorted(v for v in known if v < release), sorted(v for v in known if v > release)
    chosen = [*before[:1], *before[-1:], *before[len(before) // 2 :][:1], *after[-1:]]
    yield from (Baseline(known[version], ref=known[version]) for version in dict.fromkeys(chosen))


def named(bench: Bench, case: Case, text: str) -> Baseline:
    """A sibling as a person names it: a configured baseline, a revision or a path. Raises `UserError` for neither."""
    configured = next((b for b in bench.config.baselines if b.name == text), None)
    found = bench.rig.baselines.get(text) or configured or pinned(text)
    found = newest(bench.repository, found)
    if found.ref is not None:
        bench.repository.resolve(found.ref)
    else:
        installed(found, case.target)
    return found


def _candidate(bench: Bench, baseline: Baseline, case: Case, mine: tuple[str, Release]) -> Candidate:
    chosen = newest(bench.repository, baseline)
    taken = bench.rig.baselines.get(chosen.name)
    found = _found(bench, chosen, case)
    if found is None:
        raise UserError(f"{chosen.ref or chosen.path} does not say its release")
    if taken is not None and _found(bench, taken, case) != found:  # the name is that of another one already
        raise UserError(f"there is another baseline of that name, {taken.ref or taken.path}")
    return Candidate(chosen, found[0], found[1], place(mine[1], found[1]))


def _found(bench: Bench, baseline: Baseline, case: Case) -> tuple[str, Release] | None:
    """(identity, release) of a baseline; None if it does not say which release it is."""
    if baseline.ref is not None:
        sha = bench.rig.refs.get(baseline.name) or bench.repository.resolve(baseline.ref)
        version = bench.repository.file(sha, "VERSION") or ""
        identity = sha
    else:
        binary = installed(baseline, case.target)
        version, identity = inspect(binary, stop=bench.stop).release, binary.sha256
    release = numbers(version.strip())
    return None if release is None else (identity, release)


def _has(machine: str, release: Release) -> bool:
    """Whether a release may have a machine type: one that is named after a later one it has not."""
    key = version_key(machine)
    return "rhel" in key.prefix or not key.numbers or key.numbers <= release[:2] or release[2] >= 50
