"""Words of the sandbox: what foreign code may see, change and use up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What the processes of one sandbox may use, all together unless said otherwise. In bytes, and a count."""

    processes: int = 1000
    memory: int = 16 * 2**30  # resident
    file_size: int = 16 * 2**30  # of each file
    scratch: int = 2**30  # in /tmp, /dev/shm and the home directory each; they are memory
    reserve: int = 2**30  # must stay free on the disk that it writes to


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a process in a sandbox has: the system's programs and libraries, and these. All paths are absolute.

    It has no network, sees no process but its own, and nothing that it started outlives it.
    """

    limits: Limits = Limits()
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()  # /dev/kvm
    home: Path | None = None  # an empty directory of that name, gone afterwards

    def with_paths(self, *, read: tuple[Path, ...] = (), write: tuple[Path, ...] = ()) -> Sandbox:
        """The same with more that may be read or written."""
        return replace(self, read=(*self.read, *read), write=(*self.write, *write))

    def with_devices(self, *devices: Path) -> Sandbox:
        """The same with devices of the host."""
        return replace(self, devices=(*self.devices, *devices))
