"""Whether two first bad commits have a common cause: one series, or a name that both use and one commit brought.

A culprit is measured; what is said here is inferred from patches, never more than a hint beside it. A series that
changes how all boards do a thing breaks each at its own commit, and what is to be mended is in the commit before them:
QEMU's 900c0ba373 brought `default_ram_id`, bd457782b3 (pc) and ab74e54311 (pseries) use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bot.core import trailers
from bot.core.dag import Dag
from bot.core.patch import Patch, hashed, spelled
from bot.model import Sha

_LEAST = 6  # characters of a name; shorter ones are everywhere
_FEW, _SHARE = 8, 0.04  # commits that may have a name: this many, or this share of the range
_NUMBERED = re.compile(r"(.+?)-\d+-(.+@.+)")
_ADDED = re.compile(rb"^\+(?!\+\+ )(.*)$", re.MULTILINE)
_OTHER = re.compile(rb"^(?: |-(?!-- )|@@ [^@]* @@)(.*)$", re.MULTILINE)
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Shared:
    """A name that all of some commits add. `commit` is the oldest before all of them that has it in its diff."""

    name: str
    commit: Sha
    commits: int  # of the range that have it in their changed lines


def series(body: str) -> frozenset[tuple[str, str]]:
    """The series of mails that a commit was posted in, by what the Message-IDs of its mails have in common.

    `git send-email` numbers them: `<20200219160953.13771-2-imammedo@redhat.com>` is the second of its series.
    """
    return frozenset((m[1], m[2]) for mid in trailers.message_ids(body) if (m := _NUMBERED.fullmatch(mid)))


def added(diff: bytes) -> frozenset[str]:
    """The names in a diff's added lines."""
    return _names(_ADDED, diff)


def brings(diff: bytes, name: str) -> bool:
    """Whether a diff adds a name that its other lines do not have."""
    return name in added(diff) and name not in _names(_OTHER, diff)


def _names(lines: re.Pattern[bytes], diff: bytes) -> frozenset[str]:
    found = (word for text in lines.findall(diff) for word in _NAME.findall(text))
    return frozenset(word.decode() for word in found if len(word) >= _LEAST)


def shared(dag: Dag, patches: Mapping[Sha, Patch], culprits: Mapping[Sha, Iterable[str]]) -> tuple[Shared, ...]:
    """Names that each of the culprits adds and an earlier commit of the range has, the rarest in the range first.

    `culprits` are commits of the range with the names they add. A name that many commits have is left out. Whether the
    earlier commit really brought it is not known from digests: read its diff (`brings`).
    """
    before = np.logical_and.reduce([dag.history(sha) for sha in culprits])
    before[[dag.position(sha) for sha in culprits]] = False
    names = set.intersection(*(set(its) for its in culprits.values()))
    most = max(_FEW, _SHARE * len(dag))
    found = []
    for name in sorted(names):
        code = hashed(spelled(name.encode()))
        has = [i for i, sha in enumerate(dag.commits) if sha in patches and _has(patches[sha], code)]
        older = [i for i in has if before[i]]
        if older and len(has) <= most:
            found.append(Shared(name, dag.commits[older[0]], len(has)))
    return tuple(sorted(found, key=lambda one: (one.commits, one.name)))


def _has(patch: Patch, code: int) -> bool:
    at = int(np.searchsorted(patch.changed, code))
    return at < len(patch.changed) and int(patch.changed[at]) == code
