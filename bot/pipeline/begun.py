"""What was asked and has not come to its end: so that a person who was interrupted need not type it again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bot.errors import UserError
from bot.host import disk

_FILE = "bisect.json"


@contextlib.contextmanager
def noted(work: Path, argv: Sequence[str]) -> Iterator[None]:
    """Remember a command while it runs. It is forgotten when it ends or was wrong, and stays if it is interrupted.

    An empty one is not remembered, and leaves what was.
    """
    if not argv:
        yield
        return
    path = work / _FILE
    disk.replace(path, json.dumps({"argv": list(argv), "cwd": str(Path.cwd())}).encode())
    try:
        yield
    except UserError:
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def last(work: Path) -> tuple[str, ...]:
    """The command that was interrupted last. Raises `UserError` if there is none, or if it was started elsewhere."""
    path = work / _FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        argv, cwd = tuple(map(str, found["argv"])), str(found["cwd"])
    except FileNotFoundError:
        raise UserError(f"--resume: nothing was interrupted in {work}; `bot list` shows what was found") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read: {error}; type the command again, what was run is kept") from error
    if Path.cwd() != Path(cwd):
        raise UserError(f"--resume: that was started in {cwd}, which its paths are relative to; go there first")
    return argv
