"""Attempts to get out of a sandbox, so that what is said of it is known and not believed."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bot.errors import BotError
from bot.host import process
from bot.model import Limits, Sandbox

_TIMEOUT = 30.0  # seconds; all of it takes half a second
_BEGAN = "tried"
# Where one succeeds it must do no harm: what could be written is looked at, and not written.
_ATTEMPTS = r"""
out() { echo "escaped: $1"; }
cat "$SECRET" && out "it reads files of the host"
for place in /usr /etc / "$HERE/seen"; do [ -w "$place" ] && out "it writes into $place"; done
(echo > /dev/tcp/127.0.0.1/$PORT) && out "it reaches the network"
kill -0 $OUTSIDE && [ "$(cat /proc/$OUTSIDE/comm)" = "$NAME" ] && out "it sees processes of the host"
[ -w /proc/sys/kernel/core_pattern ] && out "it changes settings of the kernel"
grep -q '^CapEff:.*[1-9a-f]' /proc/self/status && out "it has capabilities"
unshare --user true && out "it makes user namespaces"
large=$(mktemp) && head -c 3000000 /dev/zero > "$large" && out "its /tmp has no limit"
rm -f "$large"
ulimit -f unlimited && out "it lifts its limits"
setsid -f sleep 86399
echo tried
"""


@cache
def missing() -> str | None:
    """Why there is no sandbox on this machine, in words; None if one works. Asked once."""
    try:
        done = process.run(["true"], sandbox=Sandbox(Limits(reserve=0)), timeout=_TIMEOUT)
    except BotError as error:
        return str(error).removeprefix("no sandbox for true: ").removesuffix("; see `bot doctor`")
    return None if done.ok else done.output.strip() or f"it ends with {done.returncode}"


def container(root: Path = Path("/")) -> str | None:
    """What kind of container this is, by the marks that container engines leave; None if there is none."""
    for mark, name in ((".dockerenv", "Docker"), ("run/.containerenv", "Podman")):
        if (root / mark).exists():
            return name
    try:
        variables = (root / "proc/1/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    named = (v.removeprefix(b"container=").decode(errors="replace") for v in variables if v.startswith(b"container="))
    return next(named, None)


def escapes() -> tuple[str, ...]:
    """What a shell gets done in a sandbox that it should not, in words; nothing as a rule.

    Raises `InfraError` if there is no sandbox at all.
    """
    with _bait() as (box, env, here):
        done = process.run(["bash", "-c", _ATTEMPTS], cwd=here, env=env, sandbox=box, timeout=_TIMEOUT)
        lines = done.output.splitlines()
        found = [line.removeprefix("escaped: ") for line in lines if line.startswith("escaped: ")]
        if _BEGAN not in lines:
            found.append(f"its test did not come to its end: {lines[-1] if lines else done.returncode}")
        if any("sleep\n86399" in line for line in _commands()):  # setsid is there before it becomes sleep
            found.append("what leaves the session outlives it")
    return tuple(found)


@contextlib.contextmanager
def _bait() -> Iterator[tuple[Sandbox, dict[str, str], Path]]:
    """A secret, a listening port and a place to write: the sandbox, what the attempts are told, where they begin."""
    with tempfile.TemporaryDirectory(prefix="bot-doctor-") as name, socket.create_server(("127.0.0.1", 0)) as server:
        directory = Path(name)
        for part in ("seen", "work"):
            (directory / part).mkdir()
        (directory / "secret").write_text("secret\n")
        box = Sandbox(Limits(reserve=0, scratch=2**20, file_size=2**30), (directory / "seen",), (directory / "work",))
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "SECRET": str(directory / "secret"),
            "HERE": name,
            "PORT": str(server.getsockname()[1]),
            "OUTSIDE": str(os.getpid()),
            "NAME": Path("/proc/self/comm").read_text().strip(),
        }
        yield box, env, directory / "work"


def _commands() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                yield (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", "\n")
