"""Variables `BOT_SECRET_NAME`, taken out of the environment when bot starts: before there is a child to inherit them.

It has to be done in each process of bot, also in those that send nothing, so it is a module of its own: nothing but the
standard library is imported for it. `host.secret` alone reads what was taken.
"""

from __future__ import annotations

import os

PREFIX = "BOT_SECRET_"


class Withheld:
    """A text that is shown by no log, traceback or `repr`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text


_taken: dict[str, Withheld] = {}


def withhold() -> None:
    """Take all of them out of the environment. Another time it takes those that were set meanwhile."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        _taken[name] = Withheld(os.environ.pop(name))


def taken(name: str) -> Withheld | None:
    """What the variable BOT_SECRET_`name` held; None: it was not set."""
    withhold()
    return _taken.get(PREFIX + name)
