"""What a person watching sees: one protocol, so that nothing below the command line knows about terminals."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what goes on. Every method returns at once and never raises."""

    def say(self, text: str) -> None:
        """A line worth keeping: a verdict, a decision, a place where something was written."""

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        """What is being done right now, and how far it is (total 0: unknown). Replaces the previous one."""

    def aside(self) -> Progress:
        """For one of several threads: what it does is no line of its own where there is but one, which tells of all."""


class Silent:
    """Nobody is watching."""

    def say(self, text: str) -> None:
        del text

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        del what, done, total

    def aside(self) -> Silent:
        return self
