"""Disk space: how much is left, and the one way in which a full disk is reported."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from bot.errors import InfraError, UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
BROKEN = (errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN)
"""What a disk, or a file system of another machine, answers that does not work."""
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def free(path: Path) -> int:
    """Bytes that this user may still write where `path` is or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def require(path: Path, floor: int, key: str) -> None:
    """Raise `InfraError` if less than `floor` bytes are free at `path`; `key` is the setting that asks for them."""
    left = free(path)
    if left < floor:
        raise InfraError(
            f"{path}: {left / 2**30:.1f} GiB free, {key} asks for {floor / 2**30:.1f} GiB; free space or lower {key}"
        )


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` of writing below `path` into `InfraError` (disk full) or `UserError` (not writable)."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise InfraError(f"{path}: the disk is full ({error.strerror}); free space and start again") from error
        if error.errno in _NOT_OURS:
            raise UserError(f"{error.filename or path}: cannot write there: {error.strerror}") from error
        raise


def sync_file(path: Path) -> None:
    """Have a file's bytes on the disk before anything refers to it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Have a directory's entries on the disk (fsync of the directory itself)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary beside it, fsync, rename, fsync of the directory.

    The temporary is this call's alone: threads, and hosts that share a directory, may write the same file at once.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
        sync_directory(path.parent)
    finally:
        part.unlink(missing_ok=True)


def size(path: Path) -> int:
    """Bytes that everything below `path` occupies; a file with several names there counts once."""
    seen: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                info = (Path(folder) / name).lstat()
                seen[info.st_dev, info.st_ino] = info.st_blocks * 512
    return sum(seen.values())
