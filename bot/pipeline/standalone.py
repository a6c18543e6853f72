"""`bot smoke`: two binaries, or two of each architecture; no clone, no database."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.config import Config
from bot.core import matrix
from bot.core.flaky import combined, uncertain
from bot.errors import BotError, InfraError, Stopped, UserError
from bot.host import kvm
from bot.model import PRECOPY, Case, Direction, Profile, Run, Sweep
from bot.pipeline.asking import cases_of, known_machines
from bot.pipeline.behind import behind
from bot.pipeline.known import known, unknown
from bot.pipeline.local import at_once, without_kvm
from bot.pipeline.pairs import Pair, pairs
from bot.pipeline.telling import BAD, INFRASTRUCTURE, INTERRUPTED, Files, tell
from bot.progress import Progress
from bot.report.background import Background
from bot.smoke.control import Controls
from bot.smoke.pool import Piece, smokes


@dataclass(frozen=True, slots=True)
class Request:
    """`bot smoke` as typed. `profile` is None if a sweep names the profiles; `accel` None: what those say."""

    source: Path
    destination: Path
    machines: tuple[str, ...]
    all_types: bool
    profile: Profile | None
    sweep: str | None = None
    directions: tuple[Direction, ...] = ()
    methods: tuple[str, ...] = ()
    accel: str | None = None
    strict: bool = False  # failures that are expected count like others
    files: Files = field(default_factory=Files)


def smoke(config: Config, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Run the cases, print the summary, write the files; the exit code is that of all runs together.

    `--destination` is the binary under test: `same` migrates it to itself, `forward` from `--source` to it, `backward`
    from it to `--source`. What was run when it is stopped, or when the machine fails it, is told all the same, for
    nothing else keeps it; then the exit code is 130 or 131.
    """
    if (request.all_types and request.machines) or not (request.all_types or request.machines or request.sweep):
        raise UserError("give --machine TYPE (repeatable), --all for every type that both sides have, or --sweep NAME")
    found = pairs(request.source, request.destination, progress, stop)
    profiles = dict(config.profiles) | ({request.profile.name: request.profile} if request.profile else {})
    about = known(config, unknown)
    work: list[tuple[Case, Pair]] = []
    wanting = False
    for pair in found:
        part, trouble = _part(config, request, pair, progress)
        wanting = wanting or trouble
        work += [(case, pair) for case in _cases(pair, request, part, profiles, about.exclude, one=len(found) == 1)]
    runs, ended = _run(work, profiles, config, request.strict, progress, stop)
    if ended is not None and not runs:
        raise ended
    narrow = request.machines or request.directions or request.methods or ended
    whole = request.sweep is not None and not narrow
    explained = {} if request.strict else about.explained(runs)
    place = dict(work)
    hidden: Mapping[str, tuple[str, ...]] = {}
    if ended is None:
        hidden = behind(
            runs, explained, profiles, config.smoke_settings, lambda case: place[case].sides(case.direction),
            progress, stop,
        )  # fmt: skip
    background = Background(
        new=f"qemu-{found[0].theirs.version.split()[0]}",
        names={OTHER: f"qemu-{found[0].ours.version.split()[0]}"},
        expected=explained,
        behind=hidden,
        passed=about.passed(runs) if whole else (),
        expired=about.expired() if whole else (),
        deprecated=matrix.deprecated({pair.target: pair.theirs for pair in found}),
    )
    code = tell(runs, background, request.files)
    if ended is not None:
        progress.say(f"{ended}: {len(runs)} of {len(work)} cases were run; the same command begins anew")
        return INTERRUPTED if isinstance(ended, Stopped) else INFRASTRUCTURE
    return INFRASTRUCTURE if wanting and code != BAD else code


OTHER = "source"
"""What cases call the binary that is not under test."""


def _part(config: Config, request: Request, pair: Pair, progress: Progress) -> tuple[Sweep, bool]:
    """What is run of a pair, and whether KVM was wanted and is not there."""
    if request.profile is not None:
        directions = request.directions or (Direction.SAME if pair.same else Direction.FORWARD,)
        if pair.same and set(directions) != {Direction.SAME}:
            raise UserError("--direction: both sides are the same binary; give another --destination, or leave it out")
        methods = dict.fromkeys(request.methods or (PRECOPY,), ("*",))
        return Sweep((request.profile.name,), directions, methods, (config.smoke.accel,)), False
    part = matrix.narrowed(config.sweep(request.sweep or ""), request.directions, request.methods, request.accel)
    if pair.same:
        part = matrix.narrowed(part, [Direction.SAME], (), None)
    _, wanting = without_kvm(part, [pair.arch], progress)
    return part, wanting


def _cases(
    pair: Pair, request: Request, part: Sweep, profiles: Mapping[str, Profile], exclude: Sequence[str], *, one: bool
) -> tuple[Case, ...]:
    """The cases of one pair. A machine type that was named is run whatever it is; all are those of the rules."""
    machines: tuple[str, ...] = ()
    if request.machines:
        there = [name for name in request.machines if one or matrix.find(pair.ours, name)]
        machines = known_machines(there, pair.ours, str(pair.source.path))
        if not machines:
            return ()
    if request.profile is not None and machines:
        return tuple(
            case
            for direction in part.directions
            for case in cases_of(
                pair.target, machines, request.profile, direction, OTHER if direction is not Direction.SAME else None,
                methods=tuple(part.methods), accel=part.accels[0],
            )
        )  # fmt: skip
    others = {} if pair.same else {OTHER: {pair.target: pair.ours}}
    usable = kvm.usable if request.profile is None else lambda _arch: True
    return matrix.cases(
        {pair.target: pair.theirs}, others, part, profiles, exclude=exclude, only=machines or ("*",), usable=usable
    )


def _run(
    work: Sequence[tuple[Case, Pair]], profiles: Mapping[str, Profile], config: Config, strict: bool,
    progress: Progress, stop: threading.Event,
) -> tuple[list[Run], BotError | None]:  # fmt: skip
    """A run of each case in the order of the work, and what ended it before all were made.

    What fails is run once more, up to `smoke.again` times, where it may be an accident.
    """
    ended: BotError | None = None
    places, about = dict(work), known(config, unknown)
    made: list[Run] = []
    now = tuple(places)
    with tempfile.TemporaryDirectory(prefix="bot-smoke-") as scratch:
        try:
            while now:
                pieces = [Piece(case, profiles[case.profile], *places[case].sides(case.direction)) for case in now]
                seen = smokes(
                    pieces, config.smoke_settings,
                    at_once=at_once(config), controls=Controls(), scratch=Path(scratch), stop=stop,
                )  # fmt: skip
                for done, (piece, observation) in enumerate(seen, 1):
                    case, pair = piece.case, places[piece.case]
                    other = None if case.direction is Direction.SAME else pair.source.sha256
                    made.append(Run("", case, observation, pair.destination.sha256, other))
                    progress.work("smoking once more" if len(made) > len(work) else "smoking", done, len(now))
                now = uncertain(made, () if strict else about.explained(made), config.smoke.again)
        except (Stopped, InfraError) as error:
            ended = error
    runs = {run.case: run for run in combined(made)}
    return [runs[case] for case in places if case in runs], ended
