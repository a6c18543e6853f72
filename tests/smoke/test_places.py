"""A scratch directory may be called anything: QEMU, its options and a shell each have characters of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.model import METHODS, Outcome, Profile
from tests.smoke.conftest import Smoke
from tests.testing.qemu import nothing_left

BACKEND = Profile(
    "backend", ("-nodefaults", "-object", "memory-backend-file,id=m,size=1M,mem-path={dir}", "-mem-path", "{dir}")
)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a=b,c d'e\"f$g;h%d:i&j\\k#ä"
    with nothing_left(path):
        yield path


@pytest.mark.parametrize("method", METHODS)
def test_a_smoke_passes(run: Smoke, method: str) -> None:
    seen = run(method=method)
    assert seen.outcome is Outcome.PASS, seen.message


def test_a_profile_s_arguments_name_it(run: Smoke) -> None:
    seen = run(BACKEND)
    assert seen.outcome is Outcome.PASS, seen.message
