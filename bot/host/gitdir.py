"""The door to git: a git directory, and git run in it. GitPython is used here and nowhere else.

Only argv lists that are built here and in the modules beside are executed. The environment is git's own defaults: no
system or user configuration, no hooks, no prompts, and only the transports that were asked for (docs/architecture.md,
Security).
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Generator, Mapping
from pathlib import Path

os.environ["GIT_PYTHON_REFRESH"] = "quiet"  # without git the import must pass: `_NO_GIT` says what to install
import git as gitpython

from bot.errors import InfraError, Killed, UserError
from bot.host import process

_NO_GIT = "git is not installed: apt-get install git"
_PIECE = 1 << 18  # bytes that `stream` gives at once

for _name in [n for n in os.environ if n.startswith("GIT_") and n != "GIT_SSL_CAINFO"]:
    del os.environ[_name]  # GitPython hands os.environ on; a GIT_DIR or GIT_INDEX_FILE of our caller is not for us


def environment(local: bool = False) -> dict[str, str]:
    """The environment of every git call; `local` lets git read repositories by path (`file`)."""
    env = dict(os.environ)
    settings = {"core.hooksPath": "/dev/null", "core.fsmonitor": "false", "submodule.recurse": "false", "gc.auto": "0"}
    env |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" if local else "https:ssh",
        "GIT_CONFIG_COUNT": str(len(settings)),
        "LC_ALL": "C",
    }
    for i, (key, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return env


class GitDir:
    """One git directory, and the ways to run git in it. `path` is what it was given as, `dir` where it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise UserError(f"{path}: no such directory; give a git repository")
        self._git = gitpython.Git(str(path))
        self.dir = path  # `--git-dir` below
        status, found, err = self.run("rev-parse", "--absolute-git-dir", cwd=path)
        if status != 0:
            raise UserError(f"{path}: not a git repository that can be read: {err.strip()}")
        self.dir = Path(found.removesuffix("\n"))

    def run(self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> tuple[int, str, str]:
        """Exit status, output, and what it complained of, of a git that ended by itself, whatever it answered.

        One that a signal ended answered nothing, which must not be taken for "no": raises `Killed` if it was told to
        end (a terminal's Ctrl-C reaches git with us, and git first), else `InfraError`.

        It ends with us, even by kill -9: what it would go on to write is the next start's, which begins anew there.
        With `cwd` git finds the repository from there.
        """
        # a GIT_DIR: were the repository gone, git would look for another one from here upwards
        full = environment(local=True) | ({} if cwd else {"GIT_DIR": str(self.dir)}) | dict(env or {})
        runner = gitpython.Git(str(cwd)) if cwd else self._git
        argv = ["git", *args]
        if shutil.which("git") is not None:  # else it is git that is to be missed
            argv = process.dies_with_us(argv, "TERM")
        try:
            status, out, err = runner.execute(
                argv,
                with_extended_output=True,
                with_exceptions=False,
                strip_newline_in_stdout=False,
                stdout_as_string=False,
                env=full,
            )
        except gitpython.GitCommandNotFound as error:
            raise InfraError(_NO_GIT) from error
        _lived(int(status or 0), args[0], self.path)
        return int(status or 0), text(out), text(err)

    def attempt(self, *args: str) -> str | None:
        """Output without the last newline, or None if git exited non-zero."""
        status, out, _ = self.run(*args)
        return out.rstrip("\n") if status == 0 else None

    def call(self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
        """Output; raises `InfraError` with git's words if it exited non-zero."""
        status, out, err = self.run(*args, env=env, cwd=cwd)
        if status != 0:
            raise InfraError(f"{self.path}: git {args[0]} exited {status}: {err.strip() or out.strip()}")
        return out

    def stream(self, *args: str, said: bytes = b"") -> Generator[bytes, None, None]:
        """Output piece by piece, for what is too long to hold; `said` is git's standard input.

        Raises `InfraError` with git's words after the last piece if it exited non-zero.
        """
        env = environment(local=True) | {"GIT_DIR": str(self.dir)}
        # files, so that git never waits for us to write what it is told, or to read what it complains of
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as complaints:
            stdin.write(said)
            stdin.seek(0)
            try:
                running = self._git.execute(["git", *args], as_process=True, istream=stdin, env=env)
            except gitpython.GitCommandNotFound as error:
                raise InfraError(_NO_GIT) from error
            ear = threading.Thread(target=shutil.copyfileobj, args=(running.stderr, complaints), daemon=True)
            ear.start()
            child = running.proc
            assert child is not None  # noqa: S101 - narrows the type; it is None only after it was waited for
            try:
                while piece := running.stdout.read(_PIECE):
                    yield piece
                status = child.wait()
            finally:
                if child.poll() is None:
                    child.kill()
                child.wait()
                ear.join()
                running.stdout.close()
                running.stderr.close()
            _lived(status, args[0], self.path)
            if status != 0:
                complaints.seek(0)
                raise InfraError(f"{self.path}: git {args[0]} exited {status}: {text(complaints.read()).strip()}")

    @property
    def objects(self) -> Path:
        """Where its objects are, those of a linked worktree too."""
        return Path(self.call("rev-parse", "--path-format=absolute", "--git-path", "objects").removesuffix("\n"))


def _lived(status: int, command: str, path: Path) -> None:
    """Raise `Killed` or `InfraError` for a git that was ended by a signal."""
    if status in (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP):
        raise Killed(f"stopped while running git {command}")
    if status < 0:
        raise InfraError(f"{path}: git {command} was ended by signal {-status}; is there memory enough?")


def text(data: str | bytes) -> str:
    """What git printed, as text; bytes that are no UTF-8 become U+FFFD."""
    return data.decode(errors="replace") if isinstance(data, bytes) else data
