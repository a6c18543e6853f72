"""How what is kept is called, r0017 or s0017, and the number that it has in the tables of mails and of the outbox.

A posted series has a negative number there: -17 is s0017. 0 is what is about neither: the bot itself, and release
candidates.
"""

from __future__ import annotations

from bot.core.outbox import DIGEST
from bot.errors import UserError


def is_series(name: str) -> bool:
    """Whether this is called as a posted series is."""
    return name.startswith("s") and _number(name[1:]) is not None


def followed(name: str) -> bool:
    """Whether this is called as a regression is, which has a life."""
    return name != DIGEST and not is_series(name)


def number(name: str) -> int:
    """r0017 -> 17, s0017 -> -17, digest -> 0. Raises `UserError` for anything else."""
    if name == DIGEST:
        return 0
    found = _number(name.removeprefix("s") if is_series(name) else name.removeprefix("r"))
    if found is None:
        raise UserError(
            f"{name}: not the id of a regression (r0001) or a series (s0001); `bot list` shows those there are"
        )
    return -found if is_series(name) else found


def name(number: int) -> str:
    """The reverse; "" for 0."""
    if not number:
        return ""
    return f"r{number:04d}" if number > 0 else f"s{-number:04d}"


def _number(digits: str) -> int | None:
    return int(digits) if digits.isascii() and digits.isdigit() else None
