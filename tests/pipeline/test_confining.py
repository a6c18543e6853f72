"""Whether there is a sandbox: what is asked for, and what the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import Config, load
from bot.errors import UserError
from bot.host import escape
from bot.model import Limits, Sandbox
from bot.pipeline.confining import sandbox
from tests.build.project import Watcher


def configured(*overrides: str) -> Config:
    return load(environ={}, overrides=overrides)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that gives none."""
    monkeypatch.setattr(escape, "missing", lambda: "bwrap: No permissions to create a new namespace")


def test_as_it_is_shipped_there_is_one_where_it_works() -> None:
    watcher = Watcher()
    assert sandbox(configured(), watcher) == Sandbox(Limits())
    assert watcher.said == []


def test_without_one_it_is_told_and_goes_on(without: None) -> None:
    watcher = Watcher()
    assert sandbox(configured(), watcher) is None
    assert watcher.said == [
        "no sandbox, what commits build and run has all of your rights: bwrap: No permissions to create a new "
        "namespace; see `bot doctor`"
    ]


def test_one_that_must_be_there(without: None) -> None:
    with pytest.raises(UserError, match=r"sandbox\.use is always, and there is no sandbox: bwrap: No permissions"):
        sandbox(configured("sandbox.use=always"), Watcher())


def test_none_is_had_for_the_asking() -> None:
    watcher = Watcher()
    assert sandbox(configured("sandbox.use=never"), watcher) is None
    assert watcher.said == []


def test_what_may_be_read_besides(tmp_path: Path) -> None:
    box = sandbox(configured(f"sandbox.read=[{tmp_path}]", "sandbox.processes=77"), Watcher())
    assert box == Sandbox(Limits(processes=77), read=(tmp_path,))
    with pytest.raises(UserError, match=r"sandbox\.read: .*absent: no such file or directory"):
        sandbox(configured(f"sandbox.read=[{tmp_path}/absent]"), Watcher())
