"""`bot signature`: what a failure in a log is called, and which known regressions are called the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot.core.signature import identify
from bot.errors import InfraError, UserError
from bot.model import Commit, Signature
from bot.pipeline.catalogue import catalogue
from bot.pipeline.logs import read
from bot.report import data, safe
from bot.store.store import Entry, Store

_LONGEST = 4096  # characters of a line that are printed
_NAMED, _NOTHING = 0, 125


def show(place: Path, path: Path, returncode: int | None) -> int:
    """Print the signature of the failure that a log tells of, as JSON: 0, or 125 if it tells of none.

    `place` is the work directory whose regressions are looked at; it need not exist, and is not made. `path` may be `-`
    for standard input. Of a log above 8 MiB start and end are read. Raises `UserError` if it cannot be read.
    """
    text = read(path)
    found, line = identify(text, returncode)
    known = [] if found is None else [*_recorded(place, found), *_shipped(found)]
    answer = {
        "schema": 1,
        "signal": found.signal if found else None,
        "class": found.klass if found else None,
        "device": found.device if found else None,
        "detail": found.detail if found else None,
        "key": found.key if found else None,
        "line": line[:_LONGEST] or None,
        "known": known,
    }
    print(json.dumps(answer, indent=1))
    return _NAMED if found else _NOTHING


def _recorded(place: Path, found: Signature) -> Iterator[dict[str, Any]]:
    """Regressions of the work directory with this key. One that cannot be read is said, and left out."""
    if not (place / "bot.db").is_file():
        return
    try:
        entries = [e for e in Store(place).regressions() if e.regression.signature.key == found.key]
        for entry in entries:
            yield _entry(entry)
    except (UserError, InfraError) as error:
        print(f"bot: regressions of the work directory were not looked at: {safe.line(str(error))}", file=sys.stderr)


def _entry(entry: Entry) -> dict[str, Any]:
    report = None if entry.report is None else data.load(entry.report, entry.regression.id)
    culprit = report.culprit if report else None
    return {
        "id": entry.regression.id,
        "from": "work directory",
        "state": entry.state,
        "finding": entry.finding,
        "culprits": [_commit(culprit)] if culprit else [],
        "fixes": [_commit(commit) for commit in (report.fixed_by or ())] if report else [],
    }


def _commit(commit: Commit) -> dict[str, str]:
    return {"commit": commit.short, "subject": commit.subject}


def _shipped(found: Signature) -> Iterator[dict[str, Any]]:
    for known in catalogue():
        if known.fits(found):
            yield {
                "id": known.id,
                "from": "catalogue",
                "culprits": [asdict(commit) for commit in known.culprits],
                "fixes": [asdict(commit) for commit in known.fixes],
                "machines": known.machines,
                "note": known.note,
            }
