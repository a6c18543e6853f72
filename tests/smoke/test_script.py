"""The user's own smoke script."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.model import Outcome, Signature, SmokeSettings
from tests.smoke.conftest import Smoke
from tests.testing.qemu import installed


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "my smoke.sh"


def settings(script: Path, body: str, deadline: float = 20.0) -> SmokeSettings:
    script.write_text(f"#!/bin/bash\n{body}\n")
    script.chmod(0o755)
    return SmokeSettings(script=str(script), deadline=deadline)


@pytest.mark.parametrize(
    ("body", "outcome", "mark"),
    [
        ("exit 0", Outcome.PASS, None),
        ("exit 1", Outcome.FAIL_DST, Signature("script", detail="exit 1")),
        ("echo 'qemu: Unknown ramblock \"pc.ram\", cannot' >&2; exit 1", Outcome.FAIL_DST,
         Signature("ramblock", "pc.ram", "pc.ram")),
        ("echo noise; exit 1", Outcome.FAIL_DST, Signature("script", detail="exit 1")),
        ("exit 125", Outcome.UNTESTABLE, None),
        ("exit 2", Outcome.INFRA, None),
        ("no-such-command-here", Outcome.INFRA, None),
        ("kill -SEGV $$", Outcome.INFRA, None),
        ("sleep 1000", Outcome.HANG, Signature("hang", detail="script")),
    ],
)  # fmt: skip
def test_exits(run: Smoke, script: Path, body: str, outcome: Outcome, mark: Signature | None) -> None:
    began = time.monotonic()
    seen = run(settings=settings(script, body, deadline=2.0))
    assert (seen.outcome, seen.signature) == (outcome, mark)
    assert time.monotonic() - began < 10
    if outcome is Outcome.INFRA:
        assert "my smoke.sh" in seen.message and "it must exit 0 (good), 1 (bad) or 125" in seen.message


def test_environment_and_logs(run: Smoke, script: Path, tmp_path: Path) -> None:
    body = (
        'echo "$BOT_MACHINE|$BOT_TARGET|$BOT_PROFILE|$BOT_DESTINATION"; pwd; touch left-behind\n'
        '"$BOT_SOURCE" --version; echo oops >&2'
    )
    seen = run(settings=settings(script, body), machine="pc-q35-7.1")
    output = next(entry.text for entry in seen.logs if entry.name == "output")
    first, where, *rest = output.splitlines()
    assert first == "pc-q35-7.1|x86_64-softmmu|bare|/usr/bin/qemu-system-x86_64"
    assert where.startswith(str(tmp_path / "scratch")) and rest[0].startswith("QEMU emulator version 7.2")
    assert next(entry.text for entry in seen.logs if entry.name == "script.stderr") == "oops\n"
    assert seen.outcome is Outcome.PASS and seen.argv == ((str(script),),)


def test_a_build_finds_its_own_firmware(run: Smoke, script: Path, tmp_path: Path) -> None:
    (tmp_path / "pc bios").mkdir()
    built = replace(installed(), data_dir=tmp_path / "pc bios")
    seen = run(settings=settings(script, '"$BOT_SOURCE" -L help; cat "$BOT_SOURCE"'), source=built)
    output = next(entry.text for entry in seen.logs if entry.name == "output")
    assert output.splitlines()[0] == str(tmp_path / "pc bios")


def test_a_script_that_is_not_there(run: Smoke, script: Path) -> None:
    with pytest.raises(UserError, match=r"cannot run .*my smoke\.sh: no such file"):
        run(settings=SmokeSettings(script=str(script)))
