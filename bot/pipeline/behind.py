"""What lies behind an expected failure: a migration ends at its first error, both sides' own streams go on.

One case of each entry and target stands for the others: the newest machine type with the most devices. These are hints.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from bot.core import matrix
from bot.core.hints import Effect, Hint
from bot.model import Binary, Case, Direction, Expected, Profile, Run, SmokeSettings
from bot.pipeline.hints import Pair, compare
from bot.progress import Progress
from bot.smoke.control import Controls


def behind(
    runs: Iterable[Run],
    expected: Mapping[Case, Expected],
    profiles: Mapping[str, Profile],
    settings: SmokeSettings,
    sides: Callable[[Case], tuple[Binary, Binary]],
    progress: Progress,
    stop: threading.Event,
) -> dict[str, tuple[str, ...]]:
    """By the entry's id, what may break besides: differences of what source and destination of `sides` send.

    Cases of direction `same` have none, nor has a script of the user's. What an entry is about itself is left out.
    """
    if settings.script:
        return {}
    chosen: dict[tuple[str, str, Direction], Run] = {}
    for run in runs:
        entry = expected.get(run.case)
        if entry is not None and run.case.direction is not Direction.SAME:
            key = (entry.id, run.case.target, run.case.direction)
            chosen[key] = max(run, chosen.get(key, run), key=lambda one: _weight(one.case, profiles))
    controls = Controls()
    found: dict[str, list[str]] = {}
    for (name, *_), run in chosen.items():
        case = run.case
        pair = Pair(*sides(case), case.target, profiles[case.profile], settings, controls)
        hints = compare(pair, [case.machine], 1, progress, stop).hints["stream"]
        device = run.signature.device if run.signature else None
        found.setdefault(name, []).extend(str(hint) for hint in hints if _may_break(hint, device))
    return {name: tuple(dict.fromkeys(lines)) for name, lines in found.items()}


def _weight(case: Case, profiles: Mapping[str, Profile]) -> tuple[int, tuple[int, ...]]:
    return len(profiles[case.profile].devices), matrix.version_key(case.machine).numbers


def _may_break(hint: Hint, device: str | None) -> bool:
    """Whether a hint is about this migration, which goes from the comparison's old side to its new one."""
    own = device is not None and (hint.section == device or f"{device}:" in hint.detail.split())
    return hint.effect in (Effect.BOTH, Effect.FORWARD) and not own
