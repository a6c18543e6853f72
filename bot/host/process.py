"""The one door to child processes: argv lists, a deadline, a process group that is gone afterwards, a capped log."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bot.errors import InfraError, Killed, Stopped, UserError
from bot.host import sandbox as sandboxed
from bot.host.sandbox import Inside
from bot.model import Sandbox

_POLL = 0.1  # seconds between looks at the stop event
_EARLY = 0.05  # seconds between looks whether a sandbox has what can be told to end
_WATCH = 0.1  # seconds between looks at what a sandbox uses up


@dataclass(frozen=True, slots=True)
class Completed:
    """How a process ended. `returncode` is negative for a signal; `output` holds stdout and stderr as they came."""

    argv: tuple[str, ...]
    returncode: int
    output: str
    seconds: float
    timed_out: bool = False
    exceeded: str | None = None  # the limit that it was ended for, in words

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out and self.exceeded is None


class HeadTail:
    """Keeps the first and last `limit // 2` bytes of what it is fed, and says how much it dropped between them."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._half:
            self._dropped += len(self._tail) - self._half
            del self._tail[: -self._half]

    def text(self) -> str:
        excess = len(self._tail) - self._half
        dropped, tail = self._dropped, bytes(self._tail)
        if excess > 0 and dropped:
            dropped, tail = dropped + excess, tail[excess:]
        if dropped:
            gap = f"\n[... {dropped} bytes dropped ...]\n".encode()
            return (bytes(self._head) + gap + tail).decode(errors="replace")
        return (bytes(self._head) + tail).decode(errors="replace")


@cache
def _setpriv() -> str | None:
    """util-linux's setpriv, which asks the kernel to end a child when we die (prctl PR_SET_PDEATHSIG)."""
    return shutil.which("setpriv")


def dies_with_us(argv: Sequence[str], sig: str = "KILL") -> list[str]:
    """argv wrapped so that the kernel sends `sig` to the process when the calling thread dies, even by kill -9."""
    setpriv = _setpriv()
    return [setpriv, "--pdeathsig", sig, "--", *argv] if setpriv else list(argv)


def kill_group(process: subprocess.Popen[bytes], grace: float = 2.0, inside: Inside | None = None) -> bool:
    """End every process of the group that `process` leads: TERM, then KILL after `grace` seconds; reaps it.

    Returns whether `process` itself ended without a KILL.

    Of a sandbox, the first TERM goes to what runs in it and not to bwrap, whose end would be a KILL to the rest.
    """
    if inside is not None:
        until = time.monotonic() + grace
        while process.poll() is None and not inside.terminate(process.pid) and time.monotonic() < until:
            time.sleep(_EARLY)  # bwrap has not come to start it
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(until - time.monotonic(), 0.0))
        grace = 0.0
    obeyed = process.poll() is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=grace)
        obeyed = obeyed or inside is None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # the leader may be gone and its children not
    process.wait()
    return obeyed


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    log_limit: int = 4 * 2**20,
    stop: threading.Event | None = None,
    on_line: Callable[[str], None] | None = None,
    stdin: bytes | None = None,
    flood: int | None = None,
    sandbox: Sandbox | None = None,
    grace: float = 2.0,
) -> Completed:
    """Run argv to its end and return how it went; a non-zero exit is a result, not an exception.

    `env` is the whole environment (None: ours). After `timeout` seconds the process group is killed and `timed_out`
    is set. `on_line` sees each line of output as it comes. `log_limit` is the bytes kept, head and tail; one that
    writes more than `flood` bytes is ended. In a `sandbox` it is ended when it goes beyond one of its limits, and the
    default environment has nothing of ours.

    Raises `UserError` if the program cannot be executed, `Stopped` if `stop` was set (`Killed` if it then did not end
    within `grace` seconds), `InfraError` if the machine is out of memory or processes, or gives no sandbox. In each
    case nothing of the process is left.
    """
    if stop is not None and stop.is_set():
        raise Stopped(f"stopped before {argv[0]} was run")
    began = time.monotonic()
    process, inside = _start(argv, cwd, env, subprocess.DEVNULL if stdin is None else subprocess.PIPE, sandbox)
    keep = HeadTail(log_limit)
    timed_out, exceeded, looked, written = False, None, 0.0, 0
    partial = b""
    try:
        if stdin is not None and process.stdin is not None:
            feeder = threading.Thread(target=_feed, args=(process, stdin), daemon=True)
            feeder.start()
        assert process.stdout is not None  # noqa: S101 - narrows the type; PIPE was asked for
        os.set_blocking(process.stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if stop is not None and stop.is_set():
                    raise Stopped(f"stopped while running {argv[0]}")
                if timeout is not None and time.monotonic() - began > timeout:
                    timed_out = True
                    break
                if inside is not None and sandbox is not None and time.monotonic() - looked > _WATCH:
                    looked = time.monotonic()
                    exceeded = inside.ended(sandbox)
                    if exceeded is not None:
                        break
                if not selector.select(_POLL):
                    if process.poll() is not None:
                        break  # a survivor may hold the pipe open; the leader's end is the end
                    continue
                data = process.stdout.read(65536)
                if data is None:
                    continue
                if not data:
                    break
                keep.feed(data)
                written += len(data)
                if flood is not None and written > flood:
                    exceeded = f"it wrote more than {flood / 2**20:.0f} MiB of output"
                    break
                if on_line is not None:
                    *lines, partial = (partial + data).split(b"\n")
                    for line in lines:
                        on_line(line.decode(errors="replace"))
                    partial = partial[-65536:]
                if len(data) < 65536 and process.poll() is not None:
                    break  # what still writes is a survivor: the leader's end is the end
        while not timed_out and exceeded is None and process.poll() is None:  # it closed its output and goes on
            if stop is not None and stop.is_set():
                raise Stopped(f"stopped while running {argv[0]}")
            timed_out = timeout is not None and time.monotonic() - began > timeout
            if inside is not None and sandbox is not None:
                exceeded = inside.ended(sandbox)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_POLL)
        returncode = process.poll()
    except Stopped as stopped:
        if not kill_group(process, grace, inside):
            raise Killed(f"{stopped}, which had to be killed") from stopped
        raise
    finally:
        kill_group(process, inside=inside)
        if inside is not None:
            inside.gone()
            inside.close()
        if process.stdout is not None:
            process.stdout.close()
    if on_line is not None and partial:
        on_line(partial.decode(errors="replace"))
    returncode = process.returncode if returncode is None else returncode
    if inside is not None:
        returncode = sandboxed.status(returncode)
        if (why := sandboxed.failed(returncode, keep.text())) is not None:
            raise InfraError(f"no sandbox for {argv[0]}: {why}; see `bot doctor`")
    return Completed(
        argv=tuple(argv),
        returncode=returncode,
        output=keep.text(),
        seconds=time.monotonic() - began,
        timed_out=timed_out,
        exceeded=exceeded,
    )


def popen(
    argv: Sequence[str],
    sandbox: Sandbox | None,
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    sig: str,
    **given: Any,
) -> tuple[subprocess.Popen[bytes], Inside | None]:
    """A process in a session of its own that gets `sig` when the calling thread dies, and its sandbox.

    Raises `OSError` as Popen does.
    """
    there = shutil.which(argv[0], path=(env or os.environ).get("PATH")) is not None
    if sandbox is None or not there:  # Popen says best what is wrong with one that is not there
        bare = dies_with_us(argv, sig) if there else list(argv)
        process = subprocess.Popen(
            bare, cwd=cwd, env=None if env is None else dict(env), start_new_session=True, **given
        )
        return process, None
    read, write = os.pipe()
    try:
        wrapped = sandboxed.wrap(argv, sandbox, cwd=cwd, info=write)
        visible = sandboxed.environment() if env is None else dict(env)
        process = subprocess.Popen(
            dies_with_us(wrapped, sig), env=visible, start_new_session=True, pass_fds=(write,), **given
        )
    except OSError:
        os.close(read)
        raise
    finally:
        os.close(write)
    return process, Inside(read)


def _start(
    argv: Sequence[str], cwd: Path | None, env: Mapping[str, str] | None, stdin: int, sandbox: Sandbox | None
) -> tuple[subprocess.Popen[bytes], Inside | None]:
    try:
        return popen(
            argv, sandbox, cwd=cwd, env=env, sig="TERM",
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise UserError(f"cannot run {argv[0]}: {error.strerror}: {error.filename}") from error
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            raise UserError(f"cannot run {argv[0]}: not an executable of this machine") from error
        raise InfraError(f"cannot start {argv[0]}: {error}") from error


def _feed(process: subprocess.Popen[bytes], data: bytes) -> None:
    try:
        assert process.stdin is not None  # noqa: S101 - narrows the type; PIPE was asked for
        with process.stdin as pipe:
            pipe.write(data)
    except (BrokenPipeError, ValueError):
        pass  # it ended without reading all; its exit code tells


def check(completed: Completed) -> str:
    """The output of a process that must succeed; raises `InfraError` with the command, exit code and last lines."""
    if completed.ok:
        return completed.output
    how = "timed out" if completed.timed_out else f"exited {completed.returncode}"
    tail = "\n".join(completed.output.splitlines()[-20:])
    raise InfraError(f"{' '.join(completed.argv)}: {how} after {completed.seconds:.0f} s\n{tail}")
