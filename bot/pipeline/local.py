"""What this machine is and can do, for whoever runs something on it: with a clone and a database, or without."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable

from bot.config import Config
from bot.host import kvm
from bot.model import TCG, Sweep
from bot.progress import Progress


def at_once(config: Config) -> int:
    """Smokes at the same time. One more than there are cores: now and then each waits for a disk or a socket."""
    return config.executor.smokes or (os.cpu_count() or 1) + 1


def without_kvm(part: Sweep, archs: Iterable[str], progress: Progress) -> tuple[set[str], bool]:
    """Architectures that KVM cannot run here though the sweep has it, each told; and whether it has to be there."""
    kinds = {accel.partition(",")[0] for accel in part.accels} - {TCG}
    without = {arch: why for arch in archs if kinds and (why := kvm.why_not(arch)) is not None}
    for arch, why in without.items():
        progress.say(f"not run: KVM of {arch} ({why})")
    return set(without), bool(without) and "kvm" in kinds


def host() -> str:
    """The machine in a phrase, as reports say it."""
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.system()
    return f"{platform.machine()}, {name}, {os.cpu_count()} cores"
