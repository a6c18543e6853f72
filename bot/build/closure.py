"""What a build read: the sources and headers that went into its objects, as its compilers recorded them.

From 5.2 on ninja keeps their dependencies (`ninja -t deps`, https://ninja-build.org/manual.html#_extra_tools); before,
make had them in `*.d` files beside the objects. What an earlier commit left in a used directory is among them: then a
closure holds more than the binary's own files, never less.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bot.build import tools

_MOST = 64 * 1024 * 1024  # bytes of ninja's answer; a build of one target has 20 MB
_LARGE = 4 * 1024 * 1024  # bytes of a file that is no list of dependencies; QEMU's have up to 100 KB
_TIMEOUT = 120.0  # seconds
_TOKEN = re.compile(r"(?:\\.|[^\s\\])+")


def recorded(
    build: Path, relative: Callable[[str], str | None], run: tools.Runner, env: Mapping[str, str]
) -> frozenset[str] | None:
    """Paths of the commit that a build directory's objects were made of; None if nothing was recorded.

    `relative` makes a path as compilers name it one of the commit, None if it is not the commit's.
    """
    named = _ninja(build, run, env) if (build / ".ninja_deps").exists() else _make(build)
    if named is None:
        return None
    found = frozenset(path for path in map(relative, named) if path is not None)
    return found or None


def _ninja(build: Path, run: tools.Runner, env: Mapping[str, str]) -> set[str] | None:
    done = run(["ninja", "-t", "deps"], cwd=build, env=env, timeout=_TIMEOUT, log_limit=_MOST)
    if not done.ok or len(done.output) >= _MOST:
        return None
    return {line.strip() for line in done.output.splitlines() if line.startswith("    ")}


def _make(build: Path) -> set[str]:
    found: set[str] = set()
    for file in _depfiles(build):
        text = file.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
        found.update(token.replace("\\ ", " ") for token in _TOKEN.findall(text) if not token.endswith(":"))
    return found


def _depfiles(build: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(build):
        for name in files:
            path = Path(folder, name)
            if name.endswith(".d") and path.is_file() and not path.is_symlink() and path.stat().st_size < _LARGE:
                yield path
