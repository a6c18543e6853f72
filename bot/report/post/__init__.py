"""Doors to what the bot sends to: one module each, all by one contract.

A transport never raises for what the other side or the network does: it says what came of it. Each waits a bounded
time. Secrets are used here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bot.core.outbox import Answer

__all__ = ["Letter", "Transport"]


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes out in one try. `key` is the same for each try and for nothing else."""

    key: str
    data: bytes  # a mail with CR LF, or JSON
    sender: str = ""  # of the envelope, as are the recipients; of mails alone
    recipients: tuple[str, ...] = ()


class Transport(Protocol):
    """One way out."""

    repeatable: bool
    """Whether the other side knows a repetition by its key, so that after a lost answer we may simply try again."""

    def send(self, letter: Letter) -> Answer:
        """Hand it over and say what came of it. Raises `UserError` for what is wrong with the configuration."""
