"""`python -c SCRIPT` as a process that starts at once: a fork of one that has imported bot, and has done nothing yet.

For tests that start the program dozens of times: imports take a second of each start, and are all that is left out. The
process has a session, a directory and pipes of its own, and ends as an interpreter does.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_SERVER = "from tests.testing.zygote import serve; serve(int(__import__('sys').argv[1]))"
_MOST = 65536  # bytes of a request


class Process:
    """Of `subprocess.Popen` what tests ask for; both outputs are pipes of text."""

    def __init__(self, pid: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self.stderr = os.fdopen(stderr, encoding="utf-8")

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._ask(os.WNOHANG)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """All that it prints, once it has ended. Raises `TimeoutError` if it prints nothing more and has not ended."""
        with self.stdout, self.stderr, ThreadPoolExecutor(2) as readers:
            out, err = readers.submit(self.stdout.read), readers.submit(self.stderr.read)
            try:
                said = out.result(timeout), err.result(timeout)
            except TimeoutError:
                os.killpg(self.pid, 9)
                raise
        self._ask(0)
        return said

    def _ask(self, options: int) -> int | None:
        if self.returncode is None:
            status = _zygote().ask({"pid": self.pid, "options": options})
            self.returncode = None if status is None else os.waitstatus_to_exitcode(status)
        return self.returncode


def start(script: str, *args: str, cwd: Path) -> Process:
    """Run a script with these arguments in `cwd`."""
    stdout, stderr = os.pipe(), os.pipe()
    pid = _zygote().ask({"script": script, "args": args, "cwd": str(cwd)}, stdout[1], stderr[1])
    os.close(stdout[1])
    os.close(stderr[1])
    return Process(pid, stdout[0], stderr[0])


class _Zygote:
    """This process's own one, which ends when the connection to it does."""

    def __init__(self) -> None:
        from tests.test_cli import environment

        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVER, str(theirs.fileno())],
                env=environment(), cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip
        atexit.register(self._end)

    def ask(self, request: dict[str, object], *pipes: int) -> Any:
        socket.send_fds(self._socket, [json.dumps(request).encode()], pipes)
        return json.loads(self._socket.recv(_MOST))

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()


_zygote = cache(_Zygote)


def serve(descriptor: int) -> None:
    """The other end: fork for each script, wait for a child when asked to. A child runs the script, and returns."""
    import bot.pipeline.bisect
    import bot.pipeline.daemon
    import bot.terminal  # noqa: F401

    with socket.socket(fileno=descriptor) as asked:
        while True:
            data, pipes, _, _ = socket.recv_fds(asked, _MOST, 2)
            if not data:
                return
            request = json.loads(data)
            if "pid" in request:
                pid, status = os.waitpid(request["pid"], request["options"])
                asked.send(json.dumps(status if pid else None).encode())
                continue
            if not os.fork():
                os.setsid()
                asked.send(json.dumps(os.getpid()).encode())
                break
            for pipe in pipes:
                os.close(pipe)
    os.chdir(request["cwd"])
    for number, pipe in enumerate(pipes, 1):
        os.dup2(pipe, number)
        os.close(pipe)
    sys.argv = ["-c", *request["args"]]
    exec(compile(request["script"], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102  as -c does
