"""What is not told about a posted series: what its base shows, too, and what comes and goes. Nothing is built here."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import load
from bot.model import Baseline, Case, Direction, Origin, Outcome, Posted, Profile, Run
from bot.pipeline.bench import Bench, bench
from bot.pipeline.known import known
from bot.pipeline.series import answer
from tests.pipeline.test_siblings import Said
from tests.testing.fastqemu import QEMU
from tests.testing.history import draw
from tests.testing.world import run

CASE = Case("x86_64-softmmu", "pc-q35-7.2", "bare", Direction.FORWARD, "debian")
TIMES = 4


@pytest.fixture
def desk(tmp_path: Path) -> tuple[Bench, Posted]:
    """A base and two patches on it, of which nothing can be built: what is asked for was recorded."""
    history = draw(tmp_path / "r", "base one two", branch="base")
    (tmp_path / "config.yaml").write_text(f"bisect: {{min_runs: {TIMES}}}\nsmoke: {{again: 0}}\n")
    (tmp_path / "work").mkdir()
    made = bench(
        load(tmp_path / "config.yaml"), tmp_path / "work", history.repository, Said(), threading.Event(),
        baselines=[Baseline("debian", path=str(QEMU))], profiles=[Profile("bare")],
    )  # fmt: skip
    return made, Posted("master", history["base"], history["two"], "a series", 2)


def told(desk: tuple[Bench, Posted], base: str, series: str) -> str:
    """What is said of a series whose runs, and its base's, observed what the letters say."""
    here, posted = desk
    recorded: list[Run] = []
    for sha, letters in ((posted.base, base), (posted.commit, series)):
        for letter in letters:
            recorded.append(replace(run(sha, letter, case=CASE, binary=sha), setup=here.rig.setup(CASE)))
            here.keep(recorded[-1])
    assert answer(here, posted, Origin(), recorded[-1:], (), known(here.config, lambda _: False), ()) is None
    assert here.store.series.entries() == [] and here.store.outbox.items() == []
    assert isinstance(here.progress, Said)
    return "\n".join(here.progress.lines)


@pytest.mark.parametrize(
    ("base", "series", "said"),
    [
        ("B", "B", "the base fails, too"),
        ("O", "B", "the base fails, too"),
        ("GB", "B", "the base fails, too"),
        ("U", "B", "it could not be compared with the base"),
        ("G" * TIMES, "B" * (TIMES - 1) + "GB", f"it comes and goes: {TIMES} of {TIMES + 1} runs of pc-q35-7.2"),
        ("G" * TIMES, "O" + "B" * TIMES, f"it comes and goes: {TIMES} of {TIMES + 1} runs of pc-q35-7.2"),
    ],
)
def test_what_is_not_told(desk: tuple[Bench, Posted], base: str, series: str, said: str) -> None:
    text = told(desk, base, series)
    assert f"not told about the series: pc-q35-7.2: {said}" in text
    assert "no answer to the series" in text


def test_of_what_passes_nothing_is_asked(desk: tuple[Bench, Posted]) -> None:
    here, posted = desk
    passes = run(posted.commit, "G", case=CASE)
    assert passes.outcome is Outcome.PASS
    assert answer(here, posted, Origin(), [passes], (), known(here.config, lambda _: False), ()) is None
    assert isinstance(here.progress, Said) and here.progress.lines == []
