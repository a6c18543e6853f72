"""What readers of a report are told where it named another commit than the one that it fails by today."""

from __future__ import annotations

from collections.abc import Callable

from bot.core.hypothesis import often
from bot.core.lifecycle import Corrected
from bot.model import Sha


def told(event: Corrected, cite: Callable[[Sha], str]) -> list[str]:
    """Paragraphs; empty if no commit was named. What was measured of the named commit stays true, and is not denied."""
    if event.instead is None:
        return []
    gone = next((parent for parent in event.parents if parent.commit == event.good), None)
    passes = f", which passes {gone.n} of {gone.n}" if gone else ""
    rest = [f"its parent {parent.commit[:12]} {often(parent)}" for parent in event.parents if parent is not gone]
    shown = ", ".join((f"it fails {often(event.culprit)}", *rest))
    return [
        f"The report above names {cite(event.instead)}. What fails today did not come with it: it was gone again at "
        f"{event.good[:12]}{passes}, and came with {cite(event.commit)}: {shown}.",
        "Please drop any Fixes: tag that was taken from that report. Sorry for the noise.",
    ]
