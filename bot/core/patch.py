"""What a commit's diff says, as far as evidence needs it: paths, size, and its words as sorted arrays of hashes.

Words are names: identifiers, device names (`virtio-net-pci`), dotted names (`pc.ram`, `vl.c`), each also in its parts.
Case and the difference of `-` and `_` are ignored, for QEMU spells one thing in several ways. A word is kept as 32 bits
(CRC-32), so that the 57,000 commits of six years fit into some 100 MB; two words that share one are a rare false match
in evidence that is never proof.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
"""Hashes of words, ascending, each once."""

_WORD = re.compile(rb"(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_]*(?:[-.][A-Za-z0-9_]+)*")
_PART = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PIECE = re.compile(rb"[-.]")
_LEAST = 3  # characters of a word; shorter ones are everywhere
_LONGEST = 80  # what is longer is data


@dataclass(frozen=True, slots=True)
class Patch:
    """One commit, digested. A merge has only what it changed against all of its parents."""

    paths: tuple[str, ...] = ()
    added: tuple[int, ...] = ()  # lines, by path
    removed: tuple[int, ...] = ()
    changed: Words = field(default_factory=lambda: NO_WORDS)  # of the lines added and removed
    around: Words = field(default_factory=lambda: NO_WORDS)  # of unchanged lines shown beside, and of function names
    said: Words = field(default_factory=lambda: NO_WORDS)  # of the message


NO_WORDS: Words = np.zeros(0, np.uint32)


def spelled(word: bytes) -> bytes:
    """A word as it is compared: lower case, `_` for `-`, no underscores around it."""
    return word.lower().replace(b"-", b"_").strip(b"_.")


def parts(word: bytes) -> tuple[bytes, ...]:
    """The word itself, the names it joins, and their parts: `VirtIONet.foo_bar` has `foo_bar` and `foo`."""
    found = [word, *_PIECE.split(word), *_PART.findall(word)]
    return tuple(dict.fromkeys(s for w in found if len(s := spelled(w)) >= _LEAST))


def hashed(word: bytes) -> int:
    """32 bits for a word that is spelled already."""
    return zlib.crc32(word)


@lru_cache(maxsize=1 << 16)
def _hashes(word: bytes) -> tuple[int, ...]:
    return tuple(hashed(part) for part in parts(word[:_LONGEST]))


def words(text: bytes) -> Words:
    """The words of a text, with their parts."""
    found: set[int] = set()
    for word in set(_WORD.findall(text)):
        found.update(_hashes(word))
    return np.array(sorted(found), np.uint32)


def tokens(text: str) -> tuple[bytes, ...]:
    """The words of a text as they stand there, each once, in order."""
    return tuple(dict.fromkeys(w[:_LONGEST] for w in _WORD.findall(text.encode(errors="replace"))))


_FILE = re.compile(rb"^diff --(?:git|cc|combined) (.*)$", re.MULTILINE)
_GIT_PATH = re.compile(rb'"?a/(.*?)"? "?b/')
_CHANGED = re.compile(rb"^([+-])(.*)$", re.MULTILINE)
_AROUND = re.compile(rb"^(?: |@@ [^@]* @@)(.*)$", re.MULTILINE)
_CHANGED_BY_MERGE = re.compile(rb"^ ?([+-])[ +-]?(.*)$", re.MULTILINE)
_AROUND_MERGE = re.compile(rb"^(?:  |@@@+ [^@]* @@@+)(.*)$", re.MULTILINE)


def digest(message: bytes, diff: bytes) -> Patch:
    """A commit's message and its diff as `git log --patch --cc` prints it, binary files included."""
    added: dict[str, int] = {}
    removed: dict[str, int] = {}
    changed: list[bytes] = []
    around: list[bytes] = []
    found = list(_FILE.finditer(diff))
    ends = [*(match.start() for match in found[1:]), len(diff)]
    for match, end in zip(found, ends, strict=False):
        merged = not match[0].startswith(b"diff --git")
        named = match[1] if merged else (its[1] if (its := _GIT_PATH.match(match[1])) else match[1])
        path = named.decode(errors="replace")
        added.setdefault(path, 0)
        removed.setdefault(path, 0)
        body = diff.find(b"\n@@", match.end(), end)
        if body >= 0:
            text = diff[body:end]
            for sign, line in (_CHANGED_BY_MERGE if merged else _CHANGED).findall(text):
                (added if sign == b"+" else removed)[path] += 1
                changed.append(line)
            around += (_AROUND_MERGE if merged else _AROUND).findall(text)
    return Patch(
        tuple(added), tuple(added.values()), tuple(removed.values()),
        words(b"\n".join(changed)), words(b"\n".join(around)), words(message),
    )  # fmt: skip


def described(sizes: Mapping[str, tuple[int, int]], subject: str) -> Patch:
    """A commit of which only the subject and the lines added and removed are known, by path."""
    added, removed = (tuple(size[i] for size in sizes.values()) for i in (0, 1))
    return Patch(tuple(sizes), added, removed, said=words(subject.encode()))
