"""`bot list --lost`: what was tested and is gone, from what tips were recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.core.matrix import versioned
from bot.model import Case, Commit, Inventory, MachineType, Observation, Outcome, Run
from bot.pipeline.losing import list_lost
from bot.store.store import Store

T = "x86_64-softmmu"
OLD = ("pc-i440fx-2.4", "pc-i440fx-2.5", "pc-i440fx-2.6", "isapc", "pc-i440fx-9.2")
SHAS = ("a" * 40, "b" * 40, "c" * 40)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A branch that lost types with its second tip; isapc was never tested."""
    clock = iter(range(100))
    store = Store(tmp_path, clock=lambda: float(next(clock)))
    for sha in SHAS:
        names = OLD if sha == SHAS[0] else ("pc-i440fx-9.2",)
        machines = (MachineType(n, versioned=versioned(n), deprecated=n.endswith(("2.4", "2.5"))) for n in names)
        store.see("master", Commit(sha, f"subject {sha[0]}", "a", "a@example.org", "2026", "2026"))
        store.keep_inventory(sha, T, Inventory("x86_64", "10.1.50", tuple(machines)))
        for name in (name for name in names if name != "isapc"):
            for profile in ("bare", "virtio"):
                store.record(Run(sha, Case(T, name, profile), Observation(Outcome.PASS)))
    return tmp_path


def test_what_went_together_is_told_together(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_lost(work, as_json=False) == 0
    assert capsys.readouterr().out.splitlines() == [
        "master at cccccccccccc:",
        '  x86_64: pc-i440fx-2.6: gone since bbbbbbbbbbbb ("subject b"), never called deprecated; 2 cases',
        '  x86_64: pc-i440fx-2.4, 2.5 (2 types): gone since bbbbbbbbbbbb ("subject b"), deprecated before; 4 cases',
    ]
    list_lost(work, as_json=True)
    rows = json.loads(capsys.readouterr().out)["branches"]["master"]
    assert rows[0] == {
        "target": T, "machine": "pc-i440fx-2.4", "last": SHAS[0], "since": SHAS[1], "deprecated": True, "early": False,
        "cases": 2,
    }  # fmt: skip


def test_nothing_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_lost(tmp_path, as_json=False)
    assert "no branch was tested yet" in capsys.readouterr().out
    Store(tmp_path).see("master", Commit(SHAS[0], "s", "a", "a@example.org", "2026", "2026"))
    list_lost(tmp_path, as_json=False)
    assert "no machine type that was tested is gone" in capsys.readouterr().out
