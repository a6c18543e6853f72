"""Which branches are due for the whole matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from bot.store.nights import Night
from bot.watch.upstream import Tip


def due(tips: Iterable[Tip], last: Mapping[str, Night], every: float, now: float) -> tuple[Tip, ...]:
    """Branches of which a nightly sweep was cut, at the commit that it is about; then those of which none began within
    `every` seconds, who waited longest first."""
    cut, waiting = list[Tip](), list[tuple[float, Tip]]()
    for tip in tips:
        night = last.get(tip.branch)
        if night is not None and night.ended is None:
            cut.append(replace(tip, sha=night.sha))
        elif night is None or now - night.began >= every:
            waiting.append((night.began if night else 0.0, tip))
    return (*cut, *(tip for _, tip in sorted(waiting, key=lambda entry: entry[0])))
