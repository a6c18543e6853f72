"""From what a person typed to cases: sides, profile, machine types. Each wrong word has its error."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.config import Config
from bot.errors import UserError
from bot.model import METHODS, PRECOPY, TCG, Baseline, Case, Direction, Inventory, Profile


@dataclass(frozen=True, slots=True)
class Sides:
    """Who is on the other side: a pinned source or destination (revision or path), or a configured baseline."""

    source: str | None = None
    destination: str | None = None
    direction: Direction | None = None
    baseline: str | None = None
    source_side: bool = False

    def resolve(self, config: Config) -> tuple[Direction, Baseline | None]:
        """The direction and the other side. Raises `UserError` for options that contradict each other."""
        if self.source_side:
            if self.source or self.direction not in (None, Direction.BACKWARD):
                raise UserError("--source-side: the source is what varies; leave --source and --direction out")
            if not (self.destination or self.baseline):
                raise UserError("--source-side needs who is migrated to: --destination REF|PATH or --baseline NAME")
        if self.source and self.destination:
            raise UserError("--source and --destination: one side must be the commit under test; leave one of them out")
        if (self.source or self.destination) and (self.baseline or self.direction):
            raise UserError(
                "--source and --destination say the direction themselves; leave --direction and --baseline out"
            )
        if self.source:
            return Direction.FORWARD, pinned(self.source)
        if self.destination:
            return Direction.BACKWARD, pinned(self.destination)
        usual = Direction.BACKWARD if self.source_side else Direction.FORWARD if self.baseline else Direction.SAME
        direction = self.direction or usual
        if direction is Direction.SAME:
            if self.baseline:
                raise UserError("--direction same has no other side; leave --baseline out")
            return direction, None
        if not self.baseline:
            raise UserError(f"--direction {direction} needs the other side: --baseline NAME, --source or --destination")
        return direction, config.baseline(self.baseline)


def pinned(text: str) -> Baseline:
    """A side as typed: a path if it holds a slash or is a file here, else a revision."""
    if ("/" in text and (text.startswith(("/", ".", "~")) or Path(text).exists())) or Path(text).is_file():
        return Baseline(name=text, path=str(Path(text).expanduser().absolute()))
    return Baseline(name=text, ref=text)


def tailored(
    profile: Profile | None,
    args: tuple[str, ...],
    source_args: tuple[str, ...],
    destination_args: tuple[str, ...],
    run_for: float | None,
) -> Profile:
    """A configured profile, or one of the user's own arguments; with what he adds, it gets a name of its own."""
    base = profile or Profile("args", args)
    changed = replace(
        base,
        source_args=(*base.source_args, *source_args),
        destination_args=(*base.destination_args, *destination_args),
        run=base.run if run_for is None else run_for,
    )
    if profile is not None and changed == profile:
        return profile
    digest = hashlib.sha256(repr(changed).encode()).hexdigest()[:8]
    return replace(changed, name=f"{base.name}-{digest}")


def target_of(config: Config, target: str | None) -> str:
    """The target as QEMU's build names it: x86_64 and x86_64-softmmu mean the same."""
    if target is None:
        return config.targets[0]
    return target if target.endswith("-softmmu") else f"{target}-softmmu"


def known_machines(names: Sequence[str], inventory: Inventory, where: str) -> tuple[str, ...]:
    """The machine types asked for, aliases resolved. Raises `UserError` with near names for one that is not there."""
    aliases = {m.alias: m.name for m in inventory.machines if m.alias}
    there = [m.name for m in inventory.machines]
    found = []
    for name in names:
        name = aliases.get(name, name)
        if name not in there:
            near = difflib.get_close_matches(name, there, n=4, cutoff=0.3) or there[:4]
            raise UserError(f"--machine {name}: {where} has no such machine type; near it are {', '.join(near)}")
        found.append(name)
    return tuple(found)


def cases_of(
    target: str,
    machines: Sequence[str],
    profile: Profile,
    direction: Direction,
    other: str | None,
    *,
    methods: Sequence[str] = (PRECOPY,),
    accel: str = TCG,
) -> tuple[Case, ...]:
    """One case for each machine type and method; `other` is the name of the baseline."""
    return tuple(
        Case(target, machine, profile.name, direction, other, method, accel)
        for machine in machines
        for method in methods
    )


def not_run(config: Config, cases: Iterable[Case]) -> tuple[str, ...]:
    """What readers may take for granted and none of the cases is, as phrases; empty if there is no case at all."""
    ran = list(cases)
    if not ran:
        return ()
    accels = {case.accel.partition(",")[0] for case in ran}
    phrases = [name.upper() for name in ("kvm", TCG) if name not in accels]
    for word, names, have in (
        ("profile", config.profiles, {case.profile for case in ran}),
        ("direction", [d for d in Direction if d is not Direction.SAME], {case.direction for case in ran}),
        ("method", METHODS, {case.method for case in ran}),
        ("target", config.targets, {case.target for case in ran}),
    ):
        missing = [str(name) for name in names if name not in have]
        if missing:
            phrases.append(f"{word}{'s' if len(missing) > 1 else ''} {' and '.join(_last_two(missing))}")
    return tuple(phrases)


def _last_two(names: list[str]) -> list[str]:
    return names if len(names) < 3 else [", ".join(names[:-1]), names[-1]]
