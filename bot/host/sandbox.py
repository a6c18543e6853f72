"""bubblewrap around foreign code: the command line that confines it, and a look at what it uses up.

bwrap(1) makes namespaces of its own for users, processes, network, IPC, hostname and mounts. The first process of the
process namespace takes all others with it when it ends, those too that left the session (pid_namespaces(7)).
--disable-userns (0.8.0) keeps it from making a user namespace of its own, where the kernel trusts it with more.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import psutil

from bot.host import disk
from bot.model import Sandbox

BWRAP = "/usr/bin/bwrap"
HOME = Path("/tmp")  # noqa: S108 - the sandbox's own, as all that follow
_SCRATCH = (HOME, Path("/dev/shm"))  # noqa: S108
PATH = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"  # where a host's tools are, in the sandbox and out of it
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SETTINGS = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "os-release", "debian_version", "localtime")
# Root without capabilities still owns what the kernel shows root as owner of: writing kernel/core_pattern would make
# the host's kernel start a program of the sandbox's choice. runc masks the same (its default spec, maskedPaths).
_FIXED = ("sys", "irq", "bus", "fs", "sysrq-trigger")
_MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "scsi", "driver", "kmsg")
ENDED = "sandbox: ended, for "  # what stderr says of a process that went beyond a limit
_ANSWER = 10.0  # seconds for bwrap to say what its first process is; it takes 0.01
_PAGE = os.sysconf("SC_PAGESIZE")
_FIRST_TO_GO = 1000  # oom_score_adj: where memory runs out the kernel ends these before anything else


def wrap(argv: Sequence[str], sandbox: Sandbox, *, cwd: Path | None, info: int) -> list[str]:
    """argv inside a sandbox; `info` is a descriptor that bwrap writes its first process to (`Inside`).

    The environment is that of bwrap: whoever starts it gives the one that may be seen inside.
    """
    limits = sandbox.limits
    return [
        *("choom", "-n", str(_FIRST_TO_GO), "--"),
        *(BWRAP, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--cap-drop", "ALL"),
        *("--info-fd", str(info)),
        *_system(),
        *_proc(),
        *("--dev", "/dev"),
        *(word for place in (*_SCRATCH, sandbox.home) if place for word in _tmpfs(place, limits.scratch)),
        *_binds(sandbox),
        *(word for device in sandbox.devices for word in ("--dev-bind-try", str(device), str(device))),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(cwd or HOME), "--"),
        *("prlimit", "--core=0", f"--fsize={limits.file_size}", f"--nproc={limits.processes}", "--"),
        *argv,
    ]


def _tmpfs(place: Path, size: int) -> tuple[str, ...]:
    return "--size", str(size), "--tmpfs", str(place)


def _binds(sandbox: Sandbox) -> Iterator[str]:
    """Parents before what is in them, so that none hides another."""
    binds = dict.fromkeys(sandbox.read, "--ro-bind") | dict.fromkeys(sandbox.write, "--bind")
    for path in sorted(binds, key=lambda path: len(path.parts)):
        yield from (binds[path], str(path), str(path))


@cache
def _system() -> tuple[str, ...]:
    """Programs and libraries as this host has them: directories, or links into /usr."""
    words: list[str] = []
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for name in _SETTINGS:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return tuple(words)


@cache
def _proc() -> tuple[str, ...]:
    words = ["--proc", "/proc"]
    for name in _FIXED:
        words += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for name in _MASKED:
        path = Path("/proc", name)
        if path.is_dir():
            words += ["--tmpfs", str(path), "--remount-ro", str(path)]
        elif path.exists():
            words += ["--ro-bind", "/dev/null", str(path)]
    return tuple(words)


class Inside:
    """The processes of a sandbox that runs, known by the first of them. To be closed."""

    def __init__(self, info: int) -> None:
        """`info` is the other end of what `wrap` was given; read here and closed. bwrap answers within milliseconds."""
        self._first: int | None = None
        self._descriptor: int | None = None
        try:
            self._first = int(json.loads(_whole(info))["child-pid"])
            self._descriptor = os.pidfd_open(self._first)
        except (ValueError, KeyError, ProcessLookupError):
            pass  # it failed before there was a process; bwrap's words on stderr say why

    def terminate(self, monitor: int) -> bool:
        """SIGTERM to what runs in the session of `monitor`, bwrap's own process, which is spared; whether any did."""
        told = False
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid not in (monitor, self._first) and os.getsid(pid) == monitor:
                    os.kill(pid, signal.SIGTERM)
                    told = True
        return told

    @property
    def program(self) -> int | None:
        """The process that runs the command itself, as seen from outside; None if it has ended."""
        try:
            children = Path(f"/proc/{self._first}/task/{self._first}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def gone(self, seconds: float = 10.0) -> bool:
        """Wait until the kernel has ended the last process of the sandbox, for at most so long; whether it is gone."""
        if self._descriptor is None:
            return True
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def ended(self, sandbox: Sandbox) -> str | None:
        """End all of it if it is beyond a limit; which one, in words."""
        exceeded = self.exceeded(sandbox)
        if exceeded is not None:
            self.kill()
        return exceeded

    def exceeded(self, sandbox: Sandbox) -> str | None:
        """Which limit its processes are beyond, in words; None if none. Takes 0.1 ms and 10 us for each process."""
        limits = sandbox.limits
        inmates = self._inmates()
        if len(inmates) > limits.processes:  # RLIMIT_NPROC does not hold for root (copy_process() of Linux)
            return f"it had more than {limits.processes} processes (sandbox.processes)"
        if sum(map(_resident, inmates)) > limits.memory:
            return f"it used more than {limits.memory / 2**30:.1f} GiB of memory (sandbox.memory)"
        for place in sandbox.write:
            if disk.free(place) < limits.reserve:
                return f"it left less than {limits.reserve / 2**30:.1f} GiB of space on the disk (sandbox.reserve)"
        return None

    def _inmates(self) -> list[Path]:
        """All processes of its process namespace, as its own /proc lists them."""
        own = Path(f"/proc/{self._first}/root/proc")
        try:
            return [own / name for name in os.listdir(own) if name.isdecimal()]  # noqa: PTH208 - thousands at times
        except OSError:
            return []

    def kill(self) -> None:
        """End all of it at once, however many they are: with the first process of its namespace."""
        if self._descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _whole(descriptor: int) -> bytes:
    """All that comes before the other end is closed, as far as it comes in time."""
    said = b""
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while select.select([file], [], [], _ANSWER)[0] and (data := file.read(4096)):
            said += data
    return said


def _resident(process: Path) -> int:
    try:
        return int((process / "statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def end_strays(work: Path) -> None:
    """End what sandboxes of dead processes left in a work directory that is ours alone now.

    That can only be the first process of one whose bwrap was killed before it had told it to go on: bwrap (0.8.0) asks
    the kernel to end it with its parent only after that. It waits for ever, and has run nothing.
    """
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "bwrap" and any(f"{work}/" in word for word in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.Error):
                parent = process.parent()
                if _first_of_a_namespace(process.pid) and (parent is None or parent.name() != "bwrap"):
                    process.kill()


def _first_of_a_namespace(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[-1] == "1" for line in lines if line.startswith("NSpid:"))


def status(returncode: int) -> int:
    """The exit of a command that bwrap reports, as `subprocess` has it: 128 + n is the end by signal n."""
    return 128 - returncode if 128 < returncode <= 192 else returncode


def failed(returncode: int, output: str) -> str | None:
    """What was said of a sandbox that could not even start its command; None if it did."""
    first = output.lstrip().partition("\n")[0]
    spoken = {1: ("bwrap: ", "prlimit: "), 126: ("choom: ", "setpriv: "), 127: ("choom: ", "setpriv: ")}
    return first if first.startswith(spoken.get(returncode, ("\n",))) else None


def environment() -> dict[str, str]:
    """What a program in a sandbox is told if nobody gives it more: nothing of ours, which may hold secrets."""
    return {"PATH": PATH, "LC_ALL": "C", "HOME": str(HOME)}
