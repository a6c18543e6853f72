"""Content-addressed texts: named by sha256, compressed with zstd, written once and whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import zstandard

from bot.errors import InfraError


class Blobs:
    """A folder of blobs. `put` is atomic: a blob is there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / f"{sha256}.zst"

    def put(self, text: str) -> str:
        """Keep text and return its sha256. Raises `InfraError` if the disk does not take it."""
        data = text.encode(errors="surrogateescape")
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        try:
            if path.exists():
                path.touch()  # it is young again: `evict` leaves it for whoever is about to name it
                return name
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(zstandard.compress(data))
                    file.flush()
                    os.fsync(file.fileno())
                Path(part).replace(path)
            finally:
                Path(part).unlink(missing_ok=True)
        except OSError as error:
            raise InfraError(f"cannot keep a log in {path.parent}: {error.strerror}; free some space there") from error
        return name

    def all(self) -> Iterator[Path]:
        """The files there are; those that a killed process left half are among them."""
        yield from self._root.glob("*/*")

    def get(self, sha256: str) -> str | None:
        """The text, or None if it was evicted."""
        try:
            data = self._path(sha256).read_bytes()
        except FileNotFoundError:
            return None
        return zstandard.decompress(data).decode(errors="surrogateescape")
