"""Logs that people hand over: of any size, of any content."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from bot.errors import UserError

_HALF = 4 * 2**20  # bytes of a log that are read from its start, and from its end


def read(path: Path) -> str:
    """The text of a log, or of standard input for `-`; of one above 8 MiB start and end.

    What is no UTF-8 becomes marks of replacement. Raises `UserError` if it cannot be read.
    """
    try:
        if str(path) == "-":
            raw = _ends(sys.stdin.buffer)
        else:
            with path.open("rb") as stream:
                raw = _ends(stream)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    return raw.decode(errors="replace")


def _ends(stream: BinaryIO) -> bytes:
    """The start and the end of a stream, with a line between that says so if there was more."""
    start, end, dropped = stream.read(_HALF), b"", 0
    while more := stream.read(_HALF):
        end += more
        dropped += max(0, len(end) - _HALF)
        end = end[-_HALF:]
    return start + (b"\n[... %d bytes dropped]\n" % dropped if dropped else b"") + end
