"""One child process inside an event loop: watched for its end, its output capped, gone without trace afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import psutil

from bot.errors import InfraError, UserError
from bot.host import sandbox as sandboxed
from bot.host.process import HeadTail, popen
from bot.host.sandbox import Inside
from bot.model import Sandbox

OUTPUT_LIMIT = 256 * 1024  # bytes kept of each output, head and tail
_WATCH = 0.25  # seconds between looks at what a sandbox uses up
_DRAIN = 1.0  # seconds for the rest of the output of a process that has ended


class Child:
    """A running process in a session of its own. Made by `child`, valid inside it; the output can be read afterwards.

    The process is only reaped at the very end, so its session can be killed without a chance to hit another's.
    """

    def __init__(
        self,
        argv: Sequence[str],
        process: subprocess.Popen[bytes],
        outputs: Mapping[str, int],
        sandbox: Sandbox | None = None,
        inside: Inside | None = None,
    ) -> None:
        self.argv = tuple(argv)
        self.exited = asyncio.Event()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # the same, to be waited for
        self.returncode: int | None = None  # negative for a signal; None while it runs, and for ever if we ended it
        self.on_exit: Callable[[], None] | None = None
        self._process = process
        self._sandbox = sandbox
        self._inside = inside
        self._kept = {name: HeadTail(OUTPUT_LIMIT) for name in outputs}
        self._open = dict(outputs)
        self._closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._ended: float | None = None
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)
        for name, descriptor in outputs.items():
            os.set_blocking(descriptor, False)
            self._loop.add_reader(descriptor, self._on_output, name, descriptor)
        self._watch()

    @property
    def pid(self) -> int:
        """The process that runs argv itself: in a sandbox it is not the one that we started."""
        inner = self._inside.program if self._inside is not None else None
        return inner or self._process.pid

    @property
    def lived(self) -> float:
        """Seconds from its start to its end, or until now."""
        return (self._loop.time() if self._ended is None else self._ended) - self._began

    def text(self, name: str = "stderr") -> str:
        """What it wrote so far, head and tail."""
        return self._kept[name].text()

    async def drained(self) -> None:
        """Wait for the last words of a process that has ended; a grandchild that holds the pipe is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN):
                await self._closed.wait()

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is not None:
            self.returncode = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
            if self._inside is not None:
                self.returncode = sandboxed.status(self.returncode)
        self._ended = self._loop.time()
        self.exited.set()
        if not self.gone.done():
            self.gone.set_result(None)
        if self.on_exit is not None:
            self.on_exit()

    def _on_output(self, name: str, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        if data:
            self._kept[name].feed(data)
        else:
            self._close(name)

    def _watch(self) -> None:
        """Look now and then whether its sandbox's limits still hold, and end it if they do not."""
        if self._inside is None or self._sandbox is None or self.exited.is_set():
            return
        exceeded = self._inside.ended(self._sandbox)
        if exceeded is not None:
            self._kept["stderr"].feed(f"\n{sandboxed.ENDED}{exceeded}\n".encode())
            return
        self._loop.call_later(_WATCH, self._watch)

    def _close(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        if not self._open:
            self._closed.set()

    async def end(self) -> None:
        """SIGKILL to the whole session (a stopped process would not hear another), then nothing of it is left."""
        ended_by_us = not self.exited.is_set()
        leader = self._process.pid
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
        for pid in psutil.pids() if self._inside is None else ():  # timeout(1) and job control make groups of their own
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid != leader and os.getsid(pid) == leader:
                    os.kill(pid, signal.SIGKILL)
        try:
            await self.exited.wait()
            await self.drained()
        finally:
            if ended_by_us:
                self.returncode = None
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            for name in list(self._open):
                self._close(name)
            self._process.wait()
            if self._inside is not None:
                self._inside.gone()
                self._inside.close()


@contextlib.asynccontextmanager
async def child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep_stdout: bool = False,
    sandbox: Sandbox | None = None,
) -> AsyncIterator[Child]:
    """Run argv while inside. Stderr is kept, stdout if asked for, stdin is empty. In a sandbox `env` is not handed on.

    Raises `UserError` if argv[0] cannot be executed, `InfraError` if the machine is out of processes or memory.
    """
    if shutil.which(argv[0]) is None:
        raise UserError(f"cannot run {argv[0]}: no such file, or it is not executable")
    pipes = {"stderr": os.pipe()} | ({"stdout": os.pipe()} if keep_stdout else {})
    try:
        process, inside = popen(
            argv, sandbox, cwd=cwd, env=env if sandbox is None else None, sig="KILL",
            stdin=subprocess.DEVNULL,
            stdout=pipes["stdout"][1] if keep_stdout else subprocess.DEVNULL,
            stderr=pipes["stderr"][1],
        )  # fmt: skip
    except OSError as error:
        for read, _ in pipes.values():
            os.close(read)
        raise InfraError(f"cannot start {argv[0]}: {error}") from error
    finally:
        for _, write in pipes.values():
            os.close(write)
    running = Child(argv, process, {name: read for name, (read, _) in pipes.items()}, sandbox, inside)
    try:
        yield running
    finally:
        await running.end()
