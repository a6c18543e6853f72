"""What `bot doctor` says of a machine that lacks something."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import load
from bot.pipeline import doctor
from bot.pipeline.doctor import Check, checks


def found(tmp_path: Path, *overrides: str) -> dict[str, Check]:
    return {check.name: check for check in checks(load(None, overrides, {}), tmp_path)}


def test_too_few_watches_are_a_loss_and_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path)["shared builds"].ok
    monkeypatch.setattr(doctor, "_WATCHES", 10**12)
    check = found(tmp_path)["shared builds"]
    assert not check.ok and not check.needed
    assert "sysctl fs.inotify.max_user_watches=" in check.mend


def test_ccache_is_asked_for_only_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ccache" not in found(tmp_path)
    assert found(tmp_path, "build.ccache.use=always")["ccache"].ok
    monkeypatch.setattr(doctor, "ccache_program", lambda: None)
    check = found(tmp_path, "build.ccache.use=always")["ccache"]
    assert not check.ok and check.needed and check.mend == "apt-get install ccache"
