"""Which cases there are, from what the binaries say of themselves, and how their machine types are printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import groupby

from bot.model import TCG, Case, Direction, Inventory, MachineType, Profile, Sweep

_NAME = re.compile(r"^(?P<prefix>(?:.*-)?(?:rhel)?)(?P<version>\d+(?:\.\d+)+)(?P<tag>-[\w.-]+)?$")
_RANGE = 3  # as many neighbours are worth an ellipsis


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A machine type's name in parts: `pseries-2.12-sxxm` is ("pseries-", "-sxxm", (2, 12)). Sorts as releases came."""

    prefix: str
    tag: str
    numbers: tuple[int, ...]

    @property
    def text(self) -> str:
        return ".".join(map(str, self.numbers)) + self.tag


def version_key(name: str) -> Version:
    """What machine types are sorted by: family, tag, version (2.9 < 2.12). An unversioned name is its own family."""
    match = _NAME.match(name)
    if match is None:
        return Version(name, "", ())
    return Version(match["prefix"], match["tag"] or "", tuple(map(int, match["version"].split("."))))


def versioned(name: str) -> bool:
    """Whether the name promises migration between releases: it ends in -X.Y, perhaps with a tag."""
    return bool(version_key(name).numbers)


def family(name: str) -> str:
    """`pc-q35` of `pc-q35-9.2`, `pseries` of `pseries-2.12-sxxm`, the name itself if it has no version."""
    return version_key(name).prefix.rstrip("-")


def find(inventory: Inventory, name: str) -> MachineType | None:
    """The machine type of that name or alias."""
    return next((m for m in inventory.machines if name in (m.name, m.alias)), None)


def machine_ranges(names: Iterable[str], all_names: Iterable[str]) -> tuple[str, ...]:
    """Machine types as a reader wants them, one text per family: `pseries-2.1 ... 2.7, 2.12 (8 types)`.

    A range spans only types that follow each other in all_names too, so it never covers one that is not in names.
    """
    wanted = set(names)
    known = sorted(wanted | set(all_names), key=version_key)
    texts = []
    for prefix, group in groupby(known, key=lambda name: version_key(name).prefix):
        parts: list[str] = []
        members = list(group)
        for _, tagged in groupby(members, key=lambda name: version_key(name).tag):
            for chosen, run in groupby(tagged, key=lambda name: name in wanted):
                if chosen:
                    parts += _fold([version_key(name).text for name in run])
        count = sum(name in wanted for name in members)
        if count:
            texts.append(prefix + ", ".join(parts) + (f" ({count} types)" if count > 1 else ""))
    return tuple(texts)


def _fold(run: list[str]) -> list[str]:
    return [f"{run[0]} ... {run[-1]}"] if len(run) >= _RANGE else run


_ONE_RELEASE = ("ping-pong",)
"""Methods for `same` only: there and back between two releases is forward and backward, which are cases themselves."""


def cases(
    commit: Mapping[str, Inventory],
    baselines: Mapping[str, Mapping[str, Inventory]],
    sweep: Sweep,
    profiles: Mapping[str, Profile],
    *,
    exclude: Sequence[str] = (),
    only: Sequence[str] = ("*",),
    usable: Callable[[str], bool] = lambda arch: False,
) -> tuple[Case, ...]:
    """All of a sweep that can be asked of a commit: `commit` is its inventory by target, `baselines` theirs by name and
    target, `profiles` those that the sweep names.

    `same` covers every type of the commit; `forward` and `backward` the versioned types that both sides have, and those
    that went from the commit before their time (`gone_early`). Aliases are never cases: they move with the release.
    `exclude` and `only` are patterns (fnmatch) of machine types. `usable` says whether KVM runs guests of an
    architecture here; where it does not there are no cases for it, and none are run under TCG instead.
    """

    def asked(inventory: Inventory) -> list[str]:
        names = (m.name for m in inventory.machines)
        return sorted((n for n in names if _fits(n, only) and not _fits(n, exclude)), key=version_key)

    def ways(target: str, machine: str, direction: Direction, baseline: str | None = None) -> Iterator[Case]:
        for accel in accelerators(sweep, usable(target.removesuffix("-softmmu"))):
            for profile in (p for p in sweep.profiles if _fits(machine, profiles[p].machines)):
                for method, patterns in sweep.methods.items():
                    if _fits(profile, patterns) and (direction is Direction.SAME or method not in _ONE_RELEASE):
                        yield Case(target, machine, profile, direction, baseline, method, accel)

    found: list[Case] = []
    for target, mine in commit.items():
        if Direction.SAME in sweep.directions:
            found += [case for name in asked(mine) for case in ways(target, name, Direction.SAME)]
        for baseline, inventories in baselines.items():
            if target not in inventories:
                continue
            have = {m.name for m in mine.machines}
            shared = [n for n in asked(inventories[target]) if versioned(n) and (n in have or gone_early(n, mine))]
            found += [
                case
                for direction in sweep.directions
                if direction is not Direction.SAME
                for name in shared
                for case in ways(target, name, direction, baseline)
            ]
    return tuple(found)


def sweeps(part: Sweep, case: Case) -> bool:
    """Whether a sweep runs cases of this one's profile, direction and method."""
    named = case.profile in part.profiles and case.direction in part.directions
    return named and _fits(case.profile, part.methods.get(case.method, ()))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def narrowed(sweep: Sweep, directions: Iterable[Direction], methods: Iterable[str], accel: str | None) -> Sweep:
    """The part of a sweep that a person typed; what he left out stays as it is."""
    asked, ways = tuple(directions), set(methods)
    return replace(
        sweep,
        directions=tuple(d for d in sweep.directions if not asked or d in asked),
        methods={method: patterns for method, patterns in sweep.methods.items() if not ways or method in ways},
        accels=(accel,) if accel else sweep.accels,
    )


def accelerators(sweep: Sweep, usable: bool) -> tuple[str, ...]:
    """The accelerators of a sweep as cases have them, where KVM is usable or not: `kvm-if-usable` is `kvm` or none."""
    found = []
    for accel in sweep.accels:
        name, comma, properties = accel.partition(",")
        if name == TCG:
            found.append(accel)
        elif usable:
            found.append(f"kvm{comma}{properties}")
    return tuple(dict.fromkeys(found))


def deprecated(inventories: Mapping[str, Inventory]) -> frozenset[tuple[str, str]]:
    """(target, machine type) of the types that binaries call deprecated: query-machines says it since 4.1."""
    return frozenset((target, m.name) for target, known in inventories.items() for m in known.machines if m.deprecated)


def release(version: str) -> tuple[int, int]:
    """The release that a query-version text belongs to; a development tree (micro >= 50) belongs to the next one.

    2.12 was followed by 3.0; since then a major has the minors 0, 1 and 2.
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None:
        return 0, 0
    major, minor, micro = int(match[1]), int(match[2]), int(match[3] or 0)
    if micro < 50:
        return major, minor
    last = 12 if major == 2 else 2
    return (major, minor + 1) if minor < last else (major + 1, 0)


def previous_release(of: tuple[int, int]) -> tuple[int, int]:
    """The release before one: (10, 2) of (11, 0), (2, 12) of (3, 0)."""
    major, minor = of
    if minor > 0:
        return major, minor - 1
    return major - 1, 12 if major == 3 else 2


def gone_early(name: str, inventory: Inventory) -> bool:
    """Whether a machine type is missing from a binary that should still have it.

    Types up to (major - 6).minor are deleted by rule since 9.1 (hw/boards.h, MACHINE_VER_SHOULD_DELETE); before that by
    hand, and none that was not deprecated: up to (major - 3).minor. Only types of a family that the binary does have,
    and not newer than itself, are missed: a board that was configured out is nobody's fault.
    """
    wanted = version_key(name)
    if not wanted.numbers or any(m.name == name for m in inventory.machines):
        return False
    siblings = [version_key(m.name) for m in inventory.machines if version_key(m.name).prefix == wanted.prefix]
    major, minor = release(inventory.version)
    grace = 6 if (major, minor) >= (9, 1) else 3
    lower, upper = (major - grace, minor), (major, minor)
    return any(s.numbers for s in siblings) and lower < wanted.numbers[:2] <= upper
