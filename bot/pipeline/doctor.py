"""`bot doctor`: what is missing on this machine, and which command mends it."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot import __version__
from bot.build.tools import ccache_program, tool_problems
from bot.config import Config
from bot.errors import BotError, UserError
from bot.host import escape, process
from bot.host.disk import free
from bot.host.executor import Host, Remote
from bot.model import Baseline
from bot.pipeline.hands import SLOT
from bot.pipeline.serve import toolchain
from bot.smoke.inspect import inspect
from bot.worker import installed

_NO_SANDBOX = (
    "apt-get install bubblewrap (0.8.0 or newer); as an ordinary user allow user namespaces (sysctl "
    "kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0)"
)
_CONTAINER = (
    "Docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined; "
    "Podman: --security-opt unmask=ALL; see docs/operations.md, In a container"
)
_WATCHES = 4096  # QEMU has some 1,000 directories; one for each build at a time
_GIT = (2, 32)  # `git apply --cached --3way`, used for reverts


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `mend` is a command or a sentence; a check that is not `needed` is only a loss."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True


def checks(config: Config, work: Path) -> Iterator[Check]:
    """All checks, in the order a new machine meets them."""
    yield Check(
        "python", sys.version_info >= (3, 11), sys.version.split()[0], "apt-get install python3 (3.11 or newer)"
    )
    yield _git()
    problems = tool_problems()
    for tool, why, package in problems:
        yield Check(tool, False, f"missing; {why}", f"apt-get install {package}")
    if not problems:
        yield Check("build tools", True, "all there")
    if config.build.ccache.use == "always":
        there = ccache_program()
        yield Check(
            "ccache", there is not None, there or "missing; build.ccache.use is always", "apt-get install ccache"
        )
    yield _sandbox(config.sandbox.use)
    yield _postcopy(config.sandbox.use)
    yield _watches()
    yield _kvm()
    yield _disk(config, work)
    yield Check("sqlite", True, f"{sqlite3.sqlite_version}, rollback journal")
    for baseline in config.baselines:
        for target in config.targets:
            if baseline.path is not None:
                yield _baseline(baseline, target)
    yield from _workers(config, work)


def _workers(config: Config, work: Path) -> Iterator[Check]:
    """The scheduler and its workers, and in what they differ from this host, where the configuration names one."""
    try:
        link = config.executor.link
    except UserError as error:
        yield Check("executor", False, str(error), "see docs/hosts.md")
        return
    if link is None:
        return
    far = Remote(link, lambda _: None)
    try:
        found = far.hosts()
    except BotError as error:
        yield Check("executor", False, str(error), "start `bot scheduler` there, with the same certificate authority")
        return
    finally:
        far.close()
    yield Check(
        "executor",
        bool(found),
        f"{link.address}: {len(found)} worker{'s' if len(found) != 1 else ''}",
        "start `bot worker` on each host",
    )
    confined = config.sandbox.use != "never" and escape.missing() is None
    ours = toolchain(config, work)
    for host in found:
        yield _worker(host, confined, ours)


def _worker(host: Host, confined: bool, ours: str) -> Check:
    facts = host.facts
    has = ", ".join(f"{name} {count:g}" for name, count in sorted(host.resources.items()))
    said = f"{has}; {facts.get('toolchain', 'unknown compiler')}; {facts.get('host', 'unknown host')}"
    name = f"worker {host.name}"
    if facts.get("bot") != __version__:
        return Check(name, False, f"{said}; bot {facts.get('bot')}, here {__version__}", "install the same bot there")
    if facts.get("sandbox") is not confined:
        which = "a sandbox here, and none there" if confined else "no sandbox here, and one there"
        return Check(name, False, f"{said}; {which}: its runs would not compare", "sandbox.use, the same on both")
    if SLOT not in host.resources or platform.machine() not in host.resources:
        return Check(
            name, False, f"{said}; it gets no test from here", "a host of this one's architecture", needed=False
        )
    if facts.get("toolchain") != ours:
        note = f"{said}; {ours} here: the same commit may not build on both, or behave in another way"
        return Check(name, False, note, "the same distribution on all hosts", needed=False)
    return Check(name, True, said)


def _git() -> Check:
    if shutil.which("git") is None:
        return Check("git", False, "missing", "apt-get install git")
    words = process.run(["git", "--version"], timeout=10).output.split()
    version = words[2] if len(words) > 2 else "?"
    numbers = tuple(int(n) for n in version.split(".")[:2] if n.isdigit())
    return Check("git", numbers >= _GIT, version, f"git {_GIT[0]}.{_GIT[1]} or newer is needed")


def _sandbox(use: str) -> Check:
    """A sandbox that nothing is found to get out of."""
    needed = use == "always"
    if use == "never":
        return Check("sandbox", False, "sandbox.use is never; commits are built and run with all of your rights",
                     "sandbox.use: auto", needed=False)  # fmt: skip
    why = escape.missing()
    if why is not None:
        found = f"none, {'so nothing is built or run' if needed else 'commits run with all of your rights'}: {why}"
        here = escape.container()
        found += f"; this is a container ({here})" if here else ""
        return Check("sandbox", False, found, _CONTAINER if here else _NO_SANDBOX, needed=needed)
    holes = escape.escapes()
    if holes:
        return Check(
            "sandbox", False, f"holes: {'; '.join(holes)}", "report this, with the output of `bwrap --version`"
        )
    return Check("sandbox", True, "bubblewrap works, and nothing that was tried got out")


def _postcopy(use: str) -> Check:
    """Postcopy wants userfaultfd(2) for the kernel's own accesses, which a sandbox has only if everybody has."""
    setting = Path("/proc/sys/vm/unprivileged_userfaultfd")
    confined = use != "never" and escape.missing() is None
    if (os.geteuid() == 0 and not confined) or not setting.exists() or setting.read_text().strip() == "1":
        return Check("postcopy", True, "its method can be run")
    found = (
        f"cannot be run {'in the sandbox' if confined else 'as an ordinary user'}; such cases are told as untestable"
    )
    return Check("postcopy", False, found, "sysctl vm.unprivileged_userfaultfd=1", needed=False)


def _watches() -> Check:
    """What a build reads is noted by inotify, which needs a watch for each directory of QEMU."""
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    have = int(limit.read_text()) if limit.exists() else 0
    if have >= _WATCHES:
        return Check("shared builds", True, "what builds read can be noted")
    found = f"fs.inotify.max_user_watches is {have}, so commits that change nothing of a build are built all the same"
    return Check("shared builds", False, found, f"sysctl fs.inotify.max_user_watches={16 * _WATCHES}", needed=False)


def _kvm() -> Check:
    path = Path("/dev/kvm")
    if not path.exists():
        return Check("kvm", False, "no /dev/kvm; TCG is used", "enable virtualisation on the host", needed=False)
    usable = os.access(path, os.R_OK | os.W_OK)
    found = "usable" if usable else "no permission for /dev/kvm; TCG is used"
    return Check("kvm", usable, found, "adduser $USER kvm", needed=False)


def _disk(config: Config, work: Path) -> Check:
    place = next(p for p in (work, *work.parents) if p.exists())
    have, want = free(place), config.build_settings.free_space
    return Check("disk", have >= want, f"{have / 2**30:.1f} GiB free in {place}, a build needs {want / 2**30:.1f}",
                 "free some space, lower build.free_space, or give another directory with -C")  # fmt: skip


def _baseline(baseline: Baseline, target: str) -> Check:
    name = f"baseline {baseline.name} {target}"
    try:
        binary = installed(baseline, target)
        version = inspect(binary).version
    except BotError as error:
        return Check(
            name, False, str(error).removeprefix(f"baseline {baseline.name}: "), "install it or change baselines"
        )
    return Check(name, True, f"{binary.path}: {version}")


def render(found: list[Check]) -> str:
    """A table for the terminal, what is wrong with its cure beneath."""
    width = max(len(check.name) for check in found)
    lines = []
    for check in found:
        mark = "ok  " if check.ok else ("FAIL" if check.needed else "note")
        lines.append(f"{mark}  {check.name:{width}}  {check.found}")
        if not check.ok and check.mend:
            lines.append(f"{'':6}{'':{width}}  mend: {check.mend}")
    return "\n".join(lines)


def doctor(config: Config, work: Path) -> int:
    """Print the table; 0 if all that is needed is there, else 131."""
    found = list(checks(config, work))
    print(render(found))
    return 0 if all(check.ok or not check.needed for check in found) else 131
