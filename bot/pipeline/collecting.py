"""`bot gc`: what a work directory gathers and does not bound by itself goes once it is old; what is told, and what
verdicts are made of, stays.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bot.errors import InfraError
from bot.host import disk
from bot.host.lock import coordinator
from bot.store.retention import needed
from bot.store.store import Store

_DAY = 86400.0
_YOUNG = _DAY  # seconds that a blob nobody names is left alone: somebody may be about to


def collect(work: Path, days: int, *, dry: bool) -> int:
    """Remove logs of runs and builds that are older than `days`, build trees that were not used since, and what killed
    processes left; `dry`: only tell. Raises `UserError` while another bot works here, `InfraError` if the disk fails.
    """
    with coordinator(work), _failing(work):
        _tell("logs", _logs(work, days), dry)
        _tell("build trees", _trees(work, days), dry)
        _tell("temporary files", _scratch(work), dry)
    print(f"free: {disk.free(work) / 2**30:.1f} GiB in {work}")
    return 0


@contextmanager
def _failing(work: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InfraError(f"{error.filename or work}: cannot be removed: {error.strerror}") from error


def _tell(what: str, paths: Iterable[Path], dry: bool) -> None:
    count = size = 0
    for path in paths:
        with suppress(FileNotFoundError):
            size += disk.size(path) if path.is_dir() and not path.is_symlink() else path.lstat().st_blocks * 512
            count += 1
            if not dry:
                _remove(path)
    would = "would go" if dry else "removed"
    print(f"{what}: {count} {would}, {size / 2**20:.1f} MiB" if count else f"{what}: nothing to remove")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _logs(work: Path, days: int) -> list[Path]:
    store = Store(work)
    keep, now = needed(store, store.clock() - days * _DAY), store.clock()
    found = []
    for path in store.blobs.all():
        with suppress(FileNotFoundError):  # one that was half written a moment ago has its name by now
            if path.name.removesuffix(".zst") not in keep and now - path.stat().st_mtime > _YOUNG:
                found.append(path)
    return found


def _trees(work: Path, days: int) -> list[Path]:
    """A build notes its state when it begins and ends, so that tells when a tree was used."""
    found = []
    for tree in sorted((work / "trees").glob("*")):
        used = max(path.lstat().st_mtime for path in (tree, tree / "state.json") if path.exists())
        if time.time() - used > days * _DAY:
            found.append(tree)
    return found


def _scratch(work: Path) -> list[Path]:
    return [path for name in ("scratch", "home") for path in sorted((work / name).glob("*"))]
