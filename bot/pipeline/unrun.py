"""What readers of a page may take for granted and was not run, with the reason where one is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from bot.config import Config
from bot.core.plain import line
from bot.host import kvm
from bot.model import Case, Exclusion, Outcome, Run
from bot.pipeline.asking import not_run

_UNANSWERED = (Outcome.UNTESTABLE, Outcome.NOT_BUILT, Outcome.INFRA)
_AXES: tuple[tuple[str, Callable[[Case], str]], ...] = (
    ("profile", lambda case: case.profile), ("method", lambda case: case.method), ("on", lambda case: case.accel),
    ("target", lambda case: case.target), ("baseline", lambda case: case.baseline or ""),
)  # fmt: skip


def unrun(config: Config, runs: Sequence[Run], excluded: Sequence[Exclusion]) -> tuple[str, ...]:
    """As phrases: what no run is about (`asking.not_run`), what was tried and gave no answer, and why, baselines that
    nothing was run against, machine types that are left out.
    """
    answered = [run.case for run in runs if run.outcome not in _UNANSWERED]
    phrases = list(not_run(config, answered or [run.case for run in runs]))
    if not runs:
        phrases = ["any case"]
    elif phrases[:1] == ["KVM"] and (why := _without_kvm()):
        phrases[0] = f"KVM ({why})"
    against = {run.case.baseline for run in runs}
    if runs and (missing := [b.name for b in config.baselines if b.name not in against]):
        phrases.append(f"baseline{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    phrases += _without_answer(runs, answered)
    left = [f"{', '.join(entry.machines)} ({line(entry.why, 120)})" for entry in excluded]
    phrases += [f"machine types {', '.join(left)}"] if left else []
    return tuple(phrases)


def _without_answer(runs: Sequence[Run], answered: Sequence[Case]) -> list[str]:
    """`method postcopy: cannot be tested here: QEMU's words`, of what every run of says the like."""
    phrases = []
    for word, of in _AXES:
        have = {of(case) for case in answered}
        for name in sorted({of(run.case) for run in runs} - have):
            said = Counter(line(run.observation.message, 80) for run in runs if of(run.case) == name)
            why = next((text for text, _ in said.most_common() if text), "")
            phrases.append(f"{word} {name}: cannot be tested" + (f" ({why})" if why else ""))
    return phrases if answered else []


def _without_kvm() -> str | None:
    """Why this machine cannot run what it has KVM for; None: it can, and was not asked to."""
    return next((kvm.why_not(arch) for arch in kvm.guests()), "this machine has none")
