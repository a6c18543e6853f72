"""Many smokes, some at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.model import Case, Direction, Outcome, Profile, SmokeSettings
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
