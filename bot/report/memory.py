"""What was written for each page the last time, so that only what changed is made again and nothing stale is left.

It is a file beside the pages. Without it, or where a file is not as it was left, a page is made again. What is written
before that file can say so is named in a second one first, so that a process that is killed leaves nothing unknown.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import bot
from bot.host import disk
from bot.report.deliver import renew

_NAME = ".made.json"
_BEGUN = ".begun.jsonl"  # [whose, file] a line: files that the notes do not have yet, each named before it is written
_VERSION = 1
_OLD = 3600.0  # seconds after which nobody is writing a file any more


@cache
def program(templates: Path) -> str:
    """A digest of all that turns values into pages: another program or template makes every page anew."""
    digest = hashlib.sha256()
    files = [*Path(bot.__file__).parent.rglob("*.py"), *templates.iterdir()]
    for path in sorted(files):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def digest(*parts: object) -> str:
    """Of values that say all that they hold when they are printed."""
    return hashlib.sha256("\0".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()


class Memory:
    """Of the files below one directory, by the page that they belong to.

    `whose` tells who writes there: what another wrote is made anew, and never removed.
    """

    def __init__(self, out: Path, whose: str = "") -> None:
        self._out, self._whose = out, whose
        self._before = _read(out / _NAME, whose)
        self._ours = {*_names(self._before), *_begun(out / _BEGUN, whose)}  # files by their paths below the directory
        self._now: dict[str, dict[str, Any]] = {}

    def kept(self, page: str, of: str) -> Any:
        """What was noted with a page when it was made of the same, if its files are as they were left; else None."""
        known = self._before.get(page)
        if known is None or known["digest"] != of:
            return None
        if any(_look(self._out / name) != look for name, look in known["files"].items()):
            return None
        self._now[page] = known
        return known["about"]

    def write(self, page: str, texts: Mapping[str, str], of: str = "", about: Any = True) -> None:
        """Write a page's files, by their paths below the directory, and note what they are made of."""
        self._begin(texts)
        known = self._now[page] = {"digest": of, "files": dict[str, Any](), "about": about}
        for name, text in texts.items():
            known["files"][name] = None  # not as it was left, if this is as far as it comes
            known["files"][name] = _look(renew(self._out / name, text))

    def _begin(self, names: Iterable[str]) -> None:
        """Have it on record that these files are ours, before they are there."""
        new = [name for name in names if name not in self._ours]
        if new:
            with disk.writing(self._out):
                self._out.mkdir(parents=True, exist_ok=True)
                with (self._out / _BEGUN).open("a") as file:
                    file.write(self._lines(new))
            self._ours.update(new)

    def _lines(self, names: Iterable[str]) -> str:
        return "".join(json.dumps([self._whose, name]) + "\n" for name in names)

    def files(self, page: str) -> list[Path]:
        """The files of a page that was written, or kept."""
        return [self._out / name for name in self._now[page]["files"]]

    def all_files(self) -> tuple[Path, ...]:
        """Those of all pages, in the order in which they were written or kept."""
        return tuple(path for page in self._now for path in self.files(page))

    def close(self, *, whole: bool) -> None:
        """Note what was done. If that was `whole`, what is of no page any more goes; else it is for the next time."""
        stale = self._ours - _names(self._now)
        if whole:
            _sweep(self._out, self._ours)
            stale = {name for name in stale if not _removed(self._out, name)}
        else:
            self._now = {**self._before, **self._now}
            stale -= _names(self._now)
        with disk.writing(self._out):
            self._out.mkdir(parents=True, exist_ok=True)
            disk.replace(self._out / _NAME, self._notes())
            if stale:
                disk.replace(self._out / _BEGUN, self._lines(sorted(stale)).encode())
            else:
                (self._out / _BEGUN).unlink(missing_ok=True)

    def _notes(self) -> bytes:
        return json.dumps({"version": _VERSION, "whose": self._whose, "pages": self._now}).encode()


def _read(path: Path, whose: str) -> dict[str, dict[str, Any]]:
    """The pages of last time; none if that cannot be read, is of another version, or somebody else's."""
    try:
        found = json.loads(path.read_bytes())
        pages: dict[str, dict[str, Any]] = (
            found["pages"] if (found["version"], found["whose"]) == (_VERSION, whose) else {}
        )
        return {page: known for page, known in pages.items() if {"digest", "files", "about"} <= set(known)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _begun(path: Path, whose: str) -> Iterator[str]:
    """The files that were begun and may not be in the notes; of a line that is not whole nothing was written yet."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError):
        return
    for text in lines:
        with suppress(ValueError, TypeError):
            of, name = json.loads(text)
            if of == whose and isinstance(name, str):
                yield name


def _names(pages: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {name for known in pages.values() for name in known["files"]}


def _look(path: Path) -> list[int] | None:
    """What a file is known by that was not touched since."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return [seen.st_ino, seen.st_size, seen.st_mtime_ns]


def _within(out: Path, path: Path) -> bool:
    """Whether a place is below the directory; the notes can be changed by anybody who may write there."""
    return out.resolve() in path.resolve().parents


def _sweep(out: Path, names: Iterable[str]) -> None:
    """Remove what killed processes left half written."""
    for folder in {(out / name).parent for name in names}:
        for part in folder.glob(".*.part") if folder == out or _within(out, folder) else ():
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _OLD:
                    part.unlink()


def _removed(out: Path, name: str) -> bool:
    """Remove a file and the folders that are empty then; whether nothing of it is left, not even half written."""
    path = out / name
    if not _within(out, path):
        return True
    with disk.writing(path):
        path.unlink(missing_ok=True)
    left = any(path.parent.glob(".*.part"))
    folder = path.parent
    while folder != out and not any(folder.glob("*")):
        with suppress(FileNotFoundError):
            folder.rmdir()
        folder = folder.parent
    return not left
