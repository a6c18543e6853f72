"""What takes long to make is made once for a module: a directory that each test gets as it was then."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


class Kept:
    """A directory, as it is now. It is given back at the same path: builds, worktrees and settings name that."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._copy = path, path.with_name(f"{path.name}.{name}")
        self._copied(path, self._copy)

    def back(self) -> None:
        """Have the directory as it was, whatever became of it."""
        shutil.rmtree(self._path)
        self._copied(self._copy, self._path)

    @staticmethod
    def _copied(source: Path, to: Path) -> None:
        subprocess.run(["cp", "-a", source, to], check=True)  # with times to the nanosecond, which ninja goes by
