"""Whether KVM runs guests here: asked of the kernel, never guessed from the presence of a file."""

from __future__ import annotations

import fcntl
import os
import platform
from functools import cache

_DEVICE = "/dev/kvm"
_GET_API_VERSION = 0xAE00  # _IO(KVMIO, 0x00), linux/kvm.h
_API_VERSION = 12  # the only one since Linux 2.6.22 (Documentation/virt/kvm/api.rst)
_GUESTS = {
    "x86_64": ("x86_64", "i386"),
    "aarch64": ("aarch64",),
    "ppc64": ("ppc64",),
    "ppc64le": ("ppc64",),
    "s390x": ("s390x",),
    "riscv64": ("riscv64",),
    "loongarch64": ("loongarch64",),
}
"""By machine of the host: architectures of the QEMU that runs its own code there."""


def guests() -> tuple[str, ...]:
    """Architectures whose guests KVM could run on this machine, whether or not it may be used."""
    return _GUESTS.get(platform.machine(), ())


def why_not(arch: str) -> str | None:
    """Why KVM cannot run guests of qemu-system-ARCH here, as a phrase; None: it can."""
    host = platform.machine()
    if arch not in _GUESTS.get(host, ()):
        return f"the host is {host}"
    return _device()


def usable(arch: str) -> bool:
    """Whether KVM runs guests of qemu-system-ARCH here."""
    return why_not(arch) is None


@cache
def _device() -> str | None:
    """What is wrong with /dev/kvm. Opened for writing, as QEMU does."""
    try:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{_DEVICE}: {error.strerror}"
    try:
        version = fcntl.ioctl(descriptor, _GET_API_VERSION)
    except OSError as error:
        return f"{_DEVICE}: {error.strerror}"
    finally:
        os.close(descriptor)
    return None if version == _API_VERSION else f"{_DEVICE}: API version {version}, not {_API_VERSION}"
