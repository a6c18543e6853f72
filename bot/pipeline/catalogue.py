"""Known regressions of upstream QEMU's migration: which commit broke it, which mended it, how the failure looks.

`catalogue.yaml` beside this module holds them. That a failure looks like a known one is a hint and no verdict: others
can look the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from bot.model import Signature

_PARTS = {"class": "klass", "device": "device", "detail": "detail", "signal": "signal"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A commit of upstream's history: 12 digits and the subject, as in `Fixes:`, and the first release that has it."""

    commit: str
    subject: str
    release: str


@dataclass(frozen=True, slots=True)
class Known:
    """One known regression. `culprits` and `fixes` are empty if the history does not name them.

    `parts` are those of the signature that must be equal; of several values one must be. What is not there may be
    anything.
    """

    id: str
    parts: Mapping[str, Any]
    culprits: tuple[Reference, ...]
    fixes: tuple[Reference, ...]
    machines: str = ""
    note: str = ""

    def fits(self, signature: Signature) -> bool:
        """Whether a failure with this signature looks like it."""
        return all(_one_of(getattr(signature, _PARTS[part]), value) for part, value in self.parts.items())


def _one_of(part: str | None, allowed: Any) -> bool:
    return part in allowed if isinstance(allowed, list) else part == allowed


@cache
def catalogue() -> tuple[Known, ...]:
    """All that are shipped, in the order of the file."""
    rows = yaml.safe_load((Path(__file__).parent / "catalogue.yaml").read_text(encoding="utf-8"))
    return tuple(
        Known(
            id=row["id"],
            parts=row["signature"],
            culprits=tuple(Reference(**commit) for commit in row["culprits"]),
            fixes=tuple(Reference(**commit) for commit in row["fixes"]),
            machines=row.get("machines", ""),
            note=row.get("note", ""),
        )
        for row in rows
    )
