"""Many smokes, some at once: what a sweep is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from bot.model import Binary, Case, Observation, Outcome, Profile, SmokeSettings
from bot.smoke.control import Controls
from bot.smoke.golden import Goldens
from bot.smoke.smoke import smoke

_WAITING = 4
"""So many cases whose guest runs take the place of one whose guest does not: they wait for seconds, and work for tenths
of one. Measured with the `nightly` sweep of s390x on two cores, with which they left four fifths of the time unused."""

_DOUBTS = 3
"""Cases that hang alone as well, after which all that hung in company are believed: each costs the deadline."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One smoke of many."""

    case: Case
    profile: Profile
    source: Binary
    destination: Binary


def smokes(
    work: Sequence[Piece],
    settings: SmokeSettings,
    *,
    at_once: int,
    controls: Controls,
    goldens: Goldens | None = None,
    scratch: Path,
    stop: threading.Event | None = None,
) -> Iterator[tuple[Piece, Observation]]:
    """Run all of it, each piece as it ends: first those whose guest stands still, `at_once`, then those that run.

    What did not end in time is run again at the end, with nothing of ours beside it, for a host that has too much to do
    hangs as well; once some have hung again, the others are believed. Raises what `smoke` raises; pieces that were not
    begun by then are dropped.
    """

    def run(piece: Piece) -> Observation:
        return smoke(
            piece.case, piece.profile, piece.source, piece.destination, settings,
            controls=controls, goldens=goldens, scratch=scratch, stop=stop,
        )  # fmt: skip

    if len(work) == 1:
        yield work[0], run(work[0])
        return
    standing = [piece for piece in work if not piece.profile.run]
    running = [piece for piece in work if piece.profile.run]
    hung: list[tuple[Piece, Observation]] = []
    for part, workers in ((standing, at_once), (running, at_once * _WAITING)):
        pool = ThreadPoolExecutor(max_workers=workers)
        try:
            futures = {pool.submit(run, piece): piece for piece in part}
            for future in as_completed(futures):
                piece, observation = futures[future], future.result()
                if observation.outcome is Outcome.HANG:
                    hung.append((piece, observation))
                else:
                    yield piece, observation
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    doubts = _DOUBTS
    for piece, observation in hung:
        again = run(piece) if doubts else observation
        doubts = max(doubts - (again.outcome is Outcome.HANG), 0)
        yield piece, again
