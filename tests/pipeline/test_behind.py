"""What an expected failure hides, on real QEMUs: the second break of a machine whose first one is known."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import load
from bot.model import Binary, Case, Direction, Outcome, Run, Signature
from bot.pipeline.behind import behind
from bot.pipeline.known import known, unknown
from bot.progress import Silent
from bot.smoke.smoke import smoke
from tests.testing.qemu import installed, second

CONFIG = load(environ={})


def hidden(case: Case, tmp_path: Path) -> tuple[Run, dict[str, tuple[str, ...]]]:
    def sides(asked: Case) -> tuple[Binary, Binary]:
        old, new = installed(asked.arch), second(asked.arch)
        return {Direction.FORWARD: (old, new), Direction.BACKWARD: (new, old)}.get(asked.direction, (old, old))

    seen = smoke(case, CONFIG.profiles[case.profile], *sides(case), CONFIG.smoke_settings, scratch=tmp_path)
    run = Run("", case, seen)
    expected = known(CONFIG, unknown).explained([run])
    stop = threading.Event()
    return run, behind([run], expected, CONFIG.profiles, CONFIG.smoke_settings, sides, Silent(), stop)


def test_a_second_break_is_seen_behind_the_first(tmp_path: Path) -> None:
    """arm's CPU fails first; am53c974, whose state changed as well, is never reached."""
    case = Case("aarch64-softmmu", "virt-7.2", "brittle", Direction.FORWARD, "source")
    run, found = hidden(case, tmp_path)
    assert run.signature is not None and run.signature.device == "cpu"
    assert list(found) == ["arm-forward"]
    assert any("pciespscsi" in hint for hint in found["arm-forward"])
    assert not any(": cpu: register" in hint for hint in found["arm-forward"])


@pytest.mark.parametrize(
    ("direction", "entry"), [(Direction.FORWARD, "pseries-xics-lost"), (Direction.BACKWARD, "pseries-slb")]
)
def test_what_the_entry_is_about_is_not_behind_it(direction: Direction, entry: str, tmp_path: Path) -> None:
    case = Case("ppc64-softmmu", "pseries-7.2", "bare", direction, "source")
    run, found = hidden(case, tmp_path)
    assert run.outcome is Outcome.FAIL_DST and found == {entry: ()}


def test_what_is_news_and_what_is_same_have_nothing_behind_them(tmp_path: Path) -> None:
    case = Case("ppc64-softmmu", "bamboo", "bare")
    run, found = hidden(case, tmp_path)
    assert run.signature == Signature("footer", "cpu") and found == {}
    news = replace(run, case=replace(case, direction=Direction.FORWARD, baseline="source"))

    def nobody(_case: Case) -> tuple[Binary, Binary]:
        raise AssertionError("nothing is to be compared")

    assert behind([news], {}, CONFIG.profiles, CONFIG.smoke_settings, nobody, Silent(), threading.Event()) == {}
