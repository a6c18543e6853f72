"""Where reports go: files in a directory, whole or not there at all. Nothing is sent."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

from bot.host import disk


def as_text(message: EmailMessage) -> str:
    """A mail as it goes out, line ends included; `write` of it is the .eml.

    Not `as_string`: given a policy of its own that folds headers anew, and it changes a body in UTF-8.
    """
    return message.as_bytes().decode("utf-8")


def deliver(message: EmailMessage, path: Path) -> Path:
    """Write a mail as .eml, with the line ends of RFC 5322."""
    return write(path, message.as_bytes())


def write(path: Path, data: bytes | str) -> Path:
    """Put data at `path`: a reader sees the old file or the new one, never a part.

    Raises `InfraError` if the disk is full, `UserError` if the place cannot be written.
    """
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(path, data.encode() if isinstance(data, str) else data)
    return path


def renew(path: Path, data: str) -> Path:
    """The same, but a file that has this already is left as it is: most of what is written again is no other."""
    try:
        if path.read_bytes() == data.encode():
            return path
    except OSError:
        pass
    return write(path, data)
