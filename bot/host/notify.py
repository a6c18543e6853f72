"""What the service manager is told, by the protocol of sd_notify(3): one datagram to the socket that it names."""

from __future__ import annotations

import os
import socket
import time


def tell(**fields: str) -> None:
    """Send fields such as READY="1", STATUS="text"; nothing where no manager asked for it, or it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    place = "\0" + address[1:] if address.startswith("@") else address
    text = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        try:
            out.connect(place)
            out.sendall(text.encode())
        except OSError:
            return


def reloading() -> None:
    """Say that the configuration is read again; READY follows. The time is what Type=notify-reload compares."""
    tell(RELOADING="1", MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))
