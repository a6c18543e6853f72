"""What a posted series breaks: the cases that fail with it and pass on its base, by kind of failure.

A base that fails too, or that gave no answer, is never told about the series. Nor is what comes and goes on either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bot.core.verdict import failed
from bot.model import Case, Outcome, Run, Signature

_Pair = tuple[str, str, str, str, str | None, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure, and the cases that have it with the series and pass without."""

    signature: Signature
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Brought:
    """`kinds`: most cases first. `older` fail on the base as well; `open` cannot be compared."""

    kinds: tuple[Failure, ...] = ()
    older: tuple[Case, ...] = ()
    open: tuple[Case, ...] = ()


def to_compare(runs: Iterable[Run], known: Collection[Case]) -> tuple[Case, ...]:
    """The cases that the base is to be run with, given a run of each case with the series: of each pair of sides that
    has a failure which is not `known`, all that gave an answer, for the figures of both are told.
    """
    made = list(runs)
    pairs = {_pair(run.case) for run in made if _shows(run, known)}
    answered = (run for run in made if failed(run) or run.outcome is Outcome.PASS)
    return tuple(run.case for run in answered if _pair(run.case) in pairs)


def brought(runs: Iterable[Run], base: Mapping[Case, Run], known: Collection[Case]) -> Brought:
    """What a series breaks, given a run of each case with it (`core.flaky.combined`), and of those on its base."""
    kinds: dict[str, tuple[Signature, list[Case]]] = {}
    older: list[Case] = []
    unclear: list[Case] = []
    for run in runs:
        if not _shows(run, known):
            continue
        before = base.get(run.case)
        if before is not None and failed(before):
            older.append(run.case)
        elif before is None or before.outcome is not Outcome.PASS or run.signature is None:
            unclear.append(run.case)
        else:
            kinds.setdefault(run.signature.key, (run.signature, []))[1].append(run.case)
    found = sorted(kinds.values(), key=lambda kind: -len(kind[1]))
    return Brought(tuple(Failure(sig, tuple(cases)) for sig, cases in found), tuple(older), tuple(unclear))


def _shows(run: Run, known: Collection[Case]) -> bool:
    """Whether a run shows a failure that may be the series'."""
    return failed(run) and not run.flaky and run.case not in known


def _pair(case: Case) -> _Pair:
    return case.target, case.profile, case.method, case.direction, case.baseline, case.accel
