"""The diffs of many commits, digested: each is read from git once, and kept on disk for the next search.

`git log` prints 2,750 commits in 2 s (12.9 MB). They are digested one after another as they come, so that memory holds
one diff and the digests. A pack holds what one read brought; packs are only ever added.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from bot.core.patch import Patch, Words, digest
from bot.errors import InfraError
from bot.host.git import Repository
from bot.model import Sha

_FORMAT = 2  # of a pack and of what `digest` makes: one of another format is not read
_AT_ONCE = 4000  # commits of one pack
_UNREAD = 100  # commits that git may fail to read
_MOST = 4 << 20  # bytes of a diff that are looked at; what is longer is data that somebody imported
_CUT = {"added": "paths", "removed": "paths", "changed": "changed", "around": "around", "said": "said"}
"""Arrays of a pack that hold the values of one commit after another, and what says where each commit's end."""
_ARGS = (
    "log", "--no-walk=unsorted", "--stdin", "--format=%x00%H%x00%B%x00", "--patch", "--cc", "--unified=3",
    "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/",
    "--submodule=short", "--diff-algorithm=myers",
)  # fmt: skip


def read(repository: Repository, shas: Iterable[Sha], cache: Path | None = None) -> dict[Sha, Patch]:
    """The digest of each commit, from the packs in `cache` as far as they have it.

    A commit that the repository has not, or of which git cannot read a file (in a clone that is not whole), is left
    out. Raises `InfraError` with git's words if it cannot read more than a few.
    """
    wanted = dict.fromkeys(shas)
    found = _packed(cache, wanted) if cache else {}
    left, unread = _there(repository, [sha for sha in wanted if sha not in found]), 0
    while left:
        fresh, left, trouble = _some(repository, left)
        found |= fresh
        unread += trouble is not None
        if trouble is not None and unread > _UNREAD:
            raise trouble
        if cache and fresh:
            _pack(cache, fresh)
    return found


def _there(repository: Repository, shas: list[Sha]) -> list[Sha]:
    """Those of the commits that the repository has."""
    if not shas:
        return []
    out = b"".join(repository.git.stream("cat-file", "--batch-check=%(objecttype)", said=_lines(shas))).decode()
    return [sha for sha, kind in zip(shas, out.splitlines(), strict=True) if kind == "commit"]


def _some(repository: Repository, shas: list[Sha]) -> tuple[dict[Sha, Patch], list[Sha], InfraError | None]:
    """Digests of a pack's worth, what is left after it, and why git stopped early: then one commit is passed over."""
    fresh: dict[Sha, Patch] = {}
    part = shas[:_AT_ONCE]
    try:
        fresh.update(stream(repository, part))
    except InfraError as error:
        return fresh, shas[len(fresh) + 1 :], error
    return fresh, shas[len(part) :], None


def stream(repository: Repository, shas: list[Sha]) -> Iterator[tuple[Sha, Patch]]:
    """Digests as git prints the commits, in the order given."""
    with contextlib.closing(repository.git.stream(*_ARGS, said=_lines(shas))) as chunks:
        for sha, (message, diff) in zip(shas, _split(chunks, shas), strict=True):
            yield sha, digest(message, diff)


def whole(repository: Repository, sha: Sha) -> bytes:
    """A commit's diff as git prints it, at most 4 MiB of it. Raises `InfraError` if git cannot read it."""
    with contextlib.closing(repository.git.stream(*_ARGS, said=_lines([sha]))) as chunks:
        return next(_split(chunks, [sha]))[1]


def _lines(shas: list[Sha]) -> bytes:
    return "".join(f"{sha}\n" for sha in shas).encode()


def _split(chunks: Iterator[bytes], shas: list[Sha]) -> Iterator[tuple[bytes, bytes]]:
    """Message and diff of each commit. A commit begins with its id between zero bytes, which none can have of another
    that comes after it by accident: diffs may hold zero bytes, too."""
    marks = [b"\0" + sha.encode() + b"\0" for sha in shas]
    held = _until(chunks, b"", marks[0])[1] if marks else b""
    for after in [*marks[1:], None]:
        body, held = _until(chunks, held, after)
        message, _, diff = body.partition(b"\0")
        yield message, diff


def _until(chunks: Iterator[bytes], held: bytes, mark: bytes | None) -> tuple[bytes, bytes]:
    """What stands before the mark (at most `_MOST` bytes of it), and what was read beyond it."""
    kept = bytearray()
    buffer = bytearray(held)
    while mark is None or (at := buffer.find(mark)) < 0:
        safe = max(len(buffer) - (len(mark) if mark else 0), 0)
        kept += buffer[: min(safe, max(_MOST - len(kept), 0))]
        del buffer[:safe]
        chunk = next(chunks, b"")
        if not chunk:
            if mark is not None:
                raise InfraError("git log ended before it printed every commit that it was asked for")
            return bytes(kept), b""
        buffer += chunk
    kept += buffer[: min(at, max(_MOST - len(kept), 0))]
    return bytes(kept), bytes(buffer[at + len(mark) :])


# -- packs ----------------------------------------------------------------------------------------------------------


def _pack(cache: Path, patches: Mapping[Sha, Patch]) -> None:
    """Write digests as one file of arrays: beside its place, then renamed."""
    cache.mkdir(parents=True, exist_ok=True)
    values = list(patches.values())
    arrays: dict[str, object] = {
        "shas": np.array(list(patches), "S40"),
        "added": np.array([n for p in values for n in p.added], np.int32),
        "removed": np.array([n for p in values for n in p.removed], np.int32),
        "paths_ends": np.cumsum([len(p.paths) for p in values], dtype=np.int64),
        "paths": np.frombuffer("\1".join("\0".join(p.paths) for p in values).encode(errors="replace"), np.uint8),
    }
    for name in ("changed", "around", "said"):
        words: list[Words] = [getattr(p, name) for p in values]
        arrays[name] = np.concatenate(words) if words else np.zeros(0, np.uint32)
        arrays[f"{name}_ends"] = np.cumsum([len(w) for w in words], dtype=np.int64)
    name = hashlib.sha256(" ".join(patches).encode()).hexdigest()[:24]
    descriptor, part = tempfile.mkstemp(dir=cache, prefix=f".{name}-", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(cache / f"{name}.v{_FORMAT}.npz")
        for old in {*cache.glob("*.npz")} - {*cache.glob(f"*.v{_FORMAT}.npz")}:
            old.unlink(missing_ok=True)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _packed(cache: Path, wanted: Mapping[Sha, None]) -> dict[Sha, Patch]:
    """What the packs have of the commits wanted. A pack that cannot be read is one that is not there."""
    found: dict[Sha, Patch] = {}
    for file in sorted(cache.glob(f"*.v{_FORMAT}.npz")):
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            found |= _unpack(file, {sha for sha in wanted if sha not in found})
    return found


def _unpack(file: Path, wanted: set[Sha]) -> dict[Sha, Patch]:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as pack:
        shas = [sha.decode() for sha in pack["shas"].tolist()]
        rows = [i for i, sha in enumerate(shas) if sha in wanted]
        if not rows:
            return {}
        paths = pack["paths"].tobytes().decode().split("\1")
        cut = {}
        for name, counted in _CUT.items():
            values, ends = pack[name], pack[f"{counted}_ends"].tolist()
            cut[name] = {i: values[ends[i - 1] if i else 0 : ends[i]] for i in rows}
    return {
        shas[i]: Patch(
            tuple(filter(None, paths[i].split("\0"))), tuple(cut["added"][i].tolist()),
            tuple(cut["removed"][i].tolist()), cut["changed"][i], cut["around"][i], cut["said"][i],
        )
        for i in rows
    }  # fmt: skip
