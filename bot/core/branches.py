"""The stable branches of QEMU, by their names: `stable-10.0`, one for each release series."""

from __future__ import annotations

import re

_STABLE = re.compile(r"stable-(\d+)\.(\d+)\Z")


def stable_series(branch: str) -> tuple[int, int] | None:
    """The release series of a stable branch: (10, 0) of `stable-10.0`. None for any other branch."""
    found = _STABLE.match(branch)
    return (int(found[1]), int(found[2])) if found else None
