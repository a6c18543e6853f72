"""What is not told about a posted series: what its base shows, too, and what comes and goes. Nothing is built here."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import load
from bot.core.outbox import Held
from bot.model import Baseline, Case, Direction, FirstBad, Log, Origin, Outcome, Posted, Profile, Report, Run
from bot.pipeline.bench import Bench, bench
from bot.pipeline.known import known
from bot.pipeline.publish import write_site
from bot.pipeline.series import answer
from bot.report import data
from tests.pipeline.test_siblings import Said
from tests.testing import series
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


def test_what_was_run_with_the_series_alone_and_what_is_known_to_fail_is_kept_for_its_page(
    desk: tuple[Bench, Posted], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, posted = desk
    same, known_to_fail = replace(CASE, direction=Direction.SAME, baseline=None), replace(CASE, profile="virtio")
    runs = [
        run(posted.commit, letter, case=case, binary=posted.commit)
        for letter, case in (("B", CASE), ("G", same), ("B", known_to_fail))
    ]
    logged = replace(runs[1], observation=replace(runs[1].observation, argv=(("qemu", "-S"),), logs=(Log("a", "b"),)))
    here.keep(replace(run(posted.base, "G", case=CASE, binary=posted.base), setup=here.rig.setup(CASE)))
    monkeypatch.setattr(
        "bot.pipeline.series._Answering.reports", lambda self, found, compared: [searched(self.desk, posted)]
    )
    origin = Origin("<1@example.org>", "Ann <ann@example.org>", "qemu-devel@nongnu.org", "[PATCH 0/2] a series")
    made = answer(
        here, posted, origin, [runs[0], logged, runs[2]], [known_to_fail], known(here.config, lambda _: False), ()
    )
    assert made is not None
    (entry,) = here.store.series.entries()
    kept = data.load_series(entry.report)
    assert kept == made and made.expected == (known_to_fail,)
    assert [(one.case, one.outcome) for one in kept.others] == [(same, Outcome.PASS), (known_to_fail, Outcome.FAIL_DST)]
    assert not [one for one in kept.others if one.observation.argv or one.observation.logs]

    out = here.work / "pages"
    write_site(here.store, here.config, out, here.repository)
    page = (out / "s0001" / "index.html").read_text()
    assert "3 cases with the series: 1 pass, 1 fail, 1 fail as expected; 1 of them run on the base, too." in page
    assert "Held back by: " in page and "approval: not approved by a person" in page
    (item,) = here.store.outbox.items(-1)
    here.store.outbox.change(item, Held("for a reason of mine"))
    write_site(here.store, here.config, out, here.repository)
    page = (out / "s0001" / "index.html").read_text()
    assert "; a person." in page and "a reason of mine" not in page
    assert [one["id"] for one in json.loads((out / "index.json").read_text())["series"]] == ["s0001"]


def searched(here: Bench, posted: Posted) -> Report:
    """What a search would give: the second patch breaks the case."""
    report, tip = series.search("ppc_spapr.ram", 67, ("ppc64", "pseries")), here.repository.commit(posted.commit)
    assert isinstance(report.finding, FirstBad)
    failing = run(posted.commit, "B", case=CASE, binary=posted.commit)
    assert failing.signature is not None
    return replace(
        report, case=CASE, finding=replace(report.finding, commit=tip.sha), culprit=tip, commits={tip.sha: tip},
        bad=tip, good=here.repository.commit(posted.base), table=(failing,),
        regression=replace(report.regression, id="", cases=(CASE,), signature=failing.signature),
    )  # fmt: skip


def test_of_what_passes_nothing_is_asked(desk: tuple[Bench, Posted]) -> None:
    here, posted = desk
    passes = run(posted.commit, "G", case=CASE)
    assert passes.outcome is Outcome.PASS
    assert answer(here, posted, Origin(), [passes], (), known(here.config, lambda _: False), ()) is None
    assert isinstance(here.progress, Said) and here.progress.lines == []
