"""The user's own smoke script in place of the built-in migration, by the rules of `git bisect run`, but stricter."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
import threading
import time
from pathlib import Path

from bot.core.signature import root_cause, signature
from bot.errors import InfraError
from bot.model import Binary, Case, Log, Observation, Outcome, Signature, SmokeSettings
from bot.smoke.child import child
from bot.smoke.until import until_stopped

_GOOD, _BAD, _SKIP = 0, 1, 125


def run_script(
    script: str,
    case: Case,
    source: Binary,
    destination: Binary,
    settings: SmokeSettings,
    scratch: Path,
    stop: threading.Event | None = None,
) -> Observation:
    """Run `script` in a directory of its own and take its exit: 0 good, 1 bad, 125 cannot be tested.

    Its environment is ours with BOT_SOURCE and BOT_DESTINATION (executables that find their own firmware), BOT_MACHINE,
    BOT_TARGET and BOT_PROFILE. Any other exit is INFRA, so that a typo in a script never blames a commit (git bisect
    run would take it as bad); no exit within the deadline is HANG, as for the built-in migration. Its stderr gives the
    signature, else `script exit 1`.

    Raises `UserError` if it cannot be executed, `Stopped` if `stop` was set, `InfraError` without a scratch directory.
    """
    path = Path(script).expanduser().absolute()
    began = time.monotonic()
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="script-", dir=scratch.absolute()) as directory:
            place = Path(directory)
            env = os.environ | {
                "BOT_SOURCE": str(_executable(source, place / "source")),
                "BOT_DESTINATION": str(_executable(destination, place / "destination")),
                "BOT_MACHINE": case.machine,
                "BOT_TARGET": case.target,
                "BOT_PROFILE": case.profile,
            }
            work = place / "work"
            work.mkdir()
            code, output, errors = asyncio.run(until_stopped(_run(path, env, work, settings.deadline), stop))
    except OSError as error:
        raise InfraError(f"{scratch}: no scratch directory can be used here: {error}") from error
    outcome, mark, message = _judge(path, code, errors, settings.deadline)
    return Observation(
        outcome=outcome,
        signature=mark,
        message=message,
        seconds=time.monotonic() - began,
        argv=((str(path),),),
        exits=(code,),
        logs=(Log("output", output), Log("script.stderr", errors)),
    )


async def _run(path: Path, env: dict[str, str], cwd: Path, deadline: float) -> tuple[int | None, str, str]:
    async with child([str(path)], env=env, cwd=cwd, keep_stdout=True) as process:
        try:
            async with asyncio.timeout(deadline):
                await process.exited.wait()
        except TimeoutError:
            pass  # ended below; its returncode stays None
    return process.returncode, process.text("stdout"), process.text("stderr")


def _executable(binary: Binary, directory: Path) -> Path:
    """The binary itself, or a wrapper that adds -L if its firmware lies elsewhere."""
    if binary.data_dir is None:
        return binary.path
    directory.mkdir()
    wrapper = directory / binary.path.name
    command = shlex.join([str(binary.path), "-L", str(binary.data_dir)])
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def _judge(path: Path, code: int | None, errors: str, deadline: float) -> tuple[Outcome, Signature | None, str]:
    said = root_cause(errors)
    if code == _GOOD:
        return Outcome.PASS, None, ""
    if code == _BAD:
        text = signature(errors, None)
        return Outcome.FAIL_DST, text or Signature("script", detail=f"exit {code}"), said or f"{path} exited {code}"
    if code == _SKIP:
        return Outcome.UNTESTABLE, None, said or f"{path} exited {code}"
    if code is None:
        mark = signature(errors, None, "script")
        return Outcome.HANG, mark, f"{path} did not end within {deadline:.0f} s"
    how = f"exited {code}" if code >= 0 else f"died of signal {-code}"
    return Outcome.INFRA, None, f"{path} {how}; it must exit 0 (good), 1 (bad) or 125 (cannot be tested)"
