"""Many smokes, some at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.model import Case, Direction, Observation, Outcome, Profile, SmokeSettings
from bot.smoke import pool
from bot.smoke.control import Controls
from bot.smoke.pool import Piece, smokes
from tests.testing.qemu import installed, nothing_left

SETTINGS = SmokeSettings(memory={"*": "64M"}, deadline=30)
STANDING = Profile("bare", ("-nodefaults",))
RUNNING = Profile("bare-running", ("-nodefaults",), run=0.1)


def piece(machine: str, profile: Profile) -> Piece:
    return Piece(Case("x86_64-softmmu", machine, profile.name), profile, installed(), installed())


def test_all_are_run_and_those_whose_guest_stands_still_come_first(tmp_path: Path) -> None:
    types = ("pc-q35-7.2", "pc-q35-7.1", "pc-i440fx-7.2")
    work = [piece(machine, profile) for machine in types for profile in (RUNNING, STANDING)]
    with nothing_left(tmp_path):
        seen = list(smokes(work, SETTINGS, at_once=2, controls=Controls(), scratch=tmp_path))
    assert {done for done, _ in seen} == set(work)
    assert [observation.outcome for _, observation in seen] == [Outcome.PASS] * len(work)
    assert [bool(done.profile.run) for done, _ in seen] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("others", [0, 3])
def test_what_cannot_be_run_ends_all_of_it(tmp_path: Path, others: int) -> None:
    gone = replace(installed(), path=tmp_path / "gone", sha256="0" * 64)
    broken = replace(piece("pc-q35-7.2", STANDING), source=gone)
    broken = replace(broken, case=replace(broken.case, direction=Direction.FORWARD, baseline="gone"))
    work = [broken, *(piece("pc-q35-7.2", RUNNING) for _ in range(others))]
    with nothing_left(tmp_path), pytest.raises(UserError, match="gone"):
        list(smokes(work, SETTINGS, at_once=2, controls=Controls(), scratch=tmp_path))


def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hangs: dict[str, int]) -> tuple[dict[str, Outcome], int]:
    """Outcomes by machine type, and how many smokes that took; each type hangs as often as `hangs` says."""
    left, ran = dict(hangs), 0

    def smoke(case: Case, *_: object, **__: object) -> Observation:
        nonlocal ran
        ran += 1
        left[case.machine] -= 1
        return Observation(Outcome.HANG if left[case.machine] >= 0 else Outcome.PASS)

    monkeypatch.setattr(pool, "smoke", smoke)
    found = smokes(
        [piece(name, STANDING) for name in hangs], SETTINGS, at_once=1, controls=Controls(), scratch=tmp_path
    )
    return {piece.case.machine: observation.outcome for piece, observation in found}, ran


def test_what_hung_beside_others_is_run_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, ran = play(monkeypatch, tmp_path, {"a": 0, "b": 1, "c": 2})
    assert found == {"a": Outcome.PASS, "b": Outcome.PASS, "c": Outcome.HANG}
    assert ran == 3 + 2


def test_where_all_hang_few_are_run_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, ran = play(monkeypatch, tmp_path, {f"m{i}": 9 for i in range(20)})
    assert set(found.values()) == {Outcome.HANG}
    assert len(found) == 20
    assert ran == 20 + 3
