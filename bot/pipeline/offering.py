"""Patches that come by mail and say that they cure a regression: it is `fix posted` then, which is told to nobody.

Anybody may write such a mail, and nothing is believed of it: what cures a regression is run once a branch has it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

from bot.config import Config
from bot.core.claims import offer
from bot.core.lifecycle import NotNowError, Offered, State
from bot.core.replies import Letter, message_id
from bot.errors import UserError
from bot.model import Sha
from bot.pipeline.curing import called, culprits, report_of
from bot.pipeline.tracking import note
from bot.store.store import Store


class Offers:
    """What the mails of one reading offer for the regressions that are open now."""

    def __init__(self, store: Store, config: Config, say: Callable[[str], None]) -> None:
        self._store, self._config, self._say = store, config, say

    def take(self, letter: Letter) -> None:
        """Note a mail, if it is a patch that says that it cures one of them; each mail counts once for each."""
        own = message_id(letter)
        if own is None or "\ndiff --git " not in letter.text:
            return
        for name, named, names in self._open:
            how = offer(letter.text, named, names)
            if how is not None:
                with suppress(NotNowError):  # it is noted, or the regression has come to its end
                    note(self._store, self._config, name, Offered(own, how), None)
                    self._say(f"{name}: <{own}> says that it cures it ({how})")

    @cached_property
    def _open(self) -> list[tuple[str, dict[Sha, str], list[str]]]:
        """The id of each regression that waits to be mended, with its culprits and what it is called."""
        found = []
        for entry in self._store.regressions():
            if entry.report is None or entry.finding is None or not (entry.state.live or entry.state is State.ACCEPTED):
                continue
            name = entry.regression.id
            try:
                found.append((name, culprits(report_of(entry)), called(self._store, self._config, name)))
            except UserError as error:  # the others are not to suffer for it
                self._say(f"{name}: fixes of it are not noticed: {error}")
        return found
